"""Threads, locks and loops of their own, also where gevent has put greenlets in place."""

from __future__ import annotations

import asyncio
import sys
import threading
import typing as t
from collections.abc import Callable


def start_thread(call: Callable[[], None], name: str) -> None:
    """Run a call in a thread that nobody joins, and that holds up no exit.

    :raises RuntimeError: if the system has no thread to give.
    """
    gevent = _gevent()
    if gevent is None:
        threading.Thread(target=call, name=name, daemon=True).start()
    else:
        gevent.get_original("_thread", "start_new_thread")(call, ())


def make_lock() -> threading.Lock:
    """Make a lock for such threads."""
    gevent = _gevent()
    if gevent is None:
        return threading.Lock()
    lock: threading.Lock = gevent.get_original("_thread", "allocate_lock")()
    return lock


def new_event_loop() -> asyncio.AbstractEventLoop:
    """Make an event loop for such a thread; call it there, as what it makes is bound to it.

    :raises OSError: if the process has no file descriptor left.
    """
    gevent = _gevent()
    if gevent is None:
        return asyncio.new_event_loop()
    # gevent's own selector belongs to its hub, and crashes the process from another thread.
    return asyncio.SelectorEventLoop(gevent.get_original("selectors", "DefaultSelector")())


def _gevent() -> t.Any:
    # Not imported: who has gevent patch threads has imported it long since.
    return sys.modules.get("gevent.monkey")
