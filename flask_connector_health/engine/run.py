"""A coroutine's run: whether it is over, and what it still has in other threads."""

from __future__ import annotations

import asyncio
import contextvars
import threading
import typing as t

from .outcome import Outcome


class Run:
    """A coroutine on its way through a loop.

    ``outcome`` is set before ``done``; a run that is done without one was lost with its loop.
    ``queued`` counts those of its calls of asyncio.to_thread that wait for a thread, ``called``
    those that have one. It is ``quiet`` while it has none of these.
    """

    __slots__ = ("called", "done", "outcome", "queued", "quiet", "task")

    def __init__(self) -> None:
        self.done = threading.Event()
        self.outcome: Outcome | None = None
        self.task: asyncio.Task[Outcome] | None = None  # once it has begun
        self.queued = 0
        self.called = 0
        self.quiet = threading.Event()
        self.quiet.set()

    @property
    def is_starved(self) -> bool:
        """Whether all that it waits for is a thread."""
        return self.queued > 0 and self.called == 0


# The run that a task belongs to, children of its task included.
CURRENT: t.Final[contextvars.ContextVar[Run]] = contextvars.ContextVar("run")
