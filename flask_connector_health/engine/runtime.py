"""One process's part of the engine: its lanes, what they found, and who looks after them."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from itertools import islice

from flask_connector_health.model import UNKNOWN, ProbeResult, Status
from flask_connector_health.probes.spec import Probe
from flask_connector_health.settings import Settings

from . import log
from .background import Background, Watch
from .execution import OpenContext, run
from .flight import Flight
from .lane import Lane
from .policy import Policy
from .process import Process
from .scope import Scope
from .threads import START, Call, NativeThreads, Threads, is_patched

# Seconds between two lines of the log on a probe that has no verdict in time.
LATE_REMINDER = 60.0

# Lines of the log that may wait behind one that blocks.
LINES = 1_000

# Seconds for which one thread is to begin all runs of a request.
PATIENCE = 0.001

# Seconds between two looks, at least, as long as nothing is due: a tiny timeout must not spin.
SHORTEST_LOOK = 0.01

_TOO_SLOW = (
    "it has no result within the request's deadline of {:g} s; make it faster, or raise"
    " CONNECTOR_HEALTH_DEADLINE if the clients wait that long"
)


class Runtime:
    """What exists once in each process: no lock, thread or loop outlives a fork.

    :param parent: of the process that this one was forked from: its results are taken over.
    """

    def __init__(
        self,
        process: Process,
        parent: Runtime | None,
        settings: Settings,
        probes: Sequence[Probe],
        *,
        open_context: OpenContext,
        clock: Callable[[], float],
        sleep_until: Callable[[float], object],
        jitter: Callable[[], float],
    ) -> None:
        self.process = process
        self._clock = clock
        self._deadline = settings.deadline
        self._threads = threads = Threads()
        pool = NativeThreads() if is_patched() else threads
        self._log = Background("log", threads, LINES)
        shortest = min((Policy.of(probe, settings).timeout for probe in probes), default=1.0)
        interval = max(shortest, SHORTEST_LOOK)
        self._watch = Watch(
            self._look, interval, threads=threads, clock=clock, sleep_until=sleep_until
        )
        make_lane = partial(
            Lane,
            settings=settings,
            threads=threads,
            execute=partial(run, open_context, pool),
            attend=self._watch.attend,
            clock=clock,
        )
        make = partial(Scope, make_lane=make_lane, tell=self._tell, clock=clock, jitter=jitter)
        self.service = make([p for p in probes if p.scope == "service"], 1)
        self.organization = make(
            [p for p in probes if p.scope == "organization"], settings.max_organizations
        )
        self._warned: dict[Lane, float] = {}
        if parent is not None:
            self.service.records.inherit(parent.service.records)
            self.organization.records.inherit(parent.organization.records)

    def results(self, organization_id: str | None) -> Iterator[tuple[Lane, ProbeResult]]:
        """Give every probe's result, after waiting for all runs that are needed together."""
        asked: list[tuple[Scope, str | None]] = [(self.service, None)]
        if organization_id is not None:
            asked.append((self.organization, organization_id))
        lanes = [lane for scope, _ in asked for lane in scope.lanes]
        found = self._found(asked, lanes, until=self._clock() + self._deadline)
        for lane, result in zip(lanes, found, strict=True):
            yield lane, self._landed(lane, result) if isinstance(result, Flight) else result

    def _found(
        self, asked: Sequence[tuple[Scope, str | None]], lanes: Sequence[Lane], until: float
    ) -> list[ProbeResult | Flight]:
        found: list[ProbeResult | Flight] = []
        waited: set[Flight] = set()
        while True:
            # After a wait, other results may have become too old, or newer ones have come in.
            places = iter(found)
            found = [
                result
                for scope, key in asked
                for result in scope.find(key, [*islice(places, len(scope.lanes))])
            ]
            flying = [
                (lane, flight)
                for lane, flight in zip(lanes, found, strict=True)
                if isinstance(flight, Flight) and flight not in waited
            ]
            if not flying:
                return found
            for _, flight in flying:
                flight.expect(until)
            lacking = [(lane, flight) for lane, flight in flying if flight.lacks_thread]
            self._begin(lacking, until)
            for _, flight in reversed(flying):  # the last lands last: one wait does for most
                flight.wait(until, self._clock)
                waited.add(flight)

    def _begin(self, lacking: Sequence[tuple[Lane, Flight]], until: float) -> None:
        """Begin runs in one thread, and soon in one each: most take less than to wake that."""
        if not lacking:
            return
        works = [lane.work for lane, _ in lacking]
        calls = [partial(lane.call, flight) for lane, flight in lacking]
        self._threads.run("runs", lambda: [work() for work in works])
        for _, flight in lacking:
            flight.lacks_thread = False
        for patience in (PATIENCE, START):
            lacking[-1][1].hear(max(0.0, min(patience, until - self._clock())))
            if not [flight for _, flight in lacking if flight.started is None]:
                return
            self._threads.run("runs", lambda: [call() for call in calls])

    def _landed(self, lane: Lane, flight: Flight) -> ProbeResult:
        if flight.result is not None:
            return flight.result
        reason = flight.refusal or lane.obstacle(flight)
        self._warn(lane, flight.organization_id, reason or _TOO_SLOW.format(self._deadline))
        return UNKNOWN if reason is None else ProbeResult(Status.UNAVAILABLE, reason)

    def _warn(self, lane: Lane, organization_id: str | None, reason: str) -> None:
        now = self._clock()
        if now - self._warned.get(lane, -math.inf) >= LATE_REMINDER:
            self._warned[lane] = now
            self._tell(partial(log.no_verdict, lane.probe.name, organization_id, reason))

    def _tell(self, line: Call) -> None:
        if not self._log.do(line):
            self._log.work()

    def _look(self) -> float | None:
        lanes = self.service.lanes + self.organization.lanes
        dues = [due for lane in lanes if (due := lane.look()) is not None]
        return min(dues, default=None)
