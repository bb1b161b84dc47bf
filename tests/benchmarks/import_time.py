"""Section ``import``: what importing the package costs beside what it stands on."""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile

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
    with tempfile.TemporaryDirectory() as folder:
        for _ in range(scale.imports + 1):
            for name, modules in MODULES.items():
                times[name].append(_cpu_time(modules, folder))
    # The first of each has to compile, and to read from the disk.
    medians = {name: statistics.median(found[1:]) for name, found in times.items()}
    table = Table(
        f"CPU time of an import (medians of {scale.imports} new interpreters each).",
        ["", "ms", "ratio"],
    )
    for name, median in medians.items():
        table.add(name, millis(median), ratio(median / medians[BASIS]))
    return [table]


def _cpu_time(modules: str, compiled: str) -> float:
    # Bytecode for all of them: an editable install may have none, what pip installed has it.
    environment = {**os.environ, "PYTHONPYCACHEPREFIX": compiled}
    environment.pop("PYTHONDONTWRITEBYTECODE", None)
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT.format(modules)],
        capture_output=True,
        check=True,
        text=True,
        env=environment,
    )
    return float(done.stdout)
