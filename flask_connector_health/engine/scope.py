"""A scope: its probes' lanes, and the record of their verdicts."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from itertools import zip_longest

from flask_connector_health.model import ProbeResult, Status
from flask_connector_health.probes.spec import Probe
from flask_connector_health.settings import Settings

from . import log
from .cache import Cache
from .errands import Call
from .execution import Execution, OpenContext
from .flight import Flight
from .lane import Lane
from .outcome import Outcome
from .policy import Policy
from .record import Entry, Record, compose, fresh_until, result_of, succeed, usable_until


class Scope:
    """The probes of the service, by the key ``None``, or those of each organization.

    :param bound: how many keys may have a record at once.
    :param attend: called when a run is under way, to have somebody look after it.
    :param hire: makes a call in another thread, without waiting for it.
    :param tell: has a line of the log written, the same way.
    :param open_context: opens an app context for a run.
    :param clock: monotonic seconds.
    :param jitter: from 0 to 1, anew for each result.
    """

    def __init__(
        self,
        probes: Sequence[Probe],
        settings: Settings,
        bound: int,
        *,
        attend: Callable[[], object],
        hire: Callable[[Call], object],
        tell: Callable[[Call], object],
        open_context: OpenContext,
        clock: Callable[[], float],
        jitter: Callable[[], float],
    ) -> None:
        self.records: Cache[str | None, Record] = Cache(bound)
        self._critical = [probe.critical for probe in probes]
        self._blank: tuple[Entry | None, ...] = (None,) * len(probes)
        self._attend = attend
        self._hire = hire
        self._tell = tell
        self._open_context = open_context
        self._clock = clock
        self._jitter = jitter
        self.lanes = [
            self._lane(index, probe, Policy.of(probe, settings))
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
                self._attend()
                if entry is None or now >= usable_until(entry):
                    return flight
                break
            entry, now = self._entries(key)[index], self._clock()
        return result_of(entry)

    def _is_fresh(self, index: int, key: str | None) -> bool:
        entry = self._entries(key)[index]
        return entry is not None and self._clock() < fresh_until(entry)

    def _entries(self, key: str | None) -> tuple[Entry | None, ...]:
        record = self.records.get(key)
        return self._blank if record is None else record[2]

    def _lane(self, index: int, probe: Probe, policy: Policy) -> Lane:
        execution = Execution(probe, policy, open_context=self._open_context, clock=self._clock)
        return Lane(
            probe,
            policy,
            execute=execution,
            grace=execution.grace,
            hire=self._hire,
            settle=partial(self._settle, index),
            clock=self._clock,
        )

    def _settle(self, index: int, flight: Flight, outcome: Outcome, at: float) -> ProbeResult:
        lane, key = self.lanes[index], flight.organization_id

        def change(record: Record | None) -> Record:
            entries = list(self._blank if record is None else record[2])
            entries[index] = succeed(
                entries[index], outcome, lane.policy, at=at, jitter=self._jitter()
            )
            return compose(entries, self._critical)

        before, record = self.records.update(key, change)
        result = self._result(record, index)
        if result.status is not self._result(before, index).status:
            name = lane.probe.name
            self._tell(partial(log.verdict_turned, name, key, result.status, outcome))
        return result

    def _result(self, record: Record | None, index: int) -> ProbeResult:
        entry = None if record is None else record[2][index]
        return ProbeResult(Status.OK) if entry is None else result_of(entry)
