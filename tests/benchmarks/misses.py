"""Section ``misses``: requests of which each runs every probe."""

from __future__ import annotations

import statistics

from flask_connector_health import ConnectorHealth

from .measure import Subject, progress
from .scale import Scale
from .subjects import HEALTHY, PUBLIC, always, host
from .tables import Table, micros


def run(scale: Scale) -> list[Table]:
    """Measure a column for each number of probes."""
    table = Table(
        "Time of a request on the public route with caching off, in µs (median of"
        f" {scale.misses}); the availability callback runs, too.",
        ["", *[f"{n} probe{'' if n == 1 else 's'}" for n in scale.missed_probes]],
    )
    for kind in ("sync", "async"):
        medians = [_miss(scale, kind, n) for n in scale.missed_probes]
        table.add(f"{kind} probes", *[micros(median) for median in medians])
    return [table]


def _miss(scale: Scale, kind: str, number: int) -> float:
    progress(f"misses: {number} {kind} probes")
    health = ConnectorHealth()
    for place in range(number):
        health.add_probe(always if kind == "sync" else always_async, name=f"check-{place}")
    subject = Subject("misses", host(health, TTL=0), PUBLIC, HEALTHY).checked()
    return statistics.median(subject.timed() for _ in range(scale.misses))


async def always_async() -> bool:
    """Check nothing, in an event loop."""
    return True
