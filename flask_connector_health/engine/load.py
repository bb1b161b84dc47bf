"""How many runs a second a probe needs, and how many it can have."""

from __future__ import annotations

import math

# Seconds over which runs are counted that were asked for.
WINDOW = 5.0

# How much the last run counts in what a run takes.
WEIGHT = 0.1

# More slots than are needed on average, since runs do not come evenly.
SPARE = 1.5


class Load:
    """What is asked of a lane, and what its runs take. Times are monotonic seconds."""

    def __init__(self) -> None:
        self._since = -math.inf
        self._asked = 0
        self._rate = 0.0
        self._mean = 0.0

    def ask(self, now: float) -> None:
        """Count a run that somebody needs."""
        spent = now - self._since
        if spent >= WINDOW:
            self._rate = self._asked / spent
            self._since, self._asked = now, 0
        self._asked += 1

    def took(self, seconds: float) -> None:
        """Take in what a run took."""
        self._mean += (seconds - self._mean) * (WEIGHT if self._mean else 1.0)

    def wait(self, ahead: int, slots: int) -> float:
        """Say for how many seconds a run waits until this many others have ended."""
        return ahead * self._mean / slots

    def explained(self, now: float, slots: int) -> str:
        """Say what is needed and what there is, and which number to raise to what."""
        needed = max(self._rate, self._asked / max(now - self._since, 1.0))
        wanted = max(math.ceil(needed * self._mean * SPARE), slots + 1)
        there_is = "none has ended yet"
        if self._mean:
            there_is = f"can have {slots / self._mean:.3g}, at {self._mean:.2g} s each"
        return (
            f"its slots ({slots}) are all taken: it needs about {needed:.3g} runs a second and"
            f" {there_is}; raise its slots or CONNECTOR_HEALTH_SLOTS to {wanted}, raise its"
            " ttl, or make it faster"
        )
