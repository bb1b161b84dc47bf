"""The watch: what looks after overdue runs, while there are any."""

from __future__ import annotations

import threading
from collections.abc import Callable

import pytest

from flask_connector_health.engine.background import Watch
from flask_connector_health.engine.threads import Threads
from flask_connector_health.probes.spec import Probe

from .clockwork import (
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
from .conftest import MakeMonitor


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
