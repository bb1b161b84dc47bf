"""What a command hears of the runs that it has caused, and who may read what they raised."""

from __future__ import annotations

from flask_connector_health.engine.events import Event, Settled
from flask_connector_health.engine.monitor import Monitor
from flask_connector_health.engine.outcome import RAISED
from flask_connector_health.model import Scope
from flask_connector_health.probes.policy import Policy

# What other programs get in place of the text of an exception, which no log has.
ELSEWHERE = "it raised an exception, which is shown without --json and --nagios"

# Seconds on top of the longest timeout, in which its failure is noted.
SPARE = 1.0


class Heard:
    """Hears of the last run of each probe.

    :param for_people: whether people read about it, who alone may know what a probe raised.
    """

    def __init__(self, *, for_people: bool) -> None:
        self._for_people = for_people
        #: The runs, by the name and the scope of their probes.
        self.runs: dict[tuple[str, Scope], Settled] = {}

    def hear(self, event: Event) -> None:
        """Listen to the engine."""
        if isinstance(event, Settled):
            scope: Scope = "service" if event.organization_id is None else "organization"
            self.runs[event.probe, scope] = event

    def words(self, name: str, scope: Scope, message: str) -> str:
        """Say why a probe has its status: by what it raised, or else by its message."""
        if message != RAISED:
            return message
        if not self._for_people:
            return ELSEWHERE
        return f"it raised {self.runs[name, scope].outcome.text}"


def patience(monitor: Monitor) -> float:
    """Say for how many seconds a command waits for its runs: for the longest timeout."""
    timeouts = (Policy.of(probe, monitor.settings).timeout for probe in monitor.probes)
    return max(timeouts, default=0.0) + SPARE
