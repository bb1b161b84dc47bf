"""The lines of the log: their words, and the facts that their records carry."""

from __future__ import annotations

import logging
import typing as t
from dataclasses import dataclass
from datetime import UTC

from .engine.events import EndedLate, NoVerdict, Paused, Resumed, Settled, Transition
from .engine.outcome import named
from .model import Status, weigh

# The events that have lines.
Told: t.TypeAlias = Settled | Transition | NoVerdict | EndedLate | Paused | Resumed


class Facts(t.TypedDict):
    """The attributes that each record has in addition to those of ``logging``.

    :param probe: its name, or ``None`` if the line is about the configuration.
    :param organization: its id, or ``None`` for the service or every organization.
    :param status: the verdict's status, or that of a pause, or ``None`` if the line is about
        neither.
    :param previous_status: the status before the run, or ``None`` if there was none. While a
        probe still fails in the same way, it is the same.
    :param duration: for how many seconds the previous status had held, or ``None`` if there was
        none. If the probe still fails in the same way, or is ok again: for how many seconds it
        has failed.
    :param reason: why the probe fails, is paused or has no verdict, or ``None`` if it is ok.
    """

    probe: str | None
    organization: str | None
    status: str | None
    previous_status: str | None
    duration: float | None
    reason: str | None


@dataclass(frozen=True, slots=True)
class Line:
    """A line of the log.

    :param text: with ``%s`` for each value. It is the same for all organizations, durations and
        reasons, so that tools which group lines by it have a group for each probe and effect.
    """

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
    """Say that a probe fails, or that it fails with another effect than before."""
    facts, cause = _facts_of(event, before, reason, event.held), event.outcome.cause
    if before is None or before is Status.OK or event.held is None:
        return _failing(event, facts, cause)
    former = weigh(before, critical=event.critical)
    return _failing(event, facts, cause, was=(former, event.held))


def changed(event: Settled, before: Status, reason: str, failing: float) -> Line:
    """Say that a probe fails for another reason, or in another way with the same effect.

    :param failing: for how many seconds it has failed.
    """
    held = failing if before is event.verdict else event.held
    facts = _facts_of(event, before, reason, held)
    return _failing(event, facts, event.outcome.cause, still=failing)


def reminder(event: Settled, reason: str, failing: float) -> Line:
    """Say that a probe fails as it did before."""
    facts = _facts_of(event, event.verdict, reason, failing)
    return _failing(event, facts, None, still=failing)


def ok_again(event: Settled, before: Status, failing: float) -> Line:
    """Say that a probe that has failed is ok.

    This is a warning as well: an app that configures no logging shows nothing less.
    """
    text, values = _about(event, "is ok again after %s", duration(failing))
    return Line(logging.WARNING, text, values, _facts_of(event, before, None, failing))


def no_verdict(event: NoVerdict) -> Line:
    """Say what the answer is without a verdict."""
    effect = weigh(Status.UNAVAILABLE, critical=event.critical)
    words = f"has no verdict, so the {_scope(event)} is answered as {effect}: %s"
    text, values = _about(event, words, event.reason)
    return Line(logging.WARNING, text, values, _facts(event, reason=event.reason))


def ended_late(event: EndedLate) -> Line:
    """Say what a run raised after its verdict."""
    named_cause = named(event.cause)
    text, values = _about(event, "raised an exception after its verdict: %s", named_cause)
    facts = _facts(event, reason=f"it raised {named_cause}")
    return Line(logging.WARNING, f"a run of {text}", values, facts, event.cause)


def paused(event: Paused) -> Line:
    """Say that a person has paused a probe, until when, and what it counts as.

    This is no error, whatever the probe counts as: a person has said so.
    """
    effect = weigh(event.status, critical=event.critical)
    end = f"{event.until.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC"
    words = f"is paused until %s, and counts as {effect}: %s"
    text, values = _about(event, words, end, event.reason)
    facts = _facts(event, reason=event.reason)
    facts["status"] = event.status.value
    return Line(logging.WARNING, text, values, facts)


def resumed(event: Resumed) -> Line:
    """Say that a pause has ended. Another pause of the same probe may go on."""
    text, values = _about(event, "has ended")
    return Line(logging.WARNING, f"the pause of {text}", values, _facts(event, reason=None))


def not_handled(
    event: Settled | Transition, signal: str, receiver: str, cause: BaseException
) -> Line:
    """Say that a receiver of the host's raised an exception, and at which signal.

    This is an error: it may be an alert that has not gone out.
    """
    named_cause = named(cause)
    words = "was not handled: the receiver %s raised %s"
    text, values = _about(event, words, receiver, named_cause)
    facts = _facts(event, reason=f"it raised {named_cause}")
    return Line(logging.ERROR, f"the signal {signal} of {text}", values, facts, cause)


def of_configuration(text: str, *values: str) -> Line:
    """Make a warning that is about no probe.

    :param text: with ``%s`` for each value.
    """
    return Line(logging.WARNING, text, values, _facts(None, reason=None))


def _failing(
    event: Settled,
    facts: Facts,
    cause: BaseException | None,
    *,
    still: float | None = None,
    was: tuple[Status, float] | None = None,
) -> Line:
    """Make the line of a failure.

    :param still: for how many seconds the probe has failed already, with the same effect.
    :param was: the former effect, and for how many seconds that held.
    """
    effect = weigh(event.verdict, critical=event.critical)
    values, fails, former = [str(facts["reason"])], "fails", ""
    if cause is not None:
        values[0] += f"; {event.outcome.advice}"
    if still is not None:
        fails = "still fails after %s"
        values.insert(0, duration(still))
    if was is not None:
        former = f" (it was {was[0]} for %s)"
        values.insert(0, duration(was[1]))
    words = f"{fails}, so the {_scope(event)} is {effect}{former}: %s"
    level = logging.WARNING if effect.available else logging.ERROR
    return Line(level, *_about(event, words, *values), facts, cause)


def _about(event: Told, words: str, *values: str) -> tuple[str, tuple[str, ...]]:
    """Put the probe and the organization before words and their values.

    The name of a probe has no ``%`` in it. The words of others might hold a line of their own,
    or move the terminal's cursor.
    """
    shown = tuple(map(printable, values))
    if event.organization_id is None:
        everybody = isinstance(event, Paused | Resumed) and event.scope == "organization"
        owner = " of every organization" if everybody else ""
        return f"probe {event.probe!r}{owner} {words}", shown
    text = f"probe {event.probe!r} of organization %r {words}"
    return text, (event.organization_id, *shown)


def _facts_of(
    event: Settled, before: Status | None, reason: str | None, held: float | None
) -> Facts:
    facts = _facts(event, reason)
    facts["status"], facts["duration"] = event.verdict.value, held
    facts["previous_status"] = None if before is None else before.value
    return facts


def _facts(event: Told | None, reason: str | None) -> Facts:
    return Facts(
        probe=None if event is None else event.probe,
        organization=None if event is None else event.organization_id,
        status=None,
        previous_status=None,
        duration=None,
        reason=reason,
    )


def printable(text: str) -> str:
    """Escape what would begin another line, or would move the cursor of a terminal."""
    return "".join(each if each.isprintable() else repr(each)[1:-1] for each in text)


def _scope(event: Told) -> str:
    return "service" if event.organization_id is None else "organization"
