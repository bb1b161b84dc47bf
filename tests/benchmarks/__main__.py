"""The command: ``python -m tests.benchmarks [--quick] [section ...]``."""

from __future__ import annotations

import argparse
import os
import platform
import sys

from . import (
    capacity,
    import_time,
    memory,
    misses,
    organizations,
    peers,
    requests,
    slow,
    stampede,
)
from .measure import in_new_process, in_turn
from .scale import FULL, QUICK, Scale
from .tables import Section

SECTIONS = [
    Section("requests", "Requests", requests.run, peers=True),
    Section("organizations", "Many organizations", organizations.run, peers=False),
    Section("misses", "Misses", misses.run, peers=False),
    Section("parallel", "Slow probes", slow.run_parallel, peers=True),
    Section("hung", "A hung probe", slow.run_hung, peers=True),
    Section("stampede", "A stampede", stampede.run, peers=True),
    Section("capacity", "Capacity", capacity.run, peers=False),
    Section("memory", "Memory", memory.run, peers=False),
    Section("import", "Import", import_time.run, peers=False),
]


def main() -> None:
    """Run the sections that were named, or all, and print their tables as Markdown."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="prove that it works; no figures")
    parser.add_argument("section", nargs="*", help=", ".join(s.name for s in SECTIONS))
    options = parser.parse_args()
    names = [section.name for section in SECTIONS]
    for name in options.section:
        if name not in names:
            parser.error(f"no section {name!r}; there are {', '.join(names)}")
    chosen = [s for s in SECTIONS if s.name in (options.section or names)]
    versions = peers.versions() if any(section.peers for section in chosen) else {}
    absent = [name for name, version in versions.items() if version is None]
    if absent and not options.quick:
        parser.error(f"{', '.join(absent)} not installed; run {peers.REMEDY}")
    _head(versions, quick=options.quick)
    if options.quick:
        _print(chosen, QUICK)
    else:
        for section in chosen:
            _print([section], FULL)


def _head(versions: dict[str, str | None], *, quick: bool) -> None:
    cores = len(os.sched_getaffinity(0))
    machine = f"{cores} core{'' if cores == 1 else 's'}, {platform.system()}"
    python = f"{platform.python_implementation()} {sys.version_info[0]}.{sys.version_info[1]}"
    _say(f"{machine}, {python}{'; quick: figures without meaning' if quick else ''}")
    present = [f"{name} {version}" for name, version in versions.items() if version]
    absent = [name for name, version in versions.items() if not version]
    if present:
        _say(f"Beside it: {', '.join(present)}")
    if absent:
        _say(f"Left out, since they are not installed: {', '.join(absent)}")


def _print(sections: list[Section], scale: Scale) -> None:
    tables = in_new_process(in_turn, [section.run for section in sections], scale)
    for section, measured in zip(sections, tables, strict=True):
        _say(f"## {section.title}")
        for table in measured:
            _say(str(table))


def _say(text: str) -> None:
    sys.stdout.write(f"{text}\n\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
