"""The log: a listener that says which probe fails, recovers, is paused, or has no verdict."""

from __future__ import annotations

import contextvars
import logging
import re
import typing as t
from collections import OrderedDict
from collections.abc import Callable
from contextlib import AbstractContextManager, suppress
from functools import partial

from . import lines
from .engine.events import EndedLate, Event, NoVerdict, Paused, Resumed, Settled
from .engine.threads import Call
from .lines import Line
from .model import NotApplicable, Status, weigh
from .settings import Settings

# The logger is made with its first line. By default, a logging.config.dictConfig() of the host
# disables every logger that exists by then and is not named.
LOGGER = __name__

OpenContext: t.TypeAlias = Callable[[], AbstractContextManager[object]]

# How many changes of a reason are written between two reminders, if they change no more than
# numbers, which may happen with each run. As many more are written if words change.
MOST_CHANGES = 10

_NUMBER = re.compile(r"\d+")

# Seconds after which changes of a reason are written again if there are no reminders.
RENEWAL = 3600.0


class Said(t.NamedTuple):
    """What the log said last of a probe that fails for a key.

    :param since: since when the probe has failed (monotonic seconds).
    :param at: when that was said.
    :param changes: how many changes of the reason it has written since the last other line.
    """

    status: Status
    reason: str
    since: float
    at: float
    changes: int = 0


class Log:
    """Gives the call that writes an event's line, or ``None`` if the event has none.

    A settled run has a line if the verdict turned, if the reason of a failing one changed, or
    if the last line about a failing one is too long ago.

    There is no lock, since a forked child might inherit it locked. The runs of a probe for a
    key are settled one after the other, so that no two threads meet at an item of the
    dictionary, and the interpreter makes each step on the whole dictionary at once.

    :param open_context: opens the app context in which a line is written.
    :param probes: how many probes there are. The log remembers what it said of failures, at
        most one of each probe for ``max_organizations`` keys. Beyond that, it forgets the
        failure that was not settled for longest, and says it anew when it hears of it again.
    """

    def __init__(self, open_context: OpenContext, settings: Settings, probes: int) -> None:
        self._open_context = open_context
        self._reminder = settings.log_reminder
        self._bound = settings.max_organizations * probes
        self._said: OrderedDict[tuple[str, str | None], Said] = OrderedDict()

    def __call__(self, event: Event) -> Call | None:
        """Take an event. The call needs a thread that may block, and an empty context."""
        line = self._line(event)
        return None if line is None else partial(write, line, self._open_context)

    def _line(self, event: Event) -> Line | None:
        match event:
            case Settled():
                return self._settled(event)
            case NoVerdict():
                return lines.no_verdict(event)
            case EndedLate():
                return lines.ended_late(event)
            case Paused():
                return lines.paused(event)
            case Resumed():
                return lines.resumed(event)
            case _:  # a turn: the run that turned the verdict has the line
                return None

    def _settled(self, event: Settled) -> Line | None:
        key = event.probe, event.organization_id
        said = self._said.pop(key, None)
        # The results of an organization may have had to make room for others. What was said of
        # it still has its recovery, and is not said again.
        before = event.before if said is None else said.status
        if event.verdict is Status.OK:
            absent = isinstance(event.outcome.result, NotApplicable)
            if before is None or before is Status.OK or absent:
                return None
            return lines.ok_again(event, before, event.at - _failing_since(event, said))
        line, self._said[key] = self._failing(event, before, said)
        if len(self._said) > self._bound:
            with suppress(KeyError):  # other threads may have made room as well
                self._said.popitem(last=False)
        return line

    def _failing(
        self, event: Settled, before: Status | None, said: Said | None
    ) -> tuple[Line | None, Said]:
        """Give the line, if there is one, and what is said from now on."""
        reason, since = lines.reason_of(event), _failing_since(event, said)
        says, failing = Said(event.verdict, reason, since, event.at), event.at - since
        if before is None or before is Status.OK or not _have_one_effect(event, before):
            return lines.turned(event, before, reason), says
        if said is None:
            return lines.reminder(event, reason, failing), says
        is_kept = event.verdict is said.status
        if is_kept and event.outcome.result.status is not event.verdict:
            reason = said.reason  # a threshold keeps the verdict, and with it the reason
        is_due = event.at - said.at >= (self._reminder or RENEWAL)
        if is_due and self._reminder:
            return lines.reminder(event, reason, failing), says._replace(reason=reason)
        changes = 0 if is_due else said.changes + 1
        if (is_kept and reason == said.reason) or changes > _most_changes(reason, said.reason):
            return None, said
        return lines.changed(event, before, reason, failing), says._replace(changes=changes)


def warn(open_context: OpenContext, text: str, *values: str) -> None:
    """Write a warning about the configuration, as the lines about probes are written.

    :param text: with ``%s`` for each value.
    """
    line = lines.of_configuration(text, *values)
    contextvars.Context().run(write, line, open_context)


def _most_changes(reason: str, said: str) -> int:
    is_number = _NUMBER.sub("", reason) == _NUMBER.sub("", said)
    return MOST_CHANGES if is_number else 2 * MOST_CHANGES


def _have_one_effect(event: Settled, before: Status) -> bool:
    former, now = (weigh(each, critical=event.critical) for each in (before, event.verdict))
    return former is now


def _failing_since(event: Settled, said: Said | None) -> float:
    if said is not None:
        return said.since
    if event.before is None or event.before is Status.OK or event.held is None:
        return event.at
    return event.at - event.held


def write(line: Line, open_context: OpenContext) -> None:
    """Write a line in an app context. This raises nothing.

    It needs a thread that may block, and an empty context.
    """
    is_written = False
    # Whatever the host's context raises as it opens or is torn down, there is one line.
    with suppress(BaseException), open_context():
        is_written = True
        _emit(line)
    if not is_written:
        _emit(line)


def _emit(line: Line) -> None:
    """Write a line. If a filter or handler raises, report that in the way of ``logging``."""
    logger = logging.getLogger(LOGGER)
    if not logger.isEnabledFor(line.level):
        return
    error = line.cause
    cause = None if error is None else (type(error), error, error.__traceback__)
    given: t.Any = (logger.name, line.level, __file__, 0, line.text, line.values, cause)
    record = logging.LogRecord(*given)
    try:
        record = logger.makeRecord(*given)
        for name, value in line.facts.items():
            # Where the host's own record factory sets such an attribute, that one stays.
            # logging would refuse the whole line.
            vars(record).setdefault(name, value)
        logger.handle(record)
    except BaseException:  # noqa: BLE001 - a factory, filter or handler may raise anything
        logging.NullHandler().handleError(record)
