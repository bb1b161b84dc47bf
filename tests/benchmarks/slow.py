"""Sections ``parallel`` and ``hung``: checks that take long, and one that never answers."""

from __future__ import annotations

import functools
import statistics
import threading
import time
from collections.abc import Sequence

from . import peers
from .measure import progress
from .scale import Scale
from .subjects import OUR_ROUTES, Build, always
from .tables import NONE, Table, millis


def run_parallel(scale: Scale) -> list[Table]:
    """Measure the first answer when every check takes its time."""
    table = Table(
        f"{scale.slow_probes} probes of {scale.slow * 1e3:.0f} ms each: time of the first"
        f" answer in ms (median of {scale.repeats}).",
        ["", "ms"],
    )
    for build in [*OUR_ROUTES, *peers.others()]:
        name, seconds = _first(scale, build)
        table.add(name, millis(seconds))
    return [table]


def _first(scale: Scale, build: Build) -> tuple[str, float]:
    # What is imported at the first request of a process is not what is measured here.
    progress(f"parallel: {build([always]).checked().name}")
    check = functools.partial(_sleep, scale.slow)
    subjects = [build([check] * scale.slow_probes) for _ in range(scale.repeats)]
    return subjects[0].name, statistics.median(subject.timed() for subject in subjects)


def _sleep(seconds: float) -> bool:
    time.sleep(seconds)
    return True


def run_hung(scale: Scale) -> list[Table]:
    """Measure the answers while one check of three hangs."""
    rest = scale.hung_requests
    table = Table(
        "One hung probe among three: time of the answers in ms (deadline"
        f" {scale.deadline * 1e3:.0f} ms). The others' check hangs for"
        f" {scale.hang * 1e3:,.0f} ms, since they wait as long as it does.",
        ["", "1st", "2nd", f"next {rest}, median", f"next {rest}, worst"],
    )
    for build in OUR_ROUTES:
        name, times = _hung(scale, build)
        later = times[2:]
        cells = (times[0], times[1], statistics.median(later), max(later))
        table.add(name, *[millis(cell) for cell in cells])
    for build in peers.others():
        name, seconds = _hung_peer(scale, build)
        table.add(name, millis(seconds), NONE, NONE, NONE)
    return [table]


def _hung(scale: Scale, build: Build) -> tuple[str, Sequence[float]]:
    progress(f"hung: {build([always]).checked().name}")
    over = threading.Event()
    subject = build([always, over.wait, always], DEADLINE=scale.deadline)
    times = [subject.timed() for _ in range(scale.hung_requests + 2)]
    over.set()
    return subject.name, times


def _hung_peer(scale: Scale, build: Build) -> tuple[str, float]:
    progress(f"hung: {build([always]).checked().name}")
    subject = build([always, functools.partial(_sleep, scale.hang), always])
    return subject.name, subject.timed()
