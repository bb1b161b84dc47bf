"""Records, which hold what is kept for a key, and keepers, which alone write them.

A record holds only tuples, numbers and strings, so the garbage collector need not visit it.
Only the accessors here know the order of its fields.
"""

from __future__ import annotations

import math
import typing as t
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from operator import itemgetter

from flask_connector_health.model import STATUSES
from flask_connector_health.probes.policy import Policy
from flask_connector_health.probes.spec import Probe

from .cache import Cache
from .entry import (
    Ended,
    Entry,
    checked_at,
    fresh_until,
    result_of,
    severity_of,
    since_of,
    status_of,
    succeed,
)
from .environment import Environment
from .events import Announcer, EndedLate, Settled
from .history import History
from .outcome import Outcome
from .pauses import Pauses

OK, DEGRADED, UNAVAILABLE = (status.severity for status in STATUSES)

# What is kept for a key: until when all entries are fresh, in monotonic seconds; the severity
# of the verdict, and since when it is that, in seconds since 1970; for each probe of the scope
# its entry, or None before its first verdict; and for each group until when its own entries are
# fresh, and its severity.
Record: t.TypeAlias = tuple[
    float, int, float, tuple[Entry | None, ...], tuple[tuple[float, int], ...]
]

#: Until when every entry of a record is fresh.
all_fresh_until: Callable[[Record], float] = itemgetter(0)

#: The severity of a record's verdict.
worst_severity_of: Callable[[Record], int] = itemgetter(1)

#: Since when a record's verdict has its severity, by the time of day.
worst_since_at: Callable[[Record], float] = itemgetter(2)

#: A record's entries, in the order of the scope's probes.
entries_of: Callable[[Record], tuple[Entry | None, ...]] = itemgetter(3)

#: For each group, until when its entries are fresh, and the severity of its verdict.
groups_of: Callable[[Record], tuple[tuple[float, int], ...]] = itemgetter(4)


class Records(Cache[str | None, Record]):
    """The records of a scope: the service's, or those of the organizations.

    :param bound: how many there may be at once.
    :param critical: for each probe of the scope, whether it is critical.
    :param groups: for each group, the indexes of its probes.
    """

    def __init__(
        self, bound: int, critical: Sequence[bool], groups: Sequence[Sequence[int]] = ()
    ) -> None:
        super().__init__(bound)
        # For each probe, the worst severity that it can give to the scope.
        self._worst = [UNAVAILABLE if each else DEGRADED for each in critical]
        self._all = range(len(critical))
        self._groups = groups
        self.blank: tuple[Entry | None, ...] = (None,) * len(critical)
        #: What stands for a key of which nothing is kept.
        self.nothing = self.compose(None, self.blank, 0.0)

    def replace(
        self, key: str | None, place: int, change: Callable[[Entry | None], Entry]
    ) -> tuple[Entry | None, Entry]:
        """Replace the entry of one probe; return the entry before, and the new one."""

        def changed(record: Record | None) -> Record:
            entries = list(self.blank if record is None else entries_of(record))
            entries[place] = changed_to = change(entries[place])
            return self.compose(record, entries, checked_at(changed_to))

        before, after = self.update(key, changed)
        was = None if before is None else entries_of(before)[place]
        return was, t.cast(Entry, entries_of(after)[place])

    def compose(
        self, previous: Record | None, entries: Sequence[Entry | None], at: float
    ) -> Record:
        """Make a record of entries.

        :param previous: the record until now.
        :param at: since when these entries hold, by the time of day.
        """
        until, severity = self._verdict(entries, self._all)
        if previous is not None and worst_severity_of(previous) == severity:
            at = worst_since_at(previous)
        groups = tuple(self._verdict(entries, places) for places in self._groups)
        return until, severity, at, tuple(entries), groups

    def _verdict(
        self, entries: Sequence[Entry | None], places: Iterable[int]
    ) -> tuple[float, int]:
        """Give until when entries are fresh, and the severity of the worst of them.

        The severity of a probe that is not critical is that of "degraded" at most.

        :param places: the indexes of the entries that count.
        """
        until, worst = math.inf, OK
        for place in places:
            entry = entries[place]
            if entry is None:
                until = -math.inf
                continue
            until = min(until, fresh_until(entry))
            if severity_of(entry) > worst:
                worst = max(worst, min(severity_of(entry), self._worst[place]))
        return until, worst


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
        history: History,
        pauses: Pauses,
    ) -> None:
        self._probe = probe
        self._policy = policy
        self.records = records
        self.place = place
        self._environment = environment
        self._announcer = announcer
        self._history = history
        self._pauses = pauses

    def settle(self, key: str | None, outcome: Outcome, at: float, took: float) -> Entry:
        """Turn a run's outcome into the key's verdict.

        A pause that has begun meanwhile is the verdict. Nothing is kept of the run, so that the
        next run after the pause still has the news.

        :param at: when the run ended, or became overdue.
        :param took: for how many seconds it had run by then.
        :return: the entry, which has the verdict.
        """
        pause = self._pauses.of(self._probe, key) if self._pauses.held else None
        if pause is not None:
            return pause.entry
        clock = self._environment.clock
        ended = Ended(at, clock.time_of_day() - (clock.now() - at), took)
        jitter = self._environment.jitter()
        change = partial(
            succeed, outcome=outcome, policy=self._policy, ended=ended, jitter=jitter
        )
        was, entry = self.records.replace(key, self.place, change)
        before, result = status_of(was), result_of(entry)
        event = Settled(
            self._probe.name,
            key,
            self._probe.critical,
            before=before,
            held=None if was is None or before is None else at - since_of(was),
            verdict=result.status,
            outcome=outcome,
            at=at,
            time_of_day=ended.time_of_day,
            duration=took,
        )
        self._announcer.announce(event)
        turn = self._history.note(event, result.message)
        if turn is not None:
            self._announcer.announce(turn)
        return entry

    def discard(self, key: str | None, outcome: Outcome | str) -> None:
        """Drop an outcome that came after its flight was settled. Announce its exception."""
        if isinstance(outcome, Outcome) and outcome.cause is not None:
            self._announcer.announce(EndedLate(self._probe.name, key, outcome.cause))
