"""What the engine tells the log: when a verdict turns, and what comes too late to have one."""

from __future__ import annotations

import logging

from flask_connector_health.model import Status

from .outcome import Outcome, text_of

logger = logging.getLogger(__name__)

_LEVELS = {
    Status.OK: logging.INFO,
    Status.DEGRADED: logging.WARNING,
    Status.UNAVAILABLE: logging.ERROR,
}


def verdict_turned(
    probe: str, organization_id: str | None, status: Status, outcome: Outcome
) -> None:
    """Say once that a verdict turned: which, to what, and why."""
    cause = outcome.cause
    reason = outcome.result.message or "the probe says so"
    if cause is not None:
        reason = f"it raised {type(cause).__name__}: {text_of(cause)}; {outcome.advice}"
    subject = _subject(probe, organization_id)
    level, word = _LEVELS[status], status.value
    logger.log(level, "probe %s is %s: %s", subject, word, reason, exc_info=cause)


def ended_late(probe: str, organization_id: str | None, cause: BaseException) -> None:
    """Say what a run raised after its verdict was in, as it hung or closed what it had open."""
    logger.warning(
        "a run of probe %s ended after its verdict: it raised %s: %s",
        *(_subject(probe, organization_id), type(cause).__name__, text_of(cause)),
        exc_info=cause,
    )


def no_verdict(probe: str, organization_id: str | None, reason: str) -> None:
    """Say that a request had to answer without a probe's verdict."""
    subject = _subject(probe, organization_id)
    logger.warning("probe %s counts as unavailable: %s", subject, reason)


def _subject(probe: str, organization_id: str | None) -> str:
    if organization_id is None:
        return repr(probe)
    return f"{probe!r} of organization {organization_id!r}"
