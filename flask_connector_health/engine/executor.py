"""What asyncio.to_thread runs in: threads that nobody joins."""

from __future__ import annotations

import typing as t
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial

from . import native
from .run import CURRENT, Run

# Calls that may wait for a thread: of a probe that hangs, they pile up.
CALLS = 1_000

STARVED = (
    "all threads of asyncio.to_thread hang in earlier runs; give the client that it uses a"
    " timeout"
)
NO_THREAD = "the system has no thread for asyncio.to_thread; raise the limits of the process"

Call: t.TypeAlias = tuple[Future[t.Any], Callable[[], t.Any], Run]


class Executor(ThreadPoolExecutor):
    """Runs what coroutines call in threads, and counts it in with their runs.

    A loop takes no other kind of executor, but its own threads are joined at exit. It outlives
    the loops that it serves: closing one shuts down nothing.

    :param most: how many threads there may be.
    """

    def __init__(self, most: int) -> None:
        super().__init__(most)
        self._most = most
        self._calls: deque[Call] = deque()
        self._busy = 0
        self._guard = native.make_lock()

    def submit(
        self, call: Callable[..., t.Any], /, *args: t.Any, **kwargs: t.Any
    ) -> Future[t.Any]:
        """Run a call in a thread, as soon as there is one.

        :raises RuntimeError: if too many calls wait for one already, or the system has none.
        """
        future: Future[t.Any] = Future()
        run = CURRENT.get(None) or Run()
        with self._guard:
            if len(self._calls) >= CALLS:
                run.refusal = STARVED
            elif not self._staffed():
                run.refusal = NO_THREAD
            else:
                self._calls.append((future, partial(call, *args, **kwargs), run))
                run.queued += 1
                return future
        raise RuntimeError(run.refusal)

    def _staffed(self) -> bool:
        if self._busy < self._most:
            try:
                native.start_thread(self._work, "connector-health to_thread")
            except (RuntimeError, MemoryError):  # as in a process that is about to exit
                return self._busy > 0
            self._busy += 1
        return True

    def _work(self) -> None:
        while (taken := self._take()) is not None:
            future, call, run = taken
            try:
                conclude = partial(future.set_result, call())
            except BaseException as error:  # noqa: BLE001 - for the coroutine that waits
                conclude = partial(future.set_exception, error)
            self._end(run)
            conclude()
            # Or they would live until the next call comes.
            del taken, future, call, run, conclude

    def _end(self, run: Run) -> None:
        with self._guard:
            run.called -= 1
            if not run.called:
                run.quiet.set()

    def _take(self) -> Call | None:
        with self._guard:
            while self._calls:
                future, call, run = self._calls.popleft()
                run.queued -= 1
                if future.set_running_or_notify_cancel():
                    run.called += 1
                    run.quiet.clear()
                    return future, call, run
            self._busy -= 1
            return None
