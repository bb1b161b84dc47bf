"""Gates: they authenticate by a verifier, or by the host's flask-httpauth object."""

from __future__ import annotations

import inspect
import re
import typing as t
from collections.abc import Callable

from flask import Response, make_response, request
from flask_httpauth import HTTPAuth, HTTPTokenAuth, MultiAuth
from werkzeug.datastructures import Authorization
from werkzeug.exceptions import Unauthorized

from .errors import ConfigurationError
from .settings import PREFIX

CHALLENGE = 'Bearer realm="Authentication Required"'

# Printable ASCII without blanks, no longer than the longest header line that gunicorn passes.
# No host gives out any other credential. Some would make a verifier raise, as a str outside
# ASCII does in hmac.compare_digest.
_CREDENTIAL = re.compile("[\x21-\x7e]{1,8190}")

# The types of nearly all answers. None of them is an awaitable.
_PLAIN = frozenset({bool, str, int, dict, type(None)})


def _error_code(auth: t.Any) -> object:
    """Give the code of the function that answers an object's 401, under its decorator."""
    handler = getattr(auth.auth_error_callback, "__wrapped__", None)
    return getattr(handler, "__code__", None)


# What flask-httpauth answers if the host has set no error handler.
_DEFAULT_ERROR = _error_code(HTTPAuth())


class _Granted(t.NamedTuple):
    principal: object


class Refused(Unauthorized):
    """A caller without a valid credential.

    :param challenges: one for each ``WWW-Authenticate`` header (RFC 9110, 11.6.1).
    :param response: the host's own answer, which takes the place of the envelope.
    """

    def __init__(self, *challenges: str, response: Response | None = None) -> None:
        super().__init__(response=response)
        self.challenges = [("WWW-Authenticate", challenge) for challenge in challenges]

    def get_headers(self, *args: t.Any, **kwargs: t.Any) -> list[tuple[str, str]]:
        """Add the challenges to the usual headers."""
        return [*super().get_headers(*args, **kwargs), *self.challenges]


class HostsGate:
    """Authenticates by the host's own flask-httpauth object, of any scheme."""

    def __init__(self, auth: t.Any) -> None:
        self._auth = auth
        self._answer = auth.login_required(self._granted)
        self._parts = [auth]
        if isinstance(auth, MultiAuth):
            self._parts = [auth.main_auth, *auth.additional_auths]

    def pass_through(self) -> object:
        """Return the caller's principal, which is ``True`` if the verifier returned that.

        :raises Refused: if the object refuses the caller.
        """
        part = self._deciding()
        # No scheme has a credential outside ASCII (RFC 9110, 11.4), and parsers raise on it.
        if not request.headers.get(part.header or "Authorization", "").isascii():
            raise _refused(part, _error_of(part))
        answer = self._answer()
        if not isinstance(answer, _Granted):
            raise _refused(part, answer)
        principal = decided(answer.principal, "AUTH")
        if principal is None:  # the verifier returned True
            return True
        if not principal:  # flask-httpauth lets "", [] and {} in
            raise _refused(part, _error_of(part))
        return principal

    def _granted(self) -> _Granted:
        user = self._auth.current_user
        return _Granted(user() if inspect.ismethod(user) else user)  # APIFlask has a property

    def _deciding(self) -> t.Any:
        """Find the part of a MultiAuth that decides about this request."""
        compatible = (p for p in self._parts if p.is_compatible_auth(request.headers))
        return next(compatible, self._parts[0])


def _error_of(part: t.Any) -> t.Any:
    """Ask a flask-httpauth object for its 401, as it asks itself."""
    try:
        return part.auth_error_callback(401)
    except TypeError:  # the host's handler takes no argument
        return part.auth_error_callback()


def _refused(part: t.Any, answer: t.Any) -> Refused:
    """Refuse with the answer of the host's ``@auth.error_handler``, if it has set one.

    It is looked for at each request, since the decorator may run after the registration.
    """
    response = make_response(answer)
    if _error_code(part) is _DEFAULT_ERROR:
        return Refused(*response.headers.getlist("WWW-Authenticate"))
    if response.status_code < 300:  # a refusal must never read as a success
        response.status_code = 401
    response.headers.setdefault("Cache-Control", "no-store")
    return Refused(response=response)


class TokenGate(HTTPTokenAuth):  # type: ignore[misc]
    """Asks a verifier about the credential in a single header.

    It avoids flask-httpauth's own decorator, which parses every scheme, looks the request up
    several times, and stores a user that nobody reads: a quarter of the whole request.
    """

    def __init__(self, verifier: Callable[[str], object], header: str) -> None:
        super().__init__(scheme="Bearer", header=header)
        self._verifier = verifier
        self._variable = f"HTTP_{header.upper().replace('-', '_')}"
        self.verify_token(self._verify)

    def pass_through(self) -> object:
        """Return the caller's principal, which is ``True`` if the verifier returned that.

        :raises Refused: if there is no credential, or if the verifier refuses it.
        """
        principal = self.authenticate(self.get_auth(), None)
        if not principal:
            raise Refused(self.authenticate_header())
        return principal

    def get_auth(self) -> Authorization | None:
        """Read the credential, or return ``None`` if there is none of the right scheme."""
        value = request.environ.get(self._variable)
        if value is not None and self._variable == "HTTP_AUTHORIZATION":
            scheme, _, value = value.partition(" ")
            if scheme.lower() != "bearer":
                return None
            value = value.strip(" \t")
        return None if value is None else Authorization("bearer", token=value)

    def ensure_sync(self, call: t.Any) -> t.Any:
        """Return the call as it is: the guard has made each verifier sync."""
        return call

    def _verify(self, credential: str) -> object:
        if not _CREDENTIAL.fullmatch(credential):
            return None
        return decided(self._verifier(credential), "VERIFY_TOKEN or VERIFY_API_KEY")


def checked(auth: object) -> object:
    """Check that this is an authentication object of flask-httpauth's.

    :raises ConfigurationError: if it is not.
    """
    if isinstance(auth, HTTPAuth | MultiAuth):
        return auth
    raise ConfigurationError(
        f"{PREFIX}AUTH must be a flask-httpauth object (HTTPBasicAuth, HTTPTokenAuth,"
        f" MultiAuth, ...) or the import string of one, not {type(auth).__name__}"
    )


def decided(answer: object, key: str) -> object:
    """Return a host's answer, unless it is an awaitable or a generator.

    Those are truthy, and would let everybody in.

    :raises TypeError: if it is one.
    """
    if type(answer) in _PLAIN:
        return answer
    if inspect.isawaitable(answer):
        if inspect.iscoroutine(answer):
            answer.close()
        raise TypeError(
            f"{PREFIX}{key} returned an awaitable: write it as an 'async def' function,"
            " or return the answer itself"
        )
    if inspect.isgenerator(answer) or inspect.isasyncgen(answer):
        raise TypeError(f"{PREFIX}{key} returned a generator: write 'return', not 'yield'")
    return answer
