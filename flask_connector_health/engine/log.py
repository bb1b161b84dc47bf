"""What the engine tells the log: when a verdict turns, and what comes too late to have one."""

from __future__ import annotations

import logging
from contextlib import suppress

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
        reason = (
            f"it raised {type(cause).__name__}: {text_of(cause)};"
            " mend it, or raise ProbeFailed where that is an answer"
        )
    subject = _subject(probe, organization_id)
    _log(_LEVELS[status], "probe %s is %s: %s", subject, status.value, reason, cause=cause)


def no_verdict(probe: str, organization_id: str | None, reason: str) -> None:
    """Say that a request had to answer without a probe's verdict."""
    subject = _subject(probe, organization_id)
    _log(logging.WARNING, "probe %s counts as unavailable: %s", subject, reason)


def _subject(probe: str, organization_id: str | None) -> str:
    if organization_id is None:
        return repr(probe)
    return f"{probe!r} of organization {organization_id!r}"


def _log(level: int, text: str, *values: str, cause: BaseException | None = None) -> None:
    # A log handler of the host's that raises must not cost the lines that follow.
    with suppress(BaseException):
        logger.log(level, text, *values, exc_info=cause)
