"""The history: the last turns of verdicts in this process, for the eyes of people."""

from __future__ import annotations

from collections import OrderedDict, deque
from contextlib import suppress

from flask_connector_health.model import NotApplicable, Status

from .entry import moment
from .events import Settled, Transition
from .outcome import shown

# How many turns are kept.
TURNS = 1_000


class History:
    """Notes the turns of verdicts.

    There is no lock, for the same reason as in the log: a forked child might inherit it locked.
    The runs of a probe for a key are settled one after the other.

    :param bound: of how many keys of probes the history remembers that they fail. The cache may
        have forgotten them in the meantime.
    """

    def __init__(self, bound: int) -> None:
        self._bound = bound
        self._turns: deque[Transition] = deque(maxlen=TURNS)
        self._failing: OrderedDict[tuple[str, str | None], Status] = OrderedDict()

    def note(self, event: Settled, message: str) -> Transition | None:
        """Note a settled run. If it has turned the verdict, give the turn.

        :param message: the verdict's.
        """
        key = event.probe, event.organization_id
        before, after = self._failing.pop(key, event.before), event.verdict
        if isinstance(event.outcome.result, NotApplicable):
            return None
        if after is not Status.OK:
            self._failing[key] = after
            if len(self._failing) > self._bound:
                with suppress(KeyError):  # other threads may have made room as well
                    self._failing.popitem(last=False)
        if after is (before or Status.OK):
            return None
        turn = Transition(
            moment(event.time_of_day),
            event.organization_id,
            event.probe,
            event.critical,
            before,
            after,
            shown(message, *key),
        )
        self._turns.append(turn)
        return turn

    def turns(self) -> tuple[Transition, ...]:
        """Give the turns, the newest first."""
        return tuple(self._turns)[::-1]  # copied in one step, which no thread disturbs
