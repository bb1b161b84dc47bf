"""An async probe's event loop: one that persists, in a native thread of its own."""

from __future__ import annotations

import asyncio
import contextvars
import threading
import typing as t
import weakref
from collections import deque
from collections.abc import Callable, Coroutine
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from functools import partial

from . import native
from .outcome import Outcome, raised
from .wait import wait_until

# Seconds in which a loop that is not blocked answers.
PING = 0.05

# Calls that may wait for a thread of asyncio.to_thread: of a probe that hangs, they pile up.
CALLS = 1_000

Job: t.TypeAlias = Callable[[], Coroutine[t.Any, t.Any, Outcome]]


class Run:
    """A coroutine on its way through a loop. ``outcome`` is set before ``done``."""

    __slots__ = ("done", "outcome", "task")

    def __init__(self) -> None:
        self.done = threading.Event()
        self.outcome: Outcome | None = None
        self.task: asyncio.Task[Outcome]  # once it has begun


class Loops:
    """Runs a probe's coroutines in one loop, and in a new one once that is blocked.

    A host's async clients are bound to the loop that they were first used in, so it is kept.

    :param slots: how many threads ``asyncio.to_thread`` may have, over all runs.
    :param clock: monotonic seconds.
    """

    def __init__(self, slots: int, clock: Callable[[], float]) -> None:
        self._threads = _Threads(slots)
        self._clock = clock
        self._lock = threading.Lock()
        self._loop: _Loop | None = None
        self._retire: weakref.finalize[[], Loops]

    def run(self, job: Job, timeout: float) -> Outcome | None:
        """Run a coroutine to its end; from its timeout on it is being cancelled.

        One that swallows its cancellation, or blocks its loop, keeps the calling thread for as
        long. ``None`` without having run it if the system has no thread for the loop.
        """
        until = self._clock() + timeout
        with self._lock:
            loop = self._loop or self._new_loop()
            if loop is None:
                return None
            run = loop.start(job)
        if not wait_until(run.done, until, self._clock):
            loop.cancel(run)
            if not run.done.wait(PING) and not loop.answers():
                self._give_up(loop)
            run.done.wait()
        return run.outcome

    def _new_loop(self) -> _Loop | None:
        try:
            self._loop = loop = _Loop(self._threads)
        except (RuntimeError, MemoryError):  # no thread, or no file descriptor
            return None
        # A loop ends with its app: a host's tests make hundreds of those.
        self._retire = weakref.finalize(self, loop.retire)
        return loop

    def _give_up(self, loop: _Loop) -> None:
        with self._lock:
            if self._loop is loop:
                self._loop = None
                self._retire()


class _Loop:
    _loop: asyncio.AbstractEventLoop

    def __init__(self, threads: _Threads) -> None:
        self._threads = threads
        self._runs: set[Run] = set()
        self._retired = False
        made = threading.Event()
        native.start_thread(partial(self._serve, made), "connector-health loop")
        made.wait()
        if not hasattr(self, "_loop"):
            raise RuntimeError("the system has no file for another event loop")

    def start(self, job: Job) -> Run:
        run = Run()
        self._runs.add(run)
        self._schedule(self._begin, run, job)
        return run

    def cancel(self, run: Run) -> None:
        self._call(self._cancel, run)

    def answers(self) -> bool:
        pong = threading.Event()
        self._call(pong.set)
        return pong.wait(PING)

    def retire(self) -> None:
        """End the loop's thread, once it can: when the runs that block it have ended."""
        self._call(self._end)

    def _call(self, call: Callable[..., object], *arguments: object) -> None:
        with suppress(RuntimeError):  # closed: then all of its runs have ended
            self._schedule(call, *arguments)

    def _schedule(self, call: Callable[..., object], *arguments: object) -> None:
        # In a context of its own: the caller's would be kept alive, and seen by the probe.
        self._loop.call_soon_threadsafe(call, *arguments, context=contextvars.Context())

    def _serve(self, made: threading.Event) -> None:
        try:
            self._loop = native.new_event_loop()
        except OSError:
            return
        finally:
            made.set()
        self._loop.set_default_executor(self._threads)
        while not self._retired or self._runs:
            try:
                self._loop.run_forever()
            except BaseException:  # noqa: BLE001, S112 - SystemExit in a task of the probe's
                continue
        self._loop.close()

    def _begin(self, run: Run, job: Job) -> None:
        try:
            run.task = self._loop.create_task(job())
        except BaseException as error:  # noqa: BLE001 - of a task factory of the host's
            self._end_run(run, raised(error))
        else:
            run.task.add_done_callback(partial(self._finish, run))

    def _cancel(self, run: Run) -> None:
        run.task.cancel()

    def _finish(self, run: Run, task: asyncio.Task[Outcome]) -> None:
        try:
            self._end_run(run, task.result())
        except BaseException as error:  # noqa: BLE001 - cancelled before it began, say
            self._end_run(run, raised(error))

    def _end_run(self, run: Run, outcome: Outcome) -> None:
        run.outcome = outcome
        self._runs.discard(run)
        run.done.set()
        if self._retired:
            self._end()

    def _end(self) -> None:
        self._retired = True
        if not self._runs:
            self._loop.stop()


class _Threads(ThreadPoolExecutor):
    """What asyncio.to_thread runs in: threads that nobody joins, unlike an executor's own.

    It outlives the loops that it serves: closing one shuts down nothing.
    """

    def __init__(self, most: int) -> None:
        super().__init__(most)
        self._most = most
        self._calls: deque[tuple[Future[t.Any], Callable[[], t.Any]]] = deque()
        self._busy = 0
        self._guard = native.make_lock()

    def submit(
        self, call: Callable[..., t.Any], /, *args: t.Any, **kwargs: t.Any
    ) -> Future[t.Any]:
        """Run a call in a thread, as soon as there is one.

        :raises RuntimeError: if too many calls wait for one already.
        """
        future: Future[t.Any] = Future()
        with self._guard:
            if len(self._calls) >= CALLS:
                raise RuntimeError(
                    f"all {self._most} threads of asyncio.to_thread hang in earlier runs;"
                    " give the client that the probe uses a timeout"
                )
            if self._busy < self._most:
                native.start_thread(self._work, "connector-health to_thread")
                self._busy += 1
            self._calls.append((future, partial(call, *args, **kwargs)))
        return future

    def _work(self) -> None:
        while True:
            with self._guard:
                if not self._calls:
                    self._busy -= 1
                    return
                future, call = self._calls.popleft()
            if not future.set_running_or_notify_cancel():
                continue
            try:
                future.set_result(call())
            except BaseException as error:  # noqa: BLE001 - for the coroutine that waits
                future.set_exception(error)
