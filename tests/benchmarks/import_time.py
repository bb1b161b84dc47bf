"""Section ``import``: what importing the package costs beside what it stands on."""

from __future__ import annotations

import statistics
import subprocess
import sys

from .measure import progress
from .scale import Scale
from .subjects import OURS
from .tables import Table, millis, ratio

BASIS = "flask, flask_httpauth, marshmallow"
MODULES = {BASIS: BASIS, OURS: "flask_connector_health"}

SCRIPT = """
import sys, time
begin = time.process_time()
import {}
sys.stdout.write(str(time.process_time() - begin))
"""


def run(scale: Scale) -> list[Table]:
    """Import each in new interpreters, in turns."""
    progress("import")
    times: dict[str, list[float]] = {name: [] for name in MODULES}
    for _ in range(scale.imports + 1):
        for name, modules in MODULES.items():
            times[name].append(_cpu_time(modules))
    # The first of each may have to compile and to read from the disk.
    medians = {name: statistics.median(found[1:]) for name, found in times.items()}
    table = Table(
        f"CPU time of an import (medians of {scale.imports} new interpreters each).",
        ["", "ms", "ratio"],
    )
    for name, median in medians.items():
        table.add(name, millis(median), ratio(median / medians[BASIS]))
    return [table]


def _cpu_time(modules: str) -> float:
    command = [sys.executable, "-c", SCRIPT.format(modules)]
    return float(subprocess.run(command, capture_output=True, check=True, text=True).stdout)
