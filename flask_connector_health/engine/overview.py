"""The overview: how the organizations are that this process knows, and which ones fail."""

from __future__ import annotations

import heapq
import typing as t
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from operator import itemgetter

from flask_connector_health.model import STATUSES, Status

from .entry import Entry, checked_at, message_of, moment, severity_of, since_at
from .outcome import shown
from .scope import Scope

OK = Status.OK.severity

Entries: t.TypeAlias = Sequence[Entry | None]

# The severity below zero, since when a probe fails, the organization, and its entries: in this
# order, the worst come first, and of those the ones that fail for longest.
_Ranked: t.TypeAlias = tuple[int, float, str, Entries]


@dataclass(frozen=True, slots=True)
class FailingProbe:
    """A probe that fails for an organization.

    :param since: since when its verdict has this status (UTC).
    """

    name: str
    status: Status
    message: str
    since: datetime


@dataclass(frozen=True, slots=True)
class FailingOrganization:
    """An organization that is degraded or unavailable by its own probes.

    :param since: since when a probe of those that fail has done so (UTC).
    :param checked_at: when a run of a probe last ended for it (UTC).
    """

    organization_id: str
    status: Status
    since: datetime
    checked_at: datetime
    probes: tuple[FailingProbe, ...]


@dataclass(frozen=True, slots=True)
class Overview:
    """How the organizations are that this process knows.

    Each counts by its own probes alone, and by its last verdicts, however old.

    :param known: how many there are.
    :param unknown: how many do not fail, as far as is known, and lack the verdict of a probe.
    :param failing: the worst first, and of those the longest first.
    """

    known: int
    ok: int
    degraded: int
    unavailable: int
    unknown: int
    failing: tuple[FailingOrganization, ...]


def survey(scope: Scope, *, status: Status | None, probe: str | None, limit: int) -> Overview:
    """Look at all organizations. This runs no probe.

    :param status: list only those of this status.
    :param probe: list only those for which this probe fails, and of their probes only this one.
    :param limit: how many to list at most.
    """
    places = [lane.place for lane in scope.lanes if probe in (None, lane.probe.name)]
    counts: Counter[int | None] = Counter()
    failing: list[_Ranked] = []
    known = set()
    for organization_id, record in scope.records.items():
        known.add(organization_id)
        severity, entries = scope.verdict(organization_id, record)
        if severity == OK:
            counts[None if None in entries else OK] += 1
            continue
        counts[severity] += 1
        if status is None or severity == status.severity:
            since = _failing_since(entries, places)
            if since is not None:
                failing.append((-severity, since, t.cast(str, organization_id), entries))
    asked = {key for lane in scope.lanes for key in lane.asked()} - known
    listed = heapq.nsmallest(limit, failing, key=itemgetter(0, 1, 2))
    return Overview(
        known=len(known) + len(asked),
        ok=counts[OK],
        degraded=counts[Status.DEGRADED.severity],
        unavailable=counts[Status.UNAVAILABLE.severity],
        unknown=counts[None] + len(asked),
        failing=tuple(_described(scope, each, places) for each in listed),
    )


def _failing_since(entries: Entries, places: Sequence[int]) -> float | None:
    """Give since when a probe fails, by the time of day, or ``None`` if none of them does."""
    times = [
        since_at(entry)
        for place in places
        if (entry := entries[place]) is not None and severity_of(entry) > OK
    ]
    return min(times, default=None)


def _described(scope: Scope, ranked: _Ranked, places: Sequence[int]) -> FailingOrganization:
    severity, since, organization_id, entries = ranked
    probes = []
    for place in places:
        entry, name = entries[place], scope.lanes[place].probe.name
        if entry is not None and severity_of(entry) > OK:
            message = shown(message_of(entry), name, organization_id)
            status = STATUSES[severity_of(entry)]
            probes.append(FailingProbe(name, status, message, moment(since_at(entry))))
    return FailingOrganization(
        organization_id,
        STATUSES[-severity],
        moment(since),
        moment(max(checked_at(entry) for entry in entries if entry is not None)),
        tuple(probes),
    )
