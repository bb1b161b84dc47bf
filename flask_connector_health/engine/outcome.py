"""What one run of a probe came to."""

from __future__ import annotations

import functools
import typing as t
from collections.abc import Callable
from contextlib import suppress

from flask_connector_health.errors import ProbeDegraded, ProbeFailed
from flask_connector_health.model import ProbeResult, Status, interpret, worse

# Characters of a message that are kept, for each probe of each organization.
MESSAGE = 1_000

ADVICE = "mend it, or raise ProbeFailed where that is an answer"


class Outcome(t.NamedTuple):
    """A run's result, the exception behind it if there was one, and what to do about that."""

    result: ProbeResult
    cause: BaseException | None = None
    advice: str = ADVICE


# Takes what a run came to, or a text that says why it could not be made; ``None`` is neither.
Report: t.TypeAlias = Callable[[Outcome | str | None], object]


def answered(answer: object) -> Outcome:
    """Take a probe's answer; one that is none is a failure that says what to return."""
    try:
        result = interpret(answer)
        return Outcome(ProbeResult(result.status, shortened(result.message)))
    except TypeError as error:
        return Outcome(ProbeResult(Status.UNAVAILABLE, str(error)))


def raised(error: BaseException, advice: str = ADVICE) -> Outcome:
    """Take what a probe raised: its own words, or a failure whose text is for the log alone."""
    spoken = _spoken(error)
    if spoken is not None:
        return Outcome(spoken)
    words = "it raised an exception; see the log"
    return Outcome(ProbeResult(Status.UNAVAILABLE, words), error, advice)


def _spoken(error: BaseException) -> ProbeResult | None:
    """Read the words of a probe; of a group of exceptions, the worst, if it has no others."""
    if isinstance(error, ProbeDegraded):
        return ProbeResult(Status.DEGRADED, text_of(error))
    if isinstance(error, ProbeFailed):
        return ProbeResult(Status.UNAVAILABLE, text_of(error))
    if not isinstance(error, BaseExceptionGroup):
        return None
    spoken = [_spoken(leaf) for leaf in error.exceptions]
    words = [result for result in spoken if result is not None]
    return functools.reduce(worse, words) if len(words) == len(spoken) else None


def overdue(timeout: float) -> Outcome:
    """Fail a run that did not end within its timeout."""
    text = (
        f"no answer within its timeout of {timeout:g} s;"
        " give the client that it uses a shorter timeout of its own"
    )
    return Outcome(ProbeResult(Status.UNAVAILABLE, text))


def shortened(text: str) -> str:
    """Cut a text that is too long to be kept, and make a plain one of a subclass."""
    return str.__getitem__(text, slice(MESSAGE))


def text_of(error: BaseException) -> str:
    """Read an exception's text, even of one that cannot say what it is."""
    with suppress(BaseException):  # whatever a host's __str__ raises
        return shortened(str(error))
    return "(its text cannot be read)"
