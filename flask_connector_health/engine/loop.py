"""An async probe's event loop: one that persists, in a native thread of its own."""

from __future__ import annotations

import asyncio
import contextvars
import threading
import typing as t
import weakref
from collections.abc import Callable, Coroutine
from contextlib import suppress
from functools import partial

from flask_connector_health.model import Status

from . import native
from .executor import STARVED, Executor
from .outcome import Outcome, raised
from .run import CURRENT, Run, Steps
from .wait import wait_until

# Seconds in which a loop that is not blocked answers.
PING = 0.1

# How often in its timeout a run looks whether another one blocks the loop, and the part of the
# timeout for which it lets it.
LOOKS = 8
PATIENCE = 0.5

_NO_LOOP = (
    "the system has no thread or no file for its event loop; raise the limits of the process"
)
_ALL_KEPT = (
    "all of its event loops are kept by runs that do not end when they are cancelled; mend what"
    " these do then"
)
_BLOCKED = (
    "a run for another organization blocks its event loop; await what that run calls, or call"
    " it with asyncio.to_thread"
)

T = t.TypeVar("T")

Job: t.TypeAlias = Callable[[], Coroutine[t.Any, t.Any, Outcome]]


class Loops:
    """Runs a probe's coroutines in one loop, and in a new one once that is blocked.

    A host's async clients are bound to the loop that they were first used in, so it is kept.

    :param slots: how many threads ``asyncio.to_thread`` may have, over all runs, and how many
        loops there may be that were given up and have not ended.
    :param clock: monotonic seconds.
    """

    def __init__(self, slots: int, clock: Callable[[], float]) -> None:
        self._slots = slots
        self._threads = Executor(slots)
        self._given_up: list[_Loop] = []
        self._clock = clock
        self._lock = threading.Lock()
        self._loop: _Loop | None = None
        self._retire: weakref.finalize[[], Loops]

    def run(self, job: Job, timeout: float, *, again: bool = True) -> Outcome | str:
        """Run a coroutine to its end; from its timeout on it is being cancelled.

        One that swallows its cancellation, blocks its loop or waits for a thread that hangs
        keeps the calling thread for as long. One whose loop is blocked by another is run again,
        in a new loop, for what is left of its timeout.

        :param again: whether the job can be run again.
        :return: the outcome, or why there is none that would say anything of the probe.
        """
        until = self._clock() + timeout
        pause = timeout / LOOKS
        was_lost = False
        while True:
            with self._lock:
                loop = self._loop or self._new_loop()
                if isinstance(loop, str):
                    return loop
                run = loop.start(job)
            while not wait_until(run.done, min(until, self._clock() + pause), self._clock):
                if self._clock() >= until:
                    outcome = self._overdue(loop, run)
                    return _BLOCKED if was_lost else outcome
                blocking = loop.at_for(max(timeout * PATIENCE, PING))
                if blocking is not None and blocking is not run:
                    self._give_up(loop, blocking)
            if run.outcome is not None or not again or self._clock() >= until:
                return self._came_to(run)
            was_lost = True

    def _overdue(self, loop: _Loop, run: Run) -> Outcome | str:
        is_starved = run.is_starved
        loop.cancel(run)
        if not run.done.wait(PING) and not loop.answers():
            self._give_up(loop, loop.at_for(0.0) or run)
        run.done.wait()
        run.quiet.wait()
        return STARVED if is_starved else self._came_to(run)

    def _came_to(self, run: Run) -> Outcome | str:
        if run.outcome is None:
            return _BLOCKED
        if run.refusal is not None and run.outcome.result.status is not Status.OK:
            return run.refusal
        return run.outcome._replace(quiet=None if run.quiet.is_set() else run.quiet)

    def _new_loop(self) -> _Loop | str:
        self._given_up = [loop for loop in self._given_up if not loop.has_ended]
        if len(self._given_up) > self._slots:
            return _ALL_KEPT
        try:
            self._loop = loop = _Loop(self._threads, self._clock)
        except (RuntimeError, MemoryError):  # no thread, or no file descriptor
            return _NO_LOOP
        # A loop ends with its app: a host's tests make hundreds of those.
        self._retire = weakref.finalize(self, loop.retire)
        return loop

    def _give_up(self, loop: _Loop, blocking: Run) -> None:
        with self._lock:
            if self._loop is loop:
                self._loop = None
                self._given_up.append(loop)
                self._retire()
                loop.lose(but=blocking)


class _Loop:
    _loop: asyncio.AbstractEventLoop

    def __init__(self, threads: Executor, clock: Callable[[], float]) -> None:
        self._threads = threads
        self._clock = clock
        self._at: tuple[Run, float] | None = None
        self._runs: set[Run] = set()
        self._retired = False
        made = threading.Event()
        native.start_thread(partial(self._serve, made), "connector-health loop")
        made.wait()
        if not hasattr(self, "_loop"):
            raise RuntimeError("the system has no file for another event loop")

    @property
    def has_ended(self) -> bool:
        """Whether it was retired, and all of its runs have ended."""
        return self._loop.is_closed()

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

    def at_for(self, seconds: float) -> Run | None:
        """Give the run that has kept the loop to itself for as long, if one has."""
        at = self._at
        return at[0] if at is not None and self._clock() - at[1] >= seconds else None

    def lose(self, *, but: Run) -> None:
        """End all other runs without an outcome, and cancel them once the loop goes on.

        Those that have not begun are cancelled before they do.
        """
        for run in list(self._runs):
            if run is not but:
                run.done.set()
                self._call(self._cancel, run)

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
        self._loop.set_task_factory(t.cast(t.Any, self._make_task))
        while not self._retired or self._runs:
            try:
                self._loop.run_forever()
            except BaseException:  # noqa: BLE001, S112 - SystemExit in a task of the probe's
                continue
        self._loop.close()

    def _begin(self, run: Run, job: Job) -> None:
        CURRENT.set(run)
        coroutine = _do(job)
        try:
            run.task = self._loop.create_task(coroutine)
        except BaseException as error:  # noqa: BLE001 - of a task factory of the host's
            coroutine.close()
            self._end_run(run, raised(error))
        else:
            run.task.add_done_callback(partial(self._finish, run))

    def _make_task(
        self,
        loop: asyncio.AbstractEventLoop,
        coroutine: Coroutine[t.Any, t.Any, T],
        **options: t.Any,
    ) -> asyncio.Task[T]:
        run = CURRENT.get(None)
        steps = coroutine if run is None else Steps(partial(self._step, run), coroutine)
        return asyncio.Task(steps, loop=loop, **options)

    def _step(self, run: Run, resume: Callable[..., object], *values: object) -> object:
        self._at = run, self._clock()
        try:
            return resume(*values)
        finally:
            self._at = None

    def _cancel(self, run: Run) -> None:
        if run.task is not None:
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


async def _do(job: Job) -> Outcome:
    return await job()
