"""What is kept of a scope: tuples of atoms, which the garbage collector need not walk."""

from __future__ import annotations

import math
import typing as t
from collections.abc import Sequence

from flask_connector_health.model import STATUSES, ProbeResult, Status, judge, weigh

from .outcome import Outcome
from .policy import MEMORY, Policy

# A probe's verdict: severity, message, until when it is fresh, until when it may be served
# (monotonic seconds), streaks.
Entry: t.TypeAlias = tuple[int, str, float, float, int, int]

# A scope's: until when all of it is fresh, its severity, and an entry for each of its probes.
Record: t.TypeAlias = tuple[float, int, tuple[Entry | None, ...]]


def result_of(entry: Entry) -> ProbeResult:
    """Read an entry's verdict."""
    return ProbeResult(STATUSES[entry[0]], entry[1])


def fresh_until(entry: Entry) -> float:
    """Read until when an entry is fresh."""
    return entry[2]


def usable_until(entry: Entry) -> float:
    """Read until when an entry may be served while a run refreshes it."""
    return entry[3]


def succeed(
    previous: Entry | None, outcome: Outcome, policy: Policy, *, at: float, jitter: float
) -> Entry:
    """Make the entry that follows another when a run has ended.

    The first result is the verdict. So is one that comes so long after the other that the two
    are not consecutive: nothing that old is held up by a threshold.

    :param at: when the run ended, or became overdue.
    """
    result = outcome.result
    until = policy.lifetime(result.status, at, jitter=jitter)
    if previous is None or at >= max(usable_until(previous), fresh_until(previous) + MEMORY):
        return (result.status.severity, result.message, *until, 0, 0)
    severity, message, _, _, *streaks = previous
    verdict, counts = judge(
        result.status,
        STATUSES[severity],
        (streaks[0], streaks[1]),
        failure_threshold=policy.failure_threshold,
        recovery_threshold=policy.recovery_threshold,
    )
    if verdict is result.status:
        message = result.message
    elif verdict.severity != severity:  # some way towards it
        message = ""
    return (verdict.severity, message, *until, *counts)


def compose(entries: Sequence[Entry | None], critical: Sequence[bool]) -> Record:
    """Make a scope's record: as fresh as its oldest entry, as bad as its worst critical one."""
    until, severity = math.inf, Status.OK.severity
    for entry, is_critical in zip(entries, critical, strict=True):
        if entry is None:
            until = -math.inf
            continue
        until = min(until, fresh_until(entry))
        status = weigh(STATUSES[entry[0]], critical=is_critical)
        severity = max(severity, status.severity)
    return until, severity, tuple(entries)
