"""Entries: what is kept of a probe for a key, and which entry follows another one.

An entry is a plain tuple of numbers and strings, so the garbage collector need not visit it.
Only this module knows the order of its fields.
"""

from __future__ import annotations

import typing as t
from collections.abc import Callable
from datetime import UTC, datetime
from operator import itemgetter

from flask_connector_health.model import (
    STATUSES,
    NotApplicable,
    ProbeResult,
    Status,
    Streaks,
    judge,
)
from flask_connector_health.probes.policy import MEMORY, Policy

from .outcome import Outcome

# The verdict's severity and message, until when it is fresh, its two streaks, since when it
# holds, when its last run ended, how long that took, and how many runs in a row were not ok:
# all times in monotonic seconds. After them the times of day, in seconds since 1970: since when
# it holds, when its last run ended, and when a run was last ok, or None.
Entry: t.TypeAlias = tuple[
    int, str, float, int, int, float, float, float, int, float, float, float | None
]

# The severity of a verdict that counts for nothing.
_NOT_APPLICABLE = -1

#: The severity of an entry's verdict, which is below that of "ok" if it counts for nothing.
severity_of: Callable[[Entry], int] = itemgetter(0)

#: The message of an entry's verdict.
message_of: Callable[[Entry], str] = itemgetter(1)

#: Until when an entry is fresh.
fresh_until: Callable[[Entry], float] = itemgetter(2)

#: Since when an entry's verdict has its status.
since_of: Callable[[Entry], float] = itemgetter(5)

#: When the last run ended, or became overdue.
checked: Callable[[Entry], float] = itemgetter(6)

#: How many seconds the last run took.
duration_of: Callable[[Entry], float] = itemgetter(7)

#: How many runs in a row were not ok.
failures_of: Callable[[Entry], int] = itemgetter(8)

#: Since when the verdict has its status, by the time of day.
since_at: Callable[[Entry], float] = itemgetter(9)

#: When the last run ended, by the time of day.
checked_at: Callable[[Entry], float] = itemgetter(10)

#: When a run was last ok, by the time of day.
last_ok_at: Callable[[Entry], float | None] = itemgetter(11)

_streaks: Callable[[Entry], Streaks] = itemgetter(3, 4)


class Ended(t.NamedTuple):
    """When a run ended, or became overdue.

    :param at: in monotonic seconds.
    :param time_of_day: in seconds since 1970.
    :param duration: how many seconds it took.
    """

    at: float
    time_of_day: float
    duration: float


def moment(seconds: float) -> datetime:
    """Turn seconds since 1970 into a time of the day (UTC)."""
    return datetime.fromtimestamp(seconds, UTC)


def status_of(entry: Entry | None) -> Status | None:
    """Read an entry's status, or ``None`` if there is none that counts."""
    if entry is None or severity_of(entry) == _NOT_APPLICABLE:
        return None
    return STATUSES[severity_of(entry)]


def result_of(entry: Entry) -> ProbeResult:
    """Read an entry's verdict: its status and its message."""
    status = status_of(entry)
    return (
        NotApplicable(message_of(entry))
        if status is None
        else ProbeResult(status, message_of(entry))
    )


def entry_of(result: ProbeResult, fresh: float, ended: Ended) -> Entry:
    """Make the entry of a first result.

    :param fresh: until when it is fresh.
    """
    return _entry(result, fresh, (0, 0), None, ended, result.status)


def succeed(
    previous: Entry | None, outcome: Outcome, policy: Policy, ended: Ended, *, jitter: float
) -> Entry:
    """Make the entry that follows another one when a run is settled.

    The first result becomes the verdict at once. So does a result after one that counts for
    nothing, or after one that is too old to count. While the status stays the same, so does the
    moment since when it holds.

    :param jitter: from 0 to 1.
    """
    result, before = outcome.result, status_of(previous)
    fresh = policy.fresh_until(result.status, ended.at, jitter=jitter)
    if previous is None:
        return entry_of(result, fresh, ended)
    verdict, streaks, was_fresh = result.status, (0, 0), fresh_until(previous)
    counts = before is not None and not isinstance(result, NotApplicable)
    if counts and ended.at < max(policy.usable_until(was_fresh), was_fresh + MEMORY):
        verdict, streaks = judge(
            result.status,
            t.cast(Status, before),
            _streaks(previous),
            failure_threshold=policy.failure_threshold,
            recovery_threshold=policy.recovery_threshold,
        )
    if verdict is not result.status:
        # The verdict may lie between the two. Then neither message describes it.
        result = ProbeResult(verdict, message_of(previous) if verdict is before else "")
    return _entry(result, fresh, streaks, previous, ended, outcome.result.status)


def _entry(
    verdict: ProbeResult,
    fresh: float,
    streaks: Streaks,
    previous: Entry | None,
    ended: Ended,
    found: Status,
) -> Entry:
    """Make an entry. This is the one place where an entry is made."""
    at, time_of_day, duration = ended
    is_absent = isinstance(verdict, NotApplicable)
    severity = _NOT_APPLICABLE if is_absent else verdict.status.severity
    since, since_time, failures, last_ok = at, time_of_day, 0, None
    if previous is not None:
        if severity == severity_of(previous):
            since, since_time = since_of(previous), since_at(previous)
        failures, last_ok = failures_of(previous), last_ok_at(previous)
    if found is not Status.OK:
        failures += 1
    else:
        failures = 0
        last_ok = last_ok if is_absent else time_of_day
    return (
        *(severity, verdict.message, fresh, *streaks),
        *(since, at, duration, failures),
        *(since_time, time_of_day, last_ok),
    )
