"""Threads and locks of the operating system's, also where gevent has put greenlets in place."""

from __future__ import annotations

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


def _gevent() -> t.Any:
    # Not imported: who has gevent patch threads has imported it long since.
    return sys.modules.get("gevent.monkey")
