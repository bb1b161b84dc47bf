"""What one run of a probe came to."""

from __future__ import annotations

import threading
import typing as t

from flask_connector_health.errors import ProbeDegraded, ProbeFailed
from flask_connector_health.model import ProbeResult, Status, interpret

# Characters of a message that are kept, for each probe of each organization.
MESSAGE = 1_000


class Outcome(t.NamedTuple):
    """A run's result, the exception behind it if there was one, and what follows from it.

    :param spacing: seconds for which the probe is not run again, whatever its TTL.
    :param quiet: set once the run has nothing left in other threads, if it has left something.
    """

    result: ProbeResult
    cause: BaseException | None = None
    spacing: float = 0.0
    quiet: threading.Event | None = None


def answered(answer: object) -> Outcome:
    """Take a probe's answer; one that is none is a failure that says what to return."""
    try:
        result = interpret(answer)
        return Outcome(ProbeResult(result.status, shortened(result.message)))
    except TypeError as error:
        return Outcome(ProbeResult(Status.UNAVAILABLE, str(error)))


def raised(error: BaseException) -> Outcome:
    """Take what a probe raised: its own words, or a failure whose text is for the log alone."""
    if isinstance(error, ProbeDegraded):
        return Outcome(ProbeResult(Status.DEGRADED, text_of(error)))
    if isinstance(error, ProbeFailed):
        return Outcome(ProbeResult(Status.UNAVAILABLE, text_of(error)))
    words = "it raised an exception; see the log"
    return Outcome(ProbeResult(Status.UNAVAILABLE, words), error)


def overdue(timeout: float, spacing: float) -> Outcome:
    """Fail a run that did not end within its timeout."""
    text = (
        f"no answer within its timeout of {timeout:g} s;"
        " give the client that it uses a shorter timeout of its own"
    )
    return Outcome(ProbeResult(Status.UNAVAILABLE, text), spacing=spacing)


def shortened(text: str) -> str:
    """Cut a text that is too long to be kept, and make a plain one of a subclass."""
    return str.__getitem__(text, slice(MESSAGE))


def text_of(error: BaseException) -> str:
    """Read an exception's text, even of one that cannot say what it is."""
    try:
        return shortened(str(error))
    except BaseException:  # noqa: BLE001 - whatever a host's __str__ raises
        return "(its text cannot be read)"
