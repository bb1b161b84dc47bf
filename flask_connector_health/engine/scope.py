"""Scopes, and the search for the entries that a request needs."""

from __future__ import annotations

import typing as t
from collections.abc import Iterable, Mapping, Sequence
from functools import partial

from .environment import Clock
from .flight import Flight, wait_for
from .lane import Lane
from .record import Entry, Records, entries_of, fresh_until, usable_until
from .threads import START, Threads

# Seconds that one thread has to begin all runs of a request, before more threads are called.
PATIENCE = 0.001

# What a request finds for each lane: an entry to use, or a flight to wait for, which may have
# been refused.
Found: t.TypeAlias = dict[Lane, Entry | Flight]


class Scope:
    """The lanes and the records of a scope. A record's entries have the order of the lanes."""

    def __init__(self, lanes: list[Lane], records: Records, clock: Clock) -> None:
        self.lanes = lanes
        self.records = records
        self._clock = clock

    def find(self, key: str | None, before: Mapping[Lane, Entry | Flight]) -> Found:
        """Find each probe's entry. If that may not be used, find the flight to wait for.

        An entry past its TTL may be used while a run refreshes it, up to ``max_stale``.

        :param before: what was found before a wait. Its flights are kept. Its entries are not,
            since they may be too old by now, or newer ones may have arrived.
        """
        pairs, now = self._entries(key), self._clock.now()
        found: Found = {}
        for lane, entry in pairs:
            was = before.get(lane)
            kept = was if isinstance(was, Flight) else None
            found[lane] = kept or self._usable(lane, key, entry, now)
        return found

    def kept(self, key: str | None, now: float) -> list[tuple[Lane, Entry | None]]:
        """Give each probe's entry, or ``None`` if there is none that may be used now."""
        return [
            (lane, entry if entry is not None and now < usable_until(entry) else None)
            for lane, entry in self._entries(key)
        ]

    def _entries(self, key: str | None) -> Iterable[tuple[Lane, Entry | None]]:
        record = self.records.get(key)
        entries = self.records.blank if record is None else entries_of(record)
        return zip(self.lanes, entries, strict=True)

    def _usable(
        self, lane: Lane, key: str | None, entry: Entry | None, now: float
    ) -> Entry | Flight:
        if entry is not None and now < fresh_until(entry):
            return entry
        joined = lane.join(key)
        if entry is None or now >= usable_until(entry) or not isinstance(joined, Flight):
            return joined
        if joined.lacks_thread:
            lane.call(joined)
        return entry


def find_all(
    asked: Sequence[tuple[Scope, str | None]], until: float, threads: Threads, clock: Clock
) -> Found:
    """Find every entry of several scopes. If flights are needed, wait for all of them together.

    :param asked: the scopes, each with the key of its record.
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
