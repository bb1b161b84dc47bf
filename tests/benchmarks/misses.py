"""Section ``misses``: requests of which each runs every probe."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from flask_connector_health import ConnectorHealth

from .measure import Subject, interleaved, progress
from .scale import Scale
from .subjects import HEALTHY, PUBLIC, always, host
from .tables import Table, micros


async def always_async() -> bool:
    """Check nothing, in an event loop."""
    return True


KINDS: dict[str, Callable[[], bool | Awaitable[bool]]] = {
    "sync probes": always,
    "async probes": always_async,
}


def run(scale: Scale) -> list[Table]:
    """Measure every number of probes of both kinds, in turns."""
    progress("misses")
    numbers = scale.missed_probes
    table = Table(
        "Time of a request on the public route with caching off, in µs (medians of"
        f" {scale.misses} interleaved); the availability callback, sync, runs, too.",
        ["", *[f"{n} probe{'' if n == 1 else 's'}" for n in numbers]],
    )
    subjects = [_subject(kind, number) for kind in KINDS for number in numbers]
    medians = iter(interleaved(subjects, rounds=scale.misses, batch=1))
    for kind in KINDS:
        table.add(kind, *[micros(next(medians)) for _ in numbers])
    return [table]


def _subject(kind: str, number: int) -> Subject:
    health = ConnectorHealth()
    for place in range(number):
        health.add_probe(KINDS[kind], name=f"check-{place}")
    return Subject(f"{number} {kind}", host(health, TTL=0), PUBLIC, HEALTHY).checked()
