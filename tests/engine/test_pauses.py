"""Pauses: what is answered while one holds, how it ends, and what is refused."""

from __future__ import annotations

import typing as t
from datetime import UTC, datetime, timedelta, timezone

import pytest

from flask_connector_health import ProbeResult, Status
from flask_connector_health.engine.events import Event, Paused, Resumed
from flask_connector_health.engine.scope import Scope
from flask_connector_health.probes.spec import AVAILABILITY, Probe
from tests.clockwork import (
    Clock,
    Gated,
    Told,
    begin,
    drive,
    engine_of,
    engine_threads,
    eventually,
    in_background,
    lane_of,
    report_of,
    result_of,
    waited_for,
)
from tests.conftest import MakeApp, MakeMonitor

OK, DEGRADED, UNAVAILABLE = Status
READY = {"ready": ["queue"]}


def later(clock: Clock, seconds: float = 60.0) -> datetime:
    return datetime.fromtimestamp(clock.time_of_day() + seconds, UTC)


def own(call: t.Any, **options: t.Any) -> Probe:
    return drive(call, scope="organization", **options)


# What is answered


def test_a_paused_probe_does_not_run(make_monitor: MakeMonitor, clock: Clock) -> None:
    told = Told()
    monitor = make_monitor(drive(told), TTL=0)

    monitor.pause("drive", until=later(clock), status="degraded", reason="moving house")

    assert result_of(monitor.report()) == ProbeResult(DEGRADED, "moving house")
    assert monitor.status() is monitor.peek().status is DEGRADED
    assert told.runs == 0


def test_by_default_it_degrades_for_planned_work(
    make_monitor: MakeMonitor, clock: Clock
) -> None:
    monitor = make_monitor(drive(Told()))

    monitor.pause("drive", until=later(clock))

    assert result_of(monitor.report()) == ProbeResult(DEGRADED, "planned work")


def test_other_probes_run_as_before(make_monitor: MakeMonitor, clock: Clock) -> None:
    other = Told(False)
    monitor = make_monitor(drive(Told()), Probe(name="other", call=other))

    monitor.pause("drive", until=later(clock), status="ok")

    assert monitor.status() is UNAVAILABLE
    assert other.runs == 1


@pytest.mark.parametrize(("critical", "status"), [(True, UNAVAILABLE), (False, DEGRADED)])
def test_a_pause_is_weighed_as_its_probe_is(
    make_monitor: MakeMonitor, clock: Clock, critical: bool, status: Status
) -> None:
    monitor = make_monitor(drive(Told(), critical=critical))

    monitor.pause("drive", until=later(clock), status=False)

    assert monitor.status() is monitor.report().status is monitor.peek().status is status


@pytest.mark.parametrize("key", [None, "org_a"])
def test_a_pause_begins_at_once_whatever_is_fresh(
    make_monitor: MakeMonitor, clock: Clock, key: str | None
) -> None:
    monitor = make_monitor(drive(Told()), own(Told()))
    monitor.report(key)

    monitor.pause("drive", key, until=later(clock), status="unavailable")

    assert monitor.status(key) is UNAVAILABLE


def test_a_request_that_waits_is_answered_with_a_pause_that_begins(
    make_monitor: MakeMonitor, clock: Clock, gated: Gated
) -> None:
    """A person who pauses a hung probe helps also those who wait for it already."""
    monitor = make_monitor(drive(gated))
    report = in_background(monitor.report)
    waited_for(monitor)

    monitor.pause("drive", until=later(clock), status="ok", reason="known")
    clock.advance(0.05)

    assert result_of(report()) == ProbeResult(OK, "known")


def test_a_second_pause_replaces_the_first(make_monitor: MakeMonitor, clock: Clock) -> None:
    monitor = make_monitor(drive(Told()))
    monitor.pause("drive", until=later(clock, 60.0), status="unavailable")

    monitor.pause("drive", until=later(clock, 10.0), status="degraded")

    assert monitor.status() is DEGRADED
    clock.advance(10.0)
    assert monitor.status() is OK


# Whose probe it is


def test_without_an_organization_it_is_paused_for_all_of_them(
    make_monitor: MakeMonitor, clock: Clock
) -> None:
    told = Told()
    monitor = make_monitor(own(told))

    monitor.pause("drive", until=later(clock))

    assert {monitor.status(key) for key in ("org_a", "org_b")} == {DEGRADED}
    assert monitor.status() is OK
    assert told.runs == 0


def test_for_one_organization_it_is_paused_for_no_other(
    make_monitor: MakeMonitor, clock: Clock
) -> None:
    told = Told()
    monitor = make_monitor(own(told))

    monitor.pause("drive", "org_a", until=later(clock))

    assert [monitor.status(key) for key in ("org_a", "org_b")] == [DEGRADED, OK]
    assert told.runs == 1


@pytest.mark.parametrize("own_first", [True, False])
def test_an_organizations_own_pause_goes_before_that_of_all(
    make_monitor: MakeMonitor, clock: Clock, own_first: bool
) -> None:
    monitor = make_monitor(own(Told()))
    pauses = [("org_a", UNAVAILABLE), (None, DEGRADED)]

    for key, status in pauses if own_first else pauses[::-1]:
        monitor.pause("drive", key, until=later(clock), status=status)

    assert [monitor.status(key) for key in ("org_a", "org_b")] == [UNAVAILABLE, DEGRADED]


def test_the_pause_of_all_holds_on_after_an_organizations_own(
    make_monitor: MakeMonitor, clock: Clock
) -> None:
    monitor = make_monitor(own(Told()))
    monitor.pause("drive", until=later(clock))
    monitor.pause("drive", "org_a", until=later(clock), status="unavailable")

    monitor.resume("drive", "org_a")

    assert monitor.status("org_a") is DEGRADED


def test_the_availability_callback_is_paused_for_the_service_and_all_organizations(
    make_app: MakeApp,
) -> None:
    asked: list[str | None] = []
    app = make_app(AVAILABILITY=asked.append)

    engine_of(app).pause(AVAILABILITY, until=datetime.now(UTC) + timedelta(hours=1))

    statuses = [result.status for result in report_of(app, "org_xyz789").results]
    assert statuses == [DEGRADED, DEGRADED]
    assert asked == []


def test_the_availability_callback_may_be_paused_for_one_organization(
    make_app: MakeApp,
) -> None:
    app = make_app(AVAILABILITY=lambda organization_id: True)

    until = datetime.now(UTC) + timedelta(hours=1)
    engine_of(app).pause(AVAILABILITY, "org_a", until=until)

    assert [report_of(app, key).status for key in (None, "org_a", "org_b")] == [
        OK,
        DEGRADED,
        OK,
    ]


# How it ends


def test_a_pause_ends_by_itself(make_monitor: MakeMonitor, clock: Clock) -> None:
    monitor = make_monitor(drive(Told()))
    monitor.pause("drive", until=later(clock, 60.0))

    clock.advance(59.0)
    assert monitor.status() is DEGRADED
    clock.advance(1.0)

    assert monitor.status() is OK


@pytest.mark.parametrize("step", [1e8, -1e8])
def test_a_step_of_the_time_of_day_ends_no_pause_and_prolongs_none(
    make_monitor: MakeMonitor, clock: Clock, step: float
) -> None:
    monitor = make_monitor(drive(Told()))
    monitor.pause("drive", until=later(clock, 60.0))

    clock.epoch += step

    clock.advance(59.0)
    assert monitor.status() is DEGRADED
    clock.advance(1.0)
    assert monitor.status() is OK


def test_resume_ends_a_pause_early(make_monitor: MakeMonitor, clock: Clock) -> None:
    monitor = make_monitor(own(Told()))
    monitor.pause("drive", "org_a", until=later(clock))

    monitor.resume("drive", "org_a")

    assert monitor.status("org_a") is OK


def test_resume_without_a_pause_does_nothing(make_monitor: MakeMonitor) -> None:
    heard: list[Event] = []
    monitor = make_monitor(own(Told()), listeners=[heard.append])

    monitor.resume("drive")
    monitor.resume("drive", "org_a")

    assert heard == []


def test_the_results_from_before_the_pause_come_back(
    make_monitor: MakeMonitor, clock: Clock
) -> None:
    told = Told(ProbeResult("degraded", "slow"))
    monitor = make_monitor(drive(told), TTL=5.0)
    monitor.report()
    monitor.pause("drive", until=later(clock, 2.0), status="unavailable")
    assert monitor.status() is UNAVAILABLE

    clock.advance(2.0)

    assert result_of(monitor.report()) == ProbeResult(DEGRADED, "slow")
    assert told.runs == 1


# What is announced


def announced(heard: list[Event]) -> list[tuple[str, str | None, str]]:
    eventually(lambda: not engine_threads("events") and not engine_threads("idle"))
    return [
        (type(event).__name__, event.organization_id, event.scope)
        for event in heard
        if isinstance(event, Paused | Resumed)
    ]


def test_a_pause_is_announced_as_it_begins(make_monitor: MakeMonitor, clock: Clock) -> None:
    heard: list[Event] = []
    monitor = make_monitor(own(Told(), critical=False), listeners=[heard.append])
    until = later(clock)

    monitor.pause("drive", "org_a", until=until, status=False, reason="moving")

    eventually(lambda: heard)
    assert heard == [
        Paused("drive", "org_a", "organization", False, UNAVAILABLE, "moving", until)
    ]


def test_a_pause_that_ends_by_itself_is_announced_once(
    make_monitor: MakeMonitor, clock: Clock
) -> None:
    heard: list[Event] = []
    monitor = make_monitor(own(Told()), listeners=[heard.append])
    monitor.pause("drive", until=later(clock))
    clock.advance(60.0)

    for _ in range(3):
        monitor.report("org_a")

    expected = [("Paused", None, "organization"), ("Resumed", None, "organization")]
    assert announced(heard) == expected


def test_a_question_that_a_pause_does_not_concern_ends_it_as_well(
    make_monitor: MakeMonitor, clock: Clock
) -> None:
    heard: list[Event] = []
    monitor = make_monitor(
        own(Told()), Probe(name="queue", call=Told()), listeners=[heard.append], TTL=300.0
    )
    monitor.status()
    monitor.pause("drive", "org_a", until=later(clock))
    clock.advance(60.0)

    monitor.status()

    expected = [("Paused", "org_a", "organization"), ("Resumed", "org_a", "organization")]
    assert announced(heard) == expected


def test_a_run_that_ends_during_a_pause_is_no_news(
    make_monitor: MakeMonitor, clock: Clock, gated: Gated
) -> None:
    """Who pauses a probe that is about to fail is not woken by it."""
    heard: list[Event] = []
    monitor = make_monitor(drive(gated), listeners=[heard.append])
    begin(monitor)
    gated.wait_for_start()
    monitor.pause("drive", until=later(clock), status="ok")
    gated.answer = False

    gated.let_through()

    eventually(lambda: not lane_of(monitor).is_asked(None))
    assert announced(heard) == [("Paused", None, "service")]
    assert len(heard) == 1
    assert monitor.transitions() == ()
    clock.advance(61.0)
    assert monitor.status() is UNAVAILABLE
    assert [turn.after for turn in monitor.transitions()] == [UNAVAILABLE]


def test_a_pause_that_a_person_ends_is_announced_once(
    make_monitor: MakeMonitor, clock: Clock
) -> None:
    heard: list[Event] = []
    monitor = make_monitor(own(Told()), listeners=[heard.append])
    monitor.pause("drive", "org_a", until=later(clock))

    for _ in range(2):
        monitor.resume("drive", "org_a")
    clock.advance(60.0)
    monitor.report("org_a")

    expected = [("Paused", "org_a", "organization"), ("Resumed", "org_a", "organization")]
    assert announced(heard) == expected


def test_both_probes_of_one_name_are_announced(make_monitor: MakeMonitor, clock: Clock) -> None:
    heard: list[Event] = []
    monitor = make_monitor(drive(Told()), own(Told()), listeners=[heard.append])

    monitor.pause("drive", until=later(clock))
    monitor.resume("drive")

    scopes = ("service", "organization")
    assert announced(heard) == [
        *(("Paused", None, scope) for scope in scopes),
        *(("Resumed", None, scope) for scope in scopes),
    ]


# What is refused


@pytest.mark.parametrize(
    ("name", "key", "changes", "error", "text"),
    [
        ("drvie", None, {}, LookupError, "no probe 'drvie'; did you mean drive?"),
        ("quux", None, {}, LookupError, "no probe 'quux'; there are drive, search"),
        ("search", "org_a", {}, ValueError, "'search' is the service's, .* leave org"),
        ("drive", None, {"until": 60.0}, TypeError, "until must be a datetime, not float"),
        ("drive", None, {"until": None}, TypeError, "until must be a datetime, not NoneType"),
        (
            "drive",
            None,
            {"until": datetime(2100, 1, 1)},  # noqa: DTZ001
            ValueError,
            r"until must have a time zone, as in datetime.now\(UTC\) \+",
        ),
        (
            "drive",
            None,
            {"until": datetime(2001, 1, 1, 2, tzinfo=timezone(timedelta(hours=2)))},
            ValueError,
            r"in the future, and 2001-01-01T02:00:00\+02:00 has passed",
        ),
        (
            "drive",
            None,
            {"status": "down"},
            TypeError,
            "^status must be a Status, .* not str",
        ),
        ("drive", None, {"reason": 7}, TypeError, "^reason must be a str, not int"),
    ],
)
def test_what_cannot_be_paused_is_refused_and_nothing_is_changed(
    make_monitor: MakeMonitor,
    clock: Clock,
    name: str,
    key: str | None,
    changes: dict[str, t.Any],
    error: type[Exception],
    text: str,
) -> None:
    heard: list[Event] = []
    monitor = make_monitor(
        own(Told()), Probe(name="search", call=Told()), listeners=[heard.append]
    )

    with pytest.raises(error, match=text):
        monitor.pause(name, key, **{"until": later(clock), **changes})

    assert monitor.status("org_a") is OK
    assert announced(heard) == []


def test_a_pause_needs_an_end(make_monitor: MakeMonitor) -> None:
    monitor: t.Any = make_monitor(drive(Told()))

    with pytest.raises(TypeError, match="until"):
        monitor.pause("drive")


def test_a_pause_that_would_end_now_is_refused(make_monitor: MakeMonitor, clock: Clock) -> None:
    monitor = make_monitor(drive(Told()))

    with pytest.raises(ValueError, match="has passed"):
        monitor.pause("drive", until=later(clock, 0.0))


@pytest.mark.parametrize(
    ("name", "key", "error"), [("drvie", None, LookupError), ("search", "org_a", ValueError)]
)
def test_what_cannot_be_paused_cannot_be_resumed(
    make_monitor: MakeMonitor, clock: Clock, name: str, key: str | None, error: type[Exception]
) -> None:
    monitor = make_monitor(own(Told()), Probe(name="search", call=Told()))
    monitor.pause("search", until=later(clock))

    with pytest.raises(error):
        monitor.resume(name, key)

    assert monitor.status() is DEGRADED


@pytest.mark.parametrize(
    ("organization_id", "error", "text"),
    [
        (42, TypeError, "organization_id must be a str or None, not int"),
        ("xyz typo", ValueError, "'xyz typo' is no id of an organization; an id matches org_"),
        ("org_" + "x" * 252, ValueError, "and has at most 255 characters"),
    ],
)
def test_what_is_no_organization_cannot_be_paused(
    make_monitor: MakeMonitor,
    clock: Clock,
    organization_id: t.Any,
    error: type[Exception],
    text: str,
) -> None:
    monitor = make_monitor(own(Told(False)), ORGANIZATION_ID_PATTERN="org_[a-z]+")

    with pytest.raises(error, match=text):
        monitor.pause("drive", organization_id, until=later(clock))

    assert monitor.status("org_a") is UNAVAILABLE


def test_a_pause_slows_nobody_else_down(
    make_monitor: MakeMonitor, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What others are answered with comes from a record, as without a pause."""
    monitor = make_monitor(own(Told()), Probe(name="queue", call=Told()), GROUPS=READY)
    monitor.status("org_a")
    monitor.pause("drive", "org_b", until=later(clock))
    monkeypatch.setattr(Scope, "find", None)

    assert monitor.status("org_a") is monitor.status() is monitor.status(group="ready") is OK
    with pytest.raises(TypeError):
        monitor.status("org_b")


def test_forgotten_results_are_asked_for_anew(make_monitor: MakeMonitor) -> None:
    service, organization = Told(), Told()
    monitor = make_monitor(own(organization), Probe(name="queue", call=service), TTL=300.0)
    monitor.status("org_a")
    service.answer = organization.answer = False

    monitor.forget()

    assert monitor.overview().known == 0
    assert monitor.status("org_a") is UNAVAILABLE
    assert (service.runs, organization.runs) == (2, 2)


def test_a_run_on_its_way_is_not_forgotten(make_monitor: MakeMonitor, gated: Gated) -> None:
    monitor = make_monitor(drive(gated))
    flight = begin(monitor)
    gated.wait_for_start()

    monitor.forget()

    assert begin(monitor) is flight


def test_of_a_long_reason_the_beginning_is_kept(
    make_monitor: MakeMonitor, clock: Clock
) -> None:
    monitor = make_monitor(drive(Told()))

    monitor.pause("drive", until=later(clock), reason="x" * 3_000)

    assert result_of(monitor.report()).message == "x" * 1_000
