"""APIFlask: an app class that answers every error as JSON of its own."""

from __future__ import annotations

import typing as t

import apiflask
import pytest
from apiflask import APIFlask

from flask_connector_health import ConnectorHealth
from tests.conftest import CONFIG, PUBLIC, SCOPED

from .answers import ask, assert_both_answer, assert_envelope, assert_refusals_are_ours, broken

pytestmark = pytest.mark.stacks


def make_app(**changes: t.Any) -> APIFlask:
    app = APIFlask("host")
    app.config.from_mapping(CONFIG)
    for key, value in changes.items():
        app.config[f"CONNECTOR_HEALTH_{key}"] = value
    app.register_blueprint(ConnectorHealth())
    return app


def token_auth() -> t.Any:
    auth = apiflask.HTTPTokenAuth()
    auth.verify_token({"good-token": "ann"}.get)
    return auth


def multi_auth() -> t.Any:
    return apiflask.MultiAuth(apiflask.HTTPBasicAuth(), token_auth())


def test_both_routes_and_their_refusals_are_ours() -> None:
    app = make_app()

    assert_both_answer(app)
    assert_refusals_are_ours(app)
    assert app.test_client().get("/elsewhere").get_json()["message"] == "Not Found"


def test_an_abort_of_apiflask_is_answered_by_its_own_handler() -> None:
    """Its error is no exception of HTTP's, so that the blueprint cannot know it."""
    app = make_app(VERIFY_TOKEN=lambda token: apiflask.abort(429, headers={"Retry-After": "7"}))

    response = ask(app)

    assert (response.status_code, response.headers["Retry-After"]) == (429, "7")
    assert response.get_json() == {"detail": {}, "message": "Too Many Requests"}


def test_a_verifier_that_raises_is_a_500_in_our_envelope() -> None:
    assert_envelope(ask(make_app(VERIFY_TOKEN=broken)), 500, "INTERNAL_SERVER_ERROR")


def test_its_openapi_document_is_made_without_our_routes() -> None:
    app = make_app()
    app.add_url_rule("/own", view_func=lambda: {}, endpoint="own")

    document = app.test_client().get("/openapi.json").get_json()

    assert [*document["paths"]] == ["/own"]


@pytest.mark.parametrize("make_auth", [token_auth, multi_auth])
def test_its_own_authentication_object_decides(make_auth: t.Callable[[], t.Any]) -> None:
    asked: list[object] = []

    def authorize(principal: object, organization_id: str) -> bool:
        asked.append(principal)
        return True

    app = make_app(
        AUTH=make_auth(), AUTHORIZE=authorize, VERIFY_TOKEN=None, VERIFY_API_KEY=None
    )

    assert_both_answer(app)
    assert asked == ["ann"]


def test_its_own_authentication_object_refuses_in_its_own_words() -> None:
    app = make_app(AUTH=token_auth(), VERIFY_TOKEN=None, VERIFY_API_KEY=None)

    response = app.test_client().get(SCOPED)

    assert response.status_code == 401
    assert response.headers["WWW-Authenticate"].startswith("Bearer ")
    assert response.get_json() == {"detail": {}, "message": "Unauthorized"}


def test_a_blueprint_of_apiflask_can_hold_ours() -> None:
    app, parent = APIFlask("host"), apiflask.APIBlueprint("api", "host", url_prefix="/api")
    app.config.from_mapping(CONFIG)
    parent.register_blueprint(ConnectorHealth())
    app.register_blueprint(parent)

    response = app.test_client().get(f"/api{PUBLIC}")

    assert response.status_code == 200
    assert app.test_client().get("/openapi.json").get_json()["paths"] == {}
