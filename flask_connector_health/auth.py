"""Authentication and authorization: who calls, and who may see what."""

from __future__ import annotations

import inspect
import typing as t
from collections.abc import Callable

from flask import Flask, request
from werkzeug.exceptions import Forbidden, NotFound

from .errors import ConfigurationError
from .gates import CHALLENGE, HostsGate, Refused, TokenGate, checked, decided
from .settings import PREFIX, Settings


class Guard:
    """Authenticates and authorizes the current request.

    :raises ConfigurationError: if a callable is async and Flask cannot run those, or the
        host's authentication object is not one of flask-httpauth's.
    """

    def __init__(self, app: Flask, settings: Settings) -> None:
        self._authorizer = _sync(app, "AUTHORIZE", settings.authorize)
        self._details = _sync(app, "AUTHORIZE_DETAILS", settings.authorize_details or _nobody)
        self._foreign = {403: Forbidden, 404: NotFound}[settings.foreign_organization]
        self._own = self._bearer = self._api_key = None
        if settings.auth is not None:
            self._own = HostsGate(checked(settings.auth))
        if settings.verify_token is not None:
            verifier = _sync(app, "VERIFY_TOKEN", settings.verify_token)
            self._bearer = TokenGate(verifier, "Authorization")
        if settings.verify_api_key is not None:
            verifier = _sync(app, "VERIFY_API_KEY", settings.verify_api_key)
            self._api_key = TokenGate(verifier, "X-API-Key")

    def authenticate(self) -> object:
        """Return the caller's principal, which is ``True`` if the verifier returned that.

        :raises Refused: if there is no credential, or if the verifier refuses it.
        """
        gate = self._gate()
        if gate is None:
            raise Refused(CHALLENGE)
        return gate.pass_through()

    def authorize(self, principal: object, organization_id: str) -> None:
        """Check that the principal may see an organization.

        :raises werkzeug.exceptions.HTTPException: 403 or 404, by the setting, if it may not.
        """
        granted = self._authorizer(principal, organization_id)
        if not decided(granted, "AUTHORIZE"):
            raise self._foreign

    def authorize_details(self, principal: object, organization_id: str | None) -> None:
        """Check that the principal may see the details of an organization, or of the service.

        :raises werkzeug.exceptions.HTTPException: 403 if it may not see those of the service;
            403 or 404, by the setting, if it may not see those of the organization.
        """
        granted = self._details(principal, organization_id)
        if not decided(granted, "AUTHORIZE_DETAILS"):
            raise Forbidden if organization_id is None else self._foreign

    def _gate(self) -> HostsGate | TokenGate | None:
        # An Authorization header decides if there is one. With flask-httpauth's own MultiAuth,
        # a "bearer" in lower case would leave the decision to the API key.
        if self._own is not None:
            return self._own
        if self._api_key is None:
            return self._bearer
        return self._bearer if "HTTP_AUTHORIZATION" in request.environ else self._api_key


def allow_any_organization(principal: object, organization_id: str) -> bool:
    """Authorize every authenticated caller for every organization."""
    return True


def _nobody(principal: object, organization_id: str | None) -> bool:
    """Let nobody see details."""
    return False


def _sync(app: Flask, key: str, call: Callable[..., t.Any]) -> Callable[..., t.Any]:
    if inspect.iscoroutinefunction(call.__call__):  # type: ignore[operator]
        call = call.__call__  # type: ignore[operator]
    try:
        return app.ensure_sync(call)
    except RuntimeError as error:
        raise ConfigurationError(
            f"{PREFIX}{key} is an async {type(call).__name__}, which Flask runs only after"
            " pip install 'flask[async]'; install that, or make it a plain function"
        ) from error
