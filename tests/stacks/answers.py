"""What both routes answer, whatever the app is made of."""

from __future__ import annotations

import typing as t

from flask import Flask
from werkzeug.test import TestResponse

from tests.conftest import BEARER, OK, PUBLIC, SCOPED


def ask(app: Flask, organization_id: str = "org_xyz789") -> TestResponse:
    """Ask for the health of an organization, with a good credential."""
    path = SCOPED.replace("org_xyz789", organization_id)
    return app.test_client().get(path, headers=BEARER)


def broken(*arguments: object) -> t.NoReturn:
    """Stand for a verifier whose database is down."""
    raise OSError("the database is away")


def assert_both_answer(app: Flask) -> None:
    assert app.test_client().get(PUBLIC).data == OK
    assert ask(app).data == OK


def assert_refusals_are_ours(app: Flask) -> None:
    anonymous = app.test_client().get(SCOPED)

    assert_envelope(anonymous, 401, "AUTHENTICATION_REQUIRED")
    assert anonymous.headers["WWW-Authenticate"].startswith("Bearer ")
    assert_envelope(ask(app, "xyz789"), 422, "VALIDATION_ERROR")


def assert_envelope(response: TestResponse, status: int, code: str) -> None:
    assert (response.status_code, response.mimetype) == (status, "application/json")
    assert response.headers["Cache-Control"] == "no-store"
    assert response.get_json()["error"]["code"] == code
