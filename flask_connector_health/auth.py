"""Who is calling, and what may they see: flask-httpauth behind one typed question."""

from __future__ import annotations

import inspect
import re
import typing as t
from collections.abc import Callable

from flask import Flask, request
from flask_httpauth import HTTPAuth, HTTPTokenAuth, MultiAuth
from werkzeug.exceptions import Forbidden, NotFound, Unauthorized

from .errors import ConfigurationError
from .settings import PREFIX, Settings

CHALLENGE = 'Bearer realm="Authentication Required"'

# Printable ASCII without blanks, no longer than the longest header line that gunicorn passes.
# Anything else is no credential that a host gave out, and would upset verifiers: two str
# outside ASCII make hmac.compare_digest raise.
_CREDENTIAL = re.compile("[\x21-\x7e]{1,8190}")

_GRANTED = object()


class Refused(Unauthorized):
    """A caller without a valid credential.

    :param challenge: the value of the ``WWW-Authenticate`` header (RFC 9110, 11.6.1).
    """

    def __init__(self, challenge: str) -> None:
        super().__init__()
        self.challenge = challenge

    def get_headers(self, *args: t.Any, **kwargs: t.Any) -> list[tuple[str, str]]:
        """Add the challenge to the usual headers."""
        return [*super().get_headers(*args, **kwargs), ("WWW-Authenticate", self.challenge)]


class Guard:
    """Authenticates and authorizes the request that is being handled.

    :raises ConfigurationError: if a callable is async and Flask cannot run those, or the
        host's authentication object is not one of flask-httpauth's.
    """

    def __init__(self, app: Flask, settings: Settings) -> None:
        self._authorizer = _sync(app, "AUTHORIZE", settings.authorize)
        self._foreign = {403: Forbidden, 404: NotFound}[settings.foreign_organization]
        self._own = self._bearer = self._api_key = None
        if settings.auth is not None:
            self._own = _Gate(_checked(settings.auth))
        if settings.verify_token is not None:
            verifier = _sync(app, "VERIFY_TOKEN", settings.verify_token)
            self._bearer = _Gate(_token_auth(verifier))
        if settings.verify_api_key is not None:
            verifier = _sync(app, "VERIFY_API_KEY", settings.verify_api_key)
            self._api_key = _Gate(_token_auth(verifier, header="X-API-Key"))

    def authenticate(self) -> object:
        """Return the caller's principal; ``True`` where the verifier named nobody.

        :raises Refused: without a credential, or with one that the verifier refuses.
        """
        gate = self._gate()
        if gate is None:
            raise Refused(CHALLENGE)
        return gate.pass_through()

    def authorize(self, principal: object, organization_id: str) -> None:
        """Let the principal see this organization.

        :raises werkzeug.exceptions.HTTPException: 403 or 404, as the settings say.
        """
        granted = self._authorizer(principal, organization_id)
        if not _decided(granted, "AUTHORIZE"):
            raise self._foreign

    def _gate(self) -> _Gate | None:
        # flask-httpauth's own MultiAuth compares the scheme's case and would go on to the API
        # key: here an Authorization header decides when it is there.
        if self._own is not None:
            return self._own
        if self._bearer is not None and "Authorization" in request.headers:
            return self._bearer
        if self._api_key is not None and "X-API-Key" in request.headers:
            return self._api_key
        return None


class _Gate:
    """One flask-httpauth object, with its decorator turned into a call."""

    def __init__(self, auth: t.Any) -> None:
        self._auth = auth
        self._answer = auth.login_required(lambda: _GRANTED)

    def pass_through(self) -> object:
        answer = self._answer()
        if answer is not _GRANTED:
            raise Refused(answer.headers["WWW-Authenticate"])
        principal = self._auth.current_user()
        if principal is None:  # the verifier said True
            return True
        if not principal:  # flask-httpauth lets "", [] and {} in
            main = getattr(self._auth, "main_auth", self._auth)
            raise Refused(main.authenticate_header())
        return principal


def allow_any_organization(principal: object, organization_id: str) -> bool:
    """Authorize every authenticated caller for every organization."""
    return True


def _token_auth(verifier: Callable[[str], object], header: str | None = None) -> t.Any:
    auth = HTTPTokenAuth(scheme="Bearer", header=header)

    def verify(credential: str) -> object:
        if not _CREDENTIAL.fullmatch(credential):
            return None
        return _decided(verifier(credential), "VERIFY_TOKEN or VERIFY_API_KEY") or None

    auth.verify_token(verify)
    return auth


def _checked(auth: object) -> object:
    if isinstance(auth, HTTPAuth | MultiAuth):
        return auth
    raise ConfigurationError(
        f"{PREFIX}AUTH must be a flask-httpauth object (HTTPBasicAuth, HTTPTokenAuth,"
        f" MultiAuth, ...) or the import string of one, not {type(auth).__name__}"
    )


def _sync(app: Flask, key: str, call: Callable[..., t.Any]) -> Callable[..., t.Any]:
    try:
        return app.ensure_sync(call)
    except RuntimeError as error:
        raise ConfigurationError(
            f"{PREFIX}{key} is an async {type(call).__name__}, which Flask runs only with its"
            " extra: pip install 'flask[async]', or make it a plain function"
        ) from error


def _decided(answer: object, key: str) -> object:
    """Refuse an awaitable: it is truthy, and would open the door to everybody."""
    if inspect.isawaitable(answer):
        if inspect.iscoroutine(answer):
            answer.close()
        raise TypeError(
            f"{PREFIX}{key} returned an awaitable: write it as an 'async def' function,"
            " or return the answer itself"
        )
    return answer
