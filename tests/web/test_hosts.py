"""Hosts with habits of their own still answer the contract, and keep their habits."""

from __future__ import annotations

import functools
import logging
import typing as t

import flask
import pytest
from flask import Flask, Response, redirect, request
from flask.json.provider import DefaultJSONProvider
from flask.typing import ResponseReturnValue
from flask_cors import CORS
from flask_limiter import Limiter

from flask_connector_health import ConnectorHealth
from tests.conftest import BEARER, CONFIG, DETAILS, OK, PUBLIC, SCOPED, SCOPED_DETAILS, MakeApp

READY = f"{PUBLIC}/ready"
ORIGIN = "https://status.example.org"


def both_answer(app: Flask, **environ: str) -> bool:
    client = app.test_client()
    return all(
        client.get(path, headers=BEARER, environ_overrides=environ).data == OK
        for path in (PUBLIC, SCOPED)
    )


# Configuration of the host


def test_a_server_name_changes_nothing(make_app: MakeApp) -> None:
    app = make_app()
    app.config["SERVER_NAME"] = "api.example.org"

    assert both_answer(app)
    assert both_answer(app, HTTP_HOST="10.0.0.7:8000")


def test_a_trusted_host_is_answered_and_another_one_refused(make_app: MakeApp) -> None:
    app = make_app()
    app.config["TRUSTED_HOSTS"] = ["api.example.org"]

    assert both_answer(app, HTTP_HOST="api.example.org")
    assert app.test_client().get(PUBLIC).status_code == 400


@pytest.mark.parametrize("setting", ["DEBUG", "TESTING", "PROPAGATE_EXCEPTIONS"])
def test_development_settings_change_nothing(make_app: MakeApp, setting: str) -> None:
    app = make_app()
    app.config[setting] = True

    assert both_answer(app)
    assert app.test_client().get(SCOPED).status_code == 401


@pytest.mark.parametrize("setting", ["TRAP_HTTP_EXCEPTIONS", "TRAP_BAD_REQUEST_ERRORS"])
def test_trapped_exceptions_do_not_include_ours(make_app: MakeApp, setting: str) -> None:
    """TRAP_HTTP_EXCEPTIONS does not turn our refusals into exceptions."""
    app = make_app()
    app.config[setting] = True

    assert app.test_client().get(SCOPED).status_code == 401


def test_a_json_provider_of_the_hosts_changes_no_byte(make_app: MakeApp) -> None:
    class Shouting(DefaultJSONProvider):
        def dumps(self, obj: t.Any, **kwargs: t.Any) -> str:
            return super().dumps(obj, **kwargs).upper()

    app = make_app()
    app.json = provider = Shouting(app)

    assert both_answer(app)
    assert b'"success": false' in app.test_client().get(SCOPED).data
    assert app.json is provider


def test_a_response_class_of_the_hosts_changes_no_byte(make_app: MakeApp) -> None:
    class Plain(Response):
        default_mimetype = "text/plain"

    app = make_app()
    app.response_class = Plain

    assert both_answer(app)
    assert app.test_client().get(SCOPED).content_type == "application/json"


# Hooks and error pages of the host


def test_a_before_request_of_the_hosts_may_stand_in_front(make_app: MakeApp) -> None:
    app = make_app()

    @app.before_request
    def login_wall() -> ResponseReturnValue | None:
        if request.endpoint == "connector_health.organization":
            return redirect("/login")
        return None

    assert app.test_client().get(PUBLIC).data == OK
    assert app.test_client().get(SCOPED, headers=BEARER).location == "/login"


def test_an_after_request_of_the_hosts_sees_every_answer(make_app: MakeApp) -> None:
    app = make_app()

    @app.after_request
    def stamp(response: Response) -> Response:
        response.headers["X-Stamp"] = "1"
        return response

    for headers in (BEARER, {}):
        assert "X-Stamp" in app.test_client().get(SCOPED, headers=headers).headers


@pytest.mark.parametrize("kind", [401, 403, 422, 503, Exception])
def test_error_handlers_of_the_hosts_do_not_see_our_answers(
    make_app: MakeApp, kind: int | type[Exception]
) -> None:
    app = make_app(
        AVAILABILITY=lambda: False,
        AUTHORIZE=lambda principal, organization_id: organization_id == "org_xyz789",
    )
    app.register_error_handler(kind, lambda error: ("the host's own page", 500))
    client = app.test_client()
    foreign = SCOPED.replace("xyz789", "abc123")
    malformed = SCOPED.replace("org_", "")

    codes = [
        client.get(path, headers=headers).status_code
        for path, headers in (
            (SCOPED, {}),
            (foreign, BEARER),
            (malformed, BEARER),
            (SCOPED, BEARER),
        )
    ]

    assert codes == [401, 403, 422, 503]


def test_error_pages_of_the_host_stay_its_own(make_app: MakeApp) -> None:
    app = make_app()
    app.add_url_rule("/own", view_func=lambda: flask.abort(401), endpoint="own")

    for path, code in (("/own", 401), ("/v1/nowhere", 404)):
        response = app.test_client().get(path)

        assert (response.status_code, response.mimetype) == (code, "text/html")


def test_registering_touches_neither_json_nor_logging_nor_pages(
    health: ConnectorHealth,
) -> None:
    def kept(app: Flask) -> tuple[object, ...]:
        loggers = [app.logger, logging.getLogger(), logging.getLogger("flask_connector_health")]
        return (
            app.json,
            app.response_class,
            app.url_map.strict_slashes,
            app.url_map.merge_slashes,
            {name: spec for name, spec in app.error_handler_spec.items() if name is None},
            dict(app.before_request_funcs),
            dict(app.after_request_funcs),
            [(list(logger.handlers), logger.level, logger.propagate) for logger in loggers],
        )

    app = Flask("host")
    app.config.from_mapping(CONFIG)
    before = kept(app)

    app.register_blueprint(health)

    assert kept(app) == before


# What the host does with the views and with the values of the URL


@pytest.mark.parametrize("name", ["service", "organization"])
def test_a_view_can_be_marked_and_wrapped(make_app: MakeApp, name: str) -> None:
    app, asked, endpoint = make_app(), [], f"connector_health.{name}"
    view = app.view_functions[endpoint]
    t.cast(t.Any, view).is_public = True

    @functools.wraps(view)
    def wrapped(**values: t.Any) -> t.Any:
        asked.append(values)
        return view(**values)

    app.view_functions[endpoint] = wrapped

    assert both_answer(app)
    assert len(asked) == 1
    assert wrapped.is_public  # type: ignore[attr-defined]
    assert wrapped.__name__ == name


def test_marks_on_a_view_are_one_apps_own(make_app: MakeApp) -> None:
    one, other = (make_app().view_functions["connector_health.service"] for _ in range(2))
    t.cast(t.Any, one).is_public = True

    assert not hasattr(other, "is_public")


@pytest.mark.parametrize("path", [SCOPED, SCOPED_DETAILS])
@pytest.mark.parametrize("prefix", ["/v1", "/<region>/v1"])
@pytest.mark.parametrize(
    "change",
    [
        lambda values: values.pop("organization_id", None),
        lambda values: values.update(organization_id=object()),
        lambda values: values.clear(),
    ],
    ids=["pop", "replace", "clear"],
)
def test_an_id_that_a_preprocessor_takes_is_found_again(
    health: ConnectorHealth,
    path: str,
    prefix: str,
    change: t.Callable[[dict[str, t.Any]], object],
) -> None:
    app = Flask("host")
    app.config.from_mapping(CONFIG)
    for key in ("AUTHORIZE", "AUTHORIZE_DETAILS"):
        app.config[f"CONNECTOR_HEALTH_{key}"] = lambda principal, given: given == "org_xyz789"
    app.register_blueprint(health, url_prefix=prefix)

    @app.url_value_preprocessor
    def take(endpoint: str | None, values: dict[str, t.Any] | None) -> None:
        change(values or {})

    client = app.test_client()
    own = path.replace("/v1", prefix.replace("<region>", "eu"))

    assert client.get(own, headers=BEARER).get_json()["status"] == "ok"
    assert client.head(own, headers=BEARER).status_code == 200
    assert client.get(own).status_code == 401
    assert client.get(own.replace("xyz", "abc"), headers=BEARER).status_code == 403
    assert client.get(own.replace("org_", ""), headers=BEARER).status_code == 422


@pytest.mark.parametrize("path", [PUBLIC, SCOPED])
def test_a_hook_that_raises_on_our_routes_is_a_500_in_the_envelope(
    make_app: MakeApp, path: str
) -> None:
    app = make_app()

    @app.before_request
    def fail() -> None:
        raise OSError("the session store is away")

    app.add_url_rule("/own", view_func=lambda: "", endpoint="own")

    response = app.test_client().get(path)

    assert (response.status_code, response.mimetype) == (500, "application/json")
    assert response.get_json()["error"]["code"] == "INTERNAL_SERVER_ERROR"
    assert app.test_client().get("/own").mimetype == "text/html"


# Extensions that the host puts on the blueprint


@pytest.fixture
def cors(health: ConnectorHealth) -> None:
    CORS(
        health,
        origins=[ORIGIN],
        allow_headers=["Authorization", "X-API-Key"],
        expose_headers=["Retry-After", "WWW-Authenticate"],
    )


@pytest.mark.usefixtures("cors")
@pytest.mark.parametrize("path", [PUBLIC, SCOPED, DETAILS, SCOPED_DETAILS, READY])
def test_a_preflight_is_answered_without_a_credential(make_app: MakeApp, path: str) -> None:
    response = (
        make_app(
            AUTHORIZE_DETAILS=lambda principal, organization_id: False,
            GROUPS={"ready": ["availability"]},
        )
        .test_client()
        .options(
            path,
            headers={
                "Origin": ORIGIN,
                "Access-Control-Request-Method": "GET",
                "Access-Control-Request-Headers": "authorization, x-api-key",
            },
        )
    )

    assert response.status_code == 200
    assert response.headers["Access-Control-Allow-Origin"] == ORIGIN
    allowed = response.headers["Access-Control-Allow-Headers"].lower()
    assert allowed == "authorization, x-api-key"
    assert "GET" in response.headers["Access-Control-Allow-Methods"]


@pytest.mark.usefixtures("cors")
@pytest.mark.parametrize(
    ("path", "headers", "code"),
    [
        (PUBLIC, {}, 503),
        (SCOPED, BEARER, 503),
        (SCOPED, {}, 401),
        (SCOPED.replace("xyz789", "abc123"), BEARER, 403),
        (SCOPED.replace("org_", ""), BEARER, 422),
        (READY, {}, 503),
        (DETAILS, {}, 401),
        (DETAILS, BEARER, 403),
        (SCOPED_DETAILS, BEARER, 200),
        (f"{SCOPED_DETAILS}?probe=x", BEARER, 422),
    ],
)
def test_a_page_on_another_origin_can_read_every_answer(
    make_app: MakeApp, path: str, headers: dict[str, str], code: int
) -> None:
    app = make_app(
        AVAILABILITY=lambda: False,
        AUTHORIZE=lambda principal, organization_id: organization_id == "org_xyz789",
        AUTHORIZE_DETAILS=lambda principal, organization_id: organization_id == "org_xyz789",
        GROUPS={"ready": ["availability"]},
    )

    response = app.test_client().get(path, headers={**headers, "Origin": ORIGIN})

    assert response.status_code == code
    assert response.headers["Access-Control-Allow-Origin"] == ORIGIN
    exposed = response.headers["Access-Control-Expose-Headers"]
    assert exposed == "Retry-After, WWW-Authenticate"


@pytest.mark.usefixtures("cors")
def test_another_origin_gets_no_leave(make_app: MakeApp) -> None:
    response = make_app().test_client().get(PUBLIC, headers={"Origin": "https://evil.example"})

    assert "Access-Control-Allow-Origin" not in response.headers


@pytest.mark.parametrize("path", [PUBLIC, SCOPED])
def test_a_rate_limit_on_the_blueprint_is_a_429(
    make_app: MakeApp, health: ConnectorHealth, path: str
) -> None:
    limiter = Limiter(lambda: "everybody", storage_uri="memory://")
    limiter.limit("2 per hour")(health)
    app = make_app()
    limiter.init_app(app)

    codes = [app.test_client().get(path, headers=BEARER).status_code for _ in range(3)]

    assert codes == [200, 200, 429]


def test_a_rate_limit_comes_before_authentication(
    make_app: MakeApp, health: ConnectorHealth
) -> None:
    limiter = Limiter(lambda: "everybody", storage_uri="memory://")
    limiter.limit("1 per hour")(health)
    app = make_app()
    limiter.init_app(app)

    codes = [app.test_client().get(SCOPED).status_code for _ in range(2)]

    assert codes == [401, 429]
