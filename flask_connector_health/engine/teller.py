"""Who tells the log: a thread of its own, so that a slow handler holds up nothing else."""

from __future__ import annotations

import threading
import typing as t
from collections import deque
from collections.abc import Callable
from contextlib import suppress

# Seconds without anything to tell, after which the thread ends.
IDLE = 10.0

# Lines that may wait for a handler that blocks; beyond that the oldest are lost.
LINES = 1_000

Line: t.TypeAlias = Callable[[], None]


class Teller:
    """Writes lines in the order in which they came."""

    def __init__(self) -> None:
        self._lines: deque[Line] = deque(maxlen=LINES)
        self._wanted = threading.Condition()
        self._alive = False

    def tell(self, line: Line) -> None:
        """Have a line written, soon."""
        with self._wanted:
            self._lines.append(line)
            self._wanted.notify()
            if self._alive:
                return
            self._alive = True
        thread = threading.Thread(target=self._run, name="connector-health log", daemon=True)
        try:
            thread.start()
        except (RuntimeError, MemoryError):
            self._alive = False  # the system has no thread to give: the next line tries again

    def _run(self) -> None:
        while self._wait():
            # No variable: what a line speaks of need not live until the next one comes.
            with suppress(BaseException):  # a log handler of the host's may do anything
                self._lines.popleft()()

    def _wait(self) -> bool:
        with self._wanted:
            while not self._lines:
                if not self._wanted.wait(IDLE) and not self._lines:
                    self._alive = False
                    return False
        return True
