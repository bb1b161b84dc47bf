"""The bounded in-process cache of results."""

from __future__ import annotations

import threading
import typing as t
from collections import OrderedDict

from flask_connector_health.model import ProbeResult


class Entry(t.NamedTuple):
    """A result with its ends, as readings of the monotonic clock in seconds."""

    result: ProbeResult
    fresh_until: float
    stale_until: float


class Cache:
    """Results by key. Beyond its bound, the one that was unused for longest goes.

    :param bound: how many entries there may be at once.
    """

    def __init__(self, bound: int) -> None:
        self._bound = bound
        self._entries: OrderedDict[str, Entry] = OrderedDict()
        self._lock = threading.Lock()

    def get(self, key: str) -> Entry | None:
        """Return the key's entry, however old: whoever asks judges its age."""
        with self._lock:
            entry = self._entries.get(key)
            if entry is not None:
                self._entries.move_to_end(key)
            return entry

    def put(self, key: str, entry: Entry) -> None:
        """Store a key's newest entry."""
        with self._lock:
            self._entries[key] = entry
            self._entries.move_to_end(key)
            if len(self._entries) > self._bound:
                self._entries.popitem(last=False)

    def __len__(self) -> int:
        return len(self._entries)
