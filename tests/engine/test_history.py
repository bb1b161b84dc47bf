"""The history: which turns of verdicts it notes, and how many it keeps."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from flask_connector_health import Monitor, NotApplicable, ProbeFailed, ProbeResult, Status
from flask_connector_health.engine.events import Transition
from flask_connector_health.probes.spec import Probe
from tests.clockwork import Clock, Told, drive
from tests.conftest import MakeMonitor

OK, DEGRADED, UNAVAILABLE = Status

ABSENT = NotApplicable("no Drive connected")


def asked(monitor: Monitor, told: Told, *answers: object, key: str | None = None) -> Monitor:
    """Let a probe that keeps no result answer these, one after the other."""
    for answer in answers:
        told.answer = answer
        monitor.report(key)
    return monitor


def turned(monitor: Monitor) -> list[tuple[Status | None, Status]]:
    """List the turns, the oldest first."""
    return [(turn.before, turn.after) for turn in monitor.transitions()][::-1]


@pytest.mark.parametrize(
    ("answers", "turns"),
    [
        ([True], []),
        ([False], [(None, UNAVAILABLE)]),
        ([DEGRADED], [(None, DEGRADED)]),
        ([True, True, False, False], [(OK, UNAVAILABLE)]),
        ([True, False, True], [(OK, UNAVAILABLE), (UNAVAILABLE, OK)]),
        ([False, DEGRADED], [(None, UNAVAILABLE), (UNAVAILABLE, DEGRADED)]),
        ([ABSENT], []),
        ([True, ABSENT, True], []),
        ([False, ABSENT, True], [(None, UNAVAILABLE)]),
        ([True, ABSENT, False], [(None, UNAVAILABLE)]),
    ],
)
def test_a_turn_is_a_change_of_status_or_a_first_verdict_that_is_bad(
    make_monitor: MakeMonitor, answers: list[object], turns: list[tuple[Status | None, Status]]
) -> None:
    told = Told()
    monitor = make_monitor(drive(told, ttl=0))

    assert turned(asked(monitor, told, *answers)) == turns


def test_a_result_that_turns_no_verdict_is_no_turn(make_monitor: MakeMonitor) -> None:
    told = Told()
    monitor = make_monitor(drive(told, ttl=0, failure_threshold=2))

    assert turned(asked(monitor, told, True, False)) == []
    assert turned(asked(monitor, told, False)) == [(OK, UNAVAILABLE)]


def test_a_turn_says_when_it_was_and_of_what_and_why(
    make_monitor: MakeMonitor, clock: Clock
) -> None:
    told = Told()
    monitor = make_monitor(drive(told, ttl=0, scope="organization"))
    asked(monitor, told, True, key="org_a")
    clock.advance(7.0)

    asked(monitor, told, ProbeResult("degraded", "slow"), key="org_a")

    at = datetime.fromtimestamp(clock.time_of_day(), UTC)
    turn = Transition(at, "org_a", "drive", True, OK, DEGRADED, "slow")
    assert monitor.transitions() == (turn,)


def test_a_turn_of_an_exception_has_not_its_text(make_monitor: MakeMonitor) -> None:
    told = Told(OSError("s3cret"))
    monitor = make_monitor(drive(told, scope="organization"))

    monitor.report("org_a")

    [turn] = monitor.transitions()
    assert turn.message == (
        "it raised an exception; search the log for \"probe 'drive' of organization 'org_a'\""
    )


def test_the_newest_turn_comes_first(make_monitor: MakeMonitor) -> None:
    told, other = Told(False), Told(False)
    monitor = make_monitor(drive(told, scope="organization"), Probe(name="other", call=other))

    monitor.report()
    monitor.report("org_a")

    assert [turn.probe for turn in monitor.transitions()] == ["drive", "other"]


def test_the_last_thousand_turns_are_kept(make_monitor: MakeMonitor) -> None:
    told = Told(False)
    monitor = make_monitor(drive(told, scope="organization"), MAX_ORGANIZATIONS=10)

    for number in range(1_005):
        monitor.report(f"org_{number}")

    turns = monitor.transitions()
    assert len(turns) == 1_000
    assert (turns[0].organization_id, turns[-1].organization_id) == ("org_1004", "org_5")


@pytest.mark.parametrize(
    ("answer", "turns"),
    [
        (False, []),
        (ProbeFailed("gone"), []),
        (DEGRADED, [(UNAVAILABLE, DEGRADED)]),
        (True, [(UNAVAILABLE, OK)]),
        (ABSENT, []),
    ],
)
def test_a_verdict_that_has_left_the_cache_and_comes_back_turns_only_if_it_differs(
    make_monitor: MakeMonitor, answer: object, turns: list[tuple[Status | None, Status]]
) -> None:
    told = Told()
    monitor = make_monitor(drive(told, scope="organization"), MAX_ORGANIZATIONS=2)
    asked(monitor, told, False, key="org_a")
    for number in range(3):
        asked(monitor, told, True, key=f"org_{number}")
    assert "org_a" not in dict(monitor._current().organization.records.items())

    asked(monitor, told, answer, key="org_a")

    assert turned(monitor)[1:] == turns


def test_a_verdict_that_was_ok_leaves_the_cache_without_a_trace(
    make_monitor: MakeMonitor,
) -> None:
    told = Told()
    monitor = make_monitor(drive(told, scope="organization"), MAX_ORGANIZATIONS=1)

    for _ in range(2):
        for key in ("org_a", "org_b"):
            monitor.report(key)

    assert monitor.transitions() == ()
    assert not monitor._history._failing


def test_what_fails_is_remembered_within_bounds(make_monitor: MakeMonitor) -> None:
    """Memory is bounded: the failure that was not settled for longest is forgotten first."""
    told = Told(False)
    monitor = make_monitor(drive(told, ttl=0, scope="organization"), MAX_ORGANIZATIONS=2)

    for key in ("org_a", "org_b", "org_a", "org_c"):
        monitor.report(key)

    assert [key for _, key in monitor._history._failing] == ["org_a", "org_c"]
