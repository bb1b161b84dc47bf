"""A process: the lanes, the records and the threads, which exist once in each process."""

from __future__ import annotations

import math
import typing as t
from collections.abc import Collection, Iterable, Mapping, Sequence
from functools import partial

from flask_connector_health.model import UNKNOWN, NotApplicable, ProbeResult, Status, worst
from flask_connector_health.probes.policy import Policy
from flask_connector_health.probes.spec import Probe
from flask_connector_health.report import Report, ReportedResult, aggregate
from flask_connector_health.settings import Settings

from .background import Background, Watch
from .details import Details, detail
from .entry import Entry, result_of
from .environment import Environment, ProcessId
from .events import Announcer, Event, Listener, NoVerdict
from .flight import Flight, entry_in
from .history import History
from .lane import Lane
from .pauses import Pauses
from .record import Keeper, Records
from .runner import Runner
from .scope import Asked, Scope, find_all
from .slots import Slots
from .threads import NativeThreads, Threads, is_gevent

# Seconds between two announcements that the same probe has no verdict in time.
LATE_REMINDER = 60.0

# Calls of listeners that may wait behind a call that blocks.
CALLS = 1_000

# The shortest pause between two looks of the watch, in seconds: a tiny timeout must not spin.
SHORTEST_LOOK = 0.01

# Organizations have none.
NO_GROUPS: Mapping[str, Collection[str]] = {}

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
        listeners: Sequence[Listener],
        settings: Settings,
        probes: Sequence[Probe],
        groups: Mapping[str, Collection[str]],
        environment: Environment,
        history: History,
        pauses: Pauses,
    ) -> None:
        self.identity = identity
        self._settings = settings
        self._environment = environment
        self._clock = environment.clock
        self._history = history
        self._pauses = pauses
        self._threads = Threads()
        self._pool = NativeThreads() if is_gevent() else self._threads
        self._announcer = Announcer(
            listeners, partial(Background, "events", self._threads, CALLS)
        )
        shortest = min((Policy.of(probe, settings).timeout for probe in probes), default=1.0)
        interval = max(shortest, SHORTEST_LOOK)
        self._watch = Watch(self._look, interval, self._threads, self._clock)
        self._warned: dict[Lane, float] = {}
        self.service = self._scope([p for p in probes if p.scope == "service"], 1, groups)
        self.organization = self._scope(
            [p for p in probes if p.scope == "organization"], settings.max_organizations
        )
        self._groups = {name: self.service.only(members) for name, members in groups.items()}
        if parent is not None:
            self.service.records.inherit(parent.service.records)
            self.organization.records.inherit(parent.organization.records)

    def _scope(
        self,
        probes: Sequence[Probe],
        bound: int,
        groups: Mapping[str, Collection[str]] = NO_GROUPS,
    ) -> Scope:
        places = [
            [n for n, p in enumerate(probes) if p.name in names] for names in groups.values()
        ]
        records = Records(bound, [probe.critical for probe in probes], places)
        lanes = []
        for place, probe in enumerate(probes):
            policy = Policy.of(probe, self._settings)
            runner = Runner(probe, policy, self._environment, self._pool)
            keeper = Keeper(
                probe,
                policy,
                records,
                place,
                self._environment,
                self._announcer,
                self._history,
                self._pauses,
            )
            slots = Slots(policy.slots, self._settings.deadline)
            lanes.append(Lane(runner, keeper, slots, self._threads, self._watch, self._clock))
        return Scope(lanes, records, self._pauses, self._clock)

    def asked(self, organization_id: str | None, group: str | None = None) -> list[Asked]:
        """Give the scopes that a question is about, each with the key of its record."""
        if group is not None:
            return [(self._groups[group], None)]
        own = [] if organization_id is None else [(self.organization, organization_id)]
        return [(self.service, None), *own]

    def forget(self) -> None:
        """Forget all results. Flights go on, and their results are kept."""
        self.service.records.clear()
        self.organization.records.clear()

    def announce(self, events: Iterable[Event]) -> None:
        """Announce events, of which a person is the cause, in the background."""
        for event in events:
            self._announcer.announce_later(event)

    def status(self, asked: Sequence[Asked]) -> Status:
        """Give the status alone of what :meth:`report` would report."""
        results = self._results(asked, self._settings.deadline)
        return worst(
            (lane.probe.critical, result.status) for lane, (_, result) in results.items()
        )

    def report(self, asked: Sequence[Asked], within: float | None) -> Report:
        """Report on these scopes together.

        :param within: how many seconds to wait in place of the deadline.
        """
        limit = self._settings.deadline if within is None else within
        results = self._results(asked, limit)
        return aggregate([reported(lane, result) for lane, (_, result) in results.items()])

    def peek(self, asked: Sequence[Asked]) -> Report:
        """Report what is kept, as :meth:`report` would use it now. This starts nothing."""
        now = self._clock.now()
        return aggregate(
            [
                reported(lane, UNKNOWN if entry is None else result_of(entry))
                for scope, key in asked
                for lane, entry in scope.kept(key, now)
            ]
        )

    def details(self, organization_id: str | None, drained: Collection[str]) -> Details:
        """Describe the verdicts of one scope's probes, after asking as :meth:`report` does.

        :param drained: the groups that are unavailable because the instance drains.
        """
        asked = self.asked(organization_id)
        results = self._results(asked, self._settings.deadline)
        scope, key = asked[-1]
        entries, now = scope.entries(key), self._clock.now()
        probes = [
            detail(lane, key, *results[lane], entry, self._pauses.of(lane.probe, key), now)
            for lane, entry in entries
        ]
        counts = {
            lane: (lane.probe.critical, result.status) for lane, (_, result) in results.items()
        }
        groups = {
            name: Status.UNAVAILABLE
            if name in drained
            else worst(counts[lane] for lane in group.lanes)
            for name, group in self._groups.items()
        }
        return Details(
            worst(counts.values()),
            worst(counts[lane] for lane in self.service.lanes),
            tuple(probes),
            groups,
            draining=bool(drained),
        )

    def _results(
        self, asked: Sequence[Asked], limit: float
    ) -> dict[Lane, tuple[Entry | Flight, ProbeResult]]:
        """Find what a question is answered with, by lane.

        :param limit: for how many seconds to wait at most.
        """
        until = self._clock.now() + limit
        found = find_all(asked, until, self._threads, self._clock)
        return {lane: (each, self._result(lane, each, limit)) for lane, each in found.items()}

    def _result(self, lane: Lane, found: Entry | Flight, limit: float) -> ProbeResult:
        entry = entry_in(found)
        if entry is not None:
            return result_of(entry)
        flight = t.cast(Flight, found)
        reason = flight.refusal or lane.obstacle(flight)
        self._warn(lane, flight.key, reason or _TOO_SLOW.format(limit))
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
    applicable = not isinstance(result, NotApplicable)
    return ReportedResult(
        probe.name, probe.scope, probe.critical, result.status, result.message, applicable
    )
