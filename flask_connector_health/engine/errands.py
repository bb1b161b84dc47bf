"""Errands: what is done in a thread of its own, in order, so that nobody waits for it."""

from __future__ import annotations

import threading
import typing as t
from collections import deque
from collections.abc import Callable
from contextlib import suppress

# Seconds without anything to do, after which the thread ends.
IDLE = 10.0

# Calls that may wait behind one that blocks; beyond that the oldest are lost.
CALLS = 1_000

Call: t.TypeAlias = Callable[[], object]


class Errands:
    """Makes calls in the order in which they came.

    :param name: of the thread.
    """

    def __init__(self, name: str) -> None:
        self._name = name
        self._calls: deque[Call] = deque(maxlen=CALLS)
        self._wanted = threading.Condition()
        self._alive = False

    def do(self, call: Call) -> None:
        """Have a call made, soon."""
        with self._wanted:
            self._calls.append(call)
            self._wanted.notify()
            if self._alive:
                return
            self._alive = True
        thread = threading.Thread(
            target=self._run, name=f"connector-health {self._name}", daemon=True
        )
        try:
            thread.start()
        except Exception:  # noqa: BLE001
            self._alive = False  # the system has no thread to give: the next call tries again

    def _run(self) -> None:
        while self._wait():
            # No variable: what a call speaks of need not live until the next one comes.
            with suppress(BaseException):  # a log handler of the host's may do anything
                self._calls.popleft()()

    def _wait(self) -> bool:
        with self._wanted:
            while not self._calls:
                if not self._wanted.wait(IDLE) and not self._calls:
                    self._alive = False
                    return False
        return True
