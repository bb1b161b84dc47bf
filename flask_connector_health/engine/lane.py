"""A probe's lane: its own few threads and queue, so that a hung probe exhausts only itself."""

from __future__ import annotations

import math
import threading
import typing as t
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

from flask_connector_health.model import ProbeResult, Status
from flask_connector_health.probes.spec import Probe

# Runs that may wait for a slot: more would miss every deadline, and only hold memory.
QUEUE = 1_000


class Outcome(t.NamedTuple):
    """A settled run: its result, and the exception behind it if there was one."""

    result: ProbeResult
    cause: BaseException | None = None


class Flight:
    """One run of a key, shared by everybody who asks for it meanwhile.

    ``outcome`` is set before ``done``; without one, the run found no capacity. ``claimed`` once
    somebody has its outcome in hand: nobody else may settle it then.
    """

    __slots__ = ("claimed", "done", "organization_id", "outcome", "started")

    def __init__(self, organization_id: str | None) -> None:
        self.organization_id = organization_id
        self.done = threading.Event()
        self.outcome: Outcome | None = None
        self.started: float | None = None
        self.claimed = False


@dataclass(frozen=True, slots=True)
class Timing:
    """A probe's times in seconds, with the defaults filled in."""

    timeout: float
    ttl: float
    max_stale: float


class Lane:
    """Runs one probe in daemon threads that end when nothing is queued.

    Whoever claims a flight settles it, so it is settled once: by its own thread, or, once
    overdue, by whoever asks next. Python cannot stop a thread, so an overdue one is written
    off: it keeps its slot until it returns, and its result is discarded.

    :param execute: runs the probe for an organization; it must not raise.
    :param settle: hears of every run's outcome, before anybody who waits for it; nor must this.
    :param clock: monotonic seconds.
    """

    def __init__(
        self,
        probe: Probe,
        timing: Timing,
        slots: int,
        *,
        execute: Callable[[Probe, str | None], Outcome],
        settle: Callable[[Lane, Flight, Outcome], None],
        clock: Callable[[], float],
    ) -> None:
        self.probe = probe
        self.timing = timing
        self.reported_late = -math.inf
        self._slots = slots
        self._execute = execute
        self._settle = settle
        self._clock = clock
        self._lock = threading.Lock()
        self._flights: dict[str | None, Flight] = {}
        self._queue: deque[Flight] = deque()
        self._working = 0
        self._hung = 0

    def join(self, organization_id: str | None, *, unless: Callable[[], bool]) -> Flight | None:
        """Share the organization's flight, or start one. Never waits for a probe.

        :param unless: asked before one is started, when none can settle meanwhile: whether the
            result of an earlier one has come in. There is no flight to share then.
        """
        with self._lock:
            flight = self._flights.get(organization_id)
            if flight is None:
                if unless():
                    return None
                flight = Flight(organization_id)
                if len(self._queue) >= QUEUE:
                    flight.done.set()
                else:
                    self._flights[organization_id] = flight
                    self._queue.append(flight)
        self.reap()
        return flight

    def reap(self) -> None:
        """Settle the runs that are overdue as failed, and write their threads off.

        When all threads hang, what waits for one is told so. It has not failed by that, so
        nobody else hears of it: the next request asks again.
        """
        with self._lock:
            overdue = [flight for flight in self._flights.values() if self._is_overdue(flight)]
            self._hung += len(overdue)
            self._working -= len(overdue)
            stranded = list(self._queue) if self._hung >= self._slots else []
            for flight in overdue + stranded:
                flight.claimed = True
            if stranded:
                self._queue.clear()
            self._employ()
        for flight in overdue:
            self._conclude(flight, self._overdue())
        for flight in stranded:
            self._release(flight, self._all_hung())

    def wait(self, flight: Flight, until: float) -> None:
        """Wait for a flight to be settled, until the clock reads ``until`` at the latest."""
        while not flight.done.is_set():
            now = self._clock()
            if now >= until:
                return
            self.reap()
            started = now if flight.started is None else flight.started
            limit = until if flight.claimed else min(until, started + self.timing.timeout)
            flight.done.wait(max(0.0, limit - now))

    def _employ(self) -> None:
        """Start a thread if one is wanted and a slot is free. Call with the lock held."""
        if not self._queue or self._working + self._hung >= self._slots:
            return
        thread = threading.Thread(
            target=self._work, name=f"connector-health {self.probe.name}", daemon=True
        )
        try:
            thread.start()
        except (RuntimeError, MemoryError):
            return  # the system has no thread to give: the next caller tries again
        self._working += 1

    def _work(self) -> None:
        while (flight := self._take()) is not None:
            outcome = self._execute(self.probe, flight.organization_id)
            self._finish(flight, outcome)

    def _take(self) -> Flight | None:
        with self._lock:
            if not self._queue:
                self._working -= 1
                return None
            flight = self._queue.popleft()
            flight.started = self._clock()
            return flight

    def _finish(self, flight: Flight, outcome: Outcome) -> None:
        with self._lock:
            late = self._is_overdue(flight)
            written_off = flight.claimed
            if written_off:
                self._hung -= 1
                self._working += 1
            flight.claimed = True
        if not written_off:
            self._conclude(flight, self._overdue() if late else outcome)

    def _conclude(self, flight: Flight, outcome: Outcome) -> None:
        try:
            self._settle(self, flight, outcome)
        finally:
            # Only now: whoever finds no flight from here on finds the result.
            self._release(flight, outcome)

    def _release(self, flight: Flight, outcome: Outcome) -> None:
        flight.outcome = outcome
        with self._lock:
            del self._flights[flight.organization_id]
        flight.done.set()

    def _is_overdue(self, flight: Flight) -> bool:
        if flight.claimed or flight.started is None:
            return False
        return self._clock() - flight.started >= self.timing.timeout

    def _overdue(self) -> Outcome:
        text = (
            f"no answer within its timeout of {self.timing.timeout:g} s;"
            " give the client that it uses a shorter timeout of its own"
        )
        return Outcome(ProbeResult(Status.UNAVAILABLE, text))

    def _all_hung(self) -> Outcome:
        text = (
            f"all {self._slots} of its threads hang in earlier runs, so it cannot be run;"
            " give the client that it uses a timeout"
        )
        return Outcome(ProbeResult(Status.UNAVAILABLE, text))
