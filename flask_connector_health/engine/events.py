"""Events: what the engine announces, and how an announcement reaches its listeners."""

from __future__ import annotations

import contextvars
import typing as t
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from functools import partial

from flask_connector_health.model import Scope, Status

from .background import Background
from .outcome import Outcome
from .threads import Call


@dataclass(frozen=True, slots=True)
class Settled:
    """A run is settled: it has ended or is overdue, and its probe has a verdict from it.

    :param critical: whether the probe is critical.
    :param before: the verdict's status until then, or ``None`` if there was no verdict.
    :param held: for how many seconds that status had held, or ``None`` if there was none.
    :param verdict: the status from then on. A threshold may keep it as it was.
    :param outcome: what the run came to.
    :param at: when the run ended, or became overdue (monotonic seconds).
    :param time_of_day: the same moment in seconds since 1970.
    :param duration: for how many seconds the run had gone on by then.
    """

    probe: str
    organization_id: str | None
    critical: bool
    before: Status | None
    held: float | None
    verdict: Status
    outcome: Outcome
    at: float
    time_of_day: float
    duration: float


@dataclass(frozen=True, slots=True)
class Transition:
    """A probe's verdict has turned to another status.

    The first verdict is no turn if it is ok.

    :param at: when the run ended that turned it, by the time of day (UTC).
    :param critical: whether the probe makes its scope unavailable, or degraded at most.
    :param before: the status until then, or ``None`` if there was none.
    :param after: the status from then on.
    :param message: words for people. Show them to authorized callers alone.
    """

    at: datetime
    organization_id: str | None
    probe: str
    critical: bool
    before: Status | None
    after: Status
    message: str


@dataclass(frozen=True, slots=True)
class Paused:
    """A person has paused a probe.

    :param organization_id: the organization, or ``None`` for the service or every organization.
    :param scope: whether the service's runs are paused, or those of organizations.
    :param until: when the pause ends (UTC).
    """

    probe: str
    organization_id: str | None
    scope: Scope
    critical: bool
    status: Status
    reason: str
    until: datetime


@dataclass(frozen=True, slots=True)
class Resumed:
    """A pause has ended, by itself or by a person."""

    probe: str
    organization_id: str | None
    scope: Scope


@dataclass(frozen=True, slots=True)
class EndedLate:
    """A run has raised an exception after it was settled."""

    probe: str
    organization_id: str | None
    cause: BaseException


@dataclass(frozen=True, slots=True)
class NoVerdict:
    """A request was answered without a verdict of a probe.

    For each probe this is announced at most once a minute, whatever the organization.

    :param critical: whether the probe is critical.
    """

    probe: str
    organization_id: str | None
    critical: bool
    reason: str


Event: t.TypeAlias = Settled | Transition | Paused | Resumed | EndedLate | NoVerdict

# A listener takes an event in an empty context, and must return at once. If its work may block,
# as writing to the log may, it returns a call that does the work later.
Listener: t.TypeAlias = Callable[[Event], Call | None]


class Announcer:
    """Hands each event to all listeners. A listener that raises or blocks harms no other one.

    :param make_background: makes a background for each listener. It makes the calls that this
        listener returns, in their order. If one of them blocks, no other listener waits for it.
    """

    def __init__(
        self, listeners: Sequence[Listener], make_background: Callable[[], Background]
    ) -> None:
        self._listeners = [(listener, make_background()) for listener in listeners]

    def announce(self, event: Event) -> None:
        """Announce an event in this thread, which must not be that of a request."""
        for listener, background in self._listeners:
            with suppress(BaseException):  # a listener may raise anything
                call = contextvars.Context().run(listener, event)
                if call is not None:
                    _do(background, call)

    def announce_later(self, event: Event) -> None:
        """Announce an event in the background. This is for the thread of a request."""
        for listener, background in self._listeners:
            _do(background, partial(_tell, listener, event))


def _tell(listener: Listener, event: Event) -> None:
    call = listener(event)
    if call is not None:
        call()


def _do(background: Background, call: Call) -> None:
    if not background.do(call):
        # The system has no thread, and the log must not be silent about just that. So this
        # thread makes the call. If the log blocks, so does this thread: that of a run as it is
        # settled, and that of a request at most once a minute for each probe.
        background.work()
