"""The background: calls that nobody waits for, and the watch over what becomes overdue."""

from __future__ import annotations

import contextvars
import math
import threading
from collections import deque
from collections.abc import Callable
from contextlib import suppress

from . import threads as threads_module
from .environment import Clock
from .threads import Call, Threads


class Background:
    """Makes calls one after the other, in their order, each in an empty context.

    :param name: says what its thread does.
    :param bound: how many calls may wait behind a call that blocks. Beyond that, the oldest
        calls are lost.
    """

    def __init__(self, name: str, threads: Threads, bound: int) -> None:
        self._name = name
        self._threads = threads
        self._calls: deque[Call] = deque(maxlen=bound)
        self._turn = threading.Lock()

    def do(self, call: Call) -> bool:
        """Have a call made soon in another thread. Return whether the system has a thread."""
        self._calls.append(call)
        return self._turn.locked() or self._threads.run(self._name, self.work)

    def work(self) -> None:
        """Make all calls that wait, unless another thread is making them."""
        # A call may arrive just before the lock is released, and start no thread. The outer
        # loop finds it.
        while self._calls and self._turn.acquire(blocking=False):
            try:
                while self._calls:
                    self._make_one()
            finally:
                self._turn.release()

    def _make_one(self) -> None:
        # The call is in no variable, or its objects would live until the next call comes.
        with suppress(BaseException):  # a log handler of the host's may raise anything
            contextvars.Context().run(self._calls.popleft())


class Watch:
    """Calls ``look`` whenever a run may have become overdue.

    No run becomes overdue sooner than one ``interval`` after its start, and the watch looks
    once in each interval. So nothing has to wake it.

    :param look: does what is due, and returns the time by which to look again (monotonic
        seconds), or ``None`` if there is nothing to look after.
    :param interval: the shortest timeout of all probes, in seconds.
    """

    def __init__(
        self,
        look: Callable[[], float | None],
        interval: float,
        threads: Threads,
        clock: Clock,
    ) -> None:
        self._look = look
        self._interval = min(interval, threads_module.IDLE)
        self._clock = clock
        self._background = Background("watch", threads, bound=1)

    def attend(self) -> None:
        """Make sure that all runs that began before this call are looked after."""
        self._background.do(self._watch)

    def _watch(self) -> None:
        idle_since = self._clock.now()
        while True:
            # Read before the look, so that a run which begins during the look is in time.
            now = self._clock.now()
            due = self._looked()
            if due is not None:
                idle_since = now
            elif now - idle_since >= threads_module.IDLE:
                return
            soon = now + self._interval
            self._clock.sleep_until(soon if due is None else min(soon, due))

    def _looked(self) -> float | None:
        with suppress(BaseException):  # out of memory, for example: the next look may succeed
            return self._look()
        return math.inf
