"""The routes: which ones a configuration brings, and what the groups answer at theirs."""

from __future__ import annotations

import pathlib
import typing as t

import pytest
from flask import Flask, url_for
from werkzeug.test import TestResponse

from flask_connector_health import ConnectorHealth, Status
from tests.clockwork import Gated, Told, engine_of
from tests.conftest import BEARER, DETAILS, PUBLIC, SCOPED, SCOPED_DETAILS, MakeApp

BODIES = {
    Status.OK: b'{"status": "ok", "available": true}',
    Status.DEGRADED: b'{"status": "degraded", "available": true}',
    Status.UNAVAILABLE: b'{"status": "unavailable", "available": false}',
}
LIVE, READY, SEARCH = f"{PUBLIC}/live", f"{PUBLIC}/ready", f"{PUBLIC}/search"
GROUPS = {"live": [], "ready": ["database"], "search": ["tag:search"]}

every_group = pytest.mark.parametrize("path", [LIVE, READY, SEARCH])
every_added_route = pytest.mark.parametrize("path", [DETAILS, SCOPED_DETAILS, LIVE, READY])


def may_see(principal: object, organization_id: str | None) -> bool:
    return True


@pytest.fixture
def database(health: ConnectorHealth) -> Told:
    """Add the probes of the groups, and give that of "ready"."""
    told = Told()
    health.add_probe(told, name="database")
    health.add_probe(lambda: "degraded", name="index", tags=["search"])
    return told


@pytest.fixture
def app(make_app: MakeApp, database: Told) -> Flask:
    return make_app(GROUPS=GROUPS, AUTHORIZE_DETAILS=may_see)


def ask(app: Flask, path: str, method: str = "GET") -> TestResponse:
    return app.test_client().open(path, method=method, headers=BEARER)


# Which routes there are


@every_added_route
def test_a_route_exists_only_where_its_setting_is_set(
    make_app: MakeApp, app: Flask, path: str
) -> None:
    response = ask(make_app(), path)

    assert (response.status_code, response.mimetype) == (404, "text/html")
    assert ask(app, path).status_code == 200


@pytest.mark.parametrize(
    ("settings", "added"),
    [
        ({"AUTHORIZE_DETAILS": may_see}, {DETAILS, SCOPED_DETAILS}),
        ({"GROUPS": {"live": []}}, {LIVE}),
        ({"GROUPS": {}}, set()),
    ],
    ids=["details", "groups", "no group"],
)
def test_no_setting_brings_a_route_of_another_one(
    make_app: MakeApp, settings: dict[str, object], added: set[str]
) -> None:
    rules = {
        rule.rule.replace("<organization_id>", "org_xyz789")
        for rule in make_app(**settings).url_map.iter_rules()
        if rule.endpoint.startswith("connector_health.")
    }

    assert rules == {PUBLIC, SCOPED, *added}


@pytest.mark.parametrize(
    ("endpoint", "values", "path"),
    [
        ("service", {}, PUBLIC),
        ("organization", {"organization_id": "org_xyz789"}, SCOPED),
        ("service_details", {}, DETAILS),
        ("organization_details", {"organization_id": "org_xyz789"}, SCOPED_DETAILS),
        ("group_live", {}, LIVE),
        ("group_search", {}, SEARCH),
    ],
)
def test_each_route_has_a_name(
    app: Flask, endpoint: str, values: dict[str, t.Any], path: str
) -> None:
    with app.test_request_context():
        assert url_for(f"connector_health.{endpoint}", **values) == path


@every_added_route
def test_a_trailing_slash_answers_the_same(app: Flask, path: str) -> None:
    assert ask(app, f"{path}/").status_code == 200


@every_added_route
@pytest.mark.parametrize("suffix", ["//", "/x", "/details", "x"])
def test_a_path_beside_a_route_is_the_apps_404(app: Flask, path: str, suffix: str) -> None:
    response = ask(app, path + suffix)

    assert (response.status_code, response.mimetype) == (404, "text/html")


@pytest.mark.parametrize("path", [f"{SCOPED}/ready", f"{SCOPED}/live"])
def test_an_organization_has_no_groups(app: Flask, path: str) -> None:
    assert ask(app, path).status_code == 404


@every_added_route
def test_doubled_slashes_do_not_redirect(app: Flask, path: str) -> None:
    assert ask(app, path.replace("/knowledge/", "//knowledge/")).status_code == 404


@every_added_route
@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE"])
def test_other_methods_are_405_and_name_the_allowed_ones(
    app: Flask, path: str, method: str
) -> None:
    response = ask(app, path, method)

    assert response.status_code == 405
    assert set(response.headers["Allow"].split(", ")) == {"GET", "HEAD", "OPTIONS"}


@every_added_route
def test_options_needs_no_credential_and_starts_no_run(
    app: Flask, database: Told, path: str
) -> None:
    assert app.test_client().options(path).status_code == 200
    assert database.runs == 0


# What groups answer


@pytest.mark.parametrize("status", Status)
@pytest.mark.parametrize("code", [503, 200])
def test_a_group_answers_the_two_keys_and_503_when_unavailable(
    make_app: MakeApp, database: Told, status: Status, code: int
) -> None:
    """The setting of another code is for the contract's routes alone."""
    database.answer = status
    app = make_app(GROUPS=GROUPS, UNAVAILABLE_STATUS_CODE=code)

    response = app.test_client().get(READY)

    assert response.data == BODIES[status]
    assert response.status_code == (200 if status.available else 503)


@every_group
def test_a_group_is_for_everybody_and_never_stored(app: Flask, path: str) -> None:
    response = app.test_client().get(path)

    assert dict(response.headers) == {
        "Content-Type": "application/json",
        "Cache-Control": "no-store",
        "Content-Length": str(len(response.data)),
    }


def test_an_unavailable_group_says_when_to_retry(make_app: MakeApp, database: Told) -> None:
    database.answer = False

    response = ask(make_app(GROUPS=GROUPS, RETRY_AFTER=5), READY)

    assert response.headers["Retry-After"] == "5"


@every_group
def test_head_answers_like_get_without_a_body(app: Flask, path: str) -> None:
    head, get = ask(app, path, "HEAD"), ask(app, path)

    assert head.data == b""
    assert (head.status, head.headers) == (get.status, get.headers)


def test_a_group_answers_by_its_own_probes_alone(app: Flask, database: Told) -> None:
    database.answer = False

    assert [ask(app, path).data for path in (LIVE, READY, SEARCH)] == [
        BODIES[Status.OK],
        BODIES[Status.UNAVAILABLE],
        BODIES[Status.DEGRADED],
    ]


def test_a_group_waits_for_no_other_probe(
    make_app: MakeApp, health: ConnectorHealth, database: Told, gated: Gated
) -> None:
    health.add_probe(gated, name="slow")

    assert ask(make_app(GROUPS=GROUPS), READY).status_code == 200
    assert gated.runs == 0


def test_live_needs_no_probe_and_is_ok_whatever_fails(
    make_app: MakeApp, database: Told
) -> None:
    database.answer = OSError("the database is away")
    app = make_app(GROUPS=GROUPS, AVAILABILITY=lambda: False)

    assert ask(app, LIVE).data == BODIES[Status.OK]
    assert database.runs == 0


def test_a_group_without_a_verdict_is_unavailable_after_the_deadline(
    make_app: MakeApp, health: ConnectorHealth, gated: Gated
) -> None:
    health.add_probe(gated, name="database")

    assert ask(make_app(GROUPS={"ready": ["database"]}, DEADLINE=0.1), READY).status_code == 503


# Drain


def codes(app: Flask) -> list[int]:
    return [ask(app, path).status_code for path in (LIVE, READY, SEARCH, PUBLIC, SCOPED)]


def test_while_a_process_drains_every_group_but_live_is_unavailable(app: Flask) -> None:
    assert codes(app) == [200] * 5  # so that all is cached

    engine_of(app).drain()
    assert codes(app) == [200, 503, 503, 200, 200]

    engine_of(app).undrain()
    assert codes(app) == [200] * 5


def test_while_the_file_is_there_every_group_but_live_is_unavailable(
    make_app: MakeApp, database: Told, tmp_path: pathlib.Path
) -> None:
    file = tmp_path / "drain"
    app = make_app(GROUPS=GROUPS, DRAIN_FILE=file)
    assert codes(app) == [200] * 5

    file.touch()
    assert codes(app) == [200, 503, 503, 200, 200]

    file.unlink()
    assert codes(app) == [200] * 5


def test_a_drained_group_answers_as_an_unavailable_one(app: Flask, database: Told) -> None:
    engine_of(app).drain()
    drained = ask(app, READY)
    engine_of(app).undrain()
    database.answer = False
    failed = ask(app, READY)

    assert (drained.data, drained.headers) == (failed.data, failed.headers)
    assert drained.headers["Retry-After"] == "1"
