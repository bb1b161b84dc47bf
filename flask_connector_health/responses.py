"""Responses: the bytes and headers of all routes, and the envelope of a refusal."""

from __future__ import annotations

import re
import typing as t
import uuid
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime

from flask import Response, request
from flask.typing import ResponseReturnValue
from werkzeug.datastructures import Headers
from werkzeug.exceptions import HTTPException, InternalServerError, UnprocessableEntity

from .gates import CHALLENGE
from .model import Status
from .report import Report
from .schemas import ErrorSchema, HealthSchema

PUBLIC = {"Cache-Control": "no-store"}
SCOPED = {**PUBLIC, "Vary": "Authorization, X-API-Key"}

# Headers of a refusal that no exception changes.
_OURS = ("Content-Type", "Content-Length", "Cache-Control")

_TRACE_ID = re.compile("[A-Za-z0-9._:+=-]{1,128}")

# What an error says: its code, its message, and its system message.
Words: t.TypeAlias = tuple[str, str, str]

# What the API calls its refusals, by HTTP code.
Refusals: t.TypeAlias = Mapping[int, Words]

_AUTHENTICATION: Words = (
    "AUTHENTICATION_REQUIRED",
    "User authentication required",
    "Authentication required",
)

# Those about the service.
OF_SERVICE: Refusals = {
    401: _AUTHENTICATION,
    403: ("FORBIDDEN", "You have no access to the details of the service", "Forbidden"),
}

# Those about an organization.
OF_ORGANIZATION: Refusals = {
    401: _AUTHENTICATION,
    403: (
        "ORGANIZATION_ACCESS_DENIED",
        "You have no access to this organization",
        "Organization access denied",
    ),
    404: (
        "ORGANIZATION_NOT_FOUND",
        "This organization does not exist",
        "Organization not found",
    ),
    422: (
        "VALIDATION_ERROR",
        "The organization id is malformed",
        "Validation error",
    ),
}

# A body, its status line, and all of its headers.
Prebuilt: t.TypeAlias = tuple[bytes, str, list[tuple[str, str]]]

# What a route answers for each status.
Answers: t.TypeAlias = Mapping[Status, Prebuilt]


class BadQuery(UnprocessableEntity):
    """A parameter of the query cannot be used.

    :param message: which one, and what it may be.
    """

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.words: Words = ("VALIDATION_ERROR", message, "Validation error")


class HealthResponse(Response):
    """A new response for each request, around a body and headers that were made beforehand.

    Werkzeug would compute headers and body again. Here it does so only if the host has changed
    the response.
    """

    def __init__(self, body: bytes, status: str, lines: list[tuple[str, str]]) -> None:
        headers = Headers()
        headers[:] = lines
        chunks = [body]
        super().__init__(chunks, status, headers)
        self._made = status, lines
        self._chunks: list[bytes] | None = chunks

    def get_wsgi_headers(self, environ: dict[str, t.Any]) -> Headers:
        """Give the headers as they were made, unless the host has changed them."""
        if (self.status, [*self.headers]) == self._made:
            return self.headers
        return super().get_wsgi_headers(environ)

    def get_app_iter(self, environ: dict[str, t.Any]) -> t.Iterable[bytes]:
        """Give the body as it was made, unless the host has changed it."""
        is_whole = environ["REQUEST_METHOD"] == "GET" and self.status == self._made[0]
        if is_whole and self.response is self._chunks:
            return self._chunks
        return super().get_app_iter(environ)

    def call_on_close(self, func: t.Callable[[], t.Any]) -> t.Callable[[], t.Any]:
        """Have a function called once the body is sent."""
        self._chunks = None  # only Werkzeug's own body calls it
        return super().call_on_close(func)


def prebuilt(headers: Mapping[str, str], *, unavailable: int, retry_after: int) -> Answers:
    """Make the health answer for each status.

    :param unavailable: the HTTP code for "unavailable".
    :param retry_after: how many seconds a 503 asks its client to wait. 0 leaves the header out.
    """
    schema, answers = HealthSchema(), {}
    for status in Status:
        body = schema.dumps(Report(status)).encode()
        code = 200 if status.available else unavailable
        response = _respond(body, code, Headers(headers), retry_after)
        answers[status] = body, response.status, list(response.headers)
    return answers


def scoped(body: str) -> Response:
    """Make the 200 of a body that this caller may see, and perhaps no other one."""
    return _respond(body.encode(), 200, Headers(SCOPED), retry_after=0)


def refusal(error: HTTPException, refusals: Refusals, *, retry_after: int = 0) -> Response:
    """Put a refusal into the API's envelope, with the headers that the exception sets.

    :param refusals: what the envelope says. For any other code, it says the code's name.
    :param retry_after: how many seconds a 503 asks its client to wait, unless the exception
        says so itself. 0 leaves the header out.
    """
    code, name = error.code or 0, error.name
    if code < 400:  # a refusal must never read as a success, whatever the host has raised
        code, name = 500, InternalServerError().name
    words = error.words if isinstance(error, BadQuery) else refusals.get(code)
    body = ErrorSchema().dumps({"success": False, "error": _detail(code, name, words)})
    headers = Headers(SCOPED)
    for header, value in _headers_of(error):
        if header.title() not in _OURS:
            headers.add(header, value)
    if code == 401:
        headers.setdefault("WWW-Authenticate", CHALLENGE)
    return _respond(body.encode(), code, headers, retry_after)


def internal_server_error(error: InternalServerError) -> ResponseReturnValue:
    """Answer an exception that nobody handles with the envelope, which API clients read."""
    return refusal(error, {}) if error.response is None else error.get_response()


def _respond(body: bytes, code: int, headers: Headers, retry_after: int) -> Response:
    response = Response(body, code, headers, content_type="application/json")
    if code == 503 and retry_after:
        response.headers.setdefault("Retry-After", str(retry_after))
    return response


def _headers_of(error: HTTPException) -> Iterator[tuple[str, str]]:
    """Collect the headers that an exception sets.

    ``flask_smorest.abort(429, headers=...)`` keeps them in the ``data`` of the exception, with
    all of its keywords.
    """
    yield from error.get_headers(request.environ)
    data = getattr(error, "data", None)
    headers = data.get("headers") if isinstance(data, Mapping) else None
    if isinstance(headers, Mapping | Headers | list | tuple):
        yield from Headers(headers)


def _detail(code: int, name: str, words: Words | None) -> dict[str, object]:
    default = (re.sub("[^A-Z]+", "_", name.upper()), name, name)
    error_code, message, system_message = words or default
    return {
        "code": error_code,
        "message": message,
        "system_message": system_message,
        "type": "client_error" if code < 500 else "server_error",
        "status": code,
        "trace_id": _trace_id(),
        "timestamp": datetime.now(UTC),
    }


def _trace_id() -> str:
    """Use the request's own id if it is a valid one, so that one search finds both logs."""
    given = request.headers.get("X-Request-ID", "")
    return given if _TRACE_ID.fullmatch(given) else uuid.uuid4().hex
