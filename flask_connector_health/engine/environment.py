"""The environment: the process, the clock, chance, and the host app's context."""

from __future__ import annotations

import os
import random
import time
import typing as t
from collections.abc import Callable
from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass, field

ProcessId: t.TypeAlias = tuple[int, int]

_forks = 0


class Clock:
    """Monotonic seconds, by which all is decided, and the time of day, for people alone."""

    #: Monotonic seconds. A step of the system's time of day changes nothing about them.
    now: Callable[[], float] = staticmethod(time.monotonic)

    #: Seconds since 1970.
    time_of_day: Callable[[], float] = staticmethod(time.time)

    def sleep_until(self, until: float) -> None:
        """Wait until the clock reads this."""
        time.sleep(max(0.0, until - self.now()))


@dataclass(frozen=True, slots=True)
class Environment:
    """What every part of the engine is given.

    :param open_context: opens an app context. Each run opens one of its own, in its own thread.
    :param clock: tells the time, and waits for it.
    :param jitter: gives a number from 0 to 1, a new one for each result.
    """

    open_context: Callable[[], AbstractContextManager[object]]
    clock: Clock = field(default_factory=Clock)
    jitter: Callable[[], float] = random.random


def this_process() -> ProcessId:
    """Identify this process by its number and by the number of forks since the first process.

    The number alone would not do, since the system reuses the numbers of processes.
    """
    return os.getpid(), _forks


def leave_child_of(process: ProcessId) -> None:
    """End this process if it is a child that a probe has forked.

    The child shares its parent's sockets and pipes.
    """
    if this_process() != process:
        os._exit(0)


def _count_fork() -> None:
    global _forks  # a fact about the process, and not about any app in it
    _forks += 1


with suppress(AttributeError):  # Windows has no fork
    os.register_at_fork(after_in_child=_count_fork)
