"""A lane: which runs may begin, and how hung runs fail, are written off and tried again."""

from __future__ import annotations

import typing as t

import pytest

from flask_connector_health import ProbeResult, Status
from flask_connector_health.engine.entry import message_of, status_of
from flask_connector_health.probes.spec import Probe
from tests.clockwork import (
    PATIENCE,
    Clock,
    Gated,
    Told,
    begin,
    drive,
    engine_threads,
    eventually,
    hang,
    in_background,
    lane_of,
    result_of,
    waited_for,
)
from tests.conftest import MakeMonitor


def test_a_hung_run_is_failed_at_its_timeout(
    make_monitor: MakeMonitor, clock: Clock, gated: Gated, caplog: pytest.LogCaptureFixture
) -> None:
    monitor = make_monitor(drive(gated))

    hang(monitor, gated, clock)

    text = "no answer within its timeout of 5 s; give the client that it uses a shorter"
    assert result_of(monitor.report()).message.startswith(text)
    line = f"probe 'drive' fails, so the service is unavailable: {text}"
    eventually(lambda: line in caplog.text)


def test_an_exception_whose_text_cannot_be_had_is_a_hung_run(
    make_monitor: MakeMonitor, clock: Clock, gated: Gated
) -> None:
    class Blocking(Exception):
        def __str__(self) -> str:
            return str(gated())

    monitor = make_monitor(drive(Told(Blocking())))

    hang(monitor, gated, clock)

    assert result_of(monitor.report()).message.startswith("no answer within its timeout")
    gated.let_through(3)


def test_those_who_wait_hear_of_it_then(
    make_monitor: MakeMonitor, clock: Clock, gated: Gated
) -> None:
    """A request that waits for a hung run is answered at the run's timeout."""
    monitor = make_monitor(drive(gated, timeout=0.5), DEADLINE=PATIENCE)
    report = in_background(monitor.report)
    gated.wait_for_start()
    eventually(lambda: engine_threads("watch"))

    clock.advance(0.5)

    assert result_of(report()).message.startswith("no answer within its timeout of 0.5 s")


def test_a_failure_that_nobody_asked_for_is_as_old_as_its_timeout(
    make_monitor: MakeMonitor, clock: Clock, gated: Gated
) -> None:
    """A failure's age counts from the run's timeout, however late the watch looked."""
    monitor = make_monitor(drive(gated))
    report = in_background(monitor.report)
    gated.wait_for_start()
    eventually(lambda: engine_threads("watch"))

    clock.advance(1_000.0)  # the machine slept, say

    assert not report().available
    eventually(lambda: not lane_of(monitor)._flights)
    gated.let_through(2)
    assert in_background(monitor.report)().status is Status.OK


def test_an_answer_past_the_timeout_is_failed_even_if_nobody_looked(
    make_monitor: MakeMonitor, clock: Clock
) -> None:
    """The run's own thread settles it as overdue if it comes before the watch."""

    def slow() -> bool:
        clock.advance(5.0)
        return True

    monitor = make_monitor(drive(slow))

    flight = begin(monitor)  # with nobody to look after it

    eventually(lambda: flight.has_landed)
    assert flight.entry is not None
    assert message_of(flight.entry).startswith("no answer within its timeout of 5 s")


def test_a_late_answer_never_replaces_a_newer_one(
    make_monitor: MakeMonitor, clock: Clock, gated: Gated
) -> None:
    newer = Gated()
    newer.answer = Status.DEGRADED
    runs = iter([gated, newer])
    monitor = make_monitor(drive(lambda: next(runs)(), max_stale=0.0))
    hang(monitor, gated, clock)
    clock.advance(1.0)
    report = in_background(monitor.report)
    newer.let_through()
    assert report().status is Status.DEGRADED

    gated.let_through()

    eventually(lambda: lane_of(monitor).slots.hung.total() == 0)
    assert monitor.status() is Status.DEGRADED


def test_a_hung_probe_leaves_other_probes_alone(
    make_monitor: MakeMonitor, clock: Clock, gated: Gated
) -> None:
    monitor = make_monitor(drive(gated, critical=False), Probe(name="other", call=lambda: True))
    report = in_background(monitor.report)
    gated.wait_for_start()
    waited_for(monitor)
    eventually(lambda: not lane_of(monitor, "other")._flights)
    clock.advance(0.05)

    assert result_of(report(), "other") == ProbeResult(Status.OK)
    assert report().status is Status.DEGRADED


def test_a_re_try_that_succeeds_mends_the_verdict(
    make_monitor: MakeMonitor, clock: Clock, gated: Gated
) -> None:
    monitor = make_monitor(drive(Hanging(gated, 1)))
    hang(monitor, gated, clock)

    clock.advance(1.0)
    monitor.report()

    eventually(lambda: monitor.status() is Status.OK)


class Hanging:
    """A probe whose first runs hang, and whose others do not."""

    def __init__(self, gated: Gated, hung: int) -> None:
        self._gated = gated
        self._hung = hung

    def __call__(self, *arguments: object) -> bool:
        self._hung -= 1
        if self._hung >= 0:
            self._gated()
        return True


def test_a_runs_timeout_counts_from_its_start_and_not_from_its_queueing(
    make_monitor: MakeMonitor, clock: Clock, gated: Gated
) -> None:
    monitor = make_monitor(drive(gated, scope="organization", slots=1), DEADLINE=PATIENCE)
    first = in_background(lambda: monitor.report("org_a"))
    gated.wait_for_start()
    queued = in_background(lambda: monitor.report("org_b"))
    eventually(lambda: lane_of(monitor)._queue)
    clock.advance(4.9)
    gated.let_through()
    gated.wait_for_start()

    clock.advance(4.9)
    gated.let_through()

    assert first().available
    assert queued().available


def test_an_overdue_run_gives_its_slot_back(
    make_monitor: MakeMonitor, clock: Clock, gated: Gated
) -> None:
    monitor = make_monitor(drive(gated, scope="organization", slots=1))
    hang(monitor, gated, clock, "org_hung")

    fine = in_background(lambda: monitor.report("org_fine"))
    gated.wait_for_start()
    gated.let_through(2)

    assert fine().available


def test_what_waits_for_a_slot_has_it_when_the_run_before_is_overdue(
    make_monitor: MakeMonitor, clock: Clock, gated: Gated
) -> None:
    monitor = make_monitor(
        drive(gated, scope="organization", slots=1, timeout=0.5), DEADLINE=PATIENCE
    )
    in_background(lambda: monitor.report("org_hung"))
    gated.wait_for_start()
    waiting = in_background(lambda: monitor.report("org_fine"))
    eventually(lambda: lane_of(monitor)._queue)
    eventually(lambda: engine_threads("watch"))

    clock.advance(0.5)
    gated.wait_for_start()
    gated.let_through(2)

    assert waiting().available


@pytest.mark.parametrize(("part", "method"), [("_runner", "run"), ("_keeper", "settle")])
def test_what_must_not_raise_costs_no_slot_when_it_does(
    make_monitor: MakeMonitor, monkeypatch: pytest.MonkeyPatch, part: str, method: str
) -> None:
    """If the engine itself raises, out of memory for example, the slot is free again."""

    def out_of_memory(*arguments: object) -> t.NoReturn:
        raise MemoryError

    monitor = make_monitor(drive(Told(), slots=1, ttl=0), DEADLINE=PATIENCE)
    with monkeypatch.context() as patch:
        patch.setattr(getattr(lane_of(monitor), part), method, out_of_memory)
        found = [monitor.report().available for _ in range(3)]

    assert found == [False] * 3
    assert monitor.report().available


def test_a_thread_that_did_not_come_is_called_again_by_the_next_request(
    make_monitor: MakeMonitor, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The next request calls a thread again for a flight that has not begun."""
    monitor = make_monitor(drive(Told()), DEADLINE=PATIENCE)
    with monkeypatch.context() as patch:
        patch.setattr(lane_of(monitor)._threads, "run", lambda name, call: True)
        begin(monitor)
    clock.advance(0.05)

    assert monitor.report().available


def test_a_thread_that_did_not_come_is_called_again_by_the_watch(
    make_monitor: MakeMonitor, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without another request, the watch calls that thread again."""
    monitor = make_monitor(drive(Told()))
    with monkeypatch.context() as patch:
        patch.setattr(lane_of(monitor)._threads, "run", lambda name, call: True)
        flight = begin(monitor)

    monitor._current()._watch.attend()

    eventually(lambda: status_of(flight.entry) is Status.OK)
