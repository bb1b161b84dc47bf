"""A process: the lanes, the records and the threads, which exist once in each process."""

from __future__ import annotations

import math
from collections.abc import Sequence

from flask_connector_health.model import (
    UNKNOWN,
    ProbeResult,
    Report,
    ReportedResult,
    Status,
    aggregate,
    worst,
)
from flask_connector_health.probes.policy import Policy
from flask_connector_health.probes.spec import Probe
from flask_connector_health.settings import Settings

from .background import Background, Watch
from .environment import Environment, ProcessId
from .events import Announcer, Listener, NoVerdict
from .flight import Flight
from .lane import Lane
from .record import Entry, Keeper, Records, result_of
from .runner import Runner
from .scope import Scope, find_all
from .slots import Slots
from .threads import NativeThreads, Threads, is_gevent

# Seconds between two announcements that the same probe has no verdict in time.
LATE_REMINDER = 60.0

# Calls of listeners that may wait behind a call that blocks.
CALLS = 1_000

# The shortest pause between two looks of the watch, in seconds: a tiny timeout must not spin.
SHORTEST_LOOK = 0.01

_TOO_SLOW = (
    "it has no result within the request's deadline of {:g} s; make it faster, or raise"
    " CONNECTOR_HEALTH_DEADLINE if the clients wait that long"
)


class Process:
    """The part of a monitor that belongs to one process.

    A forked child makes its own, with new locks and threads.

    :param parent: the parent process's, whose results are taken over, or ``None``.
    """

    def __init__(
        self,
        identity: ProcessId,
        parent: Process | None,
        settings: Settings,
        probes: Sequence[Probe],
        environment: Environment,
        listeners: Sequence[Listener],
    ) -> None:
        self.identity = identity
        self._settings = settings
        self._environment = environment
        self._clock = environment.clock
        self._deadline = settings.deadline
        self._threads = Threads()
        self._pool = NativeThreads() if is_gevent() else self._threads
        self._announcer = Announcer(listeners, Background("events", self._threads, CALLS))
        shortest = min((Policy.of(probe, settings).timeout for probe in probes), default=1.0)
        interval = max(shortest, SHORTEST_LOOK)
        self._watch = Watch(self._look, interval, self._threads, self._clock)
        self._warned: dict[Lane, float] = {}
        self.service = self._scope([p for p in probes if p.scope == "service"], 1)
        self.organization = self._scope(
            [p for p in probes if p.scope == "organization"], settings.max_organizations
        )
        if parent is not None:
            self.service.records.inherit(parent.service.records)
            self.organization.records.inherit(parent.organization.records)

    def _scope(self, probes: Sequence[Probe], bound: int) -> Scope:
        records = Records(bound, [probe.critical for probe in probes])
        lanes = []
        for place, probe in enumerate(probes):
            policy = Policy.of(probe, self._settings)
            runner = Runner(probe, policy, self._environment, self._pool)
            keeper = Keeper(probe, policy, records, place, self._environment, self._announcer)
            slots = Slots(policy.slots, self._deadline)
            lanes.append(Lane(runner, keeper, slots, self._threads, self._watch, self._clock))
        return Scope(lanes, records, self._clock)

    def status(self, organization_id: str | None) -> Status:
        """Give the status alone of what :meth:`report` would report."""
        found = self._found(organization_id)
        return worst((lane.probe.critical, result.status) for lane, result in found)

    def report(self, organization_id: str | None) -> Report:
        """Report on the service, or on an organization together with the service."""
        return aggregate([reported(*found) for found in self._found(organization_id)])

    def peek(self, organization_id: str | None) -> Report:
        """Report what is kept, as :meth:`report` would use it now. This starts nothing."""
        now = self._clock.now()
        return aggregate(
            [
                reported(lane, UNKNOWN if entry is None else result_of(entry))
                for scope, key in self._asked(organization_id)
                for lane, entry in scope.kept(key, now)
            ]
        )

    def _found(self, organization_id: str | None) -> list[tuple[Lane, ProbeResult]]:
        until = self._clock.now() + self._deadline
        found = find_all(self._asked(organization_id), until, self._threads, self._clock)
        return [(lane, self._result(lane, each)) for lane, each in found.items()]

    def _asked(self, organization_id: str | None) -> list[tuple[Scope, str | None]]:
        service: list[tuple[Scope, str | None]] = [(self.service, None)]
        own = [] if organization_id is None else [(self.organization, organization_id)]
        return [*service, *own]

    def _result(self, lane: Lane, found: Entry | Flight) -> ProbeResult:
        if not isinstance(found, Flight):
            return result_of(found)
        if found.result is not None:
            return found.result
        reason = found.refusal or lane.obstacle(found)
        self._warn(lane, found.key, reason or _TOO_SLOW.format(self._deadline))
        return UNKNOWN if reason is None else ProbeResult(Status.UNAVAILABLE, reason)

    def _warn(self, lane: Lane, key: str | None, reason: str) -> None:
        now = self._clock.now()
        if now - self._warned.get(lane, -math.inf) >= LATE_REMINDER:
            self._warned[lane] = now
            probe = lane.probe
            event = NoVerdict(probe.name, key, probe.critical, reason)
            self._announcer.announce_later(event)

    def _look(self) -> float | None:
        lanes = self.service.lanes + self.organization.lanes
        dues = [due for lane in lanes if (due := lane.look()) is not None]
        return min(dues, default=None)


def reported(lane: Lane, result: ProbeResult) -> ReportedResult:
    """Describe a lane's probe, with the result that a report has of it."""
    probe = lane.probe
    return ReportedResult(
        probe.name, probe.scope, probe.critical, result.status, result.message
    )
