"""Waiting by the engine's clock."""

from __future__ import annotations

import threading
from collections.abc import Callable


def wait_until(event: threading.Event, until: float, clock: Callable[[], float]) -> bool:
    """Wait for an event until the clock reads ``until``; say whether it came."""
    while not event.is_set():
        now = clock()
        if now >= until:
            return False
        event.wait(until - now)
    return True
