"""A lane: the queue and the threads of one probe, so that a hung probe exhausts only itself."""

from __future__ import annotations

import functools
import math
import threading
import typing as t
from collections import deque
from collections.abc import Callable
from functools import partial

from .background import Watch
from .entry import Entry, fresh_until
from .environment import Clock
from .flight import Flight
from .outcome import Outcome, overdue, raised
from .record import Keeper, entries_of
from .runner import Runner
from .slots import Slots
from .threads import NO_THREAD, Threads, name_thread

# Seconds after which another thread is called, if the thread that was called has not begun.
RECALL = 0.05

# Seconds after which the thread of a settled run may be written off, at the next look.
GRACE = 0.25

M = t.TypeVar("M", bound=Callable[..., t.Any])


def locked(method: M) -> M:
    """Make a method hold its object's ``_lock`` while it runs.

    A signal handler may raise between the last line of a ``with`` block and the release of the
    lock, which would stay locked for ever. On a single line there is no such gap.
    """

    @functools.wraps(method)
    def call(self: t.Any, *args: t.Any, **kwargs: t.Any) -> t.Any:
        with self._lock: return method(self, *args, **kwargs)  # noqa: E701  # fmt: skip

    return t.cast(M, call)


class Lane:
    """Starts the runs of one probe, at most as many at once as the probe has slots.

    A flight is settled once, by the thread that claims it: the run's own thread, or, if the run
    is overdue, the watch. Python cannot stop a thread. The thread of an overdue run, or of a
    run that goes on after it was settled, is written off, and any outcome that still comes is
    discarded.

    The thread of a request only puts a flight into the queue, registers it, and calls a thread.
    If an exception interrupts it after any of these steps, the next request or the next look
    of the watch does the rest.

    :param threads: threads for the runs.
    :param watch: looks at the lane while it has flights.
    """

    def __init__(
        self,
        runner: Runner,
        keeper: Keeper,
        slots: Slots,
        threads: Threads,
        watch: Watch,
        clock: Clock,
    ) -> None:
        self.probe = runner.probe
        self.place = keeper.place  # the index of its entries in records
        self.slots = slots
        self._runner = runner
        self._keeper = keeper
        self._threads = threads
        self._watch = watch
        self._clock = clock
        self._lock = threading.Lock()
        self._queue: deque[Flight] = deque()
        self._flights: dict[str | None, Flight] = {}  # those that have not landed, by key

    @locked
    def join(self, key: str | None) -> Flight | Entry:
        """Share the key's flight, or start one. This never waits for a probe.

        If a fresh entry has just arrived, give that instead.
        """
        now = self._clock.now()
        flight = self._flights.get(key)
        if flight is None:  # nothing is settled for the key before this method ends
            record = self._keeper.records.get(key)
            entry = None if record is None else entries_of(record)[self.place]
            if entry is not None and now < fresh_until(entry):
                return entry
            if self._queue and self._flights.get(self._queue[-1].key) is not self._queue[-1]:
                self._queue.pop()  # a request was interrupted before it registered this flight
            flight = Flight(key, now)
            refusal = self.slots.admit(flight, len(self._queue), now)
            if refusal is not None:
                return flight.refuse(refusal)
            self._queue.append(flight)
            self._flights[key] = flight
        elif flight.started is None and now >= flight.called + RECALL:
            flight.lacks_thread = self.slots.free > 0
        return flight

    def call(self, flight: Flight) -> None:
        """Call a thread for a flight that has not begun."""
        flight.called, flight.lacks_thread = self._clock.now(), False
        if flight.started is None:
            self._threads.run(self.probe.name, self.work)

    def look(self) -> float | None:
        """Fail the runs that are overdue, and call threads for the flights that wait.

        If as many threads hang as may hang, the flights that wait are refused. Nothing is
        settled by that, so the next request asks again.

        :return: the time of the next look: when the first run falls due, or ``RECALL`` from now
            if threads were called, or infinity if neither. ``None`` if the lane is idle.
        """
        with self._lock:
            running, now = self.slots.running, self._clock.now()
            gone = [flight for flight in running if now >= self._written_off_at(flight)]
            late = [flight for flight in gone if flight.claimed is None]
            for flight in gone:
                flight.claimed = now
                self.slots.write_off(flight)
            stranded = [] if self.slots.capacity > 0 else list(self._queue)
            for flight in stranded:
                self._forget(flight)
            if stranded:
                self._queue.clear()
            reason = self.slots.all_hung()
            due = min(map(self._written_off_at, running), default=math.inf)
            calls = max(0, min(self.slots.free, len(self._queue)))
            is_idle = not (self._flights or running)
        for flight in stranded:
            flight.refuse(reason)
        for flight in late:
            self._conclude(flight, overdue(self._runner.policy.timeout), now)
        for _ in range(calls):
            self._threads.run(self.probe.name, self.work)
        if is_idle:
            return None
        return min(due, now + RECALL) if calls else due

    def may_use(self, entry: Entry | None, now: float) -> bool:
        """Tell whether a request may still be answered with an entry."""
        policy = self._runner.policy
        return entry is not None and now < policy.usable_until(fresh_until(entry))

    def is_asked(self, key: str | None) -> bool:
        """Tell whether the key has a flight that has not landed."""
        return key in self._flights

    def asked(self) -> list[str | None]:
        """List the keys that have a flight."""
        return [*self._flights]  # made in one step, which no thread disturbs

    def hangs(self, key: str | None) -> bool:
        """Tell whether a thread hangs in a run for the key."""
        return self.slots.hung[key] > 0

    @locked
    def obstacle(self, flight: Flight) -> str | None:
        """Say what keeps a flight from beginning, if anything does."""
        if flight.started is not None:
            return None
        if self.slots.free < 1:
            return self.slots.explained(self._clock.now())
        return NO_THREAD if self._threads.is_refused else None

    def work(self) -> None:
        """Make the runs that wait, in this thread, until none waits or no slot is free."""
        name_thread(self.probe.name)
        self._watch.attend()
        while (flight := self._take()) is not None:
            try:
                self._runner.run(flight.key, partial(self._receive, flight))
            except BaseException as error:  # noqa: BLE001 - it would cost the lane a slot
                self._receive(flight, raised(error))
            with self._lock:
                self.slots.leave(flight)

    def _take(self) -> Flight | None:
        with self._lock:
            if not self._queue or self.slots.free < 1:
                return None
            flight = self._queue.popleft()
            flight.started = self._clock.now()
            flight.due = flight.started + self._runner.policy.timeout
            self.slots.take(flight)
            return flight

    def _receive(self, flight: Flight, outcome: Outcome | str | None) -> None:
        if outcome is None:
            return
        with self._lock:
            now = self._clock.now()
            is_settled = flight.claimed is not None
            if not is_settled:
                flight.claimed = now
                if isinstance(outcome, str):
                    self._forget(flight)
        if is_settled:
            self._keeper.discard(flight.key, outcome)
        elif isinstance(outcome, str):
            flight.refuse(outcome)
        else:
            self._conclude(flight, outcome, now)

    def _conclude(self, flight: Flight, outcome: Outcome, at: float) -> None:
        if at >= flight.due:
            outcome, at = overdue(self._runner.policy.timeout), flight.due
        took = at - t.cast(float, flight.started)
        try:
            flight.entry = self._keeper.settle(flight.key, outcome, at, took)
        except BaseException as error:  # noqa: BLE001 - out of memory: no request may wait
            flight.refusal = f"the probe's result could not be kept: {type(error).__name__}"
        with self._lock:
            self.slots.note(took)
            # The flight goes only after its result is kept. Otherwise a request could find
            # neither of them.
            self._forget(flight)
        flight.land()

    def _forget(self, flight: Flight) -> None:
        # An interrupted request may have left a flight in the queue alone. The key may have
        # another flight by now.
        if self._flights.get(flight.key) is flight:
            del self._flights[flight.key]

    def _written_off_at(self, flight: Flight) -> float:
        return flight.due if flight.claimed is None else flight.claimed + GRACE
