"""The engine's threads: none belongs to a request, and none holds up the exit of a process."""

from __future__ import annotations

import contextvars
import math
import sys
import threading
import time
import typing as t
from collections import deque
from collections.abc import Callable
from contextlib import suppress

# Seconds without a call after which a thread ends.
IDLE = 10.0

# Seconds that the engine waits for a thread which it has started, before it starts another one.
START = 0.1

NO_THREAD = "the system has no thread for this probe; raise the limits of the process"

Call: t.TypeAlias = Callable[[], object]
_Calls: t.TypeAlias = deque[tuple[str, Call]]


def name_thread(name: str) -> None:
    """Name the current thread, which is the engine's, after its present work."""
    threading.current_thread().name = f"connector-health {name}"


def is_gevent() -> bool:
    """Tell whether gevent has put greenlets in the place of threads."""
    # This imports nothing: an app whose threads gevent has patched has imported it before.
    monkey = sys.modules.get("gevent.monkey")
    return monkey is not None and bool(monkey.is_module_patched("threading"))


def is_eventlet() -> bool:
    """Tell whether eventlet has put green threads in the place of threads."""
    patcher = sys.modules.get("eventlet.patcher")
    return patcher is not None and bool(patcher.is_monkey_patched("thread"))


def original(module: str, name: str) -> t.Any:
    """Give the object that a module had under this name before gevent patched it."""
    return sys.modules["gevent.monkey"].get_original(module, name)


class Bell:
    """A signal from any thread to the one thread that waits for it.

    A ``threading.Event`` takes several steps to set, and a signal handler may raise between
    them. A bell takes a single step.
    """

    __slots__ = ("_lock",)

    def __init__(self, lock: threading.Lock | None = None) -> None:
        self._lock = threading.Lock() if lock is None else lock
        self._lock.acquire()

    def ring(self) -> None:
        """Wake the thread that waits, or let its next wait end at once."""
        with suppress(RuntimeError):  # it has been rung already
            self._lock.release()

    def hear(self, timeout: float = -1) -> bool:
        """Wait until it rings, at most for so many seconds; return whether it did."""
        return self._lock.acquire(timeout=timeout)


class Threads:
    """Daemon threads that start when they are needed, are used again, and end when idle.

    This is the one way in which the engine has something done soon in another thread. If an
    exception interrupts a caller, at most that caller's call is lost.
    """

    def __init__(self) -> None:
        self._idle: list[tuple[Bell, _Calls]] = []  # how to give an idle thread a call
        self._calls: _Calls = deque()  # calls for threads that are starting
        self._started = -math.inf  # when the newest thread was started, unless it has begun
        self.is_refused = False  # whether the system refused the last thread

    def run(self, name: str, call: Call) -> bool:
        """Have a call made soon, beside all others; return whether there is a thread for it.

        A caller starts one thread at most, and that thread starts the next. While a probe spins
        on the CPU, the caller waits twice for the interpreter at each start of a thread.

        :param name: tells people who list the threads what this one does.
        :param call: must not raise.
        """
        try:
            bell, given = self._idle.pop()
        except IndexError:
            self._calls.append((name, call))
            if self._hire():
                return True
            with suppress(ValueError):
                self._calls.remove((name, call))
            return False
        given.append((name, call))
        bell.ring()
        return True

    def make_lock(self) -> threading.Lock:
        """Make a lock for code that runs in these threads."""
        return threading.Lock()

    def _hire(self) -> bool:
        now = time.monotonic()
        if now - self._started >= START:
            self._started = now
            try:
                self._start()
            except Exception:  # noqa: BLE001 - the watch or the next caller tries again
                self._started, self.is_refused = -math.inf, True
                return False
            self.is_refused = False
        return True

    def _start(self) -> None:
        name = "connector-health idle"
        thread = threading.Thread(target=self._serve, name=name, daemon=True)
        # Tracing libraries copy the context of the thread that starts another thread. With the
        # context of a request, the errors of one organization would be filed under another's.
        contextvars.Context().run(thread.start)

    def _serve(self) -> None:
        self._started = -math.inf
        if len(self._calls) > 1:
            self._hire()
        hand = bell, given = Bell(self.make_lock()), _Calls()
        _make_all(self._calls)
        while True:
            self._idle.append(hand)
            if not _hears(bell, IDLE) and not self._is_taken(hand):
                return
            _make_all(given)
            _make_all(self._calls)

    def _is_taken(self, hand: tuple[Bell, _Calls]) -> bool:
        with suppress(ValueError):
            self._idle.remove(hand)
            return False
        # A caller has just taken this thread from the list. It may have been interrupted before
        # it gave its call, so the thread waits briefly.
        return _hears(hand[0], START)


class NativeThreads(Threads):
    """Threads of the system's, where gevent has replaced Python's threads by greenlets.

    Each event loop needs a thread of its own, and gevent's hub is an event loop as well.
    """

    def make_lock(self) -> threading.Lock:
        """Make a lock for code that runs in native threads alone."""
        lock: threading.Lock = original("_thread", "allocate_lock")()
        return lock

    def _start(self) -> None:
        original("_thread", "start_new_thread")(self._serve_and_clean_up, ())

    def _serve_and_clean_up(self) -> None:
        self._serve()
        # The first use of gevent in a thread gives it a hub, with two files and perhaps a
        # thread for name look-ups. Nothing else frees those.
        sys.modules["gevent"].get_hub().destroy(destroy_loop=True)
        # Nor does anything else free Python's stand-in for a thread that it has not started.
        getattr(threading, "_active", {}).pop(threading.get_ident(), None)


def _make_all(calls: _Calls) -> None:
    with suppress(IndexError):
        while True:
            name, call = calls.popleft()
            name_thread(name)
            call()
            del call  # or what it refers to would live until the next call comes
    name_thread("idle")


def _hears(bell: Bell, timeout: float) -> bool:
    with suppress(BaseException):  # a run may have left a timer of gevent's behind
        return bell.hear(timeout)
    return False
