"""An outcome: what one run of a probe came to."""

from __future__ import annotations

import functools
import typing as t
from collections.abc import Callable
from contextlib import suppress

from flask_connector_health.errors import ProbeDegraded, ProbeFailed
from flask_connector_health.model import ProbeResult, Status, interpret, worse

# How many characters of a message are kept, for each probe of each organization.
MESSAGE = 1_000

ADVICE = "mend the probe, or let it raise ProbeFailed if this failure is its answer"


class Outcome(t.NamedTuple):
    """A run's result, and the exception behind it if there was one.

    :param text: that exception's type and text.
    :param advice: what to do about it.
    """

    result: ProbeResult
    cause: BaseException | None = None
    text: str = ""
    advice: str = ADVICE


# A callback that takes an outcome, or a text that says why the probe could not be run, or None
# after an early outcome.
Deliver: t.TypeAlias = Callable[[Outcome | str | None], object]


def answered(answer: object) -> Outcome:
    """Turn a probe's answer into an outcome. A value that is no answer is a failure."""
    try:
        result = interpret(answer)
        message = shortened(result.message)
        if message is not result.message:
            result = ProbeResult(result.status, message)
        return Outcome(result)
    except TypeError as error:
        return Outcome(ProbeResult(Status.UNAVAILABLE, str(error)))


def raised(error: BaseException, advice: str = ADVICE) -> Outcome:
    """Turn an exception into an outcome.

    The text of an exception is for the log alone, unless the probe chose it.
    """
    chosen = _chosen(error)
    if chosen is not None:
        return Outcome(chosen)
    words = "it raised an exception; see the log"
    # Its text is read here and not by a listener: where it blocks, the run is overdue.
    return Outcome(ProbeResult(Status.UNAVAILABLE, words), error, named(error), advice)


def _chosen(error: BaseException) -> ProbeResult | None:
    """Get the result that a probe chose. In a group of such exceptions, get the worst.

    A group that holds any other exception as well has no such result.
    """
    if isinstance(error, ProbeDegraded):
        return ProbeResult(Status.DEGRADED, text_of(error))
    if isinstance(error, ProbeFailed):
        return ProbeResult(Status.UNAVAILABLE, text_of(error))
    if not isinstance(error, BaseExceptionGroup):
        return None
    results = [_chosen(leaf) for leaf in error.exceptions]
    words = [result for result in results if result is not None]
    return functools.reduce(worse, words) if len(words) == len(results) else None


def overdue(timeout: float) -> Outcome:
    """Fail a run that did not end within its timeout."""
    text = (
        f"no answer within its timeout of {timeout:g} s;"
        " give the client that it uses a shorter timeout of its own"
    )
    return Outcome(ProbeResult(Status.UNAVAILABLE, text))


def shortened(text: str) -> str:
    """Cut a text that is too long to be kept, and make a plain ``str`` of a subclass."""
    return str.__getitem__(text, slice(MESSAGE))


def named(error: BaseException) -> str:
    """Give an exception's type and text."""
    return f"{type(error).__name__}: {text_of(error)}"


def text_of(error: BaseException) -> str:
    """Read an exception's text, or say that it cannot be read."""
    with suppress(BaseException):  # an exception's own __str__ may raise anything
        return shortened(str(error))
    return "(its text cannot be read)"
