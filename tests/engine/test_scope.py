"""A scope: which entries may be used, and how runs begin for the others."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator

import pytest

from flask_connector_health import ProbeResult, Report, Status
from flask_connector_health.engine import scope
from flask_connector_health.engine.lane import Lane
from flask_connector_health.engine.monitor import Monitor
from flask_connector_health.model import UNKNOWN
from flask_connector_health.probes.spec import Probe
from tests.clockwork import (
    PATIENCE,
    Clock,
    Gated,
    Told,
    drive,
    engine_threads,
    eventually,
    in_background,
    lane_of,
    result_of,
    waited_for,
)
from tests.conftest import MakeMonitor


def test_a_fresh_result_is_used_as_it_is(make_monitor: MakeMonitor, clock: Clock) -> None:
    told = Told()
    monitor = make_monitor(drive(told), TTL=5.0)

    for _ in range(10):
        monitor.report()
    clock.advance(4.9)

    assert monitor.status() is Status.OK
    assert told.runs == 1


def test_a_stale_result_is_served_at_once_while_one_run_refreshes_it(
    once_ok: Monitor, clock: Clock, gated: Gated
) -> None:
    clock.advance(19.9)

    clients = [in_background(once_ok.status) for _ in range(50)]

    assert {status() for status in clients} == {Status.OK}
    gated.wait_for_start()
    assert gated.runs == 2


def test_what_a_refresh_found_is_served_from_then_on(
    once_ok: Monitor, clock: Clock, gated: Gated
) -> None:
    clock.advance(5.0)
    once_ok.report()
    gated.let_through()

    eventually(lambda: once_ok.status() is Status.UNAVAILABLE)

    assert gated.runs == 2


def test_a_result_beyond_max_stale_is_not_believed(
    once_ok: Monitor, clock: Clock, gated: Gated
) -> None:
    clock.advance(20.0)

    report = in_background(once_ok.report)
    gated.let_through()

    assert report().status is Status.UNAVAILABLE
    assert gated.runs == 2


@pytest.fixture
def slow() -> Iterator[Gated]:
    slow = Gated()
    yield slow
    slow.let_through(1_000)


@pytest.fixture
def stale_beside(
    slow: Gated, make_monitor: MakeMonitor, clock: Clock, gated: Gated
) -> Callable[[], Report]:
    """Ask for a report that waits for one probe, beside a stale result that is refreshed."""
    other = Probe(name="slow", call=slow, ttl=0)
    monitor = make_monitor(drive(gated, timeout=3_600.0), other, DEADLINE=0.25)
    for probe in (gated, slow):
        probe.let_through()
    monitor.report()
    clock.advance(19.875)
    gated.answer = False
    report = in_background(monitor.report)
    for probe in (gated, slow) * 2:
        probe.wait_for_start()
    return report


def test_what_a_refresh_found_meanwhile_is_in_the_report(
    stale_beside: Callable[[], Report], gated: Gated, slow: Gated
) -> None:
    """A report uses what a refresh has found while the report waited for another run."""
    gated.let_through()
    eventually(lambda: not engine_threads("drive"))

    slow.let_through()

    assert result_of(stale_beside()) == ProbeResult(Status.UNAVAILABLE)


def test_a_result_that_became_too_old_meanwhile_is_not_believed(
    stale_beside: Callable[[], Report], clock: Clock, slow: Gated
) -> None:
    """A report does not use what has become too old while it waited for another run."""
    clock.advance(0.125)

    slow.let_through()
    eventually(lambda: not engine_threads("slow"))
    clock.advance(0.125)

    assert result_of(stale_beside()) == UNKNOWN


def test_a_clock_that_stands_still_or_goes_back_makes_nothing_older(
    make_monitor: MakeMonitor, clock: Clock
) -> None:
    told = Told()
    monitor = make_monitor(drive(told))
    monitor.report()

    clock.time -= 500.0

    assert monitor.status() is Status.OK
    assert told.runs == 1


def test_without_max_stale_an_old_result_is_not_served(
    make_monitor: MakeMonitor, clock: Clock
) -> None:
    told = Told()
    monitor = make_monitor(drive(told, max_stale=0.0), TTL=5.0)
    monitor.report()
    told.answer = False

    clock.advance(5.0)

    assert monitor.status() is Status.UNAVAILABLE


def test_a_probes_own_ttl_goes_before_the_setting(
    make_monitor: MakeMonitor, clock: Clock
) -> None:
    told = Told()
    monitor = make_monitor(drive(told, ttl=60.0), TTL=1.0)

    monitor.report()
    clock.advance(59.0)
    monitor.report()

    assert told.runs == 1


def test_without_a_ttl_every_request_asks(make_monitor: MakeMonitor) -> None:
    told = Told()
    monitor = make_monitor(drive(told), TTL=0)

    monitor.report()
    told.answer = Status.DEGRADED

    assert monitor.report().status is Status.DEGRADED


@pytest.mark.parametrize(
    ("answer", "fresh"), [(True, 5.0), (Status.DEGRADED, 5.0), (False, 1.0)]
)
def test_a_failure_is_fresh_for_a_shorter_time(
    make_monitor: MakeMonitor, clock: Clock, answer: object, fresh: float
) -> None:
    told = Told(answer)
    monitor = make_monitor(drive(told, max_stale=0.0), TTL=5.0, FAILURE_TTL=1.0)
    monitor.report()

    clock.advance(fresh - 0.01)
    monitor.report()
    assert told.runs == 1
    clock.advance(0.01)
    monitor.report()

    assert told.runs == 2


def test_a_failure_is_never_fresh_for_longer_than_the_ttl(
    make_monitor: MakeMonitor, clock: Clock
) -> None:
    told = Told(False)
    monitor = make_monitor(drive(told, ttl=0.5, max_stale=0.0), FAILURE_TTL=9.0)
    monitor.report()

    clock.advance(0.5)
    monitor.report()

    assert told.runs == 2


def test_jitter_takes_off_a_tenth_at_most(make_monitor: MakeMonitor, clock: Clock) -> None:
    told = Told()
    jitter = iter([1.0, 0.5, 0.0])
    monitor = make_monitor(drive(told, max_stale=0.0), TTL=10.0, jitter=lambda: next(jitter))

    for fresh in (9.0, 9.5):
        runs = told.runs
        monitor.report()
        clock.advance(fresh - 0.01)
        monitor.report()
        assert told.runs == runs + 1
        clock.advance(0.01)

    monitor.report()
    assert told.runs == 3


def test_runs_that_take_no_time_are_made_by_one_thread(
    make_monitor: MakeMonitor, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Without those who help it on a slow machine.
    monkeypatch.setattr(scope, "PATIENCE", PATIENCE)
    monkeypatch.setattr(Lane, "look", lambda lane: None)
    seen = set()

    def call() -> bool:
        seen.add(threading.get_ident())
        return True

    monitor = make_monitor(
        *(Probe(name=f"probe-{number}", call=call) for number in range(20)), DEADLINE=PATIENCE
    )

    assert monitor.report().available
    assert len(seen) == 1


def test_runs_that_take_time_are_made_beside_each_other(make_monitor: MakeMonitor) -> None:
    meeting = threading.Barrier(20)

    def call() -> bool:
        meeting.wait(PATIENCE)
        return True

    monitor = make_monitor(
        *(Probe(name=f"probe-{number}", call=call) for number in range(20)), DEADLINE=PATIENCE
    )

    assert monitor.report().available


def test_a_refresh_has_a_thread_of_its_own_at_once(
    make_monitor: MakeMonitor, clock: Clock, gated: Gated
) -> None:
    """Runs that nobody waits for do not share a thread."""
    other = Gated()
    monitor = make_monitor(drive(gated), Probe(name="other", call=other))
    for probe in (gated, other):
        probe.let_through()
    monitor.report()
    for probe in (gated, other):
        probe.wait_for_start()

    clock.advance(5.0)
    monitor.report()

    gated.wait_for_start()
    other.wait_for_start()
    gated.let_through()
    other.let_through()


# How long a change takes to be seen: the rows of the README's table

PAUSE = 0.5  # between two requests


def seen_after(monitor: Monitor, clock: Clock, status: Status, pause: float = PAUSE) -> float:
    """Ask again and again, and give the seconds until an answer has this status.

    Each run takes no time, and has ended before the next request.
    """
    began = clock.time
    while monitor.status() is not status:
        eventually(lambda: not lane_of(monitor)._flights)
        clock.advance(pause)
    return clock.time - began


@pytest.mark.parametrize(("threshold", "seconds"), [(1, 5.0), (2, 6.0), (3, 7.0)])
def test_a_failure_is_seen_after_the_ttl_and_more_failures_after_failure_ttls(
    make_monitor: MakeMonitor, clock: Clock, threshold: int, seconds: float
) -> None:
    told = Told()
    monitor = make_monitor(drive(told, failure_threshold=threshold))
    monitor.report()
    told.answer = False

    assert seen_after(monitor, clock, Status.UNAVAILABLE) == seconds + PAUSE


@pytest.mark.parametrize(("threshold", "seconds"), [(1, 1.0), (2, 6.0), (3, 11.0)])
def test_a_recovery_is_seen_after_the_failure_ttl_and_more_of_it_after_ttls(
    make_monitor: MakeMonitor, clock: Clock, threshold: int, seconds: float
) -> None:
    told = Told(False)
    monitor = make_monitor(drive(told, recovery_threshold=threshold))
    monitor.report()
    told.answer = True

    assert seen_after(monitor, clock, Status.OK) == seconds + PAUSE


@pytest.mark.parametrize(
    ("max_stale", "pause", "requests"), [(15, 19, 2), (15, 20, 1), (0, 5, 1)]
)
def test_seldom_requests_see_a_change_at_the_second_and_beyond_max_stale_at_the_first(
    make_monitor: MakeMonitor, clock: Clock, max_stale: float, pause: float, requests: int
) -> None:
    told = Told()
    monitor = make_monitor(drive(told, max_stale=max_stale))
    monitor.report()
    told.answer = False

    assert seen_after(monitor, clock, Status.UNAVAILABLE, pause) == pause * requests


def test_a_hung_run_is_seen_after_the_ttl_and_the_timeout(
    make_monitor: MakeMonitor, clock: Clock, gated: Gated
) -> None:
    monitor = make_monitor(drive(gated))
    gated.let_through()
    monitor.report()
    gated.wait_for_start()
    clock.advance(5.0)

    assert monitor.status() is Status.OK
    gated.wait_for_start()
    monitor._current()._watch.attend()
    clock.advance(4.9)
    assert monitor.status() is Status.OK
    clock.advance(0.1)

    eventually(lambda: monitor.status() is Status.UNAVAILABLE)


def asked_in_vain(monitor: Monitor, clock: Clock) -> Status:
    """Ask, and let the deadline pass before the run has ended."""
    status = in_background(monitor.status)
    waited_for(monitor)
    clock.advance(0.05)
    return status()


def test_a_hung_run_is_seen_after_the_ttl_and_max_stale_if_that_is_sooner(
    make_monitor: MakeMonitor, clock: Clock, gated: Gated
) -> None:
    monitor = make_monitor(drive(gated, max_stale=2.0))
    gated.let_through()
    monitor.report()
    clock.advance(5.0)
    monitor.report()

    clock.advance(1.9)
    assert monitor.status() is Status.OK
    clock.advance(0.1)

    assert asked_in_vain(monitor, clock) is Status.UNAVAILABLE


def test_a_run_slower_than_the_deadline_is_known_only_to_those_who_ask_again_in_time(
    make_monitor: MakeMonitor, clock: Clock, gated: Gated
) -> None:
    monitor = make_monitor(drive(gated))
    for _ in range(3):
        assert asked_in_vain(monitor, clock) is Status.UNAVAILABLE
        gated.let_through()  # it finds that all is well
        eventually(lambda: not lane_of(monitor)._flights)
        clock.advance(20.0)

    assert asked_in_vain(monitor, clock) is Status.UNAVAILABLE
    gated.let_through()
    eventually(lambda: not lane_of(monitor)._flights)
    clock.advance(19.9)
    assert monitor.status() is Status.OK
