"""Pauses: for a while a person, and not a run, says what the verdict of a probe is."""

from __future__ import annotations

import typing as t
from collections.abc import Callable, Sequence
from datetime import datetime

from flask_connector_health.checks import suggestion
from flask_connector_health.model import ProbeResult, Scope
from flask_connector_health.probes.spec import Probe

from .entry import Ended, Entry, entry_of
from .environment import Clock
from .events import Paused, Resumed
from .outcome import shortened

# A probe's scope and name, and the organization, or None for the service or every organization.
_Key: t.TypeAlias = tuple[Scope, str, str | None]


class Pause(t.NamedTuple):
    """A pause.

    :param until: when it ends, in monotonic seconds.
    :param entry: what holds until then in the place of the probe's own entry.
    """

    event: Paused
    until: float
    entry: Entry


class Pauses:
    """The pauses that hold in this process.

    :param check_organization: raises :exc:`ValueError` for what is no organization's id.

    There is no lock, which a forked child might inherit locked. The interpreter makes each step
    on the dictionary at once.
    """

    def __init__(
        self,
        probes: Sequence[Probe],
        check_organization: Callable[[str], None],
        clock: Clock,
    ) -> None:
        self._probes = probes
        self._check_organization = check_organization
        self._clock = clock
        #: The pauses. While there is none, no request looks any further.
        self.held: dict[_Key, Pause] = {}

    def begin(
        self, name: str, organization_id: str | None, until: datetime, result: ProbeResult
    ) -> list[Paused]:
        """Begin a pause, or replace the one that holds.

        :param until: when it ends.
        :raises LookupError: if there is no such probe.
        :raises TypeError: if ``until`` is no datetime.
        :raises ValueError: if ``until`` has passed or has no time zone, or if an organization
            is given for a probe of the service.
        """
        probes = self._named(name, organization_id)
        result = ProbeResult(result.status, shortened(result.message))
        now, time_of_day = self._clock.now(), self._clock.time_of_day()
        left = _seconds_since_1970(until) - time_of_day
        if left <= 0:
            raise ValueError(f"until must be in the future, and {until.isoformat()} has passed")
        entry = entry_of(result, now + left, Ended(now, time_of_day, 0.0))
        events = []
        for probe in probes:
            event = Paused(
                probe.name,
                organization_id,
                probe.scope,
                probe.critical,
                result.status,
                result.message,
                until,
            )
            self.held[probe.scope, name, organization_id] = Pause(event, now + left, entry)
            events.append(event)
        return events

    def end(self, name: str, organization_id: str | None) -> list[Resumed]:
        """End a pause before its time.

        :raises LookupError: if there is no such probe.
        :raises ValueError: if an organization is given for a probe of the service.
        """
        probes = self._named(name, organization_id)
        return self._taken([(probe.scope, name, organization_id) for probe in probes])

    def end_due(self) -> list[Resumed]:
        """End the pauses whose time is over."""
        now = self._clock.now()
        return self._taken([key for key, each in self.held.copy().items() if now >= each.until])

    def of(self, probe: Probe, key: str | None) -> Pause | None:
        """Give the pause that holds for a probe and a key. The key's own goes first."""
        own = self.held.get((probe.scope, probe.name, key))
        return own or self.held.get((probe.scope, probe.name, None))

    def concern(self, organization_id: str | None) -> bool:
        """Tell whether any pause matters to a question, or is to be ended.

        :param organization_id: the organization that is asked about beside the service.
        """
        now = self._clock.now()
        return any(
            now >= pause.until
            or scope == "service"
            or (organization_id is not None and key in (None, organization_id))
            for (scope, _, key), pause in self.held.copy().items()
        )

    def organizations(self) -> set[str | None]:
        """Give the organizations that have pauses. ``None`` stands for all of them."""
        return {key for scope, _, key in self.held.copy() if scope == "organization"}

    def _taken(self, keys: Sequence[_Key]) -> list[Resumed]:
        taken = [self.held.pop(key, None) for key in keys]  # another thread may be faster
        return [
            Resumed(pause.event.probe, pause.event.organization_id, pause.event.scope)
            for pause in taken
            if pause is not None
        ]

    def named(self, name: str) -> list[Probe]:
        """Find the probes of this name: of one scope, or the availability callback's of both.

        :raises LookupError: if there is none.
        """
        named = [probe for probe in self._probes if probe.name == name]
        if not named:
            known = {probe.name for probe in self._probes}
            raise LookupError(f"there is no probe {name!r}; {suggestion(name, known)}")
        return named

    def _named(self, name: str, organization_id: object) -> list[Probe]:
        named = self.named(name)
        if organization_id is None:
            return named
        if not isinstance(organization_id, str):
            kind = type(organization_id).__name__
            raise TypeError(f"organization_id must be a str or None, not {kind}")
        own = [probe for probe in named if probe.scope == "organization"]
        if not own:
            raise ValueError(
                f"probe {name!r} is the service's, and has nothing to do with an organization:"
                " leave organization_id out"
            )
        self._check_organization(organization_id)
        return own


def _seconds_since_1970(until: object) -> float:
    if not isinstance(until, datetime):
        raise TypeError(f"until must be a datetime, not {type(until).__name__}")
    if until.utcoffset() is None:
        raise ValueError(
            "until must have a time zone, as in datetime.now(UTC) + timedelta(hours=1)"
        )
    return until.timestamp()
