"""A coroutine's run: whether it is over, what it has in other threads, and whose turn it is."""

from __future__ import annotations

import asyncio
import contextvars
import threading
import typing as t
from collections.abc import Callable, Coroutine, Generator

from .outcome import Outcome

T = t.TypeVar("T")


class Run:
    """A coroutine on its way through a loop.

    ``outcome`` is set before ``done``; a run that is done without one was lost with its loop.
    ``queued`` counts those of its calls of asyncio.to_thread that wait for a thread, ``called``
    those that have one. It is ``quiet`` while it has none of these. ``refusal`` says why one of
    them was given no thread.
    """

    __slots__ = ("called", "done", "outcome", "queued", "quiet", "refusal", "task")

    def __init__(self) -> None:
        self.done = threading.Event()
        self.outcome: Outcome | None = None
        self.task: asyncio.Task[Outcome] | None = None  # once it has begun
        self.refusal: str | None = None
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


class Steps(Coroutine[t.Any, t.Any, T]):
    """A coroutine, each step of which is taken by somebody who notes whose it is."""

    def __init__(
        self, step: Callable[..., object], coroutine: Coroutine[t.Any, t.Any, T]
    ) -> None:
        self._step = step
        self._coroutine = coroutine

    def send(self, value: t.Any) -> t.Any:
        """Take the next step."""
        return self._step(self._coroutine.send, value)

    def throw(self, *error: t.Any) -> t.Any:
        """Take the next step with an exception."""
        return self._step(self._coroutine.throw, *error)

    def close(self) -> None:
        """Take no more."""
        self._coroutine.close()

    def __await__(self) -> Generator[t.Any, t.Any, T]:
        return self._coroutine.__await__()
