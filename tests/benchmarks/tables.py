"""Markdown tables, and numbers as they stand in them."""

from __future__ import annotations

import typing as t
from collections.abc import Sequence
from dataclasses import dataclass, field

# What a subject cannot do, or was not asked.
NONE = "-"


@dataclass
class Table:
    """A caption of one line, and rows below a header."""

    caption: str
    header: Sequence[str]
    rows: list[Sequence[str]] = field(default_factory=list)

    def add(self, label: str, *cells: str) -> None:
        """Add a row."""
        self.rows.append((label, *cells))

    def __str__(self) -> str:
        rule = ["---", *["---:"] * (len(self.header) - 1)]
        lines = [f"| {' | '.join(row)} |" for row in (self.header, rule, *self.rows)]
        return "\n".join([self.caption, "", *lines])


def count(value: float) -> str:
    """Write a whole number, with its thousands apart."""
    return f"{value:,.0f}"


def micros(seconds: float) -> str:
    """Write a short time in microseconds."""
    return f"{seconds * 1e6:,.0f}" if seconds >= 1e-4 else f"{seconds * 1e6:.1f}"


def millis(seconds: float) -> str:
    """Write a time in milliseconds."""
    return f"{seconds * 1e3:,.0f}" if seconds >= 0.01 else f"{seconds * 1e3:.2f}"


def ratio(value: float) -> str:
    """Write how many times as much."""
    return f"{value:.2f}" if value >= 0.1 else f"{value:.3f}"


class Section(t.NamedTuple):
    """A part of the benchmark that can be run alone.

    :param peers: whether it measures other libraries, too.
    """

    name: str
    title: str
    run: t.Any
    peers: bool
