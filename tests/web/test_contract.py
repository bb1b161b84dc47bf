"""The contract's bytes, codes and headers."""

from __future__ import annotations

import json

import pytest
from flask import Flask
from werkzeug.test import TestResponse

from flask_connector_health import ConnectorHealth, ProbeResult, Status
from flask_connector_health.engine.monitor import Monitor
from flask_connector_health.schemas import HealthSchema
from tests.conftest import BEARER, PUBLIC, SCOPED, MakeApp

BODIES = {
    Status.OK: b'{"status": "ok", "available": true}',
    Status.DEGRADED: b'{"status": "degraded", "available": true}',
    Status.UNAVAILABLE: b'{"status": "unavailable", "available": false}',
}
CODES = {Status.OK: 200, Status.DEGRADED: 200, Status.UNAVAILABLE: 503}

both_routes = pytest.mark.parametrize("path", [PUBLIC, SCOPED])
every_status = pytest.mark.parametrize("status", list(Status))


def ask(app: Flask, path: str, method: str = "GET") -> TestResponse:
    return app.test_client().open(path, method=method, headers=BEARER)


@both_routes
@every_status
def test_each_status_has_its_body_and_code(
    make_app: MakeApp, path: str, status: Status
) -> None:
    response = ask(make_app(AVAILABILITY=lambda: status), path)

    assert response.data == BODIES[status]
    assert response.status_code == CODES[status]
    assert response.content_type == "application/json"


@both_routes
def test_a_message_never_reaches_the_body(make_app: MakeApp, path: str) -> None:
    result = ProbeResult(Status.DEGRADED, "quota used up")

    response = ask(make_app(AVAILABILITY=lambda: result), path)

    assert response.data == BODIES[Status.DEGRADED]


@both_routes
@every_status
def test_head_answers_like_get_without_a_body(
    make_app: MakeApp, path: str, status: Status
) -> None:
    app = make_app(AVAILABILITY=lambda: status)

    head, get = ask(app, path, "HEAD"), ask(app, path)

    assert head.data == b""
    assert (head.status_code, head.headers) == (get.status_code, get.headers)


@both_routes
def test_a_trailing_slash_answers_the_same(make_app: MakeApp, path: str) -> None:
    response = ask(make_app(), path + "/")

    assert (response.status_code, response.data) == (200, BODIES[Status.OK])


@both_routes
def test_doubled_slashes_do_not_redirect(make_app: MakeApp, path: str) -> None:
    response = ask(make_app(), path.replace("/knowledge/", "//knowledge/"))

    assert response.status_code == 404


@both_routes
@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE"])
def test_other_methods_are_405_and_name_the_allowed_ones(
    make_app: MakeApp, path: str, method: str
) -> None:
    response = ask(make_app(), path, method)

    assert response.status_code == 405
    assert set(response.headers["Allow"].split(", ")) == {"GET", "HEAD", "OPTIONS"}


@both_routes
def test_options_needs_no_credential(make_app: MakeApp, path: str) -> None:
    assert make_app().test_client().options(path).status_code == 200


@both_routes
@every_status
def test_no_answer_may_be_stored(make_app: MakeApp, path: str, status: Status) -> None:
    response = ask(make_app(AVAILABILITY=lambda: status), path)

    assert response.headers["Cache-Control"] == "no-store"


def test_the_scoped_answer_varies_by_credential(make_app: MakeApp) -> None:
    app = make_app()

    assert ask(app, SCOPED).headers["Vary"] == "Authorization, X-API-Key"
    assert "Vary" not in ask(app, PUBLIC).headers


@both_routes
def test_unavailable_says_when_to_retry(make_app: MakeApp, path: str) -> None:
    app = make_app(AVAILABILITY=lambda: False, RETRY_AFTER=5)

    assert ask(app, path).headers["Retry-After"] == "5"


def test_retry_after_is_one_second_by_default(make_app: MakeApp) -> None:
    assert ask(make_app(AVAILABILITY=lambda: False), PUBLIC).headers["Retry-After"] == "1"


def test_retry_after_zero_leaves_the_header_out(make_app: MakeApp) -> None:
    response = ask(make_app(AVAILABILITY=lambda: False, RETRY_AFTER=0), PUBLIC)

    assert "Retry-After" not in response.headers


@pytest.mark.parametrize("status", [Status.OK, Status.DEGRADED])
def test_available_answers_name_no_retry(make_app: MakeApp, status: Status) -> None:
    assert "Retry-After" not in ask(make_app(AVAILABILITY=lambda: status), PUBLIC).headers


@both_routes
def test_unavailable_can_be_a_200(make_app: MakeApp, path: str) -> None:
    app = make_app(AVAILABILITY=lambda: False, UNAVAILABLE_STATUS_CODE=200)

    response = ask(app, path)

    assert (response.status_code, response.data) == (200, BODIES[Status.UNAVAILABLE])
    assert "Retry-After" not in response.headers


def test_an_organization_is_never_better_than_the_service(
    make_app: MakeApp, health: ConnectorHealth
) -> None:
    health.add_probe(lambda: False, name="queue")

    assert ask(make_app(), SCOPED).data == BODIES[Status.UNAVAILABLE]


def test_an_organization_can_be_worse_than_the_service(
    make_app: MakeApp, health: ConnectorHealth
) -> None:
    health.add_probe(lambda organization_id: False, name="drive", scope="organization")
    app = make_app()

    assert ask(app, SCOPED).data == BODIES[Status.UNAVAILABLE]
    assert ask(app, PUBLIC).data == BODIES[Status.OK]


def test_a_non_critical_probe_degrades_at_most(
    make_app: MakeApp, health: ConnectorHealth
) -> None:
    health.add_probe(lambda: False, name="search", critical=False)

    assert ask(make_app(), PUBLIC).data == BODIES[Status.DEGRADED]


def test_availability_is_asked_about_each_organization(make_app: MakeApp) -> None:
    app = make_app(AVAILABILITY=lambda organization_id: organization_id != "org_abc123")

    assert ask(app, SCOPED).data == BODIES[Status.OK]
    assert ask(app, SCOPED.replace("xyz789", "abc123")).data == BODIES[Status.UNAVAILABLE]
    assert ask(app, PUBLIC).data == BODIES[Status.OK]


def test_the_error_envelope_is_the_documented_one(make_app: MakeApp) -> None:
    response = make_app().test_client().get(SCOPED, headers={"X-Request-ID": "req-1"})

    body = json.loads(response.data)
    timestamp = body["error"].pop("timestamp")
    assert body == {
        "success": False,
        "error": {
            "code": "AUTHENTICATION_REQUIRED",
            "message": "User authentication required",
            "system_message": "Authentication required",
            "type": "client_error",
            "status": 401,
            "trace_id": "req-1",
        },
    }
    assert len(timestamp) == len("2025-12-17T10:30:00Z")
    assert timestamp.endswith("Z")


@pytest.mark.parametrize("given", ["", "a b", "<script>", "x" * 129, "ünïcode", '"'])
def test_an_unfit_request_id_is_replaced(make_app: MakeApp, given: str) -> None:
    headers = {"X-Request-ID": given}

    error = make_app().test_client().get(SCOPED, headers=headers).get_json()["error"]

    assert error["trace_id"] != given
    assert len(error["trace_id"]) == 32


@both_routes
def test_a_fresh_answer_takes_no_report_and_no_serialization(
    make_app: MakeApp, path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    app = make_app(TTL=3_600.0)
    first = ask(app, path)
    for owner, name in ((Monitor, "report"), (HealthSchema, "dumps")):
        monkeypatch.setattr(owner, name, None)

    again = ask(app, path)

    assert (again.status, again.data) == (first.status, first.data)
