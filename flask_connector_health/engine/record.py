"""Records, which hold what is kept for a key, and keepers, which alone write them.

A record holds only tuples, numbers and strings, so the garbage collector need not visit it.
Only the accessors here know the order of the fields.
"""

from __future__ import annotations

import math
import typing as t
from collections.abc import Callable, Sequence
from functools import partial
from operator import itemgetter

from flask_connector_health.model import STATUSES, ProbeResult, Status, Streaks, judge, weigh
from flask_connector_health.probes.policy import MEMORY, Policy
from flask_connector_health.probes.spec import Probe

from .cache import Cache
from .environment import Environment
from .events import Announcer, EndedLate, Settled
from .outcome import Outcome

# What is kept of a probe: its verdict's severity and message, until when that is fresh, until
# when it may be served, its streaks, and since when it has that severity. Times are monotonic
# seconds.
Entry: t.TypeAlias = tuple[int, str, float, float, int, int, float]

# What is kept for a key: until when all entries are fresh, the verdict's severity, and for each
# probe of the scope its entry, or None before its first verdict.
Record: t.TypeAlias = tuple[float, int, tuple[Entry | None, ...]]

#: Until when an entry is fresh.
fresh_until: Callable[[Entry], float] = itemgetter(2)

#: Until when an entry may be served while a run refreshes it.
usable_until: Callable[[Entry], float] = itemgetter(3)

#: Since when an entry's verdict has its status.
since_of: Callable[[Entry], float] = itemgetter(6)

_severity: Callable[[Entry], int] = itemgetter(0)
_message: Callable[[Entry], str] = itemgetter(1)
_streaks: Callable[[Entry], Streaks] = itemgetter(4, 5)

#: Until when every entry of a record is fresh.
all_fresh_until: Callable[[Record], float] = itemgetter(0)

#: The severity of a record's verdict.
severity_of: Callable[[Record], int] = itemgetter(1)

#: A record's entries, in the order of the scope's probes.
entries_of: Callable[[Record], tuple[Entry | None, ...]] = itemgetter(2)


def status_of(entry: Entry) -> Status:
    """Read an entry's status."""
    return STATUSES[_severity(entry)]


def result_of(entry: Entry) -> ProbeResult:
    """Read an entry's verdict: its status and its message."""
    return ProbeResult(STATUSES[_severity(entry)], _message(entry))


def entry_of(
    status: Status, message: str, until: tuple[float, float], streaks: Streaks, since: float
) -> Entry:
    """Make an entry. This is the one place where an entry is made.

    :param until: until when it is fresh, and until when it may be served.
    :param since: since when the verdict has this status.
    """
    return (status.severity, message, *until, *streaks, since)


def succeed(
    previous: Entry | None, outcome: Outcome, policy: Policy, *, at: float, jitter: float
) -> Entry:
    """Make the entry that follows another one when a run is settled.

    The first result becomes the verdict at once. So does a result if the previous one is too
    old to count. While the status stays the same, so does the moment since when it holds.

    :param at: when the run ended, or became overdue.
    :param jitter: from 0 to 1.
    """
    result = outcome.result
    until = policy.lifetime(result.status, at, jitter=jitter)
    if previous is None:
        return entry_of(result.status, result.message, until, (0, 0), at)
    before, message = status_of(previous), _message(previous)
    verdict, streaks = result.status, (0, 0)
    if at < max(usable_until(previous), fresh_until(previous) + MEMORY):
        verdict, streaks = judge(
            result.status,
            before,
            _streaks(previous),
            failure_threshold=policy.failure_threshold,
            recovery_threshold=policy.recovery_threshold,
        )
    if verdict is result.status:
        message = result.message
    elif verdict is not before:  # it lies between the two, and neither message describes it
        message = ""
    since = since_of(previous) if verdict is before else at
    return entry_of(verdict, message, until, streaks, since)


class Records(Cache[str | None, Record]):
    """The records of a scope: the service's, or those of the organizations.

    :param bound: how many there may be at once.
    :param critical: for each probe of the scope, whether it is critical.
    """

    def __init__(self, bound: int, critical: Sequence[bool]) -> None:
        super().__init__(bound)
        self._critical = critical
        self.blank: tuple[Entry | None, ...] = (None,) * len(critical)

    def replace(
        self, key: str | None, place: int, change: Callable[[Entry | None], Entry]
    ) -> tuple[Entry | None, Entry]:
        """Replace the entry of one probe; return the entry before, and the new one."""

        def changed(record: Record | None) -> Record:
            entries = list(self.blank if record is None else entries_of(record))
            entries[place] = change(entries[place])
            return self._composed(entries)

        before, after = self.update(key, changed)
        was = None if before is None else entries_of(before)[place]
        return was, t.cast(Entry, entries_of(after)[place])

    def _composed(self, entries: Sequence[Entry | None]) -> Record:
        """Make a record, which is fresh until its first entry expires.

        It is as bad as its worst probe. A probe that is not critical degrades it at most.
        """
        until, severity = math.inf, Status.OK.severity
        for entry, critical in zip(entries, self._critical, strict=True):
            if entry is None:
                until = -math.inf
                continue
            until = min(until, fresh_until(entry))
            status = weigh(STATUSES[_severity(entry)], critical=critical)
            severity = max(severity, status.severity)
        return until, severity, tuple(entries)


class Keeper:
    """Keeps the verdicts of one probe in its scope's records, and announces them.

    :param place: the probe's index in the scope.
    """

    def __init__(
        self,
        probe: Probe,
        policy: Policy,
        records: Records,
        place: int,
        environment: Environment,
        announcer: Announcer,
    ) -> None:
        self._probe = probe
        self._policy = policy
        self.records = records
        self.place = place
        self._environment = environment
        self._announcer = announcer

    def settle(self, key: str | None, outcome: Outcome, at: float) -> ProbeResult:
        """Turn a run's outcome into the key's verdict.

        :param at: when the run ended, or became overdue.
        :return: the verdict.
        """
        jitter = self._environment.jitter()
        change = partial(succeed, outcome=outcome, policy=self._policy, at=at, jitter=jitter)
        was, entry = self.records.replace(key, self.place, change)
        result = result_of(entry)
        event = Settled(
            self._probe.name,
            key,
            self._probe.critical,
            before=None if was is None else status_of(was),
            held=None if was is None else at - since_of(was),
            verdict=result.status,
            outcome=outcome,
            at=at,
        )
        self._announcer.announce(event)
        return result

    def discard(self, key: str | None, outcome: Outcome | str) -> None:
        """Drop an outcome that came after its flight was settled. Announce its exception."""
        if isinstance(outcome, Outcome) and outcome.cause is not None:
            self._announcer.announce(EndedLate(self._probe.name, key, outcome.cause))
