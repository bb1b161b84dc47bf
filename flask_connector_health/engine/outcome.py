"""An outcome: what one run of a probe came to."""

from __future__ import annotations

import functools
import typing as t
from collections.abc import Callable
from contextlib import suppress

from flask_connector_health.errors import ProbeDegraded, ProbeFailed
from flask_connector_health.model import (
    NoAnswer,
    NotApplicable,
    ProbeResult,
    Status,
    interpret,
    worse,
)

# How many characters of a message are kept, for each probe of each organization.
MESSAGE = 1_000

# What callers see of an exception whose text is for the log alone.
RAISED = "it raised an exception; see the log"

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
    except NoAnswer as error:
        return Outcome(ProbeResult(Status.UNAVAILABLE, str(error)))
    message = shortened(result.message)
    if message is not result.message:
        applies = not isinstance(result, NotApplicable)
        result = ProbeResult(result.status, message) if applies else NotApplicable(message)
    return Outcome(result)


def raised(error: BaseException, advice: str = ADVICE) -> Outcome:
    """Turn an exception into an outcome.

    The text of an exception is for the log alone, unless the probe chose it.
    """
    chosen = _chosen(error)
    if chosen is not None:
        return Outcome(chosen)
    # Its text is read here and not by a listener: where it blocks, the run is overdue.
    return Outcome(ProbeResult(Status.UNAVAILABLE, RAISED), error, named(error), advice)


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


def shown(message: str, probe: str, organization_id: str | None) -> str:
    """Give a message for a caller. That of an exception says what to search the log for."""
    if message != RAISED:
        return message
    owner = "" if organization_id is None else f" of organization {organization_id!r}"
    return f'it raised an exception; search the log for "probe {probe!r}{owner}"'
