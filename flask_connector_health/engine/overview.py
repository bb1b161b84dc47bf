"""The overview: how the organizations are that this process knows, and which ones fail."""

from __future__ import annotations

import heapq
import typing as t
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence, Set
from dataclasses import dataclass
from datetime import datetime

from flask_connector_health.model import STATUSES, Status

from .entry import checked_at, message_of, moment, severity_of, since_at
from .lane import Lane
from .outcome import shown
from .record import Record, entries_of, worst_severity_of, worst_since_at
from .scope import Scope

OK = Status.OK.severity

# The severity below zero, since when it is that, the organization, its record with the pauses
# that hold, and the record that is kept. In this order, the worst come first, and of those the
# ones that fail for longest.
_Ranked: t.TypeAlias = tuple[int, float, str | None, Record, Record]


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

    :param since: since when it has been as bad as it is (UTC).
    :param checked_at: when a run of a probe last ended for it (UTC), or ``None`` if none has,
        since its probes are paused.
    """

    organization_id: str
    status: Status
    since: datetime
    checked_at: datetime | None
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
    lanes = [lane for lane in scope.lanes if probe in (None, lane.probe.name)]
    records, paused = scope.records.items(), scope.paused()
    others = {key for lane in scope.lanes for key in lane.asked()} | paused
    if others:  # of which no verdict is kept
        others -= {key for key, _ in records} | {None}
        records += [(key, scope.records.nothing) for key in others]
    counts: Counter[int | None] = Counter()
    chosen = [
        each
        for each in _failing(scope, records, paused, counts)
        if (status is None or -each[0] == status.severity)
        and (probe is None or _is_listed(each[3], lanes))
    ]
    return Overview(
        known=len(records),
        ok=counts[OK],
        degraded=counts[Status.DEGRADED.severity],
        unavailable=counts[Status.UNAVAILABLE.severity],
        unknown=counts[None],
        failing=tuple(_described(each, lanes) for each in heapq.nsmallest(limit, chosen)),
    )


def _failing(
    scope: Scope,
    records: Iterable[tuple[str | None, Record]],
    paused: Set[str | None],
    counts: Counter[int | None],
) -> Iterator[_Ranked]:
    """Count all organizations by severity, or under ``None``, and give those that fail."""
    for organization_id, kept in records:
        record = kept
        if paused and (None in paused or organization_id in paused):
            record = scope.with_pauses(organization_id, kept)
        severity = worst_severity_of(record)
        if severity > OK:
            counts[severity] += 1
            yield -severity, worst_since_at(record), organization_id, record, kept
        else:
            counts[None if None in entries_of(record) else OK] += 1


def _is_listed(record: Record, lanes: Sequence[Lane]) -> bool:
    """Tell whether one of these probes fails."""
    entries = entries_of(record)
    for lane in lanes:
        entry = entries[lane.place]
        if entry is not None and severity_of(entry) > OK:
            return True
    return False


def _described(ranked: _Ranked, lanes: Sequence[Lane]) -> FailingOrganization:
    severity, since, key, record, kept = ranked
    organization_id, entries = t.cast(str, key), entries_of(record)
    probes = []
    for lane in lanes:
        entry, name = entries[lane.place], lane.probe.name
        if entry is not None and severity_of(entry) > OK:
            message = shown(message_of(entry), name, organization_id)
            status = STATUSES[severity_of(entry)]
            probes.append(FailingProbe(name, status, message, moment(since_at(entry))))
    checks = [moment(checked_at(entry)) for entry in entries_of(kept) if entry is not None]
    return FailingOrganization(
        organization_id,
        STATUSES[-severity],
        moment(since),
        max(checks, default=None),
        tuple(probes),
    )
