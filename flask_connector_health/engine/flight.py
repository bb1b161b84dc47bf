"""A flight: the one run of a key that everybody shares who asks for it meanwhile."""

from __future__ import annotations

import threading
from collections.abc import Callable

from flask_connector_health.model import UNKNOWN, ProbeResult, Status

from .wait import wait_until


class Flight:
    """One run of a key, on its way.

    ``result`` or ``refusal`` is set before ``done``: the verdict after the run, or why there
    was none. ``claimed`` once somebody has its outcome in hand: nobody else may settle it then.
    """

    __slots__ = (
        "claimed", "deadline", "done", "organization_id", "refusal", "result", "started"
    )  # fmt: skip

    def __init__(self, organization_id: str | None) -> None:
        self.organization_id = organization_id
        self.done = threading.Event()
        self.result: ProbeResult | None = None
        self.refusal: str | None = None
        self.started: float | None = None
        self.deadline: float | None = None
        self.claimed = False

    def refuse(self, reason: str) -> Flight:
        """End it without a verdict."""
        self.refusal = reason
        self.done.set()
        return self

    def wait(self, until: float, clock: Callable[[], float]) -> None:
        """Wait for its end; the deadline of who does so first holds for all who follow."""
        if self.deadline is None:
            self.deadline = until
        wait_until(self.done, min(until, self.deadline), clock)

    @property
    def verdict(self) -> ProbeResult:
        """What it came to by now: its result, or that there is none, and why."""
        if self.refusal is not None:
            return ProbeResult(Status.UNAVAILABLE, self.refusal)
        return UNKNOWN if self.result is None else self.result
