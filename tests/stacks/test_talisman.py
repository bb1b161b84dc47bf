"""flask-talisman: a view is exempt from https alone, and the fast path from everything."""

from __future__ import annotations

import pytest
from flask import Flask
from flask_talisman import Talisman

from tests.conftest import OK, PUBLIC, SCOPED, MakeApp

from .answers import ask, assert_both_answer, assert_refusals_are_ours

pytestmark = pytest.mark.stacks


def exempt(app: Flask, talisman: Talisman) -> None:
    """Use the decorator of the options of one view, for a view that is registered already."""
    for name in ("service", "organization"):
        talisman(force_https=False)(app.view_functions[f"connector_health.{name}"])


@pytest.mark.parametrize("path", [PUBLIC, SCOPED])
def test_both_routes_redirect_to_https_like_any_route(make_app: MakeApp, path: str) -> None:
    app = make_app()
    Talisman(app)

    response = app.test_client().get(path)

    assert (response.status_code, response.location) == (302, f"https://localhost{path}")


def test_a_registered_view_can_be_exempt_from_https(make_app: MakeApp) -> None:
    app = make_app()
    exempt(app, Talisman(app))

    assert_both_answer(app)
    assert_refusals_are_ours(app)
    assert app.test_client().get("/elsewhere").status_code == 302


def test_an_exempt_view_keeps_the_other_headers_of_talisman(make_app: MakeApp) -> None:
    app = make_app()
    exempt(app, Talisman(app))

    response = app.test_client().get(PUBLIC)

    assert response.headers["X-Content-Type-Options"] == "nosniff"
    assert "default-src 'self'" in response.headers["Content-Security-Policy"]


@pytest.mark.parametrize("base_url", ["http://localhost", "https://localhost"])
def test_the_fast_path_needs_no_exemption_and_gets_no_headers(
    make_app: MakeApp, base_url: str
) -> None:
    app = make_app(FAST_PATH=True)
    Talisman(app)

    response = app.test_client().get(PUBLIC, base_url=base_url)

    assert response.data == OK
    assert {*response.headers.keys()} == {"Cache-Control", "Content-Type", "Content-Length"}
    assert ask(app).status_code == 302
