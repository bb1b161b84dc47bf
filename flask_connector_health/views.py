"""The view functions of the two routes."""

from __future__ import annotations

import typing as t
from collections.abc import Callable

from flask import current_app, request
from flask.typing import ResponseReturnValue
from werkzeug.exceptions import HTTPException, UnprocessableEntity

from .auth import Guard
from .engine.monitor import Monitor
from .responses import PUBLIC, SCOPED, HealthResponse, prebuilt, refusal
from .settings import Settings

SERVICE_RULE = "/knowledge/connectors/health"
ORGANIZATION_RULE = "/organizations/<organization_id>/knowledge/connectors/health"

# The longest id, whatever the pattern allows: ids are cache keys, and the log names them.
LONGEST_ID = 255

# Views are plain functions, since extensions set attributes on views, and wrap them.
View: t.TypeAlias = Callable[..., ResponseReturnValue]


def make_service(settings: Settings, monitor: Monitor) -> View:
    """Make the view of the service. It ignores what the host adds to the URL's values."""
    answers = prebuilt(settings, PUBLIC)

    def service(**_: t.Any) -> ResponseReturnValue:
        """Answer whether the connector service is available."""
        return HealthResponse(*answers[monitor.status()])

    return service


def make_organization(settings: Settings, monitor: Monitor, guard: Guard) -> View:
    """Make the view of the organizations. It ignores what the host adds to the URL's values."""
    answers, pattern = prebuilt(settings, SCOPED), settings.organization_id_pattern

    def organization(organization_id: object = None, **_: t.Any) -> ResponseReturnValue:
        """Answer whether the service is available for an organization, after authorization."""
        if not isinstance(organization_id, str):
            organization_id = _id_in_url()
        try:
            principal = guard.authenticate()
            if len(organization_id) > LONGEST_ID or not pattern.fullmatch(organization_id):
                raise UnprocessableEntity
            guard.authorize(principal, organization_id)
        except HTTPException as error:
            if error.response is not None:
                return error.get_response()  # the host has made a response of its own
            if 300 <= (error.code or 500) < 400:
                raise
            return refusal(error, retry_after=settings.retry_after)
        return HealthResponse(*answers[monitor.status(organization_id)])

    return organization


def _id_in_url() -> str:
    """Read the id from the URL again.

    A ``url_value_preprocessor`` of the host's may have taken it out of the values, or may have
    put an object in its place.
    """
    adapter = t.cast(t.Any, current_app.create_url_adapter(request))
    organization_id: str = adapter.match()[1]["organization_id"]
    return organization_id
