"""Threads of the engine's own: none belongs to a request, and none holds up an exit."""

from __future__ import annotations

import contextvars
import functools
import math
import sys
import threading
import time
import typing as t
from collections import deque
from collections.abc import Callable
from contextlib import suppress

# Seconds without anything to do, after which a thread ends.
IDLE = 10.0

# Seconds after which a thread that was started, and has not begun, is given up.
START = 0.1

NO_THREAD = "the system has no thread for it; raise the limits of the process"

Call: t.TypeAlias = Callable[[], object]
_Calls: t.TypeAlias = deque[tuple[str, Call]]

M = t.TypeVar("M", bound=Callable[..., t.Any])


def locked(method: M) -> M:
    """Make a method that holds its object's ``_lock`` while it lasts.

    What a signal's handler raises may come at any line: if the end of a ``with`` were one, the
    lock would never be released there.
    """

    @functools.wraps(method)
    def call(self: t.Any, *args: t.Any, **kwargs: t.Any) -> t.Any:
        with self._lock: return method(self, *args, **kwargs)  # noqa: E701  # fmt: skip

    return t.cast(M, call)


def name_thread(name: str) -> None:
    """Say what this thread, one of the engine's, does."""
    threading.current_thread().name = f"connector-health {name}"


def is_patched() -> bool:
    """Tell whether gevent has put greenlets in the place of threads."""
    # Not imported: who has gevent patch threads has imported it long since.
    monkey = sys.modules.get("gevent.monkey")
    return monkey is not None and bool(monkey.is_module_patched("threading"))


def original(module: str, name: str) -> t.Any:
    """Give what a module had by this name before gevent patched it."""
    return sys.modules["gevent.monkey"].get_original(module, name)


class Bell:
    """A bell that anybody may ring, and one thread hears.

    Unlike an event it has no inner steps between which a signal's handler may raise.
    """

    __slots__ = ("_lock",)

    def __init__(self, lock: threading.Lock | None = None) -> None:
        self._lock = threading.Lock() if lock is None else lock
        self._lock.acquire()

    def ring(self) -> None:
        """Wake who waits, or spare the next one the wait."""
        with suppress(RuntimeError):  # it rings already
            self._lock.release()

    def hear(self, timeout: float = -1) -> bool:
        """Wait until it rings, at most for as many seconds; say whether it did."""
        return self._lock.acquire(timeout=timeout)


class Threads:
    """Daemon threads, which are made when they are needed, used again, and end when idle.

    Nobody but the thread that does so takes two steps that must agree, and none counts as
    alive that is not: an exception in a caller loses a call at most.
    """

    def __init__(self) -> None:
        self._idle: list[tuple[Bell, _Calls]] = []  # where each hears that it was given a call
        self._calls: _Calls = deque()  # for threads that are on their way
        self._started = -math.inf  # when one was started that will start the next
        self.is_refused = False  # by the system, when a thread was last started

    def run(self, name: str, call: Call) -> bool:
        """Have a call made soon, beside all others; say whether there is a thread for it.

        A caller starts one thread at most: starting one takes two turns of the interpreter,
        which last where a probe spins on the CPU.

        :param name: says what the thread does, to people who list threads.
        :param call: raises nothing.
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
        """Make a lock for what runs in these threads."""
        return threading.Lock()

    def _hire(self) -> bool:
        now = time.monotonic()
        if now - self._started >= START:
            self._started = now
            try:
                self._start()
            except Exception:  # noqa: BLE001 - a look or the next caller tries again
                self._started, self.is_refused = -math.inf, True
                return False
            self.is_refused = False
        return True

    def _start(self) -> None:
        name = "connector-health idle"
        thread = threading.Thread(target=self._serve, name=name, daemon=True)
        # Tracers hand the context of whoever starts a thread on to all that it ever does: that
        # of a request would file one organization's error under another one's request.
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
        # Just now, unless an exception came before it was given its call.
        return _hears(hand[0], START)


class NativeThreads(Threads):
    """Threads that are none of gevent's greenlets: two event loops cannot share a thread."""

    def make_lock(self) -> threading.Lock:
        """Make a lock for what runs in native threads alone."""
        lock: threading.Lock = original("_thread", "allocate_lock")()
        return lock

    def _start(self) -> None:
        original("_thread", "start_new_thread")(self._serve_and_clean_up, ())

    def _serve_and_clean_up(self) -> None:
        self._serve()
        # Whatever of gevent's is used in a thread gives it a hub, with two files and perhaps
        # a thread for name look-ups, which nothing else frees.
        sys.modules["gevent"].get_hub().destroy(destroy_loop=True)
        # Nor is Python's stand-in for a thread that it has not started itself.
        getattr(threading, "_active", {}).pop(threading.get_ident(), None)


def _make_all(calls: _Calls) -> None:
    with suppress(IndexError):
        while True:
            name, call = calls.popleft()
            name_thread(name)
            call()
            del call  # what it speaks of need not live until the next one comes
    name_thread("idle")


def _hears(bell: Bell, timeout: float) -> bool:
    with suppress(BaseException):  # a timer that a run left behind, say: not ours
        return bell.hear(timeout)
    return False
