"""flask-restx: it replaces the app's handling of exceptions, for its own endpoints alone."""

from __future__ import annotations

import pytest
from flask import Blueprint, Flask
from flask.signals import got_request_exception
from flask_restx import Api, abort

from flask_connector_health import ConnectorHealth
from tests.conftest import BEARER, CONFIG, OK, PUBLIC, SCOPED, MakeApp

from .answers import ask, assert_both_answer, assert_envelope, assert_refusals_are_ours, broken

pytestmark = pytest.mark.stacks


def test_views_can_be_left_out_of_its_documentation(make_app: MakeApp) -> None:
    app = make_app()
    api = Api(app)
    for name in ("service", "organization"):
        api.doc(False)(app.view_functions[f"connector_health.{name}"])

    assert_both_answer(app)
    assert app.test_client().get("/swagger.json").get_json()["paths"] == {}


@pytest.mark.parametrize("options", [{}, {"catch_all_404": True}], ids=["plain", "catch-all"])
def test_refusals_beside_an_api_are_ours(make_app: MakeApp, options: dict[str, bool]) -> None:
    app = make_app()
    Api(app, **options)

    assert_both_answer(app)
    assert_refusals_are_ours(app)


def test_an_abort_of_restx_keeps_its_header(make_app: MakeApp) -> None:
    app = make_app(VERIFY_TOKEN=lambda token: abort(429, headers={"Retry-After": "7"}))
    Api(app)

    response = ask(app)

    assert_envelope(response, 429, "TOO_MANY_REQUESTS")
    assert response.headers["Retry-After"] == "7"


def test_a_verifier_that_raises_is_a_500_in_our_envelope(make_app: MakeApp) -> None:
    app = make_app(VERIFY_TOKEN=broken)
    Api(app)
    signalled: list[str] = []

    def note(sender: Flask, exception: Exception) -> None:
        signalled.append(str(exception))

    with got_request_exception.connected_to(note, app):
        assert_envelope(ask(app), 500, "INTERNAL_SERVER_ERROR")

    assert signalled == ["the database is away"]


def test_a_blueprint_of_an_api_can_hold_ours() -> None:
    app, parent = Flask("host"), Blueprint("api", "host", url_prefix="/api")
    app.config.from_mapping(CONFIG, CONNECTOR_HEALTH_VERIFY_TOKEN=broken)
    Api(parent)
    parent.register_blueprint(ConnectorHealth())
    app.register_blueprint(parent)

    assert app.test_client().get(f"/api{PUBLIC}").data == OK
    response = app.test_client().get(f"/api{SCOPED}", headers=BEARER)
    assert_envelope(response, 500, "INTERNAL_SERVER_ERROR")
