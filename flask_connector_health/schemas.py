"""Schemas of the bodies: the health answer, the details, and the error envelope."""

from __future__ import annotations

import typing as t

from marshmallow import Schema, fields

from .model import Status


class HealthSchema(Schema):
    """The contract's health answer, from a report. It has these two keys and never a third."""

    status = fields.Enum(Status, by_value=True)
    available = fields.Boolean()


class Moment(fields.DateTime):
    """A time in UTC, in ISO 8601 with milliseconds and ``Z``."""

    def _serialize(self, value: t.Any, *_: t.Any, **__: t.Any) -> str | None:
        if value is None:
            return None
        return f"{value.isoformat(timespec='milliseconds').removesuffix('+00:00')}Z"


class ProbeDetailSchema(Schema):
    """What is known of a probe's verdict."""

    name = fields.String()
    scope = fields.String()
    critical = fields.Boolean()
    status = fields.Enum(Status, by_value=True, allow_none=True)
    message = fields.String()
    state = fields.String()
    since = Moment(allow_none=True)
    checked_at = Moment(allow_none=True)
    last_ok_at = Moment(allow_none=True)
    age_seconds = fields.Float(allow_none=True)
    duration_ms = fields.Float(allow_none=True)
    consecutive_failures = fields.Integer()


class FailingProbeSchema(Schema):
    """A probe that fails for an organization."""

    name = fields.String()
    status = fields.Enum(Status, by_value=True)
    message = fields.String()
    since = Moment()


class FailingOrganizationSchema(Schema):
    """An organization that fails by its own probes."""

    organization_id = fields.String()
    status = fields.Enum(Status, by_value=True)
    since = Moment()
    checked_at = Moment(allow_none=True)
    probes = fields.List(fields.Nested(FailingProbeSchema))


class OverviewSchema(Schema):
    """How the organizations are that the answering process knows."""

    known = fields.Integer()
    ok = fields.Integer()
    degraded = fields.Integer()
    unavailable = fields.Integer()
    # Schema.unknown is an attribute of marshmallow's own.
    without_verdict = fields.Integer(attribute="unknown", data_key="unknown")
    failing = fields.List(fields.Nested(FailingOrganizationSchema))


class TransitionSchema(Schema):
    """A turn of a probe's verdict."""

    at = Moment()
    organization_id = fields.String(allow_none=True)
    probe = fields.String()
    before = fields.Enum(Status, by_value=True, allow_none=True, data_key="from")
    after = fields.Enum(Status, by_value=True, data_key="to")
    message = fields.String()


class AnsweredBySchema(Schema):
    """Which process has answered: others may have verdicts of their own."""

    host = fields.String()
    pid = fields.Integer()


class DetailsSchema(Schema):
    """The details of the service, or of an organization."""

    status = fields.Enum(Status, by_value=True)
    available = fields.Boolean()
    service = fields.Nested(HealthSchema)
    probes = fields.List(fields.Nested(ProbeDetailSchema))
    groups = fields.Dict(fields.String(), fields.Enum(Status, by_value=True))
    draining = fields.Boolean()
    organizations = fields.Nested(OverviewSchema)
    transitions = fields.List(fields.Nested(TransitionSchema))
    answered_by = fields.Nested(AnsweredBySchema)


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
