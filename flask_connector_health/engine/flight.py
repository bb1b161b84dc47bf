"""A flight: the one run of a key that everybody shares who asks for it meanwhile."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field

from flask_connector_health.model import ProbeResult

from .threads import Bell


@dataclass(slots=True, eq=False)
class Flight:
    """One run of a key, on its way.

    ``result`` or ``refusal`` is set before it ``has_landed``: the verdict after the run, or why
    there was none. ``claimed`` is when somebody took its outcome in hand: nobody else may
    settle it then. It ``lacks_thread`` until one is called for it, and ``called`` is when that
    was. It is ``due`` one timeout after it ``started``. Times are monotonic seconds.
    """

    organization_id: str | None
    called: float
    lacks_thread: bool = False
    started: float | None = None
    due: float = math.inf
    claimed: float | None = None
    deadline: float | None = None
    result: ProbeResult | None = None
    refusal: str | None = None
    has_landed: bool = False
    _bells: list[Bell] = field(default_factory=list)

    def refuse(self, reason: str) -> Flight:
        """End it without a verdict."""
        self.refusal = reason
        self.land()
        return self

    def land(self) -> None:
        """Wake all who wait for it."""
        self.has_landed = True
        for bell in self._bells:
            bell.ring()

    def expect(self, until: float) -> None:
        """Set the deadline: whose request waits first sets it for all who follow."""
        if self.deadline is None:
            self.deadline = until

    def wait(self, until: float, clock: Callable[[], float]) -> None:
        """Wait for its end, at most until its deadline."""
        until = until if self.deadline is None else min(until, self.deadline)
        while not self.has_landed and (left := until - clock()) > 0:
            self.hear(left)

    def hear(self, seconds: float) -> None:
        """Wait for its end for so many real seconds."""
        bell = Bell()
        self._bells.append(bell)
        if not self.has_landed:  # just now: it may have missed this bell
            bell.hear(seconds)
