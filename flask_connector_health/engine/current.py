"""The current process: what a monitor answers from, made anew in each forked child."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from .environment import ProcessId, this_process
from .events import Listener
from .pauses import Pauses
from .process import Process

# Makes a process, of its identity, its parent and its listeners.
Make = Callable[[ProcessId, Process | None, Sequence[Listener]], Process]


class Current:
    """Gives the process that this is.

    :param listeners: hear of every event.
    :param at_first: is called before the first process is made.
    """

    def __init__(
        self,
        make: Make,
        listeners: Sequence[Listener],
        at_first: Callable[[], object],
        pauses: Pauses,
    ) -> None:
        self._make = make
        self._listeners = listeners
        self._at_first = at_first
        self._pauses = pauses
        #: The process that was asked last, which may be the parent of this one.
        self.process: Process | None = None
        self._made: dict[ProcessId, Process] = {}

    def __call__(self) -> Process:
        """Give this process, after the end of the pauses whose time is over."""
        identity, process = this_process(), self.process
        if process is None:
            self._at_first()
        if process is None or process.identity != identity:
            # No lock: a child might inherit it locked, for ever. If several threads come here
            # at once, all of them take the object that was registered first.
            made = self._make(identity, process, self._listeners)
            process = self._made.setdefault(identity, made)
            self.process, self._made = process, {identity: process}
        if self._pauses.held:
            process.announce(self._pauses.end_due())
        return process

    @contextmanager
    def heard_by(self, *listeners: Listener) -> Iterator[None]:
        """Ask anew for a while, in a process of which these listeners alone hear."""
        before = self._listeners, self.process, self._made
        self._listeners, self.process, self._made = listeners, None, {}
        try:
            yield
        finally:
            self._listeners, self.process, self._made = before
