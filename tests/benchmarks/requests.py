"""Section ``requests``: a health request in process, all results fresh."""

from __future__ import annotations

import functools

from . import peers
from .measure import Subject, in_new_process, interleaved, progress
from .scale import Scale
from .subjects import BARE, OUR_ROUTES, Build, always, bare, ours_fast
from .tables import Table, micros, ratio

DAY = 86_400


def run(scale: Scale) -> list[Table]:
    """Measure a column for each number of probes."""
    table = Table(
        "Time of a request, all results fresh, as a multiple of the bare view's"
        f" (medians of {scale.rounds} interleaved rounds of {scale.batch}).",
        ["", *[f"{n} probe{'' if n == 1 else 's'}" for n in scale.probes]],
    )
    columns = [in_new_process(_column, scale, count) for count in scale.probes]
    for name in columns[0]:
        yardsticks = [column[BARE] for column in columns]
        cells = [ratio(column[name] / column[BARE]) for column in columns]
        if name == BARE:
            cells = [f"1.00 ({micros(yardstick)} µs)" for yardstick in yardsticks]
        table.add(name, *cells)
    return [table]


def _column(scale: Scale, count: int) -> dict[str, float]:
    """Measure every subject with so many probes, in a process of its own."""
    progress(f"requests: {count} probes")
    ours = (ours_fast, *OUR_ROUTES)
    builds = [functools.partial(build, TTL=DAY) for build in ours] + peers.others()
    subjects = [bare(), *[_proven(build, count) for build in builds], bare()]
    names = [subject.name for subject in subjects[:-1]] + [f"{BARE}, again (control)"]
    medians = interleaved(subjects, rounds=scale.rounds, batch=scale.batch)
    return dict(zip(names, medians, strict=True))


def _proven(build: Build, count: int) -> Subject:
    """Build a subject that was seen to run each of the checks."""
    runs: list[None] = []

    def counted() -> bool:
        runs.append(None)
        return True

    subject = build([counted] * count).checked()
    if len(runs) != count:
        raise RuntimeError(f"{subject.name} ran {len(runs)} of {count} checks")
    return build([always] * count).checked()
