"""What goes on in the background: calls that nobody waits for, and looks at what is overdue."""

from __future__ import annotations

import contextvars
import math
import threading
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress

from . import threads as threads_module
from .threads import Call, Threads


class Background:
    """Makes calls in the order in which they came, each in an empty context.

    :param name: of the thread that does so.
    :param bound: calls that may wait behind one that blocks; beyond that the oldest are lost.
    """

    def __init__(self, name: str, threads: Threads, bound: int) -> None:
        self._name = name
        self._threads = threads
        self._calls: deque[Call] = deque(maxlen=bound)
        self._turn = threading.Lock()

    def do(self, call: Call) -> bool:
        """Have a call made soon; say whether there is a thread that will."""
        self._calls.append(call)
        return self._turn.locked() or self._threads.run(self._name, self.work)

    def work(self) -> None:
        """Make all calls that wait, unless another thread is at it."""
        # Again after the turn: who came just before its end counted on it.
        while self._calls and self._turn.acquire(blocking=False):
            try:
                while self._calls:
                    self._make_one()
            finally:
                self._turn.release()

    def _make_one(self) -> None:
        # No variable: what a call speaks of need not live until the next one comes.
        with suppress(BaseException):  # a log handler of the host's may do anything
            contextvars.Context().run(self._calls.popleft())


class Watch:
    """Calls ``look`` whenever something may be due.

    Nothing has to wake it: what begins after a look is due one ``interval`` later at the
    earliest, and so is the next look, or before that, when the last one said.

    :param look: does what is due, and returns when to look again, in the clock's seconds;
        ``None`` if there is nothing to look after.
    :param interval: the shortest time, in seconds, in which anything new can become due.
    """

    def __init__(
        self,
        look: Callable[[], float | None],
        interval: float,
        *,
        threads: Threads,
        clock: Callable[[], float],
        sleep_until: Callable[[float], object],
    ) -> None:
        self._look = look
        self._interval = min(interval, threads_module.IDLE)
        self._clock = clock
        self._sleep_until = sleep_until
        self._background = Background("watch", threads, bound=1)

    def attend(self) -> None:
        """Have what began before this call looked after."""
        self._background.do(self._watch)

    def _watch(self) -> None:
        idle_since = self._clock()
        while True:
            now = self._clock()  # before the look: what begins in the meantime counts from here
            due = self._looked()
            if due is not None:
                idle_since = now
            elif now - idle_since >= threads_module.IDLE:
                return
            soon = now + self._interval
            self._sleep_until(soon if due is None else min(soon, due))

    def _looked(self) -> float | None:
        with suppress(BaseException):  # out of memory, say: the next look may do better
            return self._look()
        return math.inf


def sleep_until(until: float) -> None:
    """Wait until the monotonic clock reads this."""
    time.sleep(max(0.0, until - time.monotonic()))
