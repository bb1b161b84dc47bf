"""A flight: one run of a probe for a key, shared by all requests that need it meanwhile."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

from .entry import Entry
from .environment import Clock
from .threads import Bell


@dataclass(slots=True, eq=False)
class Flight:
    """One run of a probe for a key, from its queueing until it lands.

    Times are monotonic seconds.

    :param called: when a thread was last called for it.
    :param lacks_thread: whether a thread is to be called for it.
    :param started: when the run began.
    :param due: when the run becomes overdue: one timeout after its start.
    :param claimed: when a thread claimed it. After that, no other thread may settle it.
    :param deadline: until when requests wait for it. The first request that waits sets it.
    :param entry: the entry that the run has made.
    :param refusal: why there is none.
    :param has_landed: whether it has its entry or its refusal.
    """

    key: str | None
    called: float
    lacks_thread: bool = False
    started: float | None = None
    due: float = math.inf
    claimed: float | None = None
    deadline: float | None = None
    entry: Entry | None = None
    refusal: str | None = None
    has_landed: bool = False
    _bells: list[Bell] = field(default_factory=list)

    def refuse(self, reason: str) -> Flight:
        """End it without a verdict."""
        self.refusal = reason
        self.land()
        return self

    def land(self) -> None:
        """Wake all requests that wait for it."""
        self.has_landed = True
        for bell in self._bells:
            bell.ring()

    def hear(self, seconds: float) -> None:
        """Wait until it lands, at most for so many real seconds."""
        bell = Bell()
        self._bells.append(bell)
        if not self.has_landed:  # it may have landed just before the bell was there
            bell.hear(seconds)


def entry_in(found: Entry | Flight) -> Entry | None:
    """Give the entry that was found, or that the flight has landed with, if it has one."""
    return found.entry if isinstance(found, Flight) else found


def wait_for(flights: Sequence[Flight], until: float, clock: Clock) -> None:
    """Wait until all flights have landed, for each at most until its deadline."""
    # The last flight usually lands last. A wait for it makes the other waits unnecessary.
    for flight in reversed(flights):
        end = until if flight.deadline is None else min(until, flight.deadline)
        while not flight.has_landed and (left := end - clock.now()) > 0:
            flight.hear(left)
