"""The bounded in-process cache."""

from __future__ import annotations

import threading
import typing as t
from collections import deque
from collections.abc import Callable, Hashable

# Few enough that nobody waits for the search for a victim, and so many that shards fill evenly;
# the default bound needs one.
SHARD = 16_384

K = t.TypeVar("K", bound=Hashable)
V = t.TypeVar("V")


class Cache(t.Generic[K, V]):
    """Values by key, at most ``bound`` of them at any moment; ``None`` is no value.

    Reads take no lock. Each shard is a clock: of the keys in the order they came, the first
    that was not read since the hand last passed makes room for a new one (second chance).
    """

    def __init__(self, bound: int) -> None:
        count = -(-bound // SHARD)
        self._shards: list[_Shard[K, V]] = [
            _Shard(bound // count + (number < bound % count)) for number in range(count)
        ]

    def get(self, key: K) -> V | None:
        """Return the key's value, if it is there."""
        shards = self._shards
        return shards[hash(key) % len(shards)].get(key)

    def update(self, key: K, change: Callable[[V | None], V]) -> tuple[V | None, V]:
        """Replace the key's value by what ``change`` makes of it, one change at a time.

        :return: the value before, and the new one.
        """
        return self._shards[hash(key) % len(self._shards)].update(key, change)

    def inherit(self, other: Cache[K, V]) -> None:
        """Take over what a cache of the same bound holds, but none of its locks.

        For a forked child: a thread that is not there any more may hold them for ever.
        """
        for shard, source in zip(self._shards, other._shards, strict=True):
            shard.values, shard.read = source.values, source.read
            # Not its order: a key may just have been out of it. The list is one step of the
            # interpreter's, which no other thread can disturb.
            shard.order = deque(list(source.values))

    def __len__(self) -> int:
        return sum(len(shard.values) for shard in self._shards)


class _Shard(t.Generic[K, V]):
    __slots__ = ("_bound", "_lock", "order", "read", "values")

    def __init__(self, bound: int) -> None:
        self._bound = bound
        self._lock = threading.Lock()
        self.values: dict[K, V] = {}
        self.order: deque[K] = deque()
        self.read: set[K] = set()

    def get(self, key: K) -> V | None:
        value = self.values.get(key)
        if value is not None:
            self.read.add(key)
        return value

    def update(self, key: K, change: Callable[[V | None], V]) -> tuple[V | None, V]:
        with self._lock:
            previous = self.values.get(key)
            value = change(previous)
            if previous is None:
                self._make_room()
                self.order.append(key)
            self.values[key] = value
        return previous, value

    def _make_room(self) -> None:
        if len(self.read) > self._bound:  # keys that were read in the moment they went
            self.read.intersection_update(self.values)
        while len(self.values) >= self._bound:
            key = self.order.popleft()
            if key in self.read:
                self.read.discard(key)
                self.order.append(key)
            else:
                del self.values[key]
