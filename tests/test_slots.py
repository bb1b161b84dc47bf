"""A lane's threads: never more than its slots, whatever becomes of its runs."""

from __future__ import annotations

import functools
import threading
import time
import typing as t

import pytest

from flask_connector_health import ProbeResult, Status
from flask_connector_health.engine import errands as errands_module
from flask_connector_health.engine import lane as lane_module
from flask_connector_health.model import UNKNOWN
from flask_connector_health.probes.spec import Probe

from .clockwork import (
    PATIENCE,
    Clock,
    Gated,
    Told,
    drive,
    engine_threads,
    eventually,
    hang,
    in_background,
    lane_of,
    refusing,
    result_of,
    waited_for,
)
from .conftest import MakeMonitor


def test_threads_never_exceed_the_slots(make_monitor: MakeMonitor, gated: Gated) -> None:
    monitor = make_monitor(drive(gated, scope="organization", slots=2))

    reports = [
        in_background(functools.partial(monitor.report, f"org_{number}"))
        for number in range(20)
    ]
    eventually(lambda: len(lane_of(monitor)._flights) == 20)
    for _ in range(2):
        gated.wait_for_start()

    assert len(engine_threads("drive")) == 2
    gated.let_through(20)
    assert {report().status for report in reports} == {Status.OK}


def test_a_thread_that_waits_for_work_is_used_again(
    make_monitor: MakeMonitor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lane_module, "IDLE", 0.5)
    seen = set()
    began = time.monotonic()

    def call() -> bool:
        seen.add(threading.get_ident())
        return True

    monitor = make_monitor(drive(call, ttl=0))

    for _ in range(10):
        monitor.report()
        eventually(lambda: lane_of(monitor)._idle == 1)

    assert len(seen) == 1
    assert time.monotonic() - began < 2.5  # unless each was found out only as it went


def test_threads_end_when_they_have_been_idle(make_monitor: MakeMonitor, clock: Clock) -> None:
    monitor = make_monitor(drive(Told(), timeout=86_400.0))  # time flies in the end
    monitor.report()
    eventually(lambda: engine_threads("watch"))

    clock.close()

    eventually(lambda: not engine_threads())
    monitor._current().service.records.update(None, lambda _: (0.0, 0, (None,)))
    eventually(lambda: monitor.report().available)


def test_two_runs_at_once_do_not_queue_for_one_idle_thread(
    make_monitor: MakeMonitor, gated: Gated, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lane_module, "IDLE", 0.3)
    monitor = make_monitor(drive(gated, scope="organization"))
    gated.let_through()
    monitor.report("org_first")
    gated.wait_for_start()
    eventually(lambda: lane_of(monitor)._idle == 1)

    for organization_id in ("org_a", "org_b"):
        lane_of(monitor).join(organization_id, unless=lambda: False)

    gated.wait_for_start()
    gated.wait_for_start()


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


def test_when_all_slots_hang_the_result_and_the_log_say_so(
    make_monitor: MakeMonitor, clock: Clock, gated: Gated, caplog: pytest.LogCaptureFixture
) -> None:
    monitor = make_monitor(drive(gated, scope="organization", slots=2))
    for organization_id in ("org_a", "org_b"):
        hang(monitor, gated, clock, organization_id)

    result = result_of(monitor.report("org_c"))

    text = "all 2 of its threads hang in earlier runs, so it cannot be run; give the client"
    assert result.message.startswith(text)
    assert result.status is Status.UNAVAILABLE
    expected = f"probe 'drive' of organization 'org_c' counts as unavailable: {text}"
    eventually(lambda: expected in caplog.text)
    assert gated.runs == 2


def test_what_waits_for_a_slot_is_told_so_when_the_last_one_hangs(
    make_monitor: MakeMonitor, clock: Clock, gated: Gated
) -> None:
    monitor = make_monitor(
        drive(gated, scope="organization", slots=1, timeout=0.5), DEADLINE=PATIENCE
    )
    in_background(lambda: monitor.report("org_a"))
    gated.wait_for_start()
    waiting = in_background(lambda: monitor.report("org_b"))
    eventually(lambda: lane_of(monitor)._queue)
    eventually(lambda: engine_threads("watch"))

    clock.advance(0.5)

    assert result_of(waiting()).message.startswith("all 1 of its threads hang in earlier runs")
    assert gated.runs == 1


def test_no_capacity_is_neither_kept_nor_logged_as_a_failure(
    make_monitor: MakeMonitor, clock: Clock, gated: Gated, caplog: pytest.LogCaptureFixture
) -> None:
    monitor = make_monitor(drive(gated, scope="organization", slots=1))
    hang(monitor, gated, clock, "org_a")

    stranded = monitor.report("org_b")
    gated.let_through(2)
    eventually(lambda: lane_of(monitor)._hung.total() == 0)

    assert not stranded.available
    assert monitor.report("org_b").available
    gated.answer = False
    gated.let_through()
    monitor.report("org_c")
    eventually(lambda: "'org_c' is unavailable" in caplog.text)
    assert "'org_b' is unavailable" not in caplog.text


def test_hung_threads_count_among_the_slots(
    make_monitor: MakeMonitor, clock: Clock, gated: Gated
) -> None:
    monitor = make_monitor(drive(gated, scope="organization", slots=2))
    hang(monitor, gated, clock, "org_hung")

    for number in range(3):
        lane_of(monitor).join(f"org_{number}", unless=lambda: False)
    gated.wait_for_start()

    assert len(engine_threads("drive")) == 2
    gated.let_through(4)
    eventually(lambda: lane_of(monitor)._hung.total() == 0)


def test_a_hung_run_that_returns_gives_its_slot_back(
    make_monitor: MakeMonitor, clock: Clock, gated: Gated
) -> None:
    monitor = make_monitor(drive(gated, slots=1, max_stale=0.0))
    hang(monitor, gated, clock)
    clock.advance(1.0)
    assert result_of(monitor.report()).message.startswith("all 1 of its threads hang")

    gated.let_through(2)
    eventually(lambda: lane_of(monitor)._hung.total() == 0)

    assert monitor.report().available
    lane = lane_of(monitor)
    eventually(lambda: (lane._threads, lane._idle) in {(1, 1), (0, 0)})  # idle, or ended


def test_an_organizations_re_tries_leave_half_of_the_slots_to_the_others(
    make_monitor: MakeMonitor, clock: Clock, gated: Gated
) -> None:
    monitor = make_monitor(drive(gated, scope="organization", slots=4, max_stale=0.0))
    for _ in range(2):
        hang(monitor, gated, clock, "org_hung")
    clock.advance(100.0)

    result = result_of(monitor.report("org_hung"))

    assert result.message.startswith("2 of its threads hang in earlier runs for this organiz")
    gated.let_through(3)
    assert monitor.report("org_fine").available
    assert gated.runs == 3


def test_threads_on_their_way_are_counted_on(make_monitor: MakeMonitor, gated: Gated) -> None:
    monitor = make_monitor(drive(gated, slots=16))

    reports = [in_background(monitor.report) for _ in range(30)]
    eventually(lambda: lane_of(monitor)._flights)
    gated.let_through()

    assert all(report().available for report in reports)
    assert lane_of(monitor)._threads <= 1


def test_a_request_starts_one_thread_itself_whatever_the_number_of_probes(
    make_monitor: MakeMonitor, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Where a probe spins on the CPU, each start of a thread costs who makes it two turns.
    started = []
    start = threading.Thread.start

    def note(thread: threading.Thread) -> None:
        if threading.current_thread() is threading.main_thread():
            started.append(thread.name)
        start(thread)

    monkeypatch.setattr(errands_module, "IDLE", 0.5)
    monkeypatch.setattr(threading.Thread, "start", note)
    others = [Probe(name=f"other-{number}", call=Told()) for number in range(20)]
    monitor = make_monitor(drive(Told()), *others, DEADLINE=PATIENCE)

    assert monitor.report().available
    assert started == ["connector-health starter"]


def test_an_exception_that_a_run_left_behind_costs_no_thread(
    make_monitor: MakeMonitor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monitor = make_monitor(drive(Told(), slots=1, ttl=0), DEADLINE=PATIENCE)
    lane = lane_of(monitor)
    wait, left = lane._wanted.wait, [TimeoutError("of a timer that is still set")]

    def raise_it(timeout: float) -> bool:
        if left:
            raise left.pop()
        return wait(timeout)

    monkeypatch.setattr(lane._wanted, "wait", raise_it)

    assert [in_background(monitor.report)().available for _ in range(3)] == [True] * 3
    eventually(lambda: (lane._threads, lane._idle) == (0, 0))


@pytest.mark.parametrize("part", ["_execute", "_settle"])
def test_what_must_not_raise_costs_no_slot_when_it_does(
    make_monitor: MakeMonitor, monkeypatch: pytest.MonkeyPatch, part: str
) -> None:
    def out_of_memory(*arguments: object) -> t.NoReturn:
        raise MemoryError

    monitor = make_monitor(drive(Told(), slots=1, ttl=0), DEADLINE=PATIENCE)
    with monkeypatch.context() as patch:
        patch.setattr(lane_of(monitor), part, out_of_memory)
        found = [monitor.report().available for _ in range(3)]

    assert found == [False] * 3
    assert monitor.report().available


def test_a_thread_that_was_refused_is_asked_for_without_another_request(
    make_monitor: MakeMonitor, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monitor = make_monitor(drive(Told()))
    refused = threading.Event()
    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", refusing("connector-health drive", refused))
        in_background(monitor.report)
        waited_for(monitor)
        assert refused.wait(PATIENCE)
        [flight] = lane_of(monitor)._flights.values()

    clock.advance(5.0)

    assert flight.done.wait(PATIENCE)
    assert flight.result == ProbeResult(Status.OK)


def test_beyond_a_full_queue_there_is_no_verdict(
    make_monitor: MakeMonitor,
    clock: Clock,
    gated: Gated,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr(lane_module, "QUEUE", 1)
    monitor = make_monitor(drive(gated, scope="organization", slots=1))
    running = in_background(lambda: monitor.report("org_running"))
    gated.wait_for_start()
    queued = in_background(lambda: monitor.report("org_queued"))
    eventually(lambda: lane_of(monitor)._queue)

    refused = result_of(monitor.report("org_too_many"))

    text = "too many of its runs wait for a thread already; make it faster, or raise"
    assert refused.message.startswith(text)
    gated.let_through(3)
    assert running().available
    assert queued().available
    assert monitor.report("org_too_many").available
    eventually(lambda: text in caplog.text)


def test_a_thread_that_the_system_refuses_is_asked_for_again(
    make_monitor: MakeMonitor, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monitor = make_monitor(drive(Told()))
    refused = threading.Event()
    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", refusing("connector-health", refused))
        report = in_background(monitor.report)
        waited_for(monitor)
        assert refused.wait(PATIENCE)
        clock.advance(0.05)
        assert result_of(report()) is UNKNOWN

    monitor.report()

    eventually(lambda: monitor.status() is Status.OK)
