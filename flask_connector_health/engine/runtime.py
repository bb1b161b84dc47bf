"""One process's part of the engine: its lanes, what they found, and who looks after them."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from itertools import chain

from flask_connector_health.model import ProbeResult
from flask_connector_health.probes.spec import Probe
from flask_connector_health.settings import Settings

from . import log
from .errands import Errands
from .execution import OpenContext
from .flight import Flight
from .lane import Lane
from .policy import Policy
from .scope import Scope
from .watch import Watch

# Seconds between two lines of the log on a probe that has no verdict in time.
LATE_REMINDER = 60.0

# Seconds between two looks, at least, as long as nothing is due: a tiny timeout must not spin.
SHORTEST_LOOK = 0.01

_TOO_SLOW = (
    "it has no result within the request's deadline of {:g} s; make it faster, or raise"
    " CONNECTOR_HEALTH_DEADLINE if the clients wait that long"
)


class Runtime:
    """What exists once in each process: no lock, thread or loop outlives a fork.

    :param clock: monotonic seconds.
    """

    def __init__(
        self,
        pid: int,
        settings: Settings,
        probes: Sequence[Probe],
        *,
        open_context: OpenContext,
        clock: Callable[[], float],
        sleep_until: Callable[[float], object] | None,
        jitter: Callable[[], float],
    ) -> None:
        self.pid = pid
        self._clock = clock
        self._deadline = settings.deadline
        self._log = Errands("log")
        self._starter = Errands("starter")
        shortest = min((Policy.of(probe, settings).timeout for probe in probes), default=1.0)
        interval = max(shortest, SHORTEST_LOOK)
        self._watch = Watch(self._look, interval, clock=clock, sleep_until=sleep_until)
        make = partial(
            Scope,
            settings=settings,
            attend=self._attend,
            hire=self._starter.do,
            tell=self._log.do,
            open_context=open_context,
            clock=clock,
            jitter=jitter,
        )
        self.service = make([p for p in probes if p.scope == "service"], bound=1)
        self.organization = make(
            [p for p in probes if p.scope == "organization"], bound=settings.max_organizations
        )
        self._warned: dict[Lane, float] = {}

    def inherit(self, parent: Runtime) -> None:
        """Take over the results of the process that this one was forked from."""
        self.service.records.inherit(parent.service.records)
        self.organization.records.inherit(parent.organization.records)

    def results(self, organization_id: str | None) -> Iterator[tuple[Lane, ProbeResult]]:
        """Give every probe's result, after waiting for all runs that are needed together."""
        asked: list[tuple[Scope, str | None]] = [(self.service, None)]
        if organization_id is not None:
            asked.append((self.organization, organization_id))
        found = self._found(asked, until=self._clock() + self._deadline)
        for (scope, _), results in zip(asked, found, strict=True):
            for lane, result in zip(scope.lanes, results, strict=True):
                yield lane, self._landed(lane, result) if isinstance(result, Flight) else result

    def _found(
        self, asked: Sequence[tuple[Scope, str | None]], until: float
    ) -> list[list[ProbeResult | Flight]]:
        found = [scope.find(key) for scope, key in asked]
        waited: set[Flight] = set()
        while flights := [
            flight
            for flight in chain(*found)
            if isinstance(flight, Flight) and flight not in waited
        ]:
            for flight in flights:
                flight.wait(until, self._clock)
            waited.update(flights)
            # Meanwhile other results may have become too old, or newer ones have come in.
            found = [
                scope.find(key, was) for (scope, key), was in zip(asked, found, strict=True)
            ]
        return found

    def _landed(self, lane: Lane, flight: Flight) -> ProbeResult:
        if flight.result is not None:
            return flight.result
        reason = flight.refusal or _TOO_SLOW.format(self._deadline)
        self._warn(lane, flight.organization_id, reason)
        return flight.verdict

    def _warn(self, lane: Lane, organization_id: str | None, reason: str) -> None:
        now = self._clock()
        if now - self._warned.get(lane, -math.inf) >= LATE_REMINDER:
            self._warned[lane] = now
            name = lane.probe.name
            self._log.do(partial(log.no_verdict, name, organization_id, reason))

    def _attend(self) -> None:
        if not self._watch.is_alive:
            self._starter.do(self._watch.ensure)

    def _look(self) -> float | None:
        lanes = self.service.lanes + self.organization.lanes
        dues = [due for lane in lanes if (due := lane.look()) is not None]
        return min(dues, default=None)
