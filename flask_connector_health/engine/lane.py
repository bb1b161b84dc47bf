"""A probe's lane: its own slots and queue, so that a hung probe exhausts only itself."""

from __future__ import annotations

import math
import threading
import typing as t
from collections import Counter, deque
from collections.abc import Callable
from functools import partial

from flask_connector_health.model import ProbeResult
from flask_connector_health.probes.spec import Probe
from flask_connector_health.settings import Settings

from .flight import Flight
from .load import Load
from .outcome import Outcome, Report, overdue, raised
from .policy import Policy
from .threads import NO_THREAD, Threads, locked, name_thread

# Runs that may wait for others to end: more would only hold memory.
QUEUE = 1_000

# Seconds after which a thread that was called for a run, and has not come, is called again.
RECALL = 0.05

# Seconds in which a run that has its verdict gives its thread back.
GRACE = 0.25

# Threads that may hang in runs of the service, or of one organization.
HUNG_IN_SERVICE = 4
HUNG_IN_ORGANIZATION = 2

_ALL_HUNG = (
    "{} of its runs hang, which is all that may, so it cannot be run; give the client that it"
    " uses a timeout"
)
_KEY_HUNG = (
    "{} earlier runs of it hang{}, so it is not run again before one of them ends; give the"
    " client that it uses a timeout"
)


class Lane:
    """Runs one probe: so many runs at once as it has slots.

    Whoever claims a flight settles it, so it is settled once: by its own thread, or, once
    overdue, by a look from outside. Python cannot stop a thread, so an overdue one is written
    off: its slot is free again, and its result is discarded. As many threads may hang as there
    are slots; each one more takes a slot.

    A caller's own thread only puts a flight into the queue, registers it, and calls a thread:
    after each of these steps all is well, or the next caller or look makes it so.

    :param execute: runs the probe, with its timeout, for an organization, and reports what
        came of it. It returns when all that the run has started has ended.
    :param settle: takes a run's outcome and when it came (monotonic seconds), before anybody
        who waits for it, and returns the verdict.
    :param discard: takes the outcome of a run that was settled without it.
    :param attend: sees to it that somebody looks.
    """

    def __init__(
        self,
        probe: Probe,
        settings: Settings,
        *,
        threads: Threads,
        execute: Callable[[Probe, float, str | None, Report], object],
        settle: Callable[[Flight, Outcome, float], ProbeResult],
        discard: Callable[[Flight, Outcome | str], object],
        attend: Callable[[], object],
        clock: Callable[[], float],
    ) -> None:
        self.probe = probe
        self.policy = Policy.of(probe, settings)
        self._threads = threads
        self._execute = execute
        self._settle = settle
        self._discard = discard
        self._attend = attend
        self._deadline = settings.deadline
        self._clock = clock
        self._lock = threading.Lock()
        self._load = Load()
        self._queue: deque[Flight] = deque()
        self._flights: dict[str | None, Flight] = {}  # that are not settled
        self._running: set[Flight] = set()  # that have a thread, which is not written off
        self._hung: Counter[str | None] = Counter()  # threads that are

    @locked
    def join(self, organization_id: str | None, *, unless: Callable[[], bool]) -> Flight | None:
        """Share the organization's flight, or start one. Never waits for a probe.

        :param unless: asked before one is started, when none can settle meanwhile: whether the
            result of an earlier one has come in. There is no flight to share then.
        """
        now = self._clock()
        flight = self._flights.get(organization_id)
        if flight is None:
            if unless():
                return None
            self._load.ask(now)
            flight = Flight(organization_id, now)
            refusal = self._refusal(organization_id, now)
            if refusal is not None:
                return flight.refuse(refusal)
            flight.lacks_thread = len(self._queue) < self._free()
            self._queue.append(flight)
            self._flights[organization_id] = flight
        elif flight.started is None and now >= flight.called + RECALL:
            flight.lacks_thread = self._free() > 0
        return flight

    def call(self, flight: Flight) -> None:
        """Call a thread for a flight that has not begun."""
        flight.called, flight.lacks_thread = self._clock(), False
        if flight.started is None:
            self._threads.run(self.probe.name, self.work)

    def look(self) -> float | None:
        """Settle the runs that are overdue as failed, and write their threads off.

        Then call threads for those that wait. When all that may hang do, what waits is told so.
        It has not failed by that, so nothing is settled: the next request asks again.

        :return: when the next run becomes overdue, infinity if none has begun; ``None`` if
            there is none left to look after.
        """
        with self._lock:
            now = self._clock()
            gone = [flight for flight in self._running if now >= self._gives_back(flight)]
            late = [flight for flight in gone if flight.claimed is None]
            for flight in gone:
                flight.claimed = now
                self._running.discard(flight)
                self._hung[flight.organization_id] += 1
            stranded = [] if self._capacity() > 0 else list(self._queue)
            for flight in stranded:
                self._forget(flight)
            if stranded:
                self._queue.clear()
            due = min(map(self._gives_back, self._running), default=math.inf)
            calls = max(0, min(self._free(), len(self._queue)))
            is_idle = not (self._flights or self._running)
        for flight in stranded:
            flight.refuse(_ALL_HUNG.format(self._hung.total()))
        for flight in late:
            self._conclude(flight, overdue(self.policy.timeout), now)
        for _ in range(calls):
            self._threads.run(self.probe.name, self.work)
        if is_idle:
            return None
        return min(due, now + RECALL) if calls else due

    @locked
    def obstacle(self, flight: Flight) -> str | None:
        """Say what keeps a run from beginning, if something does."""
        if flight.started is not None:
            return None
        if self._free() < 1:
            return self._load.explained(self._clock(), self._capacity())
        return NO_THREAD if self._threads.is_refused else None

    def work(self) -> None:
        """Make the runs that wait, in this thread, as long as there is a slot for it."""
        name_thread(self.probe.name)
        self._attend()
        while (flight := self._take()) is not None:
            report = partial(self._report, flight)
            try:
                self._execute(self.probe, self.policy.timeout, flight.organization_id, report)
            except BaseException as error:  # noqa: BLE001 - it would cost the lane a slot
                self._report(flight, raised(error))
            self._leave(flight)

    def _refusal(self, organization_id: str | None, now: float) -> str | None:
        hung, is_service = self._hung[organization_id], organization_id is None
        most = HUNG_IN_SERVICE if is_service else HUNG_IN_ORGANIZATION
        if hung >= min(most, self.policy.slots):
            return _KEY_HUNG.format(hung, "" if is_service else " for this organization")
        capacity = self._capacity()
        if capacity < 1:
            return _ALL_HUNG.format(self._hung.total())
        ahead = len(self._queue) + 1 - self._free()
        if ahead > QUEUE or self._load.wait(ahead, capacity) > self._deadline:
            return self._load.explained(now, capacity)
        return None

    def _capacity(self) -> int:
        return min(self.policy.slots, 2 * self.policy.slots - self._hung.total())

    def _free(self) -> int:
        return self._capacity() - len(self._running)

    def _take(self) -> Flight | None:
        with self._lock:
            if not self._queue or self._free() < 1:
                return None
            flight = self._queue.popleft()
            flight.started = self._clock()
            flight.due = flight.started + self.policy.timeout
            self._running.add(flight)
            return flight

    def _leave(self, flight: Flight) -> None:
        with self._lock:
            if flight in self._running:
                self._running.discard(flight)
            else:
                self._hung -= Counter([flight.organization_id])  # forgets who has none left

    def _report(self, flight: Flight, outcome: Outcome | str | None) -> None:
        if outcome is None:
            return
        with self._lock:
            now = self._clock()
            is_settled = flight.claimed is not None
            if not is_settled:
                flight.claimed = now
                if isinstance(outcome, str):
                    self._forget(flight)
        if is_settled:
            self._discard(flight, outcome)
        elif isinstance(outcome, str):
            flight.refuse(outcome)
        else:
            self._conclude(flight, outcome, now)

    def _conclude(self, flight: Flight, outcome: Outcome, at: float) -> None:
        if at >= flight.due:
            outcome, at = overdue(self.policy.timeout), flight.due
        try:
            flight.result = self._settle(flight, outcome, at)
        except BaseException as error:  # noqa: BLE001 - out of memory, say: nobody may wait
            flight.refusal = f"its result could not be kept: {type(error).__name__}"
        with self._lock:
            self._load.took(at - t.cast(float, flight.started))
            self._forget(flight)  # only now: whoever finds it no more finds the result
        flight.land()

    def _forget(self, flight: Flight) -> None:
        # Another one's, where an exception came between two steps of a caller.
        if self._flights.get(flight.organization_id) is flight:
            del self._flights[flight.organization_id]

    def _gives_back(self, flight: Flight) -> float:
        """Say when its thread is written off."""
        return flight.due if flight.claimed is None else flight.claimed + GRACE
