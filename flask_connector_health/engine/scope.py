"""A scope: its probes' lanes, and the record of their verdicts."""

from __future__ import annotations

import typing as t
from collections.abc import Callable, Sequence
from functools import partial
from itertools import zip_longest

from flask_connector_health.model import ProbeResult, Status
from flask_connector_health.probes.spec import Probe

from . import log
from .cache import Cache
from .flight import Flight
from .lane import Lane
from .outcome import Outcome
from .record import Entry, Record, compose, fresh_until, result_of, succeed, usable_until
from .threads import Call


class Scope:
    """The probes of the service, by the key ``None``, or those of each organization.

    :param bound: how many keys may have a record at once.
    :param make_lane: makes a lane of a probe.
    :param tell: has a line of the log written, without waiting for it.
    """

    def __init__(
        self,
        probes: Sequence[Probe],
        bound: int,
        *,
        make_lane: Callable[..., Lane],
        tell: Callable[[Call], object],
        clock: Callable[[], float],
        jitter: Callable[[], float],
    ) -> None:
        self.records: Cache[str | None, Record] = Cache(bound)
        self._critical = [probe.critical for probe in probes]
        self._blank: tuple[Entry | None, ...] = (None,) * len(probes)
        self._tell = tell
        self._clock = clock
        self._jitter = jitter
        self.lanes = [
            make_lane(
                probe,
                settle=partial(self._settle, index),
                discard=partial(self._discard, probe.name),
            )
            for index, probe in enumerate(probes)
        ]

    def find(self, key: str | None, found: Sequence[object] = ()) -> list[ProbeResult | Flight]:
        """Give each probe's result where it may be used, and the run to wait for otherwise.

        A result past its TTL may be used while a run refreshes it, up to ``max_stale``.

        :param found: what was given before a wait; its runs stay, its results may be too old.
        """
        entries, now = self._entries(key), self._clock()
        return [
            was if isinstance(was, Flight) else self._found(index, key, entry, now)
            for index, (entry, was) in enumerate(zip_longest(entries, found))
        ]

    def _found(
        self, index: int, key: str | None, entry: Entry | None, now: float
    ) -> ProbeResult | Flight:
        lane = self.lanes[index]
        while entry is None or now >= fresh_until(entry):
            flight = lane.join(key, unless=partial(self._is_fresh, index, key))
            if flight is not None:
                if entry is None or now >= usable_until(entry):
                    return flight
                if flight.lacks_thread:
                    lane.call(flight)
                break
            entry, now = self._entries(key)[index], self._clock()
        return result_of(entry)

    def _is_fresh(self, index: int, key: str | None) -> bool:
        entry = self._entries(key)[index]
        return entry is not None and self._clock() < fresh_until(entry)

    def _entries(self, key: str | None) -> tuple[Entry | None, ...]:
        record = self.records.get(key)
        return self._blank if record is None else record[2]

    def _settle(self, index: int, flight: Flight, outcome: Outcome, at: float) -> ProbeResult:
        lane, key = self.lanes[index], flight.organization_id

        def change(record: Record | None) -> Record:
            entries = list(self._blank if record is None else record[2])
            entries[index] = succeed(
                entries[index], outcome, lane.policy, at=at, jitter=self._jitter()
            )
            return compose(entries, self._critical)

        before, record = self.records.update(key, change)
        result = result_of(t.cast(Entry, record[2][index]))
        was = None if before is None else before[2][index]
        if result.status is not (Status.OK if was is None else result_of(was).status):
            name = lane.probe.name
            self._tell(partial(log.verdict_turned, name, key, result.status, outcome))
        return result

    def _discard(self, name: str, flight: Flight, outcome: Outcome | str) -> None:
        if isinstance(outcome, Outcome) and outcome.cause is not None:
            self._tell(partial(log.ended_late, name, flight.organization_id, outcome.cause))
