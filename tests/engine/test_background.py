"""The background: calls in their order, none lost because of another; and the watch."""

from __future__ import annotations

import contextvars
import functools
import threading
from collections.abc import Callable

import pytest

from flask_connector_health.engine import threads as threads_module
from flask_connector_health.engine.background import Background, Watch
from flask_connector_health.engine.threads import Threads
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
    refusing,
)
from tests.conftest import MakeMonitor

CALLS = 1_000


@pytest.fixture
def background() -> Background:
    return Background("background", Threads(), CALLS)


def test_calls_behind_one_that_blocks_are_bounded(background: Background) -> None:
    """Behind a call that blocks, only the latest calls are kept."""
    made: list[int] = []
    release = threading.Event()
    background.do(lambda: release.wait(PATIENCE))
    eventually(lambda: not background._calls)

    for number in range(CALLS + 10):
        background.do(functools.partial(made.append, number))
    release.set()
    eventually(lambda: not engine_threads("background"))

    assert made == list(range(10, CALLS + 10))


def test_calls_are_made_in_their_order(background: Background) -> None:
    made: list[int] = []

    for number in range(CALLS):
        background.do(functools.partial(made.append, number))

    eventually(lambda: len(made) == CALLS)
    assert made == list(range(CALLS))


def test_a_call_that_raises_costs_no_other(background: Background) -> None:
    made: list[int] = []

    background.do(lambda: 1 / 0)
    background.do(lambda: made.append(1))

    eventually(lambda: made == [1])


def test_without_a_thread_it_says_so_and_its_caller_may_do_the_work(
    background: Background, monkeypatch: pytest.MonkeyPatch
) -> None:
    """If the system has no thread, do() returns False, and work() makes the calls."""
    made: list[str] = []
    monkeypatch.setattr(threading.Thread, "start", refusing(threading.Event()))

    assert not background.do(lambda: made.append(threading.current_thread().name))
    background.work()

    assert made == [threading.current_thread().name]


def test_a_call_sees_no_context_but_its_own(
    background: Background,
) -> None:
    request = contextvars.ContextVar("request", default="none")
    seen: list[str] = []
    request.set("a request")

    def call() -> None:
        seen.append(request.get())
        request.set("a call's")

    background.do(call)
    background.do(call)

    eventually(lambda: seen == ["none", "none"])


def test_it_starts_no_thread_before_there_is_something_to_look_after(
    make_monitor: MakeMonitor,
) -> None:
    make_monitor(drive(Told()))

    assert engine_threads() == []


def watching(look: Callable[[], float | None], clock: Clock) -> Watch:
    return Watch(look, 10.0, Threads(), clock)


def test_a_look_that_raises_is_not_the_last(clock: Clock) -> None:
    looked = threading.Event()
    looks = iter([MemoryError()])

    def look() -> float | None:
        error = next(looks, None)
        if error is not None:
            raise error
        looked.set()
        return None

    watching(look, clock).attend()
    clock.close()

    assert looked.wait(PATIENCE)


def test_whoever_comes_as_it_ends_is_looked_after(clock: Clock) -> None:
    """A call of attend() during the last look leads to another look."""

    def attend() -> None:
        watch.attend()

    looks: list[Callable[[], float | None]] = [
        lambda: None,
        attend,  # after the last look of a turn there is one more
        lambda: None,
        lambda: None,
    ]
    watch = watching(lambda: looks.pop(0)() if looks else None, clock)

    watch.attend()
    clock.close()

    eventually(lambda: not engine_threads("watch"))
    assert looks == []


def test_two_threads_do_not_look_at_once(clock: Clock) -> None:
    """A second thread that comes to look finds the first one at it, and leaves."""
    looking, release = threading.Semaphore(0), threading.Event()

    def look() -> float | None:
        looking.release()
        release.wait(PATIENCE)
        return None

    watch = watching(look, clock)
    watch.attend()
    assert looking.acquire(timeout=PATIENCE)

    watch._background.work()

    assert not looking.acquire(blocking=False)
    clock.close()
    release.set()


def test_a_watch_that_was_refused_is_asked_for_again(
    make_monitor: MakeMonitor, clock: Clock, gated: Gated, monkeypatch: pytest.MonkeyPatch
) -> None:
    """If the system had no thread for the watch, the next run calls it again."""
    monitor = make_monitor(drive(gated))
    refused = threading.Event()
    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", refusing(refused))
        monitor._current()._watch.attend()
    assert refused.is_set()

    report = in_background(monitor.report)
    gated.wait_for_start()
    eventually(lambda: engine_threads("watch"))
    clock.advance(5.0)

    assert not report().available
    eventually(lambda: len(monitor._current().service.records) == 1)


@pytest.mark.parametrize(
    ("timeout", "pause"), [(0.001, 0.01), (0.015625, 0.015625), (60.0, 1 / 64)]
)
def test_it_looks_again_after_the_shortest_timeout_within_limits(
    make_monitor: MakeMonitor,
    clock: Clock,
    monkeypatch: pytest.MonkeyPatch,
    timeout: float,
    pause: float,
) -> None:
    monkeypatch.setattr(threads_module, "IDLE", 1 / 64)  # exact in binary
    slept: list[float] = []
    sleep_until = clock.sleep_until

    def note(until: float) -> None:
        slept.append(until - clock.now())
        sleep_until(until)

    monkeypatch.setattr(clock, "sleep_until", note)
    monitor = make_monitor(
        drive(Told(), timeout=timeout), Probe(name="other", call=Told(), timeout=60.0)
    )

    monitor._current()._watch.attend()
    eventually(lambda: slept)

    assert slept[0] == pytest.approx(pause)
