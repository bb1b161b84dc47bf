"""Details: what is known of each probe's verdict, for people who may see it."""

from __future__ import annotations

import typing as t
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

from flask_connector_health.model import NotApplicable, ProbeResult, Scope, Status

from .entry import (
    Entry,
    checked,
    checked_at,
    duration_of,
    failures_of,
    fresh_until,
    last_ok_at,
    moment,
    since_at,
    status_of,
)
from .flight import Flight, entry_in
from .lane import Lane
from .outcome import shown
from .pauses import Pause

State: t.TypeAlias = t.Literal[
    "fresh", "stale", "running", "overdue", "unknown", "paused", "not_applicable"
]


@dataclass(frozen=True, slots=True)
class ProbeDetail:
    """What is known of a probe's verdict.

    Times are of the day (UTC), and ``None`` if there was none.

    :param status: what the probe itself has found, or ``None`` if there is no verdict, or one
        that counts for nothing.
    :param state: ``"fresh"`` within the TTL, and ``"stale"`` while a run refreshes the verdict.
        ``"running"`` if there is no verdict, and a run is on its way. ``"overdue"`` if a run
        hangs, which has not returned in time. ``"paused"`` and ``"not_applicable"`` as they
        say. Otherwise ``"unknown"``: there is no verdict, and the message says why.
    :param since: since when the verdict has its status.
    :param checked_at: when the last run ended.
    :param last_ok_at: when a run was last ok.
    :param age_seconds: how long ago the last run ended.
    :param duration_ms: how long the last run took.
    :param consecutive_failures: how many runs in a row were not ok.
    """

    name: str
    scope: Scope
    critical: bool
    status: Status | None
    message: str
    state: State
    since: datetime | None
    checked_at: datetime | None
    last_ok_at: datetime | None
    age_seconds: float | None
    duration_ms: float | None
    consecutive_failures: int


@dataclass(frozen=True, slots=True)
class Details:
    """What is known of the service, or of an organization.

    :param status: as the routes answer: that of an organization is never better than that of
        the service.
    :param service: the status of the service alone.
    :param probes: the service's own, or those of the organization alone.
    :param groups: the status of each group of the service's probes.
    :param draining: whether groups are unavailable because the instance drains.
    """

    status: Status
    service: Status
    probes: tuple[ProbeDetail, ...]
    groups: Mapping[str, Status]
    draining: bool

    @property
    def available(self) -> bool:
        """Whether it can be used."""
        return self.status.available


def detail(
    lane: Lane,
    key: str | None,
    found: Entry | Flight,
    result: ProbeResult,
    last: Entry | None,
    pause: Pause | None,
    now: float,
) -> ProbeDetail:
    """Describe a probe's verdict for a key.

    :param found: what a request found, and ``result`` what it was answered with.
    :param last: the probe's own entry, however old. It is of use if none was found.
    :param pause: the pause that holds, if any does.
    :param now: in monotonic seconds.
    """
    probe, verdict = lane.probe, entry_in(found)
    if pause is not None and pause.entry is not verdict:
        pause = None  # it has begun after this answer
    # Another run may have ended since, so the facts are those of the entry that was found.
    own = last if verdict is None or pause is not None else verdict
    counts = verdict is not None and not isinstance(result, NotApplicable)
    message = shown(result.message, probe.name, key)
    if pause is not None:
        end = f"{pause.event.until.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}"
        message = f"{message} (paused until {end})".lstrip()
    ok_at = None if own is None else last_ok_at(own)
    return ProbeDetail(
        name=probe.name,
        scope=probe.scope,
        critical=probe.critical,
        status=result.status if counts else None,
        message=message,
        state="paused" if pause else _state(lane, key, found, verdict, now),
        since=None if verdict is None else moment(since_at(verdict)),
        checked_at=None if own is None else moment(checked_at(own)),
        last_ok_at=None if ok_at is None else moment(ok_at),
        age_seconds=None if own is None else round(now - checked(own), 3),
        duration_ms=None if own is None else round(duration_of(own) * 1_000, 3),
        consecutive_failures=0 if own is None else failures_of(own),
    )


def _state(
    lane: Lane, key: str | None, found: Entry | Flight, verdict: Entry | None, now: float
) -> State:
    if lane.hangs(key):
        return "overdue"
    if verdict is None:
        return "running" if lane.is_asked(key) else "unknown"
    if status_of(verdict) is None:
        return "not_applicable"
    if isinstance(found, Flight) or now < fresh_until(verdict):
        return "fresh"
    return "stale"
