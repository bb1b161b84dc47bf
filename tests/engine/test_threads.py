"""Threads: made when they are needed, used again, and nobody's but the engine's."""

from __future__ import annotations

import contextvars
import threading
import time
import typing as t

import pytest

from flask_connector_health import ProbeResult, Status
from flask_connector_health.engine import threads as threads_module
from flask_connector_health.engine.entry import Ended, entry_of, status_of
from flask_connector_health.engine.flight import Flight
from flask_connector_health.engine.threads import Bell, Threads
from flask_connector_health.probes.spec import Probe
from tests.clockwork import (
    PATIENCE,
    Clock,
    Told,
    drive,
    engine_threads,
    eventually,
    in_background,
    lane_of,
    refusing,
    result_of,
    waited_for,
)
from tests.conftest import MakeMonitor


@pytest.fixture
def threads() -> Threads:
    return Threads()


class Held:
    """Calls that keep their threads until they are let go."""

    def __init__(self) -> None:
        self.names: list[str] = []
        self.started = threading.Semaphore(0)
        self.release = threading.Event()

    def __call__(self) -> None:
        self.names.append(threading.current_thread().name)
        self.started.release()
        self.release.wait(PATIENCE)

    def wait_for_start(self) -> None:
        assert self.started.acquire(timeout=PATIENCE)


def test_calls_are_made_beside_each_other_in_threads_that_say_what_they_do(
    threads: Threads,
) -> None:
    held = Held()

    for number in range(5):
        assert threads.run(f"call-{number}", held)
    for _ in range(5):
        held.wait_for_start()

    assert sorted(held.names) == [f"connector-health call-{number}" for number in range(5)]
    held.release.set()


def test_a_thread_that_waits_for_work_is_used_again(
    threads: Threads, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(threads_module, "IDLE", 0.5)
    seen = set()
    began = time.monotonic()

    for _ in range(10):
        threads.run("call", lambda: seen.add(threading.get_ident()))
        eventually(lambda: threads._idle)

    assert len(seen) == 1
    assert time.monotonic() - began < 2.5  # unless each was found out only as it went


def test_threads_end_when_they_have_been_idle(make_monitor: MakeMonitor, clock: Clock) -> None:
    monitor = make_monitor(drive(Told(), timeout=86_400.0))  # time flies in the end
    monitor.report()
    eventually(lambda: engine_threads("watch"))

    clock.close()

    eventually(lambda: not engine_threads())
    too_old = entry_of(ProbeResult(Status.OK), 0.0, Ended(0.0, 0.0, 0.0))
    monitor._current().service.records.replace(None, 0, lambda _: too_old)
    eventually(lambda: monitor.report().available)


def test_a_call_that_comes_as_its_thread_goes_is_made(
    threads: Threads, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A thread that gives up waiting still makes a call that was promised to it."""
    made, going, is_taken = threading.Event(), threading.Event(), threads._is_taken

    def note(hand: t.Any) -> bool:
        going.set()
        return is_taken(hand)

    monkeypatch.setattr(threads_module, "IDLE", 0.2)  # or this thread may never see it idle
    monkeypatch.setattr(threads, "_is_taken", note)
    monkeypatch.setattr(threads_module, "START", PATIENCE)
    threads.run("call", lambda: None)
    eventually(lambda: threads._idle)
    bell, given = threads._idle.pop()  # a caller has taken it...
    assert going.wait(PATIENCE)

    given.append(("call", made.set))  # ...and is slow
    bell.ring()

    assert made.wait(PATIENCE)


def test_a_thread_whose_call_never_comes_ends(
    threads: Threads, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A caller that was interrupted leaves no thread waiting for ever."""
    monkeypatch.setattr(threads_module, "IDLE", 0.2)  # or this thread may never see it idle
    threads.run("call", lambda: None)
    eventually(lambda: threads._idle)

    threads._idle.clear()  # an exception came between two steps of who took it

    eventually(lambda: not engine_threads())


def test_a_thread_that_was_started_and_never_began_is_given_up(
    threads: Threads, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After a while, another thread is started for the same calls."""
    made = threading.Semaphore(0)
    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", lambda thread: None)
        threads.run("call", made.release)
    assert threads.run("call", made.release)  # it might still come
    time.sleep(threads_module.START)

    threads.run("call", made.release)

    for _ in range(3):
        assert made.acquire(timeout=PATIENCE)


def test_an_exception_that_a_run_left_behind_costs_no_thread_of_another(
    make_monitor: MakeMonitor, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A timer of a probe may raise in a thread that waits for its next call."""
    hear, left = Bell.hear, [TimeoutError("of a timer that is still set")]

    def raise_it(bell: Bell, timeout: float = -1) -> bool:
        if left and threading.current_thread().name == "connector-health idle":
            raise left.pop()
        return hear(bell, timeout)

    monkeypatch.setattr(Bell, "hear", raise_it)
    monitor = make_monitor(drive(Told(), slots=1, ttl=0), DEADLINE=PATIENCE)

    assert [in_background(monitor.report)().available for _ in range(3)] == [True] * 3
    assert left == []


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

    monkeypatch.setattr(threading.Thread, "start", note)
    meeting = threading.Barrier(20)

    def meet() -> bool:
        meeting.wait(PATIENCE)
        return True

    others = [Probe(name=f"other-{number}", call=meet) for number in range(20)]
    monitor = make_monitor(*others, DEADLINE=PATIENCE)

    assert monitor.report().available
    assert len(started) <= 2  # one for all runs, and one that starts the others


# Whose they are


def test_no_thread_begins_in_the_context_of_who_needs_it(
    make_monitor: MakeMonitor, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Thread.start is called in an empty context, which tracers would hand on."""
    request = contextvars.ContextVar("request", default="none")
    start, seen = threading.Thread.start, set()

    def copying(thread: threading.Thread) -> None:
        seen.add((thread.name.startswith("connector-health"), request.get()))
        start(thread)

    monkeypatch.setattr(threading.Thread, "start", copying)
    monitor = make_monitor(drive(Told(False)), Probe(name="other", call=Told()))
    request.set("a request")

    monitor.report()

    assert seen == {(True, "none")}


# Without threads


def test_a_thread_that_the_system_refuses_is_named_in_the_result_and_the_log(
    make_monitor: MakeMonitor,
    clock: Clock,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monitor = make_monitor(drive(Told()))
    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", refusing(threading.Event()))
        waiting = in_background(monitor.report)
        waited_for(monitor)
        clock.advance(0.05)
        report = waiting()

    assert result_of(report).message.startswith(
        "the system has no thread for this probe; raise the"
    )
    line = "probe 'drive' has no verdict, so the service is answered as unavailable: the system"
    assert line in caplog.text
    clock.advance(1.0)
    eventually(lambda: monitor.report().status is Status.OK)


def test_a_thread_that_was_refused_is_asked_for_without_another_request(
    make_monitor: MakeMonitor, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monitor = make_monitor(drive(Told()))
    monitor._current()._watch.attend()
    eventually(lambda: engine_threads("watch"))
    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", refusing(threading.Event()))
        flight = lane_of(monitor).join(None)
        assert isinstance(flight, Flight)
        lane_of(monitor).call(flight)

    clock.advance(5.0)

    eventually(lambda: flight.has_landed)
    assert flight.entry is not None
    assert status_of(flight.entry) is Status.OK
