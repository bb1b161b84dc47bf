"""A clock that only a test moves, probes that only it lets go, and ways to wait for them."""

from __future__ import annotations

import threading
import time
import typing as t
from collections.abc import Callable

from flask import Flask

from flask_connector_health import ProbeResult, Report, get_monitor
from flask_connector_health.engine import environment
from flask_connector_health.engine.flight import Flight
from flask_connector_health.engine.lane import Lane
from flask_connector_health.engine.monitor import Monitor
from flask_connector_health.probes.spec import Probe

# Real seconds: only a test that fails waits this long.
PATIENCE = 10.0

T = t.TypeVar("T")


class Clock(environment.Clock):
    """Monotonic seconds that only a test moves, until it is closed and time flies."""

    def __init__(self) -> None:
        self.time = 1_000.0
        self.epoch = 1e9  # what the time of day is ahead of that
        self._closed = False
        self._moved = threading.Condition()

    def now(self) -> float:
        return self.time

    def time_of_day(self) -> float:
        return self.epoch + self.time

    def advance(self, seconds: float) -> None:
        with self._moved:
            self.time += seconds
            self._moved.notify_all()

    def sleep_until(self, until: float) -> None:
        with self._moved:
            self._moved.wait_for(lambda: self._closed or self.time >= until)
            self.time = max(self.time, until)

    def close(self) -> None:
        with self._moved:
            self._closed = True
            self._moved.notify_all()


class Gated:
    """A probe whose runs wait until they are let through, one by one."""

    def __init__(self) -> None:
        self.answer: object = True
        self.started = threading.Semaphore(0)
        self.runs = 0
        self._gate = threading.Semaphore(0)

    def __call__(self, *arguments: object) -> t.Any:
        self.runs += 1
        answer = self.answer
        self.started.release()
        self._gate.acquire(timeout=PATIENCE)
        return answer

    def wait_for_start(self) -> None:
        assert self.started.acquire(timeout=PATIENCE)

    def let_through(self, runs: int = 1) -> None:
        self._gate.release(runs)


class Told:
    """A probe that answers, or raises, as it was told last."""

    def __init__(self, answer: object = True) -> None:
        self.answer = answer
        self.runs = 0

    def __call__(self, *arguments: object) -> t.Any:
        self.runs += 1
        if isinstance(self.answer, BaseException):
            raise self.answer
        return self.answer


def drive(call: Callable[..., t.Any], **options: t.Any) -> Probe:
    return Probe(name="drive", call=call, **options)


def result_of(report: Report, name: str = "drive") -> ProbeResult:
    """Read the result of a probe that the report has once."""
    [result] = [result for result in report.results if result.name == name]
    return ProbeResult(result.status, result.message)


def names_in(report: Report) -> list[str]:
    return [result.name for result in report.results]


def engine_of(app: Flask) -> Monitor:
    return get_monitor(app)


def report_of(app: Flask, organization_id: str | None = None) -> Report:
    return engine_of(app).report(organization_id)


def lane_of(monitor: Monitor, name: str = "drive") -> Lane:
    process = monitor._current()
    lanes = process.service.lanes + process.organization.lanes
    return next(lane for lane in lanes if lane.probe.name == name)


def waited_for(monitor: Monitor) -> None:
    """Let a request come to where it waits, so that its deadline is set."""
    flights = lane_of(monitor)._flights
    eventually(lambda: [f for f in flights.copy().values() if f.deadline is not None])


def hang(monitor: Monitor, gated: Gated, clock: Clock, key: str | None = None) -> None:
    """Start a run for this key and let it hang, until it is settled as failed."""
    flight = begin(monitor, key)
    gated.wait_for_start()
    monitor._current()._watch.attend()
    eventually(lambda: engine_threads("watch"))
    clock.advance(5.0)
    eventually(lambda: flight.has_landed)


def is_told(monitor: Monitor) -> None:
    """Wait until every listener has been told of everything."""
    for _, background in monitor._current()._announcer._listeners:
        told = threading.Event()
        background.do(told.set)
        assert told.wait(PATIENCE)


def keeps_a_thread_until(monitor: Monitor, release: threading.Event) -> None:
    """Let a run be written off that has its verdict, and then end what it has left behind."""
    eventually(lambda: lane_of(monitor).slots.hung)
    release.set()
    eventually(lambda: not lane_of(monitor).slots.hung)


def begin(monitor: Monitor, key: str | None = None, name: str = "drive") -> Flight:
    """Start a run for this key, and wait for nothing."""
    lane = lane_of(monitor, name)
    flight = lane.join(key)
    assert isinstance(flight, Flight)
    lane.call(flight)
    return flight


def in_background(call: Callable[[], T]) -> Callable[[], T]:
    """Start a call in a thread of its own; calling the answer waits for what it returns."""
    returned: list[T] = []
    thread = threading.Thread(target=lambda: returned.append(call()), daemon=True)
    thread.start()

    def outcome() -> T:
        thread.join(PATIENCE)
        return returned[0]

    return outcome


def eventually(condition: Callable[[], object]) -> None:
    """Let other threads go on until they have brought this about."""
    end = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.001)


def engine_threads(name: str = "") -> list[threading.Thread]:
    """List the threads of engines that are alive, by what they do."""
    prefix = f"connector-health {name}"
    return [thread for thread in threading.enumerate() if thread.name.startswith(prefix)]


def refusing(refused: threading.Event) -> Callable[[threading.Thread], None]:
    """Make a Thread.start that the system refuses for threads of engines."""
    start = threading.Thread.start

    def refuse(thread: threading.Thread) -> None:
        if thread.name.startswith("connector-health"):
            refused.set()
            raise RuntimeError("can't start new thread")
        start(thread)

    return refuse
