"""Section ``organizations``: hits and memory with many organizations in the cache."""

from __future__ import annotations

import gc
import itertools
import random
import statistics
import time
import typing as t
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor

from flask import Flask

from flask_connector_health import ConnectorHealth, Status, get_monitor

from .measure import ask, in_new_process, p99, progress, resident
from .scale import Scale
from .subjects import SCOPED, bare, host, ours_scoped
from .tables import NONE, Table, count, micros, millis, ratio

DAY = 86_400
FILLERS = 8
TRIES = 100
STEP = 100_000
# Fewer tell nothing about the bytes of each: memory comes in pages.
MANY = 1_000


class Hits(t.NamedTuple):
    """What requests for cached organizations took, in seconds."""

    median: float
    p99: float
    bare: float


class Cached(t.NamedTuple):
    """What many cached organizations cost."""

    hits: Hits
    collection: float
    bytes_each: float


class Passed(t.NamedTuple):
    """What organizations beyond the bound left behind."""

    first_half: int
    second_half: int
    hits: Hits


def run(scale: Scale) -> list[Table]:
    """Measure each number of organizations in a process of its own."""
    return [_cached_table(scale), _passing_table(scale)]


def _cached_table(scale: Scale) -> Table:
    table = Table(
        "Requests for random cached organizations (one probe for each), against the bare view;"
        " a full garbage collection; resident memory.",
        [
            "organizations",
            "hit, ratio to bare",
            "hit, µs",
            "p99, µs",
            "p99 / median",
            "gc.collect(), ms",
            "bytes each",
        ],
    )
    for number in scale.organizations:
        hits, collection, bytes_each = in_new_process(_cached, scale, number)
        table.add(
            count(number),
            ratio(hits.median / hits.bare),
            micros(hits.median),
            micros(hits.p99),
            ratio(hits.p99 / hits.median),
            millis(collection),
            count(bytes_each) if number >= MANY else NONE,
        )
    return table


def _passing_table(scale: Scale) -> Table:
    half = count(scale.passing / 2)
    table = Table(
        f"{count(scale.passing)} organizations through a bound of {count(scale.bound)}:"
        " growth of the resident memory, and hits at the end.",
        [
            "organizations",
            f"first {half}, MiB",
            f"next {half}, MiB",
            "hit, µs",
            "p99, µs",
            "p99 / median",
        ],
    )
    passed = in_new_process(_passing, scale)
    hits = passed.hits
    table.add(
        count(scale.passing),
        f"{passed.first_half / 2**20:.1f}",
        f"{passed.second_half / 2**20:.1f}",
        micros(hits.median),
        micros(hits.p99),
        ratio(hits.p99 / hits.median),
    )
    return table


def _cached(scale: Scale, number: int) -> Cached:
    # Far above the number: how soon a cache forgets below its bound is its own affair.
    app = _app(4 * number + MANY)
    before = resident()
    _fill(app, range(number))
    grown = resident() - before
    collections = []
    for _ in range(3):
        begin = time.perf_counter()
        gc.collect()
        collections.append(time.perf_counter() - begin)
    sample = [random.randrange(number) for _ in range(scale.hits)]
    return Cached(_hits(app, sample), statistics.median(collections), grown / number)


def _passing(scale: Scale) -> Passed:
    app = _app(scale.bound)
    half = scale.passing // 2
    sizes = [resident()]
    for numbers in (range(half), range(half, 2 * half)):
        _fill(app, numbers)
        sizes.append(resident())
    # So few that they are cached still, whatever it forgets first.
    recent = range(2 * half - scale.bound // 10, 2 * half)
    _fill(app, recent)
    return Passed(
        sizes[1] - sizes[0],
        sizes[2] - sizes[1],
        _hits(app, random.choices(recent, k=scale.hits)),
    )


def _app(bound: int) -> Flask:
    health = ConnectorHealth()
    health.probe("connectors", scope="organization")(lambda organization_id: True)
    app = host(health, TTL=DAY, MAX_ORGANIZATIONS=bound)
    warm = ours_scoped([])
    for _ in range(100):
        ask(app, warm.environ)
    gc.collect()
    return app


def _organization(number: int) -> str:
    return f"org_{number:08d}"


def _fill(app: Flask, numbers: Sequence[int]) -> None:
    """Ask about each organization once, from a few threads."""
    parts = [numbers[place::FILLERS] for place in range(FILLERS)]
    with ThreadPoolExecutor(FILLERS) as fillers:
        list(fillers.map(_report, itertools.repeat(app), parts))


def _report(app: Flask, numbers: Iterable[int]) -> None:
    monitor = get_monitor(app)
    for number in numbers:
        tries = 0
        # On a busy machine a run may find no thread before the deadline.
        while monitor.report(_organization(number)).status is not Status.OK:
            tries += 1
            if tries == TRIES:
                raise RuntimeError(f"no verdict on organization {number}")
            time.sleep(0.01)
        if number % STEP == STEP - 1:
            progress(f"organizations: {number + 1:,} reported")


def _hits(app: Flask, numbers: Iterable[int]) -> Hits:
    """Time a request for each, and one of the bare view after it."""
    environ = ours_scoped([]).environ
    yardstick = bare()
    times, bare_times = [], []
    for number in numbers:
        environ["PATH_INFO"] = SCOPED.format(_organization(number))
        begin = time.perf_counter()
        ask(app, environ)
        middle = time.perf_counter()
        yardstick.ask()
        bare_times.append(time.perf_counter() - middle)
        times.append(middle - begin)
    return Hits(statistics.median(times), p99(times), statistics.median(bare_times))
