"""The details: what they say of each probe, of all organizations, and of last night."""

from __future__ import annotations

import os
import re
import socket
import typing as t
from datetime import UTC, datetime, timedelta

import pytest
from flask import Flask
from flask.json.provider import DefaultJSONProvider

from flask_connector_health import (
    ConnectorHealth,
    NotApplicable,
    ProbeDegraded,
    ProbeFailed,
    ProbeResult,
    Status,
    blueprint,
)
from flask_connector_health.engine.environment import Environment
from tests.clockwork import Clock, Gated, Told, begin, engine_of, eventually, hang, report_of
from tests.conftest import BEARER, DETAILS, SCOPED, SCOPED_DETAILS, MakeApp

both_details = pytest.mark.parametrize("path", [DETAILS, SCOPED_DETAILS])


def may_see(principal: object, organization_id: str | None) -> bool:
    return True


def ask(app: Flask, path: str) -> dict[str, t.Any]:
    response = app.test_client().get(path, headers=BEARER)
    assert response.status_code == 200
    return t.cast("dict[str, t.Any]", response.get_json())


def of(organization_id: str) -> str:
    return SCOPED_DETAILS.replace("org_xyz789", organization_id)


def probe_in(details: dict[str, t.Any], name: str = "drive") -> dict[str, t.Any]:
    [probe] = [probe for probe in details["probes"] if probe["name"] == name]
    return t.cast("dict[str, t.Any]", probe)


def names(listed: list[dict[str, t.Any]], key: str = "name") -> list[str]:
    return [each[key] for each in listed]


@pytest.fixture
def make(make_app: MakeApp) -> MakeApp:
    """Make an app whose details everybody may see who has a credential."""

    def make(**changes: t.Any) -> Flask:
        return make_app(AUTHORIZE_DETAILS=may_see, **changes)

    return make


@pytest.fixture
def make_on_clock(make: MakeApp, clock: Clock, monkeypatch: pytest.MonkeyPatch) -> MakeApp:
    """Make an app like that, whose time only the test moves."""

    def environment(open_context: t.Any) -> Environment:
        return Environment(open_context, clock, lambda: 0.0)

    monkeypatch.setattr(blueprint, "Environment", environment)
    monkeypatch.setattr(socket, "gethostname", lambda: "web-1")
    return make


# Names, types and times


def test_the_details_of_the_service_have_these_names_and_values(
    make_on_clock: MakeApp, health: ConnectorHealth, clock: Clock
) -> None:
    told = Told()
    health.add_probe(told, name="queue", critical=False)
    app = make_on_clock(TTL=60.0, MAX_STALE=0)
    report_of(app)
    clock.advance(60.0)
    told.answer = ProbeFailed("queue is full")
    report_of(app)
    clock.advance(0.25)

    details = ask(app, DETAILS)

    assert details == {
        "status": "degraded",
        "available": True,
        "probes": [
            {
                "name": "availability",
                "scope": "service",
                "critical": True,
                "status": "ok",
                "message": "",
                "state": "fresh",
                "since": "2001-09-09T02:03:20.000Z",
                "checked_at": "2001-09-09T02:04:20.000Z",
                "last_ok_at": "2001-09-09T02:04:20.000Z",
                "age_seconds": 0.25,
                "duration_ms": 0.0,
                "consecutive_failures": 0,
            },
            {
                "name": "queue",
                "scope": "service",
                "critical": False,
                "status": "unavailable",
                "message": "queue is full",
                "state": "fresh",
                "since": "2001-09-09T02:04:20.000Z",
                "checked_at": "2001-09-09T02:04:20.000Z",
                "last_ok_at": "2001-09-09T02:03:20.000Z",
                "age_seconds": 0.25,
                "duration_ms": 0.0,
                "consecutive_failures": 1,
            },
        ],
        "organizations": {
            "known": 0,
            "ok": 0,
            "degraded": 0,
            "unavailable": 0,
            "unknown": 0,
            "failing": [],
        },
        "answered_by": {"host": "web-1", "pid": os.getpid()},
    }


def test_the_details_of_an_organization_have_these_names_and_values(
    make_on_clock: MakeApp, health: ConnectorHealth
) -> None:
    result = ProbeResult(Status.DEGRADED, "90 % of the quota used")
    health.add_probe(lambda organization_id: result, name="drive", scope="organization")

    assert ask(make_on_clock(), SCOPED_DETAILS) == {
        "status": "degraded",
        "available": True,
        "service": {"status": "ok", "available": True},
        "probes": [
            {
                "name": "drive",
                "scope": "organization",
                "critical": True,
                "status": "degraded",
                "message": "90 % of the quota used",
                "state": "fresh",
                "since": "2001-09-09T02:03:20.000Z",
                "checked_at": "2001-09-09T02:03:20.000Z",
                "last_ok_at": None,
                "age_seconds": 0.0,
                "duration_ms": 0.0,
                "consecutive_failures": 1,
            }
        ],
        "answered_by": {"host": "web-1", "pid": os.getpid()},
    }


@both_details
def test_without_a_verdict_status_and_times_are_null(
    make: MakeApp, health: ConnectorHealth, gated: Gated, path: str
) -> None:
    health.add_probe(gated, name="drive", scope="organization")
    health.add_probe(gated, name="queue")

    details = ask(make(DEADLINE=0.1), path)

    assert (details["status"], details["available"]) == ("unavailable", False)
    probe = details["probes"][-1]
    assert {key: value for key, value in probe.items() if value is None} == dict.fromkeys(
        ["status", "since", "checked_at", "last_ok_at", "age_seconds", "duration_ms"]
    )
    assert (probe["state"], probe["message"]) == ("running", "the probe has no verdict yet")


def test_a_probe_that_cannot_run_is_unknown_and_says_why(
    make_on_clock: MakeApp, health: ConnectorHealth, gated: Gated, clock: Clock
) -> None:
    health.add_probe(gated, name="drive", scope="organization", slots=1)
    app = make_on_clock()
    for other in ("org_a", "org_b"):  # as many as may hang
        hang(engine_of(app), gated, clock, other)

    probe = probe_in(ask(app, SCOPED_DETAILS))

    assert (probe["state"], probe["status"]) == ("unknown", None)
    assert probe["message"].startswith("2 runs of this probe hang, which is the limit")


def test_not_applicable_has_a_message_and_no_status(
    make: MakeApp, health: ConnectorHealth
) -> None:
    absent = NotApplicable("no Drive connected")
    health.add_probe(lambda organization_id: absent, name="drive", scope="organization")

    details = ask(make(), SCOPED_DETAILS)

    assert details["status"] == "ok"
    probe = probe_in(details)
    assert (probe["state"], probe["status"]) == ("not_applicable", None)
    assert probe["message"] == "no Drive connected"


def test_a_paused_probe_says_so(make: MakeApp, health: ConnectorHealth) -> None:
    told = Told()
    health.add_probe(told, name="queue")
    app = make()
    until = datetime.now(UTC) + timedelta(hours=1)
    engine_of(app).pause("queue", until=until, reason="new disks")

    probe = probe_in(ask(app, DETAILS), "queue")

    assert (probe["state"], probe["status"]) == ("paused", "degraded")
    assert probe["message"] == f"new disks (paused until {until:%Y-%m-%dT%H:%M:%SZ})"
    assert told.runs == 0


# What is answered, and what it takes


@both_details
def test_details_are_data_about_health_and_so_a_200(make: MakeApp, path: str) -> None:
    details = ask(make(AVAILABILITY=lambda: False), path)

    assert (details["status"], details["available"]) == ("unavailable", False)


@both_details
def test_details_are_json_that_nobody_stores_and_no_two_callers_share(
    make: MakeApp, path: str
) -> None:
    response = make().test_client().get(path, headers=BEARER)

    assert dict(response.headers) == {
        "Content-Type": "application/json",
        "Cache-Control": "no-store",
        "Vary": "Authorization, X-API-Key",
        "Content-Length": str(len(response.data)),
    }


@both_details
def test_head_answers_like_get_without_a_body(make_on_clock: MakeApp, path: str) -> None:
    client = make_on_clock().test_client()

    get, head = (client.open(path, method=m, headers=BEARER) for m in ("GET", "HEAD"))

    assert head.data == b""
    assert (head.status, head.headers) == (get.status, get.headers)


@both_details
def test_a_json_provider_of_the_hosts_changes_no_byte(
    make_on_clock: MakeApp, path: str
) -> None:
    class Shouting(DefaultJSONProvider):
        def dumps(self, obj: t.Any, **kwargs: t.Any) -> str:
            return super().dumps(obj, **kwargs).upper()

    client = make_on_clock().test_client()
    before = client.get(path, headers=BEARER).data
    client.application.json = Shouting(client.application)

    assert client.get(path, headers=BEARER).data == before


@both_details
def test_no_request_asks_the_system_for_the_hosts_name(
    make_on_clock: MakeApp, monkeypatch: pytest.MonkeyPatch, path: str
) -> None:
    app = make_on_clock()
    monkeypatch.setattr(socket, "gethostname", None)

    assert ask(app, path)["answered_by"] == {"host": "web-1", "pid": os.getpid()}


def test_a_worker_that_never_saw_the_organization_asks_its_probes(
    make: MakeApp, health: ConnectorHealth
) -> None:
    health.add_probe(
        lambda organization_id: organization_id != "org_xyz789",
        name="drive",
        scope="organization",
    )

    assert probe_in(ask(make(), SCOPED_DETAILS))["status"] == "unavailable"


def test_details_are_the_answer_of_the_routes(make: MakeApp, health: ConnectorHealth) -> None:
    told = Told()
    health.add_probe(told, name="drive", scope="organization")
    app = make(TTL=3600.0)

    for _ in range(2):
        assert ask(app, SCOPED_DETAILS)["status"] == "ok"
        assert app.test_client().get(SCOPED, headers=BEARER).status_code == 200

    assert told.runs == 1


# Status and effect


def test_status_is_the_probes_own_and_critical_says_its_effect(
    make: MakeApp, health: ConnectorHealth
) -> None:
    health.add_probe(lambda: False, name="search", critical=False)

    details = ask(make(), DETAILS)

    assert (details["status"], details["available"]) == ("degraded", True)
    probe = probe_in(details, "search")
    assert (probe["status"], probe["critical"]) == ("unavailable", False)


def test_an_organizations_details_say_of_the_service_the_status_alone(
    make: MakeApp, health: ConnectorHealth
) -> None:
    health.add_probe(lambda: ProbeResult(False, "disk full"), name="database")
    health.add_probe(lambda organization_id: True, name="drive", scope="organization")

    details = ask(make(), f"{SCOPED_DETAILS}?transitions=1000")

    assert details["status"] == "unavailable"
    assert details["service"] == {"status": "unavailable", "available": False}
    assert names(details["probes"]) == ["drive"]
    assert details["transitions"] == []
    assert "organizations" not in details
    assert "database" not in str(details)
    assert "disk full" not in str(details)


def test_a_callback_of_both_scopes_is_in_the_details_of_each(make: MakeApp) -> None:
    app = make(AVAILABILITY=lambda organization_id: organization_id is None)

    assert names(ask(app, DETAILS)["probes"], "scope") == ["service"]
    assert names(ask(app, SCOPED_DETAILS)["probes"], "scope") == ["organization"]


# Messages


@pytest.mark.parametrize("kind", [ProbeFailed, ProbeDegraded])
def test_words_that_a_probe_chose_are_shown(
    make: MakeApp, health: ConnectorHealth, kind: type[Exception]
) -> None:
    health.add_probe(Told(kind("quota used up")), name="drive", scope="organization")

    assert probe_in(ask(make(), SCOPED_DETAILS))["message"] == "quota used up"


@pytest.mark.parametrize(
    ("path", "scope"), [(DETAILS, "service"), (SCOPED_DETAILS, "organization")]
)
def test_in_place_of_an_exceptions_text_the_message_names_the_line_of_the_log(
    make: MakeApp,
    health: ConnectorHealth,
    caplog: pytest.LogCaptureFixture,
    path: str,
    scope: t.Any,
) -> None:
    health.add_probe(Told(OSError("password=hunter2")), name="drive", scope=scope)
    app = make()

    message = probe_in(ask(app, path))["message"]

    assert "hunter2" not in app.test_client().get(path, headers=BEARER).text
    found = re.fullmatch('it raised an exception; search the log for "(.*)"', message)
    assert found is not None
    eventually(lambda: found[1] in caplog.text)
    [line] = [line for line in caplog.messages if found[1] in line]
    assert "password=hunter2" in line


# The probes of the query


@pytest.mark.parametrize("name", ["database", "queue"])
def test_the_query_narrows_the_probes_and_never_the_status(
    make: MakeApp, health: ConnectorHealth, name: str
) -> None:
    health.add_probe(lambda: name == "database", name="database")
    health.add_probe(lambda: name != "database", name="queue")

    details = ask(make(), f"{DETAILS}?probe={name}")

    assert details["status"] == "unavailable"
    assert [(each["name"], each["status"]) for each in details["probes"]] == [(name, "ok")]


def test_the_query_narrows_an_organizations_probes(
    make: MakeApp, health: ConnectorHealth
) -> None:
    for name in ("drive", "notion"):
        health.add_probe(Told(name == "drive"), name=name, scope="organization")

    details = ask(make(), f"{SCOPED_DETAILS}?probe=drive")

    assert details["status"] == "unavailable"
    assert names(details["probes"]) == ["drive"]


# The overview of organizations


@pytest.fixture
def app(make_on_clock: MakeApp, health: ConnectorHealth, clock: Clock) -> Flask:
    """Make an app that knows seven organizations, each asked a minute after the one before."""
    down, slow = ProbeResult(False), ProbeResult("degraded", "slow")
    drive = {"org_a": down, "org_b": down, "org_c": slow}
    health.add_probe(
        lambda organization_id: drive.get(organization_id, ProbeResult(True)),
        name="drive",
        scope="organization",
    )
    health.add_probe(
        lambda organization_id: organization_id != "org_d",
        name="notion",
        scope="organization",
        critical=False,
    )
    app = make_on_clock(TTL=3600.0, FAILURE_TTL=3600.0)
    for name in "cebdafg":
        report_of(app, f"org_{name}")
        clock.advance(60.0)
    return app


def overview(app: Flask, query: str = "") -> dict[str, t.Any]:
    return t.cast("dict[str, t.Any]", ask(app, f"{DETAILS}?{query}")["organizations"])


def counts(found: dict[str, t.Any]) -> list[int]:
    keys = ("known", "ok", "degraded", "unavailable", "unknown")
    return [found[key] for key in keys]


def test_the_overview_counts_all_organizations_and_lists_the_worst_and_longest_first(
    app: Flask,
) -> None:
    found = overview(app)

    assert counts(found) == [7, 3, 2, 2, 0]
    assert names(found["failing"], "organization_id") == ["org_b", "org_a", "org_c", "org_d"]
    assert found["failing"][2] == {
        "organization_id": "org_c",
        "status": "degraded",
        "since": "2001-09-09T02:03:20.000Z",
        "checked_at": "2001-09-09T02:03:20.000Z",
        "probes": [
            {
                "name": "drive",
                "status": "degraded",
                "message": "slow",
                "since": "2001-09-09T02:03:20.000Z",
            }
        ],
    }


@pytest.mark.parametrize(
    ("query", "listed"),
    [
        ("status=unavailable", ["org_b", "org_a"]),
        ("status=degraded", ["org_c", "org_d"]),
        ("limit=1", ["org_b"]),
        ("limit=3", ["org_b", "org_a", "org_c"]),
        ("status=degraded&limit=1", ["org_c"]),
        ("probe=notion", ["org_d"]),
        ("probe=drive", ["org_b", "org_a", "org_c"]),
        ("probe=drive&status=degraded", ["org_c"]),
        ("probe=availability", []),
    ],
)
def test_the_query_narrows_the_list_of_organizations_and_never_the_counts(
    app: Flask, query: str, listed: list[str]
) -> None:
    found = overview(app, query)

    assert names(found["failing"], "organization_id") == listed
    assert counts(found) == [7, 3, 2, 2, 0]


def test_by_default_50_failing_organizations_are_listed(
    make: MakeApp, health: ConnectorHealth
) -> None:
    health.add_probe(lambda organization_id: False, name="drive", scope="organization")
    app = make()
    for number in range(51):
        report_of(app, f"org_{number}")

    assert len(overview(app)["failing"]) == 50
    assert len(overview(app, "limit=1000")["failing"]) == counts(overview(app))[0] == 51


def test_a_failing_service_makes_no_organization_fail(
    make: MakeApp, health: ConnectorHealth
) -> None:
    health.add_probe(lambda organization_id: True, name="drive", scope="organization")
    app = make(AVAILABILITY=lambda: False)
    app.test_client().get(SCOPED, headers=BEARER)

    assert counts(overview(app)) == [1, 1, 0, 0, 0]


def test_an_organization_that_never_had_a_verdict_is_unknown(
    make: MakeApp, health: ConnectorHealth, gated: Gated
) -> None:
    health.add_probe(gated, name="drive", scope="organization")
    app = make()
    begin(engine_of(app), "org_a")

    assert counts(overview(app)) == [1, 0, 0, 0, 1]


def test_the_overview_takes_verdicts_of_any_age_and_runs_no_probe(
    app: Flask, clock: Clock
) -> None:
    before = overview(app)
    clock.advance(86_400.0)

    assert overview(app) == before


def test_an_exceptions_text_is_in_no_overview(make: MakeApp, health: ConnectorHealth) -> None:
    health.add_probe(Told(OSError("hunter2")), name="drive", scope="organization")
    app = make()
    report_of(app, "org_a")

    [failing] = overview(app)["failing"]

    assert failing["probes"][0]["message"] == (
        "it raised an exception; search the log for \"probe 'drive' of organization 'org_a'\""
    )


# Transitions


@pytest.fixture
def turned(make_on_clock: MakeApp, health: ConnectorHealth, clock: Clock) -> Flask:
    """Make an app of which verdicts have turned four times, a minute apart."""
    queue, drive = Told(), Told()
    health.add_probe(queue, name="queue")
    health.add_probe(drive, name="drive", scope="organization")
    app = make_on_clock(TTL=0)
    report_of(app, "org_xyz789")
    clock.advance(60.0)
    drive.answer = ProbeFailed("refused")
    report_of(app, "org_xyz789")
    clock.advance(60.0)
    report_of(app, "org_b")
    clock.advance(60.0)
    drive.answer = True
    report_of(app, "org_b")
    clock.advance(60.0)
    queue.answer = "degraded"
    report_of(app)
    return app


def test_transitions_come_newest_first(turned: Flask) -> None:
    assert ask(turned, f"{DETAILS}?transitions=50")["transitions"] == [
        {
            "at": "2001-09-09T02:07:20.000Z",
            "organization_id": None,
            "probe": "queue",
            "from": "ok",
            "to": "degraded",
            "message": "",
        },
        {
            "at": "2001-09-09T02:06:20.000Z",
            "organization_id": "org_b",
            "probe": "drive",
            "from": "unavailable",
            "to": "ok",
            "message": "",
        },
        {
            "at": "2001-09-09T02:05:20.000Z",
            "organization_id": "org_b",
            "probe": "drive",
            "from": None,
            "to": "unavailable",
            "message": "refused",
        },
        {
            "at": "2001-09-09T02:04:20.000Z",
            "organization_id": "org_xyz789",
            "probe": "drive",
            "from": "ok",
            "to": "unavailable",
            "message": "refused",
        },
    ]


@pytest.mark.parametrize(
    ("path", "listed"),
    [
        (f"{DETAILS}?transitions=2", [None, "org_b"]),
        (f"{DETAILS}?transitions=50&probe=drive", ["org_b", "org_b", "org_xyz789"]),
        (f"{DETAILS}?transitions=1&probe=drive", ["org_b"]),
        (f"{DETAILS}?transitions=50&probe=queue", [None]),
        (f"{of('org_b')}?transitions=50", ["org_b", "org_b"]),
        (f"{of('org_b')}?transitions=1", ["org_b"]),
        (f"{of('org_b')}?transitions=50&probe=drive", ["org_b", "org_b"]),
    ],
)
def test_the_query_narrows_transitions_and_an_organization_has_its_own(
    turned: Flask, path: str, listed: list[str | None]
) -> None:
    assert names(ask(turned, path)["transitions"], "organization_id") == listed


def test_the_query_narrows_an_organizations_transitions(
    make: MakeApp, health: ConnectorHealth
) -> None:
    for name in ("drive", "notion"):
        health.add_probe(lambda organization_id: False, name=name, scope="organization")

    details = ask(make(), f"{SCOPED_DETAILS}?transitions=50&probe=notion")

    assert names(details["transitions"], "probe") == ["notion"]


@both_details
@pytest.mark.parametrize("query", ["", "?transitions=0"])
def test_nobody_gets_transitions_without_asking(turned: Flask, path: str, query: str) -> None:
    assert "transitions" not in ask(turned, path + query)


def test_the_details_of_the_service_say_how_the_groups_are_and_why(
    make_on_clock: MakeApp, health: ConnectorHealth
) -> None:
    health.add_probe(Told(False), name="queue", critical=False)
    app = make_on_clock(GROUPS={"live": [], "ready": ["availability"], "sync": ["queue"]})
    before = ask(app, DETAILS)

    engine_of(app).drain()

    assert before["groups"] == {"live": "ok", "ready": "ok", "sync": "degraded"}
    assert before["draining"] is False
    after = ask(app, DETAILS)
    assert after["groups"] == {"live": "ok", "ready": "unavailable", "sync": "unavailable"}
    assert after["draining"] is True
    assert after["status"] == "degraded"
