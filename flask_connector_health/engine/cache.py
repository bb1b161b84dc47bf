"""The bounded in-process cache."""

from __future__ import annotations

import threading
import typing as t
from collections import deque
from collections.abc import Callable, Hashable

# The most keys of a shard: small enough for fast eviction, and large enough that shards fill
# evenly. The default bound needs a single shard.
SHARD = 16_384

K = t.TypeVar("K", bound=Hashable)
V = t.TypeVar("V")


class Cache(t.Generic[K, V]):
    """Values by key, at most ``bound`` of them at any moment. No value is ``None``.

    Reading takes no lock. Each shard evicts by second chance (the clock algorithm): it goes
    through its keys in the order in which they came, and evicts the first key that was not read
    since its last turn.
    """

    def __init__(self, bound: int) -> None:
        count = -(-bound // SHARD)
        self._shards: list[_Shard[K, V]] = [
            _Shard(bound // count + (number < bound % count)) for number in range(count)
        ]

    def get(self, key: K) -> V | None:
        """Return the key's value, or ``None`` if there is none."""
        shards = self._shards
        return shards[hash(key) % len(shards)].get(key)

    def update(self, key: K, change: Callable[[V | None], V]) -> tuple[V | None, V]:
        """Replace the key's value by what ``change`` makes of it, one change at a time.

        :return: the value before, and the new value.
        """
        return self._shards[hash(key) % len(self._shards)].update(key, change)

    def inherit(self, other: Cache[K, V]) -> None:
        """Take over the values of a cache with the same bound, but none of its locks.

        A forked child needs this: its parent's locks may be held for ever, by a thread that
        does not exist in the child.
        """
        for shard, source in zip(self._shards, other._shards, strict=True):
            shard.values, shard.read = source.values, source.read
            # The parent's order may lack a key that was being moved at the fork, so it is made
            # anew. The interpreter makes the list in one step, which no thread can disturb.
            shard.order = deque(list(source.values))

    def clear(self) -> None:
        """Forget all keys."""
        for shard in self._shards:
            shard.clear()

    def items(self) -> list[tuple[K, V]]:
        """List all keys with their values. To the eviction, this is no reading."""
        # The interpreter copies a dictionary in one step, which no thread can disturb. Not so a
        # list of its items: each is a new object, and may start a collection of garbage, which
        # may run a finalizer of the host's.
        return [item for shard in self._shards for item in shard.values.copy().items()]

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

    def clear(self) -> None:
        with self._lock:
            self.values, self.order, self.read = {}, deque(), set()

    def _make_room(self) -> None:
        if len(self.read) > self._bound:  # it may hold keys that are evicted
            self.read.intersection_update(self.values)
        while len(self.values) >= self._bound:
            key = self.order.popleft()
            if key in self.read:
                self.read.discard(key)
                self.order.append(key)
            else:
                del self.values[key]
