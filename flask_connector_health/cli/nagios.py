"""The line of a Nagios plugin, with its performance data and its exit codes."""

from __future__ import annotations

import typing as t
from collections import Counter

import click

from flask_connector_health.lines import printable
from flask_connector_health.model import Status
from flask_connector_health.report import Report

OPTION = "--nagios"

_WORDS = {Status.OK: "OK", Status.DEGRADED: "WARNING", Status.UNAVAILABLE: "CRITICAL"}


def exit_with(report: Report, seconds: float, *, draining: bool) -> t.NoReturn:
    """Print a report in one line, and exit by its status.

    :param seconds: how long the last answer took.
    :param draining: whether the report is unavailable because the instance drains.
    """
    results = [result for result in report.results if result.applicable]
    counts = Counter(result.status for result in results)
    failing = ["the instance drains"] if draining else []
    failing += [
        f"{result.name} {result.status}" + (f" ({result.message})" if result.message else "")
        for result in results
        if result.status > Status.OK
    ]
    number = len(results)
    text = ", ".join(failing) or f"{number} of {number} probes are ok"
    numbers = [f"{status}={counts[status]};;;0;{number}" for status in Status]
    _say(_WORDS[report.status], text, f" | {' '.join(numbers)} time={seconds:.3f}s;;;0")
    raise click.exceptions.Exit(report.status.severity)


def exit_unknown(error: click.ClickException) -> t.NoReturn:
    """Say in one line why nothing could be asked, and exit with 3."""
    _say("UNKNOWN", error.format_message())
    raise click.exceptions.Exit(3)


def _say(word: str, text: str, numbers: str = "") -> None:
    # A bar would begin the performance data.
    click.echo(f"CONNECTORS {word} - {printable(text).replace('|', '/')}{numbers}")
