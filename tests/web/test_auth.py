"""Who is let in, who is refused, and that a refused caller starts nothing."""

from __future__ import annotations

import hmac
import logging
import sys
import typing as t
from collections.abc import Callable
from unittest import mock

import pytest
from flask import (
    Flask,
    Response,
    abort,
    got_request_exception,
    make_response,
    redirect,
)
from flask_httpauth import HTTPBasicAuth, HTTPDigestAuth, HTTPTokenAuth, MultiAuth
from werkzeug.datastructures import Headers
from werkzeug.exceptions import Forbidden, HTTPException, ServiceUnavailable
from werkzeug.routing import RequestRedirect
from werkzeug.test import TestResponse

from flask_connector_health import ConfigurationError, ConnectorHealth
from flask_connector_health.auth import Guard
from tests.clockwork import engine_of
from tests.conftest import API_KEY, BEARER, DETAILS, SCOPED, SCOPED_DETAILS, MakeApp

CHALLENGE = 'Bearer realm="Authentication Required"'
FALSY: list[object] = [None, False, "", [], {}, 0, ()]
WRONG = {"Authorization": "Bearer wrong"}

# A route that asks a callable.
ASKING = {"VERIFY_TOKEN": SCOPED, "AUTHORIZE": SCOPED, "AUTHORIZE_DETAILS": SCOPED_DETAILS}


class Account:
    """A principal that is no plain value."""


def ask(app: Flask, headers: dict[str, str] | None = None, path: str = SCOPED) -> TestResponse:
    return app.test_client().get(path, headers=headers)


def error_code(response: TestResponse) -> str:
    return str(response.get_json()["error"]["code"])


def assert_refused(response: TestResponse) -> None:
    assert response.status_code == 401
    assert response.headers.getlist("WWW-Authenticate") == [CHALLENGE]
    assert response.headers["Cache-Control"] == "no-store"
    assert response.headers["Vary"] == "Authorization, X-API-Key"
    assert error_code(response) == "AUTHENTICATION_REQUIRED"


@pytest.mark.parametrize(
    "headers",
    [
        BEARER,
        {"Authorization": "bearer good-token"},
        {"Authorization": "BEARER good-token"},
        API_KEY,
        {**BEARER, **API_KEY},
        {**BEARER, "X-API-Key": "junk"},
        {**BEARER, "X-API-Key": ""},
    ],
)
def test_a_good_credential_is_let_in(make_app: MakeApp, headers: dict[str, str]) -> None:
    assert ask(make_app(), headers).status_code == 200


@pytest.mark.parametrize(
    "headers",
    [
        {},
        WRONG,
        {"X-API-Key": "wrong"},
        {"X-API-Key": ""},
        {**WRONG, **API_KEY},
        {"Authorization": "", **API_KEY},
        {"Authorization": "Basic Z29vZC10b2tlbg==", **API_KEY},
        {"Authorization": "Bearer good-key"},
        {"X-API-Key": "good-token"},
    ],
)
def test_anything_else_is_refused_alike(make_app: MakeApp, headers: dict[str, str]) -> None:
    assert_refused(ask(make_app(), headers))


def test_a_token_in_the_query_string_is_no_credential(make_app: MakeApp) -> None:
    query = "?access_token=good-token&token=good-token&api_key=good-key"

    assert_refused(ask(make_app(), path=SCOPED + query))


def test_either_verifier_is_enough_alone(make_app: MakeApp) -> None:
    assert ask(make_app(VERIFY_API_KEY=None), BEARER).status_code == 200


def test_without_a_token_verifier_an_authorization_header_still_decides(
    make_app: MakeApp,
) -> None:
    """A request with an Authorization header is not let in by its API key."""
    app = make_app(VERIFY_TOKEN=None)

    assert ask(app, API_KEY).status_code == 200
    assert_refused(ask(app, {**WRONG, **API_KEY}))
    assert_refused(ask(app, BEARER))


@pytest.mark.parametrize("falsy", FALSY, ids=repr)
@pytest.mark.parametrize("headers", [BEARER, API_KEY], ids=["token", "key"])
def test_a_falsy_principal_is_refused(
    make_app: MakeApp, falsy: object, headers: dict[str, str]
) -> None:
    app = make_app(VERIFY_TOKEN=lambda token: falsy, VERIFY_API_KEY=lambda key: falsy)

    assert_refused(ask(app, headers))


@pytest.mark.parametrize("principal", [True, "ann", 7, {"id": 1}, Account()])
def test_the_authorizer_is_given_the_principal_itself(
    make_app: MakeApp, principal: object
) -> None:
    authorize = mock.Mock(return_value=True)

    ask(make_app(VERIFY_TOKEN=lambda token: principal, AUTHORIZE=authorize), BEARER)

    authorize.assert_called_once_with(principal, "org_xyz789")


@pytest.mark.parametrize("answer", FALSY, ids=repr)
def test_a_falsy_authorization_is_403(make_app: MakeApp, answer: object) -> None:
    response = ask(make_app(AUTHORIZE=lambda principal, organization_id: answer), BEARER)

    assert response.status_code == 403
    assert error_code(response) == "ORGANIZATION_ACCESS_DENIED"
    assert response.headers["Cache-Control"] == "no-store"


def test_foreign_and_unknown_organizations_can_look_the_same(make_app: MakeApp) -> None:
    """With 404, nobody can find out which organizations exist."""

    def may_see(principal: object, organization_id: str) -> bool:
        if organization_id == "org_unknown":
            abort(404)
        return False

    app = make_app(AUTHORIZE=may_see, FOREIGN_ORGANIZATION=404)

    foreign = ask(app, BEARER | {"X-Request-ID": "1"})
    unknown = ask(
        app, BEARER | {"X-Request-ID": "1"}, SCOPED.replace("org_xyz789", "org_unknown")
    )
    assert foreign.status_code == unknown.status_code == 404
    assert error_code(foreign) == "ORGANIZATION_NOT_FOUND"
    foreign_error, unknown_error = (r.get_json()["error"] for r in (foreign, unknown))
    foreign_error.pop("timestamp")
    unknown_error.pop("timestamp")
    assert foreign_error == unknown_error
    assert foreign.headers == unknown.headers


class Calls:
    """Counts what each step of a scoped request was asked."""

    def __init__(self) -> None:
        self.made: list[str] = []

    def step(self, name: str, answer: t.Any) -> Callable[..., t.Any]:
        def call(*arguments: object) -> t.Any:
            self.made.append(name)
            return answer

        return call


def make_stepwise(
    make_app: MakeApp,
    health: ConnectorHealth,
    calls: Calls,
    principal: object,
    granted: bool,
    **others: object,
) -> Flask:
    """Make an app that notes who is asked: verifier, authorizer, callback and probe."""
    health.add_probe(
        lambda organization_id: calls.step("probe", True)(), name="drive", scope="organization"
    )
    return make_app(
        VERIFY_TOKEN=calls.step("verify", principal),
        AUTHORIZE=calls.step("authorize", granted),
        AVAILABILITY=lambda: calls.step("availability", True)(),
        **others,
    )


@pytest.mark.parametrize(
    ("path", "principal", "granted", "made"),
    [
        (SCOPED.replace("org_", "bad_"), None, False, ["verify"]),
        (SCOPED.replace("org_", "bad_"), "ann", False, ["verify"]),
        (SCOPED, "ann", False, ["verify", "authorize"]),
        (SCOPED, "ann", True, ["verify", "authorize", "availability", "probe"]),
    ],
    ids=["unauthenticated", "malformed", "unauthorized", "let in"],
)
def test_each_step_happens_only_after_the_one_before(
    make_app: MakeApp,
    health: ConnectorHealth,
    path: str,
    principal: object,
    granted: bool,
    made: list[str],
) -> None:
    calls = Calls()
    app = make_stepwise(make_app, health, calls, principal, granted)

    ask(app, BEARER, path)

    assert calls.made[:2] + sorted(calls.made[2:]) == made


@pytest.fixture(params=["VERIFY_TOKEN", "AUTHORIZE"])
def broken_app(request: pytest.FixtureRequest, make_app: MakeApp) -> Flask:
    """Make an app of which one callable raises."""

    def broken(*arguments: object) -> bool:
        raise OSError("database is away")

    return make_app(**{request.param: broken})


@pytest.mark.parametrize("kind", [None, 500, HTTPException])
def test_a_callable_that_raises_is_a_500_in_the_envelope(
    broken_app: Flask, kind: int | type[Exception] | None, caplog: pytest.LogCaptureFixture
) -> None:
    if kind is not None:
        broken_app.register_error_handler(kind, lambda error: ("a page for people", 500))

    response = ask(broken_app, BEARER)

    assert response.status_code == 500
    assert error_code(response) == "INTERNAL_SERVER_ERROR"
    assert response.get_json()["error"]["type"] == "server_error"
    assert response.headers["Cache-Control"] == "no-store"
    assert "database is away" not in response.text
    assert "Exception on /v1/organizations" in caplog.text
    assert "database is away" in caplog.text


@pytest.mark.parametrize("kind", [Exception, OSError])
def test_a_hosts_handler_of_the_exception_itself_goes_first(
    broken_app: Flask, kind: type[Exception]
) -> None:
    broken_app.register_error_handler(kind, lambda error: (f"mine: {error}", 500))

    assert ask(broken_app, BEARER).text == "mine: database is away"


def test_an_exception_is_signalled_as_that_of_any_view(broken_app: Flask) -> None:
    signalled: list[Exception] = []

    def note(sender: Flask, exception: Exception) -> None:
        signalled.append(exception)

    with got_request_exception.connected_to(note, broken_app):
        ask(broken_app, BEARER)

    assert [str(exception) for exception in signalled] == ["database is away"]


@pytest.mark.parametrize("setting", ["TESTING", "PROPAGATE_EXCEPTIONS", "DEBUG"])
def test_an_exception_propagates_where_the_host_wants_that(
    broken_app: Flask, setting: str
) -> None:
    broken_app.config[setting] = True

    with pytest.raises(OSError, match="database is away"):
        ask(broken_app, BEARER)


def test_a_500_of_the_hosts_own_making_is_passed_on(make_app: MakeApp) -> None:
    app = make_app()

    @app.before_request
    def fail() -> t.NoReturn:
        abort(500, response=make_response("mine", 500))

    assert ask(app, BEARER).text == "mine"


@pytest.mark.parametrize("key", ASKING)
@pytest.mark.parametrize(
    ("code", "name"),
    [
        (400, "BAD_REQUEST"),
        (401, "AUTHENTICATION_REQUIRED"),
        (403, "ORGANIZATION_ACCESS_DENIED"),
        (404, "ORGANIZATION_NOT_FOUND"),
        (418, "I_M_A_TEAPOT"),
        (422, "VALIDATION_ERROR"),
        (429, "TOO_MANY_REQUESTS"),
    ],
)
def test_an_abort_is_answered_with_its_code_and_the_envelope(
    make_app: MakeApp, key: str, code: int, name: str
) -> None:
    def refuse(*arguments: object) -> t.NoReturn:
        abort(code, "words for the log")

    app = make_app(**{key: refuse})
    app.register_error_handler(code, lambda error: ("the host's own page", code))

    response = ask(app, BEARER, ASKING[key])

    assert response.status_code == code
    assert error_code(response) == name
    assert response.get_json()["error"]["type"] == "client_error"
    assert "words for the log" not in response.text
    assert ("WWW-Authenticate" in response.headers) == (code == 401)


def test_an_aborts_own_headers_are_kept(make_app: MakeApp) -> None:
    def busy(*arguments: object) -> t.NoReturn:
        raise ServiceUnavailable(retry_after=7)

    response = ask(make_app(AUTHORIZE=busy), BEARER)

    assert (response.status_code, response.headers["Retry-After"]) == (503, "7")
    assert response.content_type == "application/json"
    assert response.get_json()["error"]["type"] == "server_error"


class Slow(HTTPException):
    """An exception that keeps its headers to itself, as those of other frameworks do."""

    code = 429

    def __init__(self, **attributes: object) -> None:
        super().__init__()
        vars(self).update(attributes)


@pytest.mark.parametrize(
    "error",
    [
        Slow(data={"headers": {"Retry-After": "7"}, "message": "slow down"}),
        Slow(data={"headers": Headers({"Retry-After": "7", "Content-Type": "text/plain"})}),
        Slow(data={"headers": [("Retry-After", "7"), ("Cache-Control", "public")]}),
    ],
    ids=["dict", "headers", "pairs"],
)
def test_headers_that_an_abort_of_another_framework_keeps_go_through(
    make_app: MakeApp, error: Exception
) -> None:
    def busy(token: str) -> t.NoReturn:
        raise error

    response = ask(make_app(VERIFY_TOKEN=busy), BEARER)

    assert (response.status_code, response.headers["Retry-After"]) == (429, "7")
    assert response.content_type == "application/json"
    assert response.headers.getlist("Cache-Control") == ["no-store"]
    assert error_code(response) == "TOO_MANY_REQUESTS"


@pytest.mark.parametrize(
    "attributes", [{"data": "text"}, {"data": {}}, {"data": {"headers": None}}]
)
def test_an_abort_without_headers_of_its_own_has_none(
    make_app: MakeApp, attributes: dict[str, object]
) -> None:
    def busy(token: str) -> t.NoReturn:
        raise Slow(**attributes)

    assert ask(make_app(VERIFY_TOKEN=busy), BEARER).status_code == 429


def test_a_503_of_the_authorizer_says_when_to_retry(make_app: MakeApp) -> None:
    app = make_app(AUTHORIZE=lambda principal, organization_id: abort(503))

    assert ask(app, BEARER).headers["Retry-After"] == "1"


@pytest.mark.parametrize("code", [None, 200, 299])
def test_a_refusal_never_reads_as_a_success(make_app: MakeApp, code: int | None) -> None:
    class Odd(HTTPException):
        pass

    Odd.code = code

    def refuse(*arguments: object) -> t.NoReturn:
        raise Odd("denied")

    response = ask(make_app(AUTHORIZE=refuse), BEARER)

    assert response.status_code == 500
    assert response.get_json()["error"]["status"] == 500
    assert error_code(response) == "INTERNAL_SERVER_ERROR"


@pytest.mark.parametrize(
    "refuse",
    [
        lambda: abort(make_response("mine", 302, {"Location": "/login"})),
        lambda: abort(401, response=make_response("mine", 401, {"Location": "/login"})),
        lambda: abort(redirect("/login")),
        lambda: (_ for _ in ()).throw(RequestRedirect("/login")).send(None),
    ],
    ids=["response", "refusal", "redirect", "routing"],
)
def test_a_response_of_the_hosts_own_making_is_passed_on(
    make_app: MakeApp, refuse: Callable[[], t.NoReturn]
) -> None:
    response = ask(make_app(AUTHORIZE=lambda principal, organization_id: refuse()), BEARER)

    assert response.location == "/login"


def test_async_callables_work(make_app: MakeApp) -> None:
    async def verify(token: str) -> str | None:
        return {"good-token": "ann"}.get(token)

    async def may_see(principal: str, organization_id: str) -> bool:
        return organization_id == "org_xyz789"

    app = make_app(VERIFY_TOKEN=verify, AUTHORIZE=may_see)

    assert ask(app, BEARER).status_code == 200
    assert_refused(ask(app, WRONG))
    assert ask(app, BEARER, SCOPED.replace("xyz789", "abc123")).status_code == 403


@pytest.mark.parametrize("key", ASKING)
def test_an_async_callable_without_flasks_extra_fails_at_registration(
    make_app: MakeApp, key: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def decide(*arguments: object) -> bool:
        return True

    monkeypatch.setitem(sys.modules, "asgiref.sync", None)

    with pytest.raises(ConfigurationError, match=rf"{key} is an async .*flask\[async\]"):
        make_app(**{key: decide})


class AsyncVerifier:
    async def __call__(self, token: str) -> str | None:
        return {"good-token": "ann"}.get(token)


def test_an_object_with_an_async_call_works(make_app: MakeApp) -> None:
    app = make_app(VERIFY_TOKEN=AsyncVerifier())

    assert ask(app, BEARER).status_code == 200
    assert_refused(ask(app, WRONG))


class Promise:
    def __await__(self) -> t.Generator[None, None, bool]:
        yield
        return False


async def refusing() -> bool:
    return False


@pytest.mark.parametrize("key", ASKING)
@pytest.mark.parametrize("make", [refusing, Promise])
def test_a_forgotten_await_opens_no_door(
    make_app: MakeApp, key: str, make: Callable[[], object], caplog: pytest.LogCaptureFixture
) -> None:
    """A coroutine is truthy, and must not count as a principal."""
    app = make_app(**{key: lambda *arguments: make()})

    assert ask(app, BEARER, ASKING[key]).status_code == 500
    assert "returned an awaitable" in caplog.text


def generator(*arguments: object) -> t.Iterator[bool]:
    yield False


async def async_generator(*arguments: object) -> t.AsyncIterator[bool]:
    yield False


@pytest.mark.parametrize("key", ASKING)
@pytest.mark.parametrize("call", [generator, async_generator])
def test_a_yield_in_place_of_a_return_opens_no_door(
    make_app: MakeApp, key: str, call: object, caplog: pytest.LogCaptureFixture
) -> None:
    """A generator is truthy, and must not count as a principal."""
    assert ask(make_app(**{key: call}), BEARER, ASKING[key]).status_code == 500
    assert "returned a generator: write 'return'" in caplog.text


# Who may see details

both_details = pytest.mark.parametrize("path", [DETAILS, SCOPED_DETAILS])


@pytest.mark.parametrize(
    ("path", "organization_id"), [(DETAILS, None), (SCOPED_DETAILS, "org_xyz789")]
)
def test_who_may_see_details_is_asked_with_the_principal_itself(
    make_app: MakeApp, path: str, organization_id: str | None
) -> None:
    principal, authorize = Account(), mock.Mock(return_value=True)
    app = make_app(VERIFY_TOKEN=lambda token: principal, AUTHORIZE_DETAILS=authorize)

    assert ask(app, BEARER, path).status_code == 200
    authorize.assert_called_once_with(principal, organization_id)


@pytest.mark.parametrize("organization_id", [None, "org_xyz789"])
def test_without_an_authorizer_nobody_may_see_details(
    make_app: MakeApp, organization_id: str | None
) -> None:
    """There is no route then. If there were one, it would let nobody in."""
    app = make_app()
    guard = Guard(app, engine_of(app).settings)

    with pytest.raises(Forbidden):
        guard.authorize_details("ann", organization_id)


@both_details
@pytest.mark.parametrize("headers", [{}, WRONG, {"X-API-Key": "wrong"}])
def test_details_need_a_credential(
    make_app: MakeApp, path: str, headers: dict[str, str]
) -> None:
    app = make_app(AUTHORIZE_DETAILS=lambda principal, organization_id: True)

    assert_refused(ask(app, headers, path))


@pytest.mark.parametrize("answer", FALSY, ids=repr)
@pytest.mark.parametrize("foreign", [403, 404])
def test_the_services_refusal_is_403_whatever_an_organizations_is(
    make_app: MakeApp, answer: object, foreign: int
) -> None:
    app = make_app(
        AUTHORIZE_DETAILS=lambda principal, organization_id: answer,
        FOREIGN_ORGANIZATION=foreign,
    )

    response = ask(app, BEARER, DETAILS)

    assert response.status_code == 403
    assert response.headers["Cache-Control"] == "no-store"
    error = response.get_json()["error"]
    assert error["code"] == "FORBIDDEN"
    assert error["message"] == "You have no access to the details of the service"


@pytest.mark.parametrize("answer", FALSY, ids=repr)
@pytest.mark.parametrize(
    ("foreign", "code"), [(403, "ORGANIZATION_ACCESS_DENIED"), (404, "ORGANIZATION_NOT_FOUND")]
)
def test_an_organizations_refusal_is_that_of_a_foreign_one(
    make_app: MakeApp, answer: object, foreign: int, code: str
) -> None:
    app = make_app(
        AUTHORIZE_DETAILS=lambda principal, organization_id: answer,
        FOREIGN_ORGANIZATION=foreign,
    )

    response = ask(app, BEARER, SCOPED_DETAILS)

    assert response.status_code == foreign
    assert error_code(response) == code


@pytest.mark.parametrize("may_see_organizations", [True, False])
def test_each_authorizer_decides_for_its_own_routes_alone(
    make_app: MakeApp, may_see_organizations: bool
) -> None:
    app = make_app(
        AUTHORIZE=lambda principal, organization_id: may_see_organizations,
        AUTHORIZE_DETAILS=lambda principal, organization_id: not may_see_organizations,
    )

    codes = [ask(app, BEARER, path).status_code for path in (SCOPED, SCOPED_DETAILS, DETAILS)]

    assert codes == ([200, 403, 403] if may_see_organizations else [403, 200, 200])


@pytest.mark.parametrize(
    ("path", "principal", "granted", "made"),
    [
        (DETAILS, None, False, ["verify"]),
        (DETAILS, "ann", False, ["verify", "details"]),
        (f"{DETAILS}?limit=x", "ann", True, ["verify", "details"]),
        (DETAILS, "ann", True, ["verify", "details", "availability"]),
        (SCOPED_DETAILS.replace("org_", "bad_"), None, False, ["verify"]),
        (SCOPED_DETAILS.replace("org_", "bad_"), "ann", True, ["verify"]),
        (SCOPED_DETAILS, "ann", False, ["verify", "details"]),
        (f"{SCOPED_DETAILS}?probe=x", "ann", True, ["verify", "details"]),
        (SCOPED_DETAILS, "ann", True, ["verify", "details", "availability", "probe"]),
    ],
)
def test_each_step_of_details_happens_only_after_the_one_before(
    make_app: MakeApp,
    health: ConnectorHealth,
    path: str,
    principal: object,
    granted: bool,
    made: list[str],
) -> None:
    """AUTHORIZE_DETAILS decides alone, and AUTHORIZE is not asked."""
    calls = Calls()
    details = calls.step("details", granted)
    app = make_stepwise(make_app, health, calls, principal, False, AUTHORIZE_DETAILS=details)

    ask(app, BEARER, path)

    assert calls.made[:2] + sorted(calls.made[2:]) == made


@both_details
def test_an_authorizer_of_details_that_raises_is_a_500_in_the_envelope(
    make_app: MakeApp, path: str, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(principal: object, organization_id: str | None) -> bool:
        raise OSError("database is away")

    response = ask(make_app(AUTHORIZE_DETAILS=broken), BEARER, path)

    assert response.status_code == 500
    assert error_code(response) == "INTERNAL_SERVER_ERROR"
    assert "database is away" not in response.text
    assert "database is away" in caplog.text


@pytest.mark.parametrize(
    ("code", "name", "message"),
    [
        (401, "AUTHENTICATION_REQUIRED", "User authentication required"),
        (403, "FORBIDDEN", "You have no access to the details of the service"),
        (404, "NOT_FOUND", "Not Found"),
        (422, "UNPROCESSABLE_ENTITY", "Unprocessable Entity"),
        (429, "TOO_MANY_REQUESTS", "Too Many Requests"),
    ],
)
def test_an_abort_about_the_services_details_speaks_of_no_organization(
    make_app: MakeApp, code: int, name: str, message: str
) -> None:
    app = make_app(AUTHORIZE_DETAILS=lambda principal, organization_id: abort(code, "hidden"))

    response = ask(app, BEARER, DETAILS)

    error = response.get_json()["error"]
    assert (response.status_code, error["code"], error["message"]) == (code, name, message)
    assert "hidden" not in response.text


def test_an_aborts_attributes_are_no_words_of_ours(make_app: MakeApp) -> None:
    class Wordy(HTTPException):
        code = 403
        words = ("A", "B", "C")

    def refuse(principal: object, organization_id: str | None) -> t.NoReturn:
        raise Wordy

    response = ask(make_app(AUTHORIZE_DETAILS=refuse), BEARER, SCOPED_DETAILS)

    assert error_code(response) == "ORGANIZATION_ACCESS_DENIED"


@both_details
def test_a_redirect_of_the_authorizer_of_details_is_passed_on(
    make_app: MakeApp, path: str
) -> None:
    app = make_app(
        AUTHORIZE_DETAILS=lambda principal, organization_id: abort(redirect("/login"))
    )

    assert ask(app, BEARER, path).location == "/login"


@both_details
@pytest.mark.parametrize("granted", [True, False])
def test_an_async_authorizer_of_details_works(
    make_app: MakeApp, path: str, granted: bool
) -> None:
    async def may_see(principal: str, organization_id: str | None) -> bool:
        return granted

    response = ask(make_app(AUTHORIZE_DETAILS=may_see), BEARER, path)

    assert response.status_code == (200 if granted else 403)


# The host's own flask-httpauth object


def own_auth(**changes: object) -> dict[str, object]:
    return {"VERIFY_TOKEN": None, "VERIFY_API_KEY": None, **changes}


def token_auth(answer: Callable[[str], object], **options: str) -> t.Any:
    auth = HTTPTokenAuth(**options)
    auth.verify_token(answer)
    return auth


def basic_auth() -> t.Any:
    auth = HTTPBasicAuth()
    auth.verify_password(lambda name, password: password == "secret")
    return auth


def test_the_hosts_own_object_decides(make_app: MakeApp) -> None:
    app = make_app(**own_auth(AUTH=token_auth(lambda token: token == "good-token")))

    assert ask(app, BEARER).status_code == 200
    assert_refused(ask(app, WRONG))
    assert_refused(ask(app))


@pytest.mark.parametrize("multi", [False, True])
@pytest.mark.parametrize(
    ("answer", "code", "text"),
    [
        (lambda: "go away", 401, "go away"),
        (lambda status: ("go away", 418), 418, "go away"),
        (lambda status: {"refused": status}, 401, '{"refused":401}\n'),
        (lambda: Response("go away"), 401, "go away"),
        (lambda: ("go away", 302), 302, "go away"),
    ],
    ids=["text", "code", "json", "no code", "redirect"],
)
@pytest.mark.parametrize("headers", [{}, WRONG, BEARER], ids=["none", "wrong", "falsy"])
def test_the_error_handler_of_the_hosts_object_answers_its_401(
    make_app: MakeApp,
    multi: bool,
    answer: Callable[..., object],
    code: int,
    text: str,
    headers: dict[str, str],
) -> None:
    """The handler may be set after the registration."""
    auth = token_auth(lambda token: "" if token == "good-token" else None)
    app = make_app(**own_auth(AUTH=MultiAuth(basic_auth(), auth) if multi else auth))
    auth.error_handler(answer)

    response = ask(app, {"Authorization": "Bearer \xff"} if multi and not headers else headers)

    assert (response.status_code, response.text) == (code, text)
    assert response.headers["WWW-Authenticate"] == CHALLENGE
    assert response.headers["Cache-Control"] == "no-store"


def test_each_part_of_a_multi_auth_has_its_own_error_handler(make_app: MakeApp) -> None:
    token = token_auth(lambda token: None)
    app = make_app(**own_auth(AUTH=MultiAuth(basic_auth(), token)))
    token.error_handler(lambda: "go away")

    assert ask(app, BEARER).text == "go away"
    assert error_code(ask(app)) == "AUTHENTICATION_REQUIRED"


def test_a_subclass_that_answers_by_itself_is_heard(make_app: MakeApp) -> None:
    class Curt(HTTPTokenAuth):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.auth_error_callback = lambda status: ("no", status)

    response = ask(make_app(**own_auth(AUTH=Curt())), BEARER)

    assert (response.status_code, response.text) == (401, "no")


def test_an_error_handler_that_aborts_is_answered_with_the_envelope(make_app: MakeApp) -> None:
    auth = token_auth(lambda token: None)
    auth.error_handler(lambda: abort(429))

    assert error_code(ask(make_app(**own_auth(AUTH=auth)), BEARER)) == "TOO_MANY_REQUESTS"


def test_the_hosts_own_challenge_is_kept(make_app: MakeApp) -> None:
    app = make_app(**own_auth(AUTH=basic_auth()))

    response = ask(app, BEARER)

    assert response.status_code == 401
    assert response.headers["WWW-Authenticate"] == 'Basic realm="Authentication Required"'


def test_the_principal_is_the_current_user_of_the_hosts_object(make_app: MakeApp) -> None:
    authorize = mock.Mock(return_value=True)
    app = make_app(**own_auth(AUTH=basic_auth(), AUTHORIZE=authorize))

    app.test_client().get(SCOPED, auth=("ann", "secret"))

    authorize.assert_called_once_with("ann", "org_xyz789")


def test_the_current_user_may_be_a_property_of_a_subclass(make_app: MakeApp) -> None:
    class Described(HTTPTokenAuth):  # type: ignore[misc]
        @property
        def current_user(self) -> object:
            return super().current_user()

    authorize = mock.Mock(return_value=True)
    auth = Described()
    auth.verify_token(lambda token: "ann")

    response = ask(make_app(**own_auth(AUTH=auth, AUTHORIZE=authorize)), BEARER)

    assert response.status_code == 200
    authorize.assert_called_once_with("ann", "org_xyz789")


@pytest.mark.parametrize("falsy", FALSY, ids=repr)
@pytest.mark.parametrize("multi", [False, True])
def test_a_falsy_principal_of_the_hosts_object_is_refused(
    make_app: MakeApp, falsy: object, multi: bool
) -> None:
    auth = token_auth(lambda token: falsy)

    assert_refused(ask(make_app(**own_auth(AUTH=MultiAuth(auth) if multi else auth)), BEARER))


@pytest.mark.parametrize("multi", [False, True])
def test_a_forgotten_await_of_the_hosts_object_opens_no_door(
    make_app: MakeApp, multi: bool, caplog: pytest.LogCaptureFixture
) -> None:
    auth = token_auth(lambda token: refusing())
    app = make_app(**own_auth(AUTH=MultiAuth(auth) if multi else auth))

    assert ask(app, BEARER).status_code == 500
    assert "CONNECTOR_HEALTH_AUTH returned an awaitable" in caplog.text


@pytest.mark.parametrize("header", ["Basic \xff\xff", "Bearer \xff", "Digest nonce=\xff"])
@pytest.mark.parametrize("kind", [HTTPBasicAuth, HTTPDigestAuth, HTTPTokenAuth])
def test_bytes_beyond_ascii_are_401_with_the_hosts_object(
    make_app: MakeApp, header: str, kind: Callable[[], t.Any]
) -> None:
    app = make_app(**own_auth(AUTH=kind()))
    app.secret_key = "test"

    response = app.test_client().get(SCOPED, environ_overrides={"HTTP_AUTHORIZATION": header})

    assert response.status_code == 401
    assert response.headers["WWW-Authenticate"].endswith('realm="Authentication Required"') or (
        kind is HTTPDigestAuth
    )


@pytest.mark.parametrize("multi", [False, True])
def test_a_key_beyond_ascii_never_reaches_the_hosts_object(
    make_app: MakeApp, multi: bool
) -> None:
    auth = token_auth(lambda key: hmac.compare_digest(key, "good-key"), header="X-API-Key")
    app = make_app(**own_auth(AUTH=MultiAuth(basic_auth(), auth) if multi else auth))

    response = app.test_client().get(SCOPED, environ_overrides={"HTTP_X_API_KEY": "\xff"})

    assert response.status_code == 401
    assert ask(app, API_KEY).status_code == 200


def test_a_header_that_decides_nothing_may_hold_anything(make_app: MakeApp) -> None:
    """A header that no verifier reads refuses nobody."""
    key = token_auth(lambda key: key == "good-key", header="X-API-Key")
    app = make_app(**own_auth(AUTH=MultiAuth(basic_auth(), key)))
    junk_key = {"HTTP_X_API_KEY": "\xff"}

    response = app.test_client().get(SCOPED, auth=("ann", "secret"), environ_overrides=junk_key)

    assert response.status_code == 200


def test_every_challenge_of_the_hosts_object_is_kept(make_app: MakeApp) -> None:
    auth = token_auth(lambda token: None)

    @auth.error_handler  # type: ignore[untyped-decorator]
    def refuse() -> Response:
        response = Response(status=401)
        for challenge in ("Bearer", "Negotiate"):
            response.headers.add("WWW-Authenticate", challenge)
        return response

    response = ask(make_app(**own_auth(AUTH=auth)), BEARER)

    assert response.headers.getlist("WWW-Authenticate") == ["Bearer", "Negotiate"]


@pytest.mark.parametrize("path", [SCOPED, DETAILS, SCOPED_DETAILS])
def test_a_multi_auth_is_taken_whole(make_app: MakeApp, path: str) -> None:
    key = token_auth(lambda key: key == "good-key", header="X-API-Key")
    auth = MultiAuth(basic_auth(), key)
    app = make_app(**own_auth(AUTH=auth, AUTHORIZE_DETAILS=lambda *_: True))

    assert ask(app, API_KEY, path).status_code == 200
    assert app.test_client().get(path, auth=("ann", "secret")).status_code == 200
    assert app.test_client().get(path, auth=("ann", "wrong")).status_code == 401


def test_digest_authentication_keeps_its_challenge(make_app: MakeApp) -> None:
    app = make_app(**own_auth(AUTH=HTTPDigestAuth()))
    app.secret_key = "test"

    assert ask(app).headers["WWW-Authenticate"].startswith("Digest realm=")


def test_something_else_as_auth_fails_at_registration(make_app: MakeApp) -> None:
    with pytest.raises(ConfigurationError, match=r"AUTH must be a flask-httpauth .* not Mock"):
        make_app(**own_auth(AUTH=mock.Mock()))


def test_no_credential_reaches_the_log_or_the_body(
    make_app: MakeApp, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    app = make_app()

    bodies = [
        ask(app, headers).text
        for headers in ({"Authorization": "Bearer s3cret"}, {"X-API-Key": "s3cret"})
    ]

    assert "s3cret" not in caplog.text + "".join(bodies)
