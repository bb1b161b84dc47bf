"""Signals: what the app sends to receivers of the host's when a run ends or a verdict turns.

A receiver is called as ``receiver(app, event=event)``, in an app context of its own and without
a request. It may block, since the only ones that wait for it are other receivers. Each process
sends its own signals, and so does each registration of a blueprint.
"""

from __future__ import annotations

import math
import time
import typing as t
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import partial

from blinker import NamedSignal
from flask import Flask

from . import lines
from .engine.entry import moment
from .engine.events import Event, Settled, Transition
from .engine.outcome import shown
from .engine.threads import Call
from .log import write
from .model import NotApplicable, Status

# Seconds between two lines of the log that the same receiver has raised an exception.
REMINDER = 60.0

Receiver: t.TypeAlias = Callable[..., t.Any]

verdict_turned = NamedSignal(
    "verdict_turned",
    doc="The verdict of a probe has turned to another status. The event is a Transition.",
)

probe_finished = NamedSignal(
    "probe_finished",
    doc="A run of a probe has ended, or is overdue. The event is a ProbeFinished.",
)


@dataclass(frozen=True, slots=True)
class ProbeFinished:
    """A run of a probe has ended, or is overdue.

    :param at: when it ended, or became overdue, by the time of day (UTC).
    :param organization_id: the organization's id, or ``None`` for the service.
    :param critical: whether the probe makes its scope unavailable, or degraded at most.
    :param status: what this run has found.
    :param verdict: the probe's status from now on. It differs from that of the run if a
        threshold keeps another one.
    :param applicable: whether the run counts. If the probe answered :class:`NotApplicable`, it
        does not, and both statuses are ``OK``.
    :param message: the run's words for people. Show them to authorized callers alone.
    :param duration: how long it took, in seconds. For an overdue run that is its timeout.
    :param error: the exception that the probe raised, for nobody but the host. It is ``None``
        for :exc:`ProbeFailed` and :exc:`ProbeDegraded`, which are answers.
    """

    at: datetime
    organization_id: str | None
    probe: str
    critical: bool
    status: Status
    verdict: Status
    applicable: bool
    message: str
    duration: float
    error: BaseException | None


class Signals:
    """Gives the call that sends an event's signal, or ``None`` if no receiver is connected.

    It calls the receivers that are connected when the event happens, one after the other. A
    receiver that raises is logged, at most once a minute, and harms no other one.

    :param app: the sender. Its receivers may be async as its views may.
    :param now: tells the time in monotonic seconds.
    """

    def __init__(self, app: Flask, now: Callable[[], float] = time.monotonic) -> None:
        self._app = app
        self._now = now
        # By the name of the receiver, and by its identity: two of them may have one name.
        self._warned: dict[tuple[str, int], float] = {}

    def __call__(self, event: Event) -> Call | None:
        """Take an event. The call needs a thread that may block, and an empty context."""
        if isinstance(event, Settled):
            signal = probe_finished
        elif isinstance(event, Transition):
            signal = verdict_turned
        else:
            return None
        if not signal.receivers or signal.is_muted:
            return None
        receivers = [*signal.receivers_for(self._app)]
        return partial(self._send, signal.name, receivers, event) if receivers else None

    def _send(
        self, signal: str, receivers: Sequence[Receiver], event: Settled | Transition
    ) -> None:
        sent = _finished(event) if isinstance(event, Settled) else event
        for receiver in receivers:
            try:
                with self._app.app_context():
                    _check(self._app.ensure_sync(receiver)(self._app, event=sent))
            except BaseException as error:  # noqa: BLE001 - a receiver may raise anything
                self._warn(signal, receiver, event, error)

    def _warn(
        self,
        signal: str,
        receiver: Receiver,
        event: Settled | Transition,
        error: BaseException,
    ) -> None:
        name, now = _name_of(receiver), self._now()
        key = name, id(getattr(receiver, "__self__", receiver))  # methods are made anew
        if now - self._warned.get(key, -math.inf) >= REMINDER:
            self._warned = {k: at for k, at in self._warned.items() if now - at < REMINDER}
            self._warned[key] = now
            write(lines.not_handled(event, signal, name, error), self._app.app_context)


def _finished(event: Settled) -> ProbeFinished:
    result = event.outcome.result
    return ProbeFinished(
        at=moment(event.time_of_day),
        organization_id=event.organization_id,
        probe=event.probe,
        critical=event.critical,
        status=result.status,
        verdict=event.verdict,
        applicable=not isinstance(result, NotApplicable),
        message=shown(result.message, event.probe, event.organization_id),
        duration=event.duration,
        error=event.outcome.cause,
    )


def _check(answer: object) -> None:
    """Refuse a coroutine. It would never run, and nobody would hear that no alert went out."""
    if isinstance(answer, Coroutine):
        answer.close()
        raise TypeError(
            "it returned a coroutine, which is never awaited; connect an async def function, or"
            " let the receiver await it"
        )


def _name_of(receiver: Receiver) -> str:
    if isinstance(receiver, partial):
        return _name_of(receiver.func)
    named = receiver if hasattr(receiver, "__qualname__") else type(receiver)
    return f"{named.__module__}.{named.__qualname__}"
