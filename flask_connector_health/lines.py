"""The lines of the log: their words, and the facts that their records carry."""

from __future__ import annotations

import logging
import typing as t
from dataclasses import dataclass

from .engine.events import EndedLate, Event, NoVerdict, Settled
from .engine.outcome import named
from .model import Status, weigh

_FAILS = "probe %s %s, so the %s is %s%s: %s"
_OK_AGAIN = "probe %s is ok again%s"
_NO_VERDICT = "probe %s has no verdict, so the %s is answered as %s: %s"
_ENDED_LATE = "a run of probe %s raised an exception after its verdict: %s"


class Facts(t.TypedDict):
    """The attributes that each record has in addition to those of ``logging``.

    :param organization: its id, or ``None`` for the service.
    :param status: the verdict's status, or ``None`` if the line is about no verdict.
    :param previous_status: the status before the run, or ``None`` if there was none. While a
        probe still fails in the same way, it is the same.
    :param duration: for how many seconds the previous status had held, or ``None``.
    :param reason: why the probe fails or has no verdict, or ``None`` if it is ok.
    """

    probe: str
    organization: str | None
    status: str | None
    previous_status: str | None
    duration: float | None
    reason: str | None


@dataclass(frozen=True, slots=True)
class Line:
    """A line of the log, with the values for its text."""

    level: int
    text: str
    values: tuple[str, ...]
    facts: Facts
    cause: BaseException | None = None


def duration(seconds: float) -> str:
    """Give a duration in words, such as ``0.4 s``, ``8 min 12 s`` or ``3 d 4 h``."""
    if seconds < 10:
        return f"{round(seconds, 1):g} s"
    whole = round(seconds)
    for size, unit, part_size, part in (
        (86_400, "d", 3_600, "h"),
        (3_600, "h", 60, "min"),
        (60, "min", 1, "s"),
    ):
        if whole >= size:
            return f"{whole // size} {unit} {whole % size // part_size} {part}"
    return f"{whole} s"


def reason_of(event: Settled) -> str:
    """Say why the verdict of an event is not ok."""
    outcome = event.outcome
    if outcome.result.status < event.verdict:  # because of a threshold
        return "its last result was better, and a recovery takes more such results in a row"
    if outcome.cause is not None:
        return f"it raised {outcome.text}"
    return outcome.result.message or "the probe says so"


def turned(event: Settled, before: Status | None, reason: str) -> Line:
    """Say that a probe fails, or that it fails in another way than before."""
    cause, held = event.outcome.cause, event.held
    if before is None or before is Status.OK or held is None:
        return _failing(event, before, reason, cause)
    former = weigh(before, critical=event.critical)
    if former is weigh(event.verdict, critical=event.critical):
        return _failing(event, before, reason, cause, how=f"still fails{_after(held)}")
    was = f" (it was {former.value} for {duration(held)})"
    return _failing(event, before, reason, cause, was=was)


def changed(event: Settled, reason: str) -> Line:
    """Say that a probe fails for another reason."""
    return _failing(event, event.verdict, reason, event.outcome.cause, how="still fails")


def reminder(event: Settled, reason: str) -> Line:
    """Say that a probe fails as it did before."""
    return _failing(event, event.verdict, reason, None, how=f"still fails{_after(event.held)}")


def ok_again(event: Settled, before: Status) -> Line:
    """Say that a probe that has failed is ok.

    This is a warning as well: an app that configures no logging shows nothing less.
    """
    values = (_subject(event), _after(event.held))
    return Line(logging.WARNING, _OK_AGAIN, values, _facts_of(event, before, None))


def no_verdict(event: NoVerdict) -> Line:
    """Say what the answer is without a verdict."""
    effect = weigh(Status.UNAVAILABLE, critical=event.critical)
    values = (_subject(event), _scope(event), effect.value, event.reason)
    return Line(logging.WARNING, _NO_VERDICT, values, _facts(event, reason=event.reason))


def ended_late(event: EndedLate) -> Line:
    """Say what a run raised after its verdict."""
    text = named(event.cause)
    facts = _facts(event, reason=f"it raised {text}")
    return Line(logging.WARNING, _ENDED_LATE, (_subject(event), text), facts, event.cause)


def _failing(
    event: Settled,
    before: Status | None,
    reason: str,
    cause: BaseException | None,
    how: str = "fails",
    was: str = "",
) -> Line:
    effect = weigh(event.verdict, critical=event.critical)
    level = logging.WARNING if effect.available else logging.ERROR
    words = reason if cause is None else f"{reason}; {event.outcome.advice}"
    values = (_subject(event), how, _scope(event), effect.value, was, words)
    return Line(level, _FAILS, values, _facts_of(event, before, reason), cause)


def _facts_of(event: Settled, before: Status | None, reason: str | None) -> Facts:
    facts = _facts(event, reason)
    facts["status"], facts["duration"] = event.verdict.value, event.held
    facts["previous_status"] = None if before is None else before.value
    return facts


def _facts(event: Event, reason: str | None) -> Facts:
    return Facts(
        probe=event.probe,
        organization=event.organization_id,
        status=None,
        previous_status=None,
        duration=None,
        reason=reason,
    )


def _subject(event: Event) -> str:
    if event.organization_id is None:
        return repr(event.probe)
    return f"{event.probe!r} of organization {event.organization_id!r}"


def _scope(event: Event) -> str:
    return "service" if event.organization_id is None else "organization"


def _after(held: float | None) -> str:
    return "" if held is None else f" after {duration(held)}"
