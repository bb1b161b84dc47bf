"""Slots: how many runs of a probe may go on at once, and how many slots the probe needs."""

from __future__ import annotations

import math
from collections import Counter

from .flight import Flight

# The longest queue of a probe. A longer one would only take memory.
QUEUE = 1_000

# Threads that may hang in runs of the service, or of one organization.
HUNG_IN_SERVICE = 4
HUNG_IN_ORGANIZATION = 2

# Seconds over which the runs that are asked for are counted.
WINDOW = 5.0

# How much the last run counts in the average duration of a run.
WEIGHT = 0.1

# More slots than the average needs, since runs do not come evenly.
SPARE = 1.5

_ALL_HUNG = (
    "{} runs of this probe hang, which is the limit, so no more runs start; give the client"
    " that it uses a timeout"
)
_KEY_HUNG = (
    "{} earlier runs of this probe hang{}, so it is not run again before one of them ends; give"
    " the client that it uses a timeout"
)


class Slots:
    """Counts a probe's runs, those that hang, and those that are asked for.

    Up to ``limit`` hung threads cost no slot. Each further one costs a slot, so that at most
    twice as many hang. The lane calls every method under its lock. Times are monotonic seconds.

    :param limit: how many slots there are.
    :param deadline: a request's limit in seconds. A run that would begin later is refused.
    """

    def __init__(self, limit: int, deadline: float) -> None:
        self._limit = limit
        self._deadline = deadline
        self.running: set[Flight] = set()  # those that have a slot
        self.hung: Counter[str | None] = Counter()  # threads that are written off, by key
        self._since = -math.inf
        self._asked = 0
        self._rate = 0.0
        self._mean = 0.0

    @property
    def capacity(self) -> int:
        """How many runs may go on at once, now that some threads hang."""
        return min(self._limit, 2 * self._limit - self.hung.total())

    @property
    def free(self) -> int:
        """How many slots are free."""
        return self.capacity - len(self.running)

    def admit(self, flight: Flight, queued: int, now: float) -> str | None:
        """Admit a new flight, or give the reason to refuse it.

        If a slot is free for it, the flight lacks a thread from now on.

        :param queued: how many flights wait before it.
        """
        self._ask(now)
        hung, is_service = self.hung[flight.key], flight.key is None
        most = HUNG_IN_SERVICE if is_service else HUNG_IN_ORGANIZATION
        if hung >= min(most, self._limit):
            return _KEY_HUNG.format(hung, "" if is_service else " for this organization")
        ahead = queued + 1 - self.free
        flight.lacks_thread = ahead <= 0
        if flight.lacks_thread:
            return None
        if self.capacity < 1:
            return self.all_hung()
        wait = ahead * self._mean / self.capacity
        return self.explained(now) if ahead > QUEUE or wait > self._deadline else None

    def take(self, flight: Flight) -> None:
        """Give a flight that begins its slot."""
        self.running.add(flight)

    def write_off(self, flight: Flight) -> None:
        """Count the thread of a flight as hung, which frees a slot unless too many hang."""
        self.running.discard(flight)
        self.hung[flight.key] += 1

    def leave(self, flight: Flight) -> None:
        """Free the slot of a flight that has ended, or count its hung thread as back."""
        if flight in self.running:
            self.running.discard(flight)
        else:
            self.hung -= Counter([flight.key])  # this forgets keys that have none left

    def note(self, seconds: float) -> None:
        """Take note of how long a run took."""
        self._mean += (seconds - self._mean) * (WEIGHT if self._mean else 1.0)

    def all_hung(self) -> str:
        """Say that too many threads hang for any further run."""
        return _ALL_HUNG.format(self.hung.total())

    def explained(self, now: float) -> str:
        """Say how many runs a second are needed and possible, and which number to raise."""
        needed = max(self._rate, self._asked / max(now - self._since, 1.0))
        wanted = max(math.ceil(needed * self._mean * SPARE), self.capacity + 1)
        possible = "none has ended yet"
        if self._mean:
            possible = f"can have {self.capacity / self._mean:.3g}, at {self._mean:.2g} s each"
        return (
            f"the slots of this probe ({self.capacity}) are all taken: it needs about"
            f" {needed:.3g} runs a second and {possible}; raise its slots or"
            f" CONNECTOR_HEALTH_SLOTS to {wanted}, raise its ttl, or make it faster"
        )

    def _ask(self, now: float) -> None:
        spent = now - self._since
        if spent >= WINDOW:
            self._rate = self._asked / spent
            self._since, self._asked = now, 0
        self._asked += 1
