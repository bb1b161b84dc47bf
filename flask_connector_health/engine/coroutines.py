"""Coroutines: how an async run is driven, in an event loop of its own."""

from __future__ import annotations

import asyncio
import contextvars
import inspect
import re
import typing as t
from collections import deque
from collections.abc import Awaitable, Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from functools import partial

from flask_connector_health.errors import ProbeFailed
from flask_connector_health.model import Status

from .environment import leave_child_of, this_process
from .outcome import ADVICE, Deliver, Outcome, answered, overdue, raised, text_of
from .threads import NO_THREAD, Bell, NativeThreads, Threads, is_eventlet, original

# Calls that a run may have in threads at once. Others wait.
CALLS = 8

# The greatest number of chained exceptions that are searched.
CHAIN = 20

_GREEN = (
    "eventlet has replaced the threads of this process, and an event loop needs a thread of its"
    " own: write the probe sync, or serve the app with threads or gevent"
)
_NO_LOOP = (
    "its event loop cannot be made or run ({}: {}); raise the limits of the process, and check"
    " whether some code closes its files or patches its threads"
)
_OTHER_LOOP = (
    "a client that is kept between runs is bound to the event loop of the run that opened it,"
    " which has ended: open it inside the probe, or write the probe sync, with a client that"
    " threads may share"
)
_SAYS_SO = re.compile("[Ee]vent loop is closed|different (event )?loop")


def drive(
    awaitable: Awaitable[object], timeout: float, pool: Threads, deliver: Deliver
) -> Outcome | str | None:
    """Run an awaitable in an event loop, and cancel it at its timeout.

    In the end, the tasks that it has left are cancelled, and its threads are waited for. Where
    eventlet has patched Python's threads, the run fails at once.

    :param pool: threads for what the run calls with ``asyncio.to_thread``. Where gevent has
        patched Python's threads, a native thread of the pool drives the loop as well.
    :param deliver: is called early with the outcome, if tasks or threads of the run go on.
    :return: the outcome, a text that says why there is none, or ``None`` if it was delivered.
    """
    if is_eventlet():
        _close(awaitable)
        return raised(ProbeFailed(_GREEN))
    to_its_end = _Drive(awaitable, timeout, pool).to_its_end
    if not isinstance(pool, NativeThreads):
        return to_its_end(deliver)
    known, ended, context = Bell(), Bell(), contextvars.copy_context()
    outcomes: deque[Outcome | str | None] = deque()

    def note(outcome: Outcome | str | None) -> None:
        outcomes.append(outcome)
        known.ring()

    def call() -> None:
        outcomes.append(context.run(to_its_end, note))
        ended.ring()
        known.ring()

    if not pool.run("loop", call):
        _close(awaitable)
        return NO_THREAD
    known.hear()
    if not ended.hear(0.0):
        deliver(outcomes.popleft())
        ended.hear()
    return outcomes.popleft()


class _Drive:
    """Drives one awaitable."""

    def __init__(self, awaitable: Awaitable[object], timeout: float, pool: Threads) -> None:
        self._awaitable = awaitable
        self._timeout = timeout
        self._calls = Calls(pool)
        self._outcomes: deque[Outcome | str] = deque()  # the first one is the run's

    def to_its_end(self, deliver: Deliver) -> Outcome | str | None:
        main, runner = self._main(deliver), asyncio.Runner(loop_factory=self._make_loop)
        for step in (partial(runner.run, main), runner.close):
            try:
                step()
            except Exception as error:  # noqa: BLE001 - the loop failed: the probe's own are outcomes
                self._outcomes.append(_NO_LOOP.format(type(error).__name__, text_of(error)))
            except BaseException as error:  # noqa: BLE001 - SystemExit of a task of the run
                self._outcomes.append(raised(error))
        _close(main)
        _close(self._awaitable)
        self._calls.wait()
        try:
            return self._outcomes.popleft() if self._outcomes else None
        finally:
            self._outcomes.clear()  # the frames of their exceptions refer to this object

    def _make_loop(self) -> asyncio.AbstractEventLoop:
        if isinstance(self._calls.pool, NativeThreads):
            # gevent's own selector belongs to its hub, and to the hub's thread.
            selector = original("selectors", "DefaultSelector")()
            loop: asyncio.AbstractEventLoop = asyncio.SelectorEventLoop(selector)
        else:
            loop = asyncio.new_event_loop()
        loop.set_default_executor(self._calls)
        t.cast(t.Any, loop).shutdown_default_executor = self._shut_down
        return loop

    async def _shut_down(self, timeout: float | None = None) -> None:
        self._calls.shutdown()  # asyncio's own method would start one more thread

    async def _main(self, deliver: Deliver) -> None:
        process = this_process()
        awaited = _awaited(self._awaitable, self._timeout)
        self._outcomes.append(self._calls.judged(await awaited))
        leave_child_of(process)
        if self._calls.begun or len(asyncio.all_tasks()) > 1:
            deliver(self._outcomes.popleft())


async def _awaited(awaitable: Awaitable[object], timeout: float) -> Outcome:
    # The outcome is in no variable: its exception's traceback refers to this frame, which would
    # make a cycle.
    limit = asyncio.timeout(timeout)
    try:
        async with limit:
            return answered(await awaitable)
    except BaseException as error:  # noqa: BLE001 - even SystemExit ends this run alone
        if isinstance(error, TimeoutError) and limit.expired():
            return overdue(timeout)
        return raised(error, _OTHER_LOOP if _misses_its_loop(error) else ADVICE)


def _close(awaitable: Awaitable[object]) -> None:
    if inspect.iscoroutine(awaitable):
        with suppress(BaseException):  # a coroutine may raise anything when it is closed
            awaitable.close()


def _misses_its_loop(error: BaseException | None) -> bool:
    for _ in range(CHAIN):
        if isinstance(error, RuntimeError) and _SAYS_SO.search(text_of(error)):
            return True
        error = error and (error.__cause__ or error.__context__)
    return False


class Calls(ThreadPoolExecutor):
    """The executor of one run's event loop. Its threads serve no other run meanwhile.

    A loop takes no other kind of executor than this base class. The base class itself would
    join its threads at the exit of the process.

    :param pool: where the threads come from.
    """

    def __init__(self, pool: Threads) -> None:
        # The base class is not initialized, since its queue would cost more than a run.
        self.pool = pool
        self.begun = 0  # calls that have not ended
        self._guard = pool.make_lock()
        self._all_ended = Bell(pool.make_lock())
        self._waiting: deque[tuple[Future[t.Any], Callable[[], t.Any]]] = deque()
        self._hands = 0
        self._is_over = False
        self._is_refused = False

    def submit(
        self, call: Callable[..., t.Any], /, *args: t.Any, **kwargs: t.Any
    ) -> Future[t.Any]:
        """Make a call in a thread, as soon as the run may have one more thread."""
        future: Future[t.Any] = Future()
        run = contextvars.Context().run  # without it, a call would see variables of another
        with self._guard:
            self._waiting.append((future, partial(run, call, *args, **kwargs)))
            if self._hands == CALLS:
                return future
            self._hands += 1
        if not self.pool.run("to_thread", self._work):
            with self._guard:
                self._hands -= 1
                self._is_refused = not self._hands
            if self._is_refused:
                future.cancel()
                raise RuntimeError(NO_THREAD)
        return future

    def judged(self, outcome: Outcome) -> Outcome | str:
        """Give ``NO_THREAD`` in place of a bad outcome, if the run was refused a thread."""
        is_ok = outcome.result.status is Status.OK
        return NO_THREAD if self._is_refused and not is_ok else outcome

    def shutdown(self, *args: t.Any, **kwargs: t.Any) -> None:
        """Drop the calls that have not begun. Those that have begun end without the loop."""
        with self._guard:
            self._is_over = True
            self._waiting.clear()

    def wait(self) -> None:
        """Wait until the calls that have begun have ended."""
        self.shutdown()
        if self.begun:
            self._all_ended.hear()

    def _work(self) -> None:
        while True:
            with self._guard:
                if not self._waiting:
                    self._hands -= 1
                    return
                future, call = self._waiting.popleft()
                if not future.set_running_or_notify_cancel():
                    continue
                self.begun += 1
            try:
                conclude = partial(future.set_result, call())
            except BaseException as error:  # noqa: BLE001 - the coroutine that waits gets it
                conclude = partial(future.set_exception, error)
            with self._guard:
                self.begun -= 1
                if not self._is_over:
                    conclude()
                elif not self.begun:
                    self._all_ended.ring()
            del future, call, conclude  # or they would live until the next call comes
