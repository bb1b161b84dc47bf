"""Scopes, and the search for the entries that a request needs."""

from __future__ import annotations

import typing as t
from collections.abc import Collection, Mapping, Sequence
from functools import partial

from .entry import Entry, fresh_until, since_at
from .environment import Clock
from .flight import Flight, wait_for
from .lane import Lane
from .pauses import Pauses
from .record import Record, Records, entries_of, worst_since_at
from .threads import START, Threads

# Seconds that one thread has to begin all runs of a request, before more threads are called.
PATIENCE = 0.001

# What a request finds for each lane: an entry to use, or a flight to wait for, which may have
# been refused.
Found: t.TypeAlias = dict[Lane, Entry | Flight]


class Scope:
    """The lanes of a scope, or of a group of its probes, and the records of the scope."""

    def __init__(
        self, lanes: list[Lane], records: Records, pauses: Pauses, clock: Clock
    ) -> None:
        self.lanes = lanes
        self.records = records
        self._pauses = pauses
        self._clock = clock

    def only(self, names: Collection[str]) -> Scope:
        """Make a scope of these probes alone, which shares all else with this one."""
        lanes = [lane for lane in self.lanes if lane.probe.name in names]
        return Scope(lanes, self.records, self._pauses, self._clock)

    def find(self, key: str | None, before: Mapping[Lane, Entry | Flight]) -> Found:
        """Find each probe's entry. If that may not be used, find the flight to wait for.

        An entry past its TTL may be used while a run refreshes it, up to ``max_stale``. While a
        probe is paused, the entry of its pause is used.

        :param before: what was found before a wait. Its flights are kept. Its entries are not,
            since they may be too old by now, or newer ones may have arrived.
        """
        now = self._clock.now()
        found: Found = {}
        for lane, entry in self.entries(key):
            was = before.get(lane)
            kept = was if isinstance(was, Flight) else None
            paused = self._paused(lane, key)
            found[lane] = paused or kept or self._usable(lane, key, entry, now)
        return found

    def kept(self, key: str | None, now: float) -> list[tuple[Lane, Entry | None]]:
        """Give each probe's entry, or ``None`` if there is none that may be used now."""
        return [
            (lane, self._paused(lane, key) or (entry if lane.may_use(entry, now) else None))
            for lane, entry in self.entries(key)
        ]

    def entries(self, key: str | None) -> list[tuple[Lane, Entry | None]]:
        """Give each probe's own entry, however old, or ``None`` if there is none."""
        record = self.records.get(key)
        entries = self.records.blank if record is None else entries_of(record)
        return [(lane, entries[lane.place]) for lane in self.lanes]

    def paused(self) -> set[str | None]:
        """Give the organizations that have pauses. ``None`` stands for all of them."""
        return self._pauses.organizations()

    def with_pauses(self, key: str | None, record: Record) -> Record:
        """Give the record with the entries of the pauses that hold for its key."""
        paused = [self._paused(lane, key) for lane in self.lanes]
        times = [since_at(entry) for entry in paused if entry is not None]
        began = max(times, default=worst_since_at(record))  # a pause may have just ended
        own = entries_of(record)
        entries = [held or entry for held, entry in zip(paused, own, strict=True)]
        return self.records.compose(record, entries, began)

    def _paused(self, lane: Lane, key: str | None) -> Entry | None:
        pause = self._pauses.of(lane.probe, key) if self._pauses.held else None
        return None if pause is None else pause.entry

    def _usable(
        self, lane: Lane, key: str | None, entry: Entry | None, now: float
    ) -> Entry | Flight:
        if entry is not None and now < fresh_until(entry):
            return entry
        joined = lane.join(key)
        if entry is None or not lane.may_use(entry, now) or not isinstance(joined, Flight):
            return joined
        if joined.lacks_thread:
            lane.call(joined)
        return entry


# A scope, and the key of its record.
Asked: t.TypeAlias = tuple[Scope, str | None]


def find_all(asked: Sequence[Asked], until: float, threads: Threads, clock: Clock) -> Found:
    """Find every entry of several scopes. If flights are needed, wait for all of them together.

    :param until: the request's deadline. The wait ends then, even if a flight has not landed.
    """
    found: Found = {}
    waited: set[Flight] = set()
    while True:
        # Look again after each wait: other entries may have expired meanwhile, or be renewed.
        for scope, key in asked:
            found.update(scope.find(key, found))
        flying = {
            lane: flight
            for lane, flight in found.items()
            if isinstance(flight, Flight) and flight not in waited
        }
        if not flying:
            return found
        flights = list(flying.values())
        for flight in flights:
            if flight.deadline is None:
                flight.deadline = until  # the first request that waits sets it for all
        _begin(flying, until, threads, clock)
        wait_for(flights, until, clock)
        waited.update(flights)


def _begin(flying: dict[Lane, Flight], until: float, threads: Threads, clock: Clock) -> None:
    """Let one thread begin all runs that lack a thread.

    Most runs take less time than it takes to wake a thread. After ``PATIENCE``, one more thread
    is called for each run.
    """
    lacking = {lane: flight for lane, flight in flying.items() if flight.lacks_thread}
    if not lacking:
        return
    works = [lane.work for lane in lacking]
    calls = [partial(lane.call, flight) for lane, flight in lacking.items()]
    flights = list(lacking.values())
    threads.run("runs", lambda: [work() for work in works])
    for flight in flights:
        flight.lacks_thread = False
    for patience in (PATIENCE, START):
        flights[-1].hear(max(0.0, min(patience, until - clock.now())))
        if not [flight for flight in flights if flight.started is None]:
            return
        threads.run("runs", lambda: [call() for call in calls])
