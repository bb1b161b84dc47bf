"""A thread that looks after what may become overdue, while there is anything that may."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable

# Seconds without anything to look after, after which the thread ends.
IDLE = 10.0


class Watch:
    """Calls ``look`` whenever something may be due, in a thread of its own.

    Nothing has to wake it: what begins after a look is due one ``interval`` later at the
    earliest, and so is the next look, or before that, when the last one said.

    :param look: does what is due, and returns when to look again, in the clock's seconds;
        ``None`` if there is nothing to look after.
    :param interval: the shortest time, in seconds, in which anything new can become due.
    :param clock: monotonic seconds.
    :param sleep_until: waits until that clock reads a time; by default for real seconds.
    """

    def __init__(
        self,
        look: Callable[[], float | None],
        interval: float,
        *,
        clock: Callable[[], float],
        sleep_until: Callable[[float], object] | None = None,
    ) -> None:
        self._look = look
        self._interval = min(interval, IDLE)
        self._clock = clock
        self._sleep_until = sleep_until or self._sleep
        self._lock = threading.Lock()
        self.is_alive = False

    def ensure(self) -> None:
        """See to it that the thread runs; call it after there is something to look after."""
        if self.is_alive or not self._claim():
            return
        thread = threading.Thread(target=self._run, name="connector-health watch", daemon=True)
        try:
            thread.start()
        except Exception:  # noqa: BLE001
            self.is_alive = False  # the system has no thread: the next caller tries again

    def _claim(self) -> bool:
        with self._lock:
            claimed = not self.is_alive
            self.is_alive = True
        return claimed

    def _run(self) -> None:
        idle_since = self._clock()
        while True:
            now = self._clock()  # before the look: what begins in the meantime counts from here
            due = self._looked()
            if due is not None:
                idle_since = now
            elif now - idle_since >= IDLE:
                self.is_alive = False
                # Whoever came between the look and this line counted on us.
                if self._looked() is None or not self._claim():
                    return
                continue
            soon = now + self._interval
            self._sleep_until(soon if due is None else min(soon, due))

    def _looked(self) -> float | None:
        try:
            return self._look()
        except BaseException:  # noqa: BLE001 - out of memory, say: the next look may do better
            return math.inf

    def _sleep(self, until: float) -> None:
        time.sleep(max(0.0, until - self._clock()))
