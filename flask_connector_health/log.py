"""The log: a listener that writes of verdicts that turn, are missing, or come too late."""

from __future__ import annotations

import logging
from collections.abc import Callable
from functools import partial

from .engine.events import EndedLate, Event, NoVerdict, Settled
from .engine.outcome import text_of
from .model import Status

logger = logging.getLogger(__name__)

_LEVELS = {
    Status.OK: logging.INFO,
    Status.DEGRADED: logging.WARNING,
    Status.UNAVAILABLE: logging.ERROR,
}


def line_of(event: Event) -> Callable[[], object] | None:
    """Give the call that writes an event's line, or ``None`` if it has none.

    A settled run has a line only if the verdict turned.
    """
    if isinstance(event, NoVerdict):
        return partial(_no_verdict, event)
    if isinstance(event, EndedLate):
        return partial(_ended_late, event)
    return None if event.verdict is (event.before or Status.OK) else partial(_turned, event)


def _turned(event: Settled) -> None:
    outcome = event.outcome
    cause = outcome.cause
    reason = outcome.result.message or "the probe says so"
    if cause is not None:
        reason = f"it raised {outcome.text}; {outcome.advice}"
    subject = _subject(event.probe, event.organization_id)
    level, word = _LEVELS[event.verdict], event.verdict.value
    logger.log(level, "probe %s is %s: %s", subject, word, reason, exc_info=cause)


def _ended_late(event: EndedLate) -> None:
    logger.warning(
        "a run of probe %s raised an exception after its verdict: %s: %s",
        _subject(event.probe, event.organization_id),
        type(event.cause).__name__,
        text_of(event.cause),
        exc_info=event.cause,
    )


def _no_verdict(event: NoVerdict) -> None:
    subject = _subject(event.probe, event.organization_id)
    logger.warning("probe %s counts as unavailable: %s", subject, event.reason)


def _subject(probe: str, organization_id: str | None) -> str:
    if organization_id is None:
        return repr(probe)
    return f"{probe!r} of organization {organization_id!r}"
