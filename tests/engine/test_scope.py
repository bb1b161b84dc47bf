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
    result_of,
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
