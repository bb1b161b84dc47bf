"""Schemas of the bodies: the health answer and the error envelope."""

from __future__ import annotations

from marshmallow import Schema, fields

from .model import Status


class HealthSchema(Schema):
    """The contract's health answer, from a report. It has these two keys and never a third."""

    status = fields.Enum(Status, by_value=True)
    available = fields.Boolean()


class ErrorDetailSchema(Schema):
    """The description of an error, for people and for programs."""

    code = fields.String()
    message = fields.String()
    system_message = fields.String()
    type = fields.String()
    status = fields.Integer()
    trace_id = fields.String()
    timestamp = fields.DateTime(format="%Y-%m-%dT%H:%M:%SZ")


class ErrorSchema(Schema):
    """The API's error envelope."""

    success = fields.Boolean()
    error = fields.Nested(ErrorDetailSchema)
