"""The views of the two routes."""

from __future__ import annotations

import typing as t

from flask import Response
from werkzeug.exceptions import HTTPException, UnprocessableEntity

from .auth import Guard
from .engine.monitor import Monitor
from .responses import HealthResponse, Responses
from .settings import Settings

SERVICE_RULE = "/knowledge/connectors/health"
ORGANIZATION_RULE = "/organizations/<organization_id>/knowledge/connectors/health"

# The longest id, whatever the pattern allows: ids are cache keys, and the log names them.
LONGEST_ID = 255


class Views:
    """The view functions of one registration."""

    def __init__(self, settings: Settings, monitor: Monitor, guard: Guard) -> None:
        self._monitor = monitor
        self._guard = guard
        self._pattern = settings.organization_id_pattern
        self._responses = Responses(settings)

    def service(self, **_: t.Any) -> Response:
        """Answer whether the connector service is available."""
        return HealthResponse(*self._responses.public[self._monitor.status()])

    def organization(self, organization_id: str, **_: t.Any) -> Response:
        """Answer whether the service is available for an organization, after authorization."""
        try:
            principal = self._guard.authenticate()
            self._validate(organization_id)
            self._guard.authorize(principal, organization_id)
        except HTTPException as error:
            if error.response is not None or 300 <= (error.code or 500) < 400:
                raise  # the host has made a response or a redirect of its own
            return self._responses.refusal(error)
        return HealthResponse(*self._responses.scoped[self._monitor.status(organization_id)])

    def _validate(self, organization_id: str) -> None:
        if len(organization_id) > LONGEST_ID or not self._pattern.fullmatch(organization_id):
            raise UnprocessableEntity
