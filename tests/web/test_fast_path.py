"""The fast path: the public routes' own bytes, ahead of everything that the app does."""

from __future__ import annotations

import typing as t
from collections.abc import Callable
from wsgiref.validate import validator

import pytest
from flask import Blueprint, Flask, Response, redirect, session
from werkzeug.middleware.dispatcher import DispatcherMiddleware
from werkzeug.middleware.proxy_fix import ProxyFix
from werkzeug.test import Client, EnvironBuilder

from flask_connector_health import ConfigurationError, ConnectorHealth, Status
from tests.clockwork import Gated, engine_of, in_background, waited_for
from tests.conftest import BEARER, CONFIG, DETAILS, OK, PUBLIC, SCOPED, SCOPED_DETAILS, MakeApp

METHODS = ["GET", "HEAD"]
GROUPS = {"live": [], "ready": ["availability"]}
LIVE, READY = f"{PUBLIC}/live", f"{PUBLIC}/ready"
ENDS = ["", "/live", "/ready"]

every_public_route = pytest.mark.parametrize("path", [PUBLIC, LIVE, READY])


def called(app: Flask, path: str, method: str) -> tuple[t.Any, ...]:
    """Call an app as a server does; give its status line, its headers and its body."""
    started: list[t.Any] = []
    environ = {**EnvironBuilder(method=method).get_environ(), "PATH_INFO": path}
    chunks = app(environ, t.cast(t.Any, lambda *given: started.extend(given)))
    return *started, b"".join(chunks)


@pytest.fixture
def app() -> Flask:
    """Make an app in which nothing is registered yet."""
    app = Flask("host")
    app.config.from_mapping(CONFIG)
    app.config.update(CONNECTOR_HEALTH_FAST_PATH=True, CONNECTOR_HEALTH_GROUPS=GROUPS)
    return app


def never(*values: object) -> t.NoReturn:
    raise AssertionError("the request has reached Flask")


@pytest.fixture
def walled(make_app: MakeApp) -> Flask:
    """Make an app of whose Flask no request may see anything."""
    app = make_app(FAST_PATH=True, GROUPS=GROUPS)
    app.before_request(never)
    return app


def make_both(make_app: MakeApp, **settings: t.Any) -> tuple[Flask, Flask]:
    """Make an app without the fast path, and one with it, whose Flask sees no request."""
    slow, fast = (make_app(FAST_PATH=fast, GROUPS=GROUPS, **settings) for fast in (False, True))
    fast.before_request(never)
    return slow, fast


@every_public_route
@pytest.mark.parametrize("status", Status)
@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("code", [503, 200])
def test_it_answers_byte_for_byte_as_the_route(
    make_app: MakeApp, path: str, status: Status, method: str, code: int
) -> None:
    settings = {"AVAILABILITY": lambda: status, "UNAVAILABLE_STATUS_CODE": code}
    slow, fast = make_both(make_app, **settings)

    for spelling in (path, f"{path}/", f"/{path}", f"///{path}/"):
        assert called(fast, spelling, method) == called(slow, spelling, method)


@every_public_route
@pytest.mark.parametrize("method", METHODS)
def test_it_answers_as_the_route_while_the_instance_drains(
    make_app: MakeApp, path: str, method: str
) -> None:
    slow, fast = make_both(make_app)
    before = called(fast, path, method)
    for app in (slow, fast):
        engine_of(app).drain()

    assert called(fast, path, method) == called(slow, path, method)
    assert (called(fast, path, method) != before) is (path == READY)


@every_public_route
@pytest.mark.parametrize("method", METHODS)
def test_it_keeps_the_rules_of_wsgi(walled: Flask, path: str, method: str) -> None:
    """The validator of the standard library raises if it does not."""
    response = Client(validator(walled)).open(path, method=method)

    assert response.status_code == 200
    response.close()


@every_public_route
@pytest.mark.parametrize("method", METHODS)
def test_even_the_first_request_never_reaches_flask(
    walled: Flask, path: str, method: str
) -> None:
    response = walled.test_client().open(path, method=method)

    assert response.status_code == 200
    assert response.data == (OK if method == "GET" else b"")


def test_a_stale_result_is_answered_at_once(
    make_app: MakeApp, health: ConnectorHealth, gated: Gated
) -> None:
    health.add_probe(gated, name="drive", ttl=1e-9)
    client = make_app(FAST_PATH=True).test_client()
    gated.let_through()
    assert client.get(PUBLIC).data == OK
    gated.wait_for_start()

    assert client.get(PUBLIC).data == OK
    gated.wait_for_start()


def test_a_missing_result_is_waited_for_until_the_deadline(
    make_app: MakeApp, health: ConnectorHealth, gated: Gated
) -> None:
    health.add_probe(gated, name="drive")
    app = make_app(FAST_PATH=True, DEADLINE=0.2)
    app.before_request(never)

    assert app.test_client().get(PUBLIC).status_code == 503


def test_a_run_that_ends_in_time_is_answered(
    make_app: MakeApp, health: ConnectorHealth, gated: Gated
) -> None:
    health.add_probe(gated, name="drive")
    app = make_app(FAST_PATH=True)
    response = in_background(lambda: app.test_client().get(PUBLIC))
    waited_for(engine_of(app))
    gated.let_through()

    assert response().data == OK


@every_public_route
@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "OPTIONS", "PATCH"])
def test_any_other_method_is_answered_by_flask(
    make_app: MakeApp, path: str, method: str
) -> None:
    slow, fast = (make_app(FAST_PATH=fast, GROUPS=GROUPS) for fast in (False, True))

    assert called(fast, path, method) == called(slow, path, method)


@pytest.mark.parametrize(
    "path",
    [
        "/",
        "/v1",
        f"{PUBLIC}//",
        PUBLIC.upper(),
        f"{PUBLIC}x",
        f"{PUBLIC}/x",
        PUBLIC.replace("/health", "//health"),
        PUBLIC.replace("/health", "/../health"),
        f"{READY}//",
        READY.upper(),
        f"{READY}y",
        f"{PUBLIC}//ready",
        f"{PUBLIC}/group_ready",
        SCOPED,
        f"{SCOPED}/ready",
        SCOPED_DETAILS,
        DETAILS,
    ],
)
def test_any_other_path_is_answered_by_flask(make_app: MakeApp, path: str) -> None:
    slow, fast = (make_app(FAST_PATH=fast, GROUPS=GROUPS) for fast in (False, True))
    answers = [app.test_client().get(path, headers=BEARER) for app in (slow, fast)]

    assert answers[0].status == answers[1].status
    assert answers[0].data == answers[1].data


@every_public_route
def test_a_query_changes_nothing(walled: Flask, path: str) -> None:
    assert walled.test_client().get(f"{path}?verbose=1").data == OK


# Where it stands


def test_hosts_hooks_and_sessions_of_the_app_are_ahead_of_nothing(make_app: MakeApp) -> None:
    """Neither trusted hosts, nor a login wall, nor a session, nor a hook sees the request."""
    app = make_app(FAST_PATH=True)
    app.config.update(TRUSTED_HOSTS=["api.example.org"], SECRET_KEY="test")

    @app.before_request
    def wall() -> t.Any:
        session["seen"] = True
        return redirect("/login")

    @app.after_request
    def stamp(response: Response) -> Response:
        response.headers["X-Stamp"] = "1"
        return response

    response = app.test_client().get(PUBLIC, headers={"Host": "10.0.0.7:8000"})

    assert response.data == OK
    assert not {"Set-Cookie", "X-Stamp"} & set(response.headers.keys())


@pytest.mark.parametrize(
    "wrap",
    [
        lambda app: DispatcherMiddleware(never, {"/mounted": app}),
        lambda app: ProxyFix(DispatcherMiddleware(never, {"/mounted": app}), x_prefix=1),
    ],
    ids=["dispatcher", "proxy"],
)
def test_a_mounted_app_answers_below_its_mount(
    walled: Flask, wrap: Callable[[Flask], t.Any]
) -> None:
    assert Client(wrap(walled)).get(f"/mounted{PUBLIC}").data == OK


def test_middleware_that_is_set_later_is_ahead_of_it(make_app: MakeApp) -> None:
    app, seen = make_app(FAST_PATH=True), []
    inner = app.wsgi_app

    def noting(environ: dict[str, t.Any], start_response: t.Any) -> t.Iterable[bytes]:
        seen.append(environ["PATH_INFO"])
        return inner(environ, start_response)

    app.wsgi_app = noting  # type: ignore[method-assign]

    assert app.test_client().get(PUBLIC).data == OK
    assert seen == [PUBLIC]


def test_headers_that_middleware_adds_are_in_one_answer_alone(make_app: MakeApp) -> None:
    app = make_app(FAST_PATH=True)
    inner = app.wsgi_app

    def adding(environ: dict[str, t.Any], start_response: t.Any) -> t.Iterable[bytes]:
        def start(status: str, headers: list[tuple[str, str]], *rest: t.Any) -> t.Any:
            headers.append(("X-Mark", "1"))
            return start_response(status, headers, *rest)

        return inner(environ, start)

    app.wsgi_app = adding  # type: ignore[method-assign]
    answers = [app.test_client().get(PUBLIC) for _ in range(2)]

    assert [answer.headers.getlist("X-Mark") for answer in answers] == [["1"], ["1"]]


@pytest.mark.parametrize(
    ("prefix", "path"),
    [
        ("", PUBLIC.removeprefix("/v1")),
        ("/", PUBLIC.removeprefix("/v1")),
        ("/api/", PUBLIC.replace("/v1", "/api")),
        ("/gesundheit-ü", PUBLIC.replace("/v1", "/gesundheit-ü")),
    ],
)
def test_any_fixed_prefix(app: Flask, health: ConnectorHealth, prefix: str, path: str) -> None:
    app.register_blueprint(health, url_prefix=prefix)
    app.before_request(never)

    assert [app.test_client().get(path + end).data for end in ENDS] == [OK] * 3


def test_a_blueprint_in_another_one_answers_at_its_whole_path(
    app: Flask, health: ConnectorHealth
) -> None:
    parent = Blueprint("api", __name__, url_prefix="/api")
    parent.register_blueprint(health)
    app.register_blueprint(parent)
    app.before_request(never)

    assert [app.test_client().get(f"/api{PUBLIC}{end}").data for end in ENDS] == [OK] * 3


def test_two_registrations_answer_each_for_itself(app: Flask, health: ConnectorHealth) -> None:
    app.register_blueprint(health)
    app.config["CONNECTOR_HEALTH_AVAILABILITY"] = lambda: False
    app.register_blueprint(health, name="internal", url_prefix="/internal")
    app.before_request(never)
    client, internal = app.test_client(), PUBLIC.replace("/v1", "/internal")

    assert [client.get(PUBLIC + end).status_code for end in ENDS] == [200, 200, 200]
    assert [client.get(internal + end).status_code for end in ENDS] == [503, 200, 503]


def test_an_app_that_matches_subdomains_is_answered_by_address(health: ConnectorHealth) -> None:
    app = Flask("host", subdomain_matching=True)
    app.config.from_mapping(CONFIG, CONNECTOR_HEALTH_FAST_PATH=True, SERVER_NAME="example.org")
    app.register_blueprint(health)

    response = app.test_client().get(PUBLIC, base_url="http://10.0.0.7:8000")

    assert response.data == OK


@pytest.mark.parametrize(
    ("app_options", "options", "reason"),
    [
        ({}, {"url_prefix": "/<region>/v1"}, "url_prefix '/<region>/v1' has a variable part"),
        ({"subdomain_matching": True}, {"subdomain": "status"}, "a subdomain .'status'."),
        (
            {"host_matching": True, "static_host": "www.example.org"},
            {"host": "api.example.org"},
            "the app matches hosts",
        ),
    ],
    ids=["variable", "subdomain", "host"],
)
def test_a_path_that_is_not_fixed_is_refused(
    health: ConnectorHealth, app_options: t.Any, options: t.Any, reason: str
) -> None:
    app = Flask("host", **app_options)
    app.config.from_mapping(CONFIG, CONNECTOR_HEALTH_FAST_PATH=True, SERVER_NAME="example.org")

    with pytest.raises(
        ConfigurationError, match=rf"FAST_PATH \(bool\) cannot be used .* {reason}.* to False"
    ):
        app.register_blueprint(health, **options)


def test_it_is_off_by_default(make_app: MakeApp) -> None:
    app = make_app()
    app.before_request(lambda: "the wall")

    assert app.test_client().get(PUBLIC).text == "the wall"
    assert "wsgi_app" not in vars(app)


def test_a_changed_configuration_is_noticed_here_as_well(
    walled: Flask, caplog: pytest.LogCaptureFixture
) -> None:
    walled.config["CONNECTOR_HEALTH_TTL"] = 0

    walled.test_client().get(PUBLIC)

    assert "CONNECTOR_HEALTH_TTL changed after the blueprint was registered" in caplog.text
