"""What is kept of a scope: tuples of atoms, which the garbage collector need not walk."""

from __future__ import annotations

import math
import typing as t
from collections.abc import Sequence

from flask_connector_health.model import STATUSES, ProbeResult, Status, judge, weigh

from .outcome import Outcome
from .policy import Policy

# A probe's verdict: severity, message, until when it is fresh (monotonic seconds), streaks.
Entry: t.TypeAlias = tuple[int, str, float, int, int]

# A scope's: until when all of it is fresh, its severity, and an entry for each of its probes.
Record: t.TypeAlias = tuple[float, int, tuple[Entry | None, ...]]


def result_of(entry: Entry) -> ProbeResult:
    """Read an entry's verdict."""
    return ProbeResult(STATUSES[entry[0]], entry[1])


def fresh_until(entry: Entry) -> float:
    """Read until when an entry is fresh."""
    return entry[2]


def succeed(
    previous: Entry | None, outcome: Outcome, policy: Policy, *, at: float, jitter: float
) -> Entry:
    """Make the entry that follows another when a run has ended.

    The first result is the verdict. So is one that comes so long after the other that the two
    are not consecutive: nothing that old is held up by a threshold.

    :param at: when the run ended, or became overdue.
    """
    result = outcome.result
    until = at + policy.fresh_for(result.status, jitter)
    spaced = max(until, at + outcome.spacing)
    if previous is None or at >= policy.remembered_until(fresh_until(previous)):
        return (result.status.severity, result.message, spaced, 0, 0)
    severity, message, _, *streaks = previous
    verdict, counts = judge(
        result.status,
        STATUSES[severity],
        (streaks[0], streaks[1]),
        failure_threshold=policy.failure_threshold,
        recovery_threshold=policy.recovery_threshold,
    )
    if verdict is result.status:
        message, until = result.message, spaced  # a verdict held up is not held up for longer
    elif verdict.severity != severity:  # some way towards it
        message = ""
    return (verdict.severity, message, until, *counts)


def compose(entries: Sequence[Entry | None], critical: Sequence[bool]) -> Record:
    """Make a scope's record: as fresh as its oldest entry, as bad as its worst critical one."""
    until, status = math.inf, Status.OK
    for entry, is_critical in zip(entries, critical, strict=True):
        if entry is None:
            until = -math.inf
            continue
        until = min(until, fresh_until(entry))
        status = max(status, weigh(result_of(entry), critical=is_critical))
    return until, status.severity, tuple(entries)
