"""Reports: the answer for the service or an organization, and the results behind it."""

from __future__ import annotations

import dataclasses
import typing as t
from collections.abc import Sequence
from dataclasses import dataclass

from .model import Scope, Status, worst


@dataclass(frozen=True, slots=True)
class ReportedResult:
    """A probe's result, as a report has it.

    :param scope: ``"service"`` or ``"organization"``. The availability callback is a probe of
        both.
    :param critical: whether its failure makes the scope unavailable, or only degraded.
    :param status: what the probe itself has found. Its effect depends on ``critical``.
    :param message: words for people, which may be empty. Show them to authorized callers alone.
    :param applicable: whether it counts. If the probe answered :class:`NotApplicable`, it does
        not, and its status is ``OK``.
    """

    name: str
    scope: Scope
    critical: bool
    status: Status
    message: str
    applicable: bool = True


@dataclass(frozen=True, slots=True)
class Report:
    """The answer for the service or an organization, and the results that it came from.

    :param status: that of the worst result. A probe that is not critical counts as degraded at
        worst.
    :param results: those of the service, and after them those of the organization.
    """

    status: Status
    results: tuple[ReportedResult, ...] = ()

    @property
    def available(self) -> bool:
        """Whether it can be used: the contract's second key."""
        return self.status.available

    def to_dict(self) -> dict[str, t.Any]:
        """Give it as plain data for JSON: strings, booleans, lists and dicts.

        It holds the messages of the probes. Show it to authorized callers alone.
        """
        return {
            "status": self.status.value,
            "available": self.available,
            "results": [
                {**dataclasses.asdict(result), "status": result.status.value}
                for result in self.results
            ],
        }


def aggregate(results: Sequence[ReportedResult]) -> Report:
    """Make a report of these results."""
    return Report(worst((each.critical, each.status) for each in results), tuple(results))
