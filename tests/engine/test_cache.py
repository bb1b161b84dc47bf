"""The bounded cache: its bound, who has to go, and what the garbage collector sees of it."""

from __future__ import annotations

import gc
import random
import threading

import pytest

from flask_connector_health.engine import cache as cache_module
from flask_connector_health.engine.cache import Cache

Numbers = Cache[str, int]


def put(cache: Numbers, *keys: str, value: int = 1) -> None:
    for key in keys:
        cache.update(key, lambda _: value)


def test_a_key_that_is_not_there_has_no_value() -> None:
    assert Numbers(2).get("a") is None


def test_an_update_is_told_the_value_before() -> None:
    cache = Numbers(2)

    assert cache.update("a", lambda before: (before or 0) + 1) == (None, 1)
    assert cache.update("a", lambda before: (before or 0) + 1) == (1, 2)
    assert cache.get("a") == 2
    assert len(cache) == 1


def test_beyond_the_bound_the_oldest_goes() -> None:
    cache = Numbers(2)

    put(cache, "a", "b", "c")

    assert [cache.get(key) for key in "abc"] == [None, 1, 1]
    assert len(cache) == 2


def test_one_that_was_read_gets_a_second_chance() -> None:
    """A key that was read since its last turn is not evicted when its turn comes."""
    cache = Numbers(2)
    put(cache, "a", "b")
    cache.get("a")

    put(cache, "c")

    assert [cache.get(key) for key in "abc"] == [1, None, 1]


def test_a_second_chance_is_used_up_by_taking_it() -> None:
    """A key that was spared once is evicted at its next turn, unless it was read again."""
    cache = Numbers(2)
    put(cache, "a", "b")
    cache.get("a")

    put(cache, "c", "d", "e")

    assert [cache.get(key) for key in "abcde"] == [None, None, None, 1, 1]


def test_when_all_were_read_the_oldest_goes() -> None:
    cache = Numbers(2)
    put(cache, "a", "b")
    for key in "ba":
        cache.get(key)

    put(cache, "c")

    assert [cache.get(key) for key in "abc"] == [None, 1, 1]


@pytest.mark.parametrize("bound", [1, 2, 7, 100, 101, 1_000])
def test_the_bound_is_strict_at_every_moment(
    bound: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cache_module, "SHARD", 100)
    cache = Numbers(bound)
    sizes = []

    for number in range(3 * bound):
        put(cache, f"org_{number}")
        cache.get(f"org_{random.randrange(number + 1)}")  # noqa: S311
        sizes.append(len(cache))

    assert max(sizes) <= bound
    assert len(cache) > 0.8 * bound


def test_as_many_as_the_default_bound_stay_when_they_come_again_and_again() -> None:
    cache = Numbers(10_000)
    keys = [f"org_{number}" for number in range(10_000)]

    for _ in range(3):
        put(cache, *(key for key in keys if cache.get(key) is None))

    assert [key for key in keys if cache.get(key) is None] == []


def test_the_newest_is_always_there() -> None:
    """A value that was just put can be read, whatever had to make room for it."""
    cache = Numbers(5)

    for number in range(100):
        put(cache, f"org_{number}", value=number + 1)

        assert cache.get(f"org_{number}") == number + 1


def test_changes_of_one_key_lose_nothing() -> None:
    cache = Numbers(10)
    start = threading.Barrier(8)

    def count() -> None:
        start.wait()
        for _ in range(500):
            cache.update("a", lambda before: (before or 0) + 1)

    threads = [threading.Thread(target=count) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert cache.get("a") == 4_000


def test_keys_that_were_read_as_they_went_are_forgotten(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The notes about which keys were read do not outgrow the cache."""
    cache = Numbers(2)
    [shard] = cache._shards
    put(cache, "a", "b")

    shard.read.update(["gone_1", "gone_2", "a"])
    put(cache, "c")

    assert shard.read == set()
    assert cache.get("a") == 1


def test_a_cache_that_was_cleared_begins_anew() -> None:
    cache = Numbers(2)
    put(cache, "a", "b")
    cache.get("a")

    cache.clear()
    put(cache, "c", "d", "a", "e")

    assert [cache.get(key) for key in "abcde"] == [1, None, None, None, 1]


def test_all_keys_are_listed_with_their_values() -> None:
    cache = Numbers(20_000)  # of two shards
    keys = [f"org_{number}" for number in range(100)]
    put(cache, *keys)
    put(cache, "org_7", value=7)

    assert sorted(cache.items()) == sorted({**dict.fromkeys(keys, 1), "org_7": 7}.items())


def test_a_list_of_all_is_no_reading() -> None:
    """A key that was listed is evicted when its turn comes, unless it was read as well."""
    cache = Numbers(2)
    put(cache, "a", "b")
    cache.get("a")

    cache.items()
    put(cache, "c")

    assert [cache.get(key) for key in "abc"] == [1, None, 1]


def test_a_list_of_all_takes_no_lock() -> None:
    cache = Numbers(2)
    put(cache, "a")

    with cache._shards[0]._lock:
        assert cache.items() == [("a", 1)]


class Puts:
    """Garbage in a cycle, whose finalizer adds a key to a cache."""

    def __init__(self, cache: Numbers) -> None:
        self.me = self
        self.cache = cache

    def __del__(self) -> None:
        put(self.cache, "late")


def test_a_list_of_all_bears_a_change_in_its_midst() -> None:
    """A collection of garbage may let another thread go on, or run a finalizer itself."""
    cache = Numbers(10_000)
    put(cache, *(f"org_{number}" for number in range(5_000)))
    gc.collect()
    Puts(cache)

    assert len(cache.items()) >= 5_000


def test_a_read_takes_no_lock() -> None:
    cache = Numbers(2)
    put(cache, "a")

    with cache._shards[0]._lock:
        assert cache.get("a") == 1


def test_what_is_inherited_has_the_values_and_no_lock() -> None:
    parent, child = Numbers(20_000), Numbers(20_000)
    keys = [f"org_{number}" for number in range(4_000)]
    put(parent, *keys)
    for shard in parent._shards:
        shard._lock.acquire()

    child.inherit(parent)
    put(child, *(f"new_{number}" for number in range(40_000)))

    assert len(child) <= 20_000
    assert child.get("new_39999") == 1
    assert child.get(keys[0]) is None


def test_what_is_inherited_from_the_midst_of_a_change_stays_within_the_bound() -> None:
    """A child that was forked while a key was being moved keeps to the bound as well."""
    parent, child = Numbers(2), Numbers(2)
    put(parent, "a", "b")
    parent._shards[0].order.popleft()  # as it is while room is made

    child.inherit(parent)
    put(child, "c", "d", "e")

    assert [child.get(key) for key in "abcde"] == [None, None, None, 1, 1]


def test_what_is_kept_is_nothing_for_the_garbage_collector_to_walk() -> None:
    """Tuples of atoms are not tracked by the garbage collector."""
    cache: Cache[str, tuple[float, int, tuple[tuple[int, str, float], ...]]] = Cache(100)
    for number in range(100):
        value = (float(number), number, ((number, "fine", float(number)),))
        cache.update(f"org_{number}", lambda _, value=value: value)  # type: ignore[misc]

    for _ in range(3):  # one for each level of the tuples
        gc.collect()

    values = [value for shard in cache._shards for value in shard.values.values()]
    assert not any(gc.is_tracked(value) for value in values)


def test_shards_share_the_bound_between_them() -> None:
    cache = Numbers(100_000)

    bounds = [shard._bound for shard in cache._shards]

    assert sum(bounds) == 100_000
    assert max(bounds) <= cache_module.SHARD
    assert max(bounds) - min(bounds) <= 1
