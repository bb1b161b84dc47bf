"""The view functions of the routes that answer whether something is available."""

from __future__ import annotations

import typing as t
from collections.abc import Callable

from flask import current_app, request
from flask.typing import ResponseReturnValue
from werkzeug.exceptions import HTTPException, UnprocessableEntity

from .auth import Guard
from .engine.monitor import Monitor
from .model import Status
from .responses import (
    OF_ORGANIZATION,
    SCOPED,
    Answers,
    HealthResponse,
    Refusals,
    prebuilt,
    refusal,
)
from .settings import Settings

# Views are plain functions, since extensions set attributes on views, and wrap them.
View: t.TypeAlias = Callable[..., ResponseReturnValue]

# Decides whether a principal may see an organization. If not, it raises an HTTPException.
Authorize: t.TypeAlias = Callable[[object, str], None]


def make_service(monitor: Monitor, answers: Answers) -> View:
    """Make the view of the service. It ignores what the host adds to the URL's values."""

    def service(**_: t.Any) -> ResponseReturnValue:
        """Answer whether the connector service is available."""
        return HealthResponse(*answers[monitor.status()])

    return service


def make_group(name: str, ask: Callable[[], Status], answers: Answers) -> View:
    """Make the view of a group. It ignores what the host adds to the URL's values.

    :param ask: gives the status of the group.
    """

    def group(**_: t.Any) -> ResponseReturnValue:
        """Answer whether the service is available, by the probes of a group alone."""
        return HealthResponse(*answers[ask()])

    group.__name__ = f"group_{name}"
    return group


def make_organization(settings: Settings, monitor: Monitor, guard: Guard) -> View:
    """Make the view of the organizations. It ignores what the host adds to the URL's values."""
    code, retry_after = settings.unavailable_status_code, settings.retry_after
    answers = prebuilt(SCOPED, unavailable=code, retry_after=retry_after)
    admit = make_gate(settings, guard)

    def organization(organization_id: object = None, **_: t.Any) -> ResponseReturnValue:
        """Answer whether the service is available for an organization, after authorization."""
        try:
            admitted = admit(organization_id, guard.authorize)
        except HTTPException as error:
            return refused(error, OF_ORGANIZATION, settings)
        return HealthResponse(*answers[monitor.status(admitted)])

    return organization


def make_gate(settings: Settings, guard: Guard) -> Callable[[object, Authorize], str]:
    """Make what goes before all work for an organization: who calls, and who may see which."""

    def admit(organization_id: object, authorize: Authorize) -> str:
        """Return the id if the caller may see the organization. Otherwise, raise."""
        if not isinstance(organization_id, str):
            organization_id = _id_in_url()
        principal = guard.authenticate()
        if not settings.is_organization(organization_id):
            raise UnprocessableEntity
        authorize(principal, organization_id)
        return organization_id

    return admit


def refused(
    error: HTTPException, refusals: Refusals, settings: Settings
) -> ResponseReturnValue:
    """Answer a refusal. A response of the host's own, and a redirect, pass as they are."""
    if error.response is not None:
        return error.get_response()
    if 300 <= (error.code or 500) < 400:
        raise error
    return refusal(error, refusals, retry_after=settings.retry_after)


def _id_in_url() -> str:
    """Read the id from the URL again.

    A ``url_value_preprocessor`` of the host's may have taken it out of the values, or may have
    put an object in its place.
    """
    adapter = t.cast(t.Any, current_app.create_url_adapter(request))
    organization_id: str = adapter.match()[1]["organization_id"]
    return organization_id
