"""flask-smorest: it answers every HTTPException of the app, but none of ours."""

from __future__ import annotations

import flask_smorest
import pytest
from flask import Flask

from tests.conftest import MakeApp

from .answers import ask, assert_both_answer, assert_envelope, assert_refusals_are_ours, broken

pytestmark = pytest.mark.stacks


def with_api(app: Flask) -> Flask:
    app.config.update(API_TITLE="host", API_VERSION="1", OPENAPI_VERSION="3.0.3")
    flask_smorest.Api(app)
    return app


def test_both_routes_and_their_refusals_are_ours(make_app: MakeApp) -> None:
    app = with_api(make_app())

    assert_both_answer(app)
    assert_refusals_are_ours(app)
    assert app.test_client().get("/elsewhere").get_json()["status"] == "Not Found"


def test_an_abort_of_smorest_keeps_its_header_in_our_envelope(make_app: MakeApp) -> None:
    def busy(token: str) -> None:
        flask_smorest.abort(429, headers={"Retry-After": "7"}, message="slow down")

    response = ask(with_api(make_app(VERIFY_TOKEN=busy)))

    assert_envelope(response, 429, "TOO_MANY_REQUESTS")
    assert response.headers["Retry-After"] == "7"
    assert "slow down" not in response.text


def test_a_verifier_that_raises_is_a_500_in_our_envelope(make_app: MakeApp) -> None:
    response = ask(with_api(make_app(VERIFY_TOKEN=broken)))

    assert_envelope(response, 500, "INTERNAL_SERVER_ERROR")
