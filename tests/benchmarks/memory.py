"""Section ``memory``: what a process holds after many requests."""

from __future__ import annotations

import gc

from .measure import progress, resident
from .scale import Scale
from .subjects import OUR_ROUTES, always
from .tables import Table, count

PROBES = 5
WARM_UP = 100


def run(scale: Scale) -> list[Table]:
    """Measure the growth over all requests, in this process."""
    half = scale.memory_requests // 2
    progress(f"memory: {2 * half:,} requests")
    subjects = [build([always] * PROBES) for build in OUR_ROUTES]
    for subject in subjects:
        for _ in range(max(half // WARM_UP, WARM_UP)):
            subject.checked()
    gc.collect()
    before = resident()
    for _ in range(half):
        for subject in subjects:
            subject.ask()
    gc.collect()
    grown = (resident() - before) / 1024
    table = Table(
        f"Growth of the resident memory over requests to both routes, {PROBES} probes each,"
        " default settings.",
        ["requests", "KiB"],
    )
    table.add(count(2 * half), count(grown))
    return [table]
