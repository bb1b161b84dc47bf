"""The benchmark runs, and has a number for everything that it measures of ours."""

from __future__ import annotations

import re
import subprocess
import sys

import pytest

from tests.benchmarks.peers import REMEDY, versions
from tests.benchmarks.subjects import OURS, OURS_FAST, OURS_PUBLIC, OURS_SCOPED
from tests.conftest import ROOT

pytestmark = pytest.mark.clients

# The tables of each section, by the labels of the rows that tell about this library.
ROUTES = [OURS_PUBLIC, OURS_SCOPED]
SECTIONS = {
    "Requests": [[OURS_FAST, *ROUTES]],
    "Many organizations": [["1", "50"], ["200"]],
    "Misses": [["sync probes", "async probes"]],
    "Slow probes": [ROUTES],
    "A hung probe": [ROUTES],
    "A stampede": [
        [
            f"{route}, {state}"
            for route in ROUTES
            for state in ("nothing cached", "a stale result")
        ]
    ],
    "Capacity": [
        [f"{OURS}, sync, 10 ms", f"{OURS}, async, 10 ms", "hand-written view, 10 ms"],
    ],
    "Memory": [["400"]],
    "Import": [[OURS]],
}
# What cannot be said of so few organizations as a quick run has.
UNSAID = {("1", "bytes each"), ("50", "bytes each")}


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "tests.benchmarks", *arguments],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )


def tables(section: str) -> list[dict[str, dict[str, str]]]:
    """Read tables as rows by label, and each row's cells by the header."""
    found = []
    for block in re.findall(r"(?:^\|.*\n)+", section, re.MULTILINE):
        header, _, *rows = [
            [cell.strip() for cell in line.strip("|").split("|")] for line in block.splitlines()
        ]
        found.append({row[0]: dict(zip(header, row, strict=True)) for row in rows})
    return found


@pytest.mark.soak
def test_every_section_has_a_number_for_every_row_of_ours() -> None:
    done = run("--quick")

    assert done.returncode == 0, done.stderr
    head, *sections = re.split(r"^## ", done.stdout, flags=re.MULTILINE)
    assert re.match(r"\d+ cores?, \w+, \w+ 3\.\d+; quick: ", head)
    printed = {title: tables(body) for title, _, body in (s.partition("\n") for s in sections)}
    assert list(printed) == list(SECTIONS)
    for title, expected in SECTIONS.items():
        assert len(printed[title]) == len(expected)
        for table, labels in zip(printed[title], expected, strict=True):
            for label in labels:
                unsaid = {
                    name for name, cell in table[label].items() if name and not number(cell)
                }
                assert unsaid <= {name for row, name in UNSAID if row == label}, (title, label)


def number(cell: str) -> bool:
    return re.fullmatch(r"-?[\d,]+(\.\d+)?( \([\d.,]+ µs\))?", cell) is not None


def test_one_section_can_be_run_alone() -> None:
    done = run("--quick", "misses")

    assert done.returncode == 0, done.stderr
    assert re.findall("^## (.*)$", done.stdout, re.MULTILINE) == ["Misses"]


def test_an_unknown_section_is_refused_with_those_that_exist() -> None:
    done = run("--quick", "speed")

    assert done.returncode == 2
    assert "no section 'speed'; there are requests, organizations, misses" in done.stderr


@pytest.mark.skipif(all(versions().values()), reason="every other library is installed")
def test_what_is_not_installed_is_asked_for_with_the_remedy() -> None:
    done = run("requests")

    assert done.returncode == 2
    assert REMEDY in done.stderr
