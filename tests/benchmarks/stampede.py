"""Section ``stampede``: many clients at once, when the last result is no longer fresh."""

from __future__ import annotations

import statistics
import threading
import time
import typing as t

from . import peers
from .measure import progress
from .scale import Scale
from .subjects import OUR_ROUTES, Build, always
from .tables import Table, count, millis

TTL = 0.3


class Crowd(t.NamedTuple):
    """What a crowd of clients got."""

    name: str
    runs: int
    times: list[float]


def run(scale: Scale) -> list[Table]:
    """Measure a crowd at each subject."""
    table = Table(
        f"{scale.clients} clients at once, a probe of {scale.stampede * 1e3:.0f} ms, no fresh"
        " result: its runs, and the time of the answers in ms.",
        ["", "runs", "median", "worst"],
    )
    for build in OUR_ROUTES:
        for stale in (False, True):
            crowd = _crowd(scale, build, stale=stale)
            state = "a stale result" if stale else "nothing cached"
            _add(table, f"{crowd.name}, {state}", crowd)
    for build in peers.others():
        crowd = _crowd(scale, build)
        _add(table, crowd.name, crowd)
    return [table]


def _add(table: Table, label: str, crowd: Crowd) -> None:
    median, worst = statistics.median(crowd.times), max(crowd.times)
    table.add(label, count(crowd.runs), millis(median), millis(worst))


def _crowd(scale: Scale, build: Build, *, stale: bool = False) -> Crowd:
    # What is imported at the first request of a process is not the crowd's to wait for.
    progress(f"stampede: {build([always]).checked().name}{', stale' if stale else ''}")
    runs: list[None] = []

    def check() -> bool:
        runs.append(None)
        time.sleep(scale.stampede)
        return True

    subject = build([check], TTL=TTL) if stale else build([check])
    if stale:
        subject.checked()
        time.sleep(1.5 * TTL)
    before = len(runs)
    times = _at_once(scale.clients, subject.timed)
    time.sleep(2 * scale.stampede)  # a run in the background counts, too
    return Crowd(subject.name, len(runs) - before, times)


def _at_once(clients: int, ask: t.Callable[[], float]) -> list[float]:
    gate = threading.Barrier(clients)
    times: list[float] = []

    def client() -> None:
        gate.wait()
        times.append(ask())

    threads = [threading.Thread(target=client) for _ in range(clients)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return times
