"""A probe's lane: its own few threads and queue, so that a hung probe exhausts only itself."""

from __future__ import annotations

import math
import threading
from collections import Counter, deque
from collections.abc import Callable

from flask_connector_health.model import ProbeResult
from flask_connector_health.probes.spec import Probe

from .flight import Flight
from .outcome import Outcome, overdue, raised
from .policy import Policy

# Runs that may wait for a slot: more would miss every deadline, and only hold memory.
QUEUE = 1_000

# Seconds for which a thread waits for another run before it ends.
IDLE = 10.0

_FULL = (
    "too many of its runs wait for a thread already; make it faster, or raise its ttl or"
    " CONNECTOR_HEALTH_SLOTS"
)
_ALL_HUNG = (
    "all {} of its threads hang in earlier runs, so it cannot be run; give the client that it"
    " uses a timeout"
)
_SHARE_HUNG = (
    "{} of its threads hang in earlier runs for this organization, and the others are left to"
    " the other organizations; give the client that it uses a timeout"
)
_NOT_KEPT = "its result could not be kept: {}"


class Lane:
    """Runs one probe in daemon threads that end when they have been idle for a while.

    Whoever claims a flight settles it, so it is settled once: by its own thread, or, once
    overdue, by a look from outside. Python cannot stop a thread, so an overdue one is written
    off: it keeps its slot until it returns, and its result is discarded.

    :param execute: runs the probe for an organization; a text says why it could not be run.
    :param hire: makes a call, soon and in another thread: starting a thread takes two turns of
        the interpreter, and where a probe spins on the CPU, a request cannot wait for those.
    :param settle: takes a run's outcome and when it came (monotonic seconds), before anybody
        who waits for it, and returns the verdict.
    :param grace: seconds beyond its timeout in which a run may still give its thread back.
    :param clock: monotonic seconds.
    """

    def __init__(
        self,
        probe: Probe,
        policy: Policy,
        *,
        execute: Callable[[str | None], Outcome | str],
        hire: Callable[[Callable[[], object]], object],
        settle: Callable[[Flight, Outcome, float], ProbeResult],
        grace: float,
        clock: Callable[[], float],
    ) -> None:
        self.probe = probe
        self.policy = policy
        self._execute = execute
        self._hire = hire
        self._settle = settle
        self._grace = grace
        self._clock = clock
        self._lock = threading.Lock()
        self._wanted = threading.Condition(self._lock)
        self._flights: dict[str | None, Flight] = {}
        self._queue: deque[Flight] = deque()
        self._threads = 0  # that are alive and not hung...
        self._idle = 0  # ...and those of them that wait for a run, or are on their way
        self._hung: Counter[str | None] = Counter()

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
                refusal = self._refusal(organization_id)
                if refusal is not None:
                    return flight.refuse(refusal)
                self._flights[organization_id] = flight
                self._queue.append(flight)
                self._wanted.notify()
            lacks = self._lacks_threads()
        if lacks:
            self._hire(self.staff)
        return flight

    def staff(self) -> None:
        """Start the threads that the queue calls for, as far as there are slots."""
        while self._count_in():
            name = f"connector-health {self.probe.name}"
            try:
                threading.Thread(target=self._work, name=name, daemon=True).start()
            except Exception:  # noqa: BLE001
                # The system has no thread to give: the next caller or look tries again.
                with self._lock:
                    self._threads -= 1
                    self._idle -= 1
                return

    def look(self) -> float | None:
        """Settle the runs that are overdue as failed, and write their threads off.

        When all threads hang, what waits for one is told so. It has not failed by that, so
        nothing is settled: the next request asks again.

        :return: when the next run becomes overdue, infinity if none has begun; ``None`` if
            there is none left to look after.
        """
        with self._lock:
            late = [f for f in self._flights.values() if self._is_overdue(f, self._grace)]
            for flight in late:
                flight.claimed = True
                self._write_off(flight)
            stranded = list(self._queue) if self._hung.total() >= self.policy.slots else []
            for flight in stranded:
                del self._flights[flight.organization_id]
            if stranded:
                self._queue.clear()
            flying = [flight for flight in self._flights.values() if not flight.claimed]
            due = min((self._due(flight) + self._grace for flight in flying), default=None)
        for flight in stranded:
            flight.refuse(_ALL_HUNG.format(self.policy.slots))
        for flight in late:
            self._fail(flight)
        self.staff()
        return due

    def _refusal(self, organization_id: str | None) -> str | None:
        hung, slots = self._hung.total(), self.policy.slots
        if hung >= slots:
            return _ALL_HUNG.format(slots)
        # An organization whose runs hang is run again only while half of the slots are left.
        if organization_id is not None and self._hung[organization_id] and hung >= slots // 2:
            return _SHARE_HUNG.format(self._hung[organization_id])
        return _FULL if len(self._queue) >= QUEUE else None

    def _lacks_threads(self) -> bool:
        slots_left = self.policy.slots - self._threads - self._hung.total()
        return len(self._queue) > self._idle and slots_left > 0

    def _count_in(self) -> bool:
        with self._lock:
            if not self._lacks_threads():
                return False
            self._threads += 1
            self._idle += 1
            return True

    def _work(self) -> None:
        while (flight := self._take()) is not None:
            # No local variable: with its exception's frames it would be a cycle.
            self._finish(flight, self._run(flight))
            with self._lock:
                self._idle += 1

    def _take(self) -> Flight | None:
        with self._lock:
            while not self._queue:
                if not self._rest() and not self._queue:
                    self._threads -= 1
                    self._idle -= 1
                    return None
            self._idle -= 1
            flight = self._queue.popleft()
            flight.started = self._clock()
            return flight

    def _rest(self) -> bool:
        try:
            return self._wanted.wait(IDLE)
        except BaseException:  # noqa: BLE001 - a timer that a run left behind, say: not ours
            return True

    def _run(self, flight: Flight) -> Outcome | str:
        try:
            return self._execute(flight.organization_id)
        except BaseException as error:  # noqa: BLE001 - it would cost the lane a thread
            return raised(error)

    def _finish(self, flight: Flight, outcome: Outcome | str) -> None:
        with self._lock:
            if flight.claimed:
                self._count_back(flight)
                return
            is_late = self._is_overdue(flight)
            flight.claimed = True
            now = self._clock()
        if isinstance(outcome, str):
            self._release(flight)
            flight.refuse(outcome)
        elif is_late:
            self._fail(flight)
        else:
            self._conclude(flight, outcome, now)
            if outcome.quiet is not None:
                self._linger(flight, outcome.quiet)

    def _linger(self, flight: Flight, quiet: threading.Event) -> None:
        """Keep the slot of a run whose verdict is in, while its calls hang in other threads."""
        if quiet.wait(self._grace):
            return
        with self._lock:
            self._write_off(flight)
        quiet.wait()
        with self._lock:
            self._count_back(flight)

    def _write_off(self, flight: Flight) -> None:
        self._hung[flight.organization_id] += 1
        self._threads -= 1

    def _count_back(self, flight: Flight) -> None:
        self._hung.subtract([flight.organization_id])
        self._hung = +self._hung  # forgets who has none left
        self._threads += 1

    def _fail(self, flight: Flight) -> None:
        spacing = self.policy.spacing(self._hung[flight.organization_id])
        outcome = overdue(self.policy.timeout, spacing)
        self._conclude(flight, outcome, self._due(flight))

    def _conclude(self, flight: Flight, outcome: Outcome, at: float) -> None:
        try:
            flight.result = self._settle(flight, outcome, at)
        except BaseException as error:  # noqa: BLE001 - out of memory, say: nobody may wait
            flight.refusal = _NOT_KEPT.format(type(error).__name__)
        # Only now: whoever finds no flight from here on finds the result.
        self._release(flight)
        flight.done.set()

    def _release(self, flight: Flight) -> None:
        with self._lock:
            del self._flights[flight.organization_id]

    def _due(self, flight: Flight) -> float:
        return math.inf if flight.started is None else flight.started + self.policy.timeout

    def _is_overdue(self, flight: Flight, grace: float = 0.0) -> bool:
        return not flight.claimed and self._clock() >= self._due(flight) + grace
