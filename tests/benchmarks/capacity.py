"""Section ``capacity``: many organizations, each of which is polled again and again."""

from __future__ import annotations

import asyncio
import random
import threading
import time
import typing as t
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from werkzeug.test import create_environ

from flask_connector_health import ConnectorHealth

from .measure import Subject, ask, p99, progress
from .scale import Scale
from .subjects import BEARER, HAND_WRITTEN, OURS, SCOPED, hand_written, host
from .tables import Table, count, millis

# That a server has for requests.
THREADS = 64

Build: t.TypeAlias = Callable[[float], Subject]
Poll: t.TypeAlias = tuple[float, str]


def run(scale: Scale) -> list[Table]:
    """Poll every number of organizations, with probes of every duration, at each subject."""
    header = [
        f"{count(number)}: {figure}"
        for number in scale.polled
        for figure in ("wrong, %", "p99, ms")
    ]
    table = Table(
        f"Healthy organizations, each polled every {scale.poll_interval:g} s for"
        f" {scale.poll_seconds:g} s by {THREADS} threads, with the default settings: wrong"
        " answers, and the time from when a request was due to its answer.",
        ["", *header],
    )
    for seconds in scale.polled_probes:
        for name, build in SUBJECTS.items():
            label = f"{name}, {seconds * 1e3:g} ms"
            cells = []
            for number in scale.polled:
                progress(f"capacity: {label}, {number} organizations")
                wrong, times = _polled(scale, build(seconds), number)
                cells += [f"{wrong / len(times):.1%}".rstrip("%"), millis(p99(times))]
            table.add(label, *cells)
    return [table]


def _sync(seconds: float) -> Subject:
    health = ConnectorHealth()

    @health.probe("drive", scope="organization")
    def drive(organization_id: str) -> bool:
        time.sleep(seconds)
        return True

    return Subject(OURS, host(health), SCOPED, {})


def _async(seconds: float) -> Subject:
    health = ConnectorHealth()

    @health.probe("drive", scope="organization")
    async def drive(organization_id: str) -> bool:
        await asyncio.sleep(seconds)
        return True

    return Subject(OURS, host(health), SCOPED, {})


def _naive(seconds: float) -> Subject:
    def check() -> bool:
        time.sleep(seconds)
        return True

    return hand_written([check])


SUBJECTS: dict[str, Build] = {
    f"{OURS}, sync": _sync,
    f"{OURS}, async": _async,
    HAND_WRITTEN: _naive,
}


def _polled(scale: Scale, subject: Subject, organizations: int) -> tuple[int, list[float]]:
    polls = iter(_plan(scale, organizations))
    lock = threading.Lock()
    codes: list[str] = []
    times: list[float] = []
    began = time.perf_counter() + 0.1

    def serve() -> None:
        while True:
            with lock:
                due, organization_id = next(polls, (0.0, ""))
            if not organization_id:
                return
            environ = create_environ(SCOPED.format(organization_id), headers=BEARER)
            time.sleep(max(0.0, began + due - time.perf_counter()))
            ask(subject.app, environ, lambda status, headers: codes.append(status))
            times.append(time.perf_counter() - began - due)

    with ThreadPoolExecutor(THREADS) as pool:
        for _ in range(THREADS):
            pool.submit(serve)
    return len(codes) - codes.count("200 OK"), times


def _plan(scale: Scale, organizations: int) -> list[Poll]:
    """Say what is asked when: each organization at a time of its own within the interval."""
    chance = random.Random(organizations)
    polls = []
    for number in range(organizations):
        due = chance.random() * scale.poll_interval
        while due < scale.poll_seconds:
            polls.append((due, f"org_{number}"))
            due += scale.poll_interval
    return sorted(polls)
