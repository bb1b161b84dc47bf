"""The verdict's vocabulary: plain values and pure functions, no clocks, locks or threads."""

from __future__ import annotations

import enum
import functools
import typing as t
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from types import MappingProxyType


@functools.total_ordering
class Status(enum.Enum):
    """How well something works, from best to worst: ``OK < DEGRADED < UNAVAILABLE``."""

    #: Its place in this order, and in ``STATUSES``.
    severity: int

    OK = "ok"
    DEGRADED = "degraded"
    UNAVAILABLE = "unavailable"

    def __init__(self, value: str) -> None:
        self.severity = len(type(self).__members__)  # the number of statuses before it

    @property
    def available(self) -> bool:
        """Whether a thing of this status can be used at all, as all but ``UNAVAILABLE`` can."""
        return self is not Status.UNAVAILABLE

    def __lt__(self, other: object) -> bool:
        if not isinstance(other, Status):
            return NotImplemented
        return self.severity < other.severity


# The statuses by severity.
STATUSES = tuple(Status)


@dataclass(frozen=True, slots=True)
class ProbeResult:
    """What one run of a probe found.

    :param message: words for people. The answers of the two routes never hold them.
    :raises TypeError: if ``status`` is no :class:`Status` or ``message`` no string.
    """

    status: Status
    message: str = ""

    def __post_init__(self) -> None:
        # isinstance() believes what a mock says of its class, and type() does not.
        if not issubclass(type(self.status), Status):
            raise TypeError(_must_be("status", Status, self.status))
        if not issubclass(type(self.message), str):
            raise TypeError(_must_be("message", str, self.message))


def _must_be(name: str, kind: type, value: object) -> str:
    return f"ProbeResult.{name} must be a {kind.__name__}, not {type(value).__name__}"


ProbeAnswer: t.TypeAlias = bool | Status | ProbeResult

_YES = ProbeResult(Status.OK)
_NO = ProbeResult(Status.UNAVAILABLE)

# The result of a probe that has no verdict which may be used. It answers as unavailable. It is
# never kept, and no threshold counts it.
UNKNOWN = ProbeResult(Status.UNAVAILABLE, "the probe has no verdict yet")


@dataclass(frozen=True, slots=True)
class Report:
    """The answer for the service or an organization: a status, and each probe's result by name.

    A probe may have a result for the service and another one for the organization, as
    ``availability`` has. The report holds the worse of the two.
    """

    status: Status
    results: Mapping[str, ProbeResult]

    @property
    def available(self) -> bool:
        """Whether it can be used: the contract's second key."""
        return self.status.available


def interpret(answer: object) -> ProbeResult:
    """Turn what a probe returned into a result.

    Truthiness does not count: a function that forgot its ``return`` must not read as healthy.

    :raises TypeError: for anything that is not a bool, a status or a result.
    """
    kind = type(answer)  # isinstance() believes a mock
    if kind is bool:
        return _YES if answer else _NO
    if issubclass(kind, ProbeResult):
        result = t.cast(ProbeResult, answer)
        return ProbeResult(result.status, result.message)  # a subclass may check nothing
    if issubclass(kind, Status):
        return ProbeResult(t.cast(Status, answer))
    raise TypeError(
        f"it returned {kind.__name__}; return True, False, a Status or a ProbeResult"
    )


# Two counters of results in a row that contradict the verdict: is it at least degraded, and is
# it unavailable?
Streaks: t.TypeAlias = tuple[int, int]


def judge(
    status: Status,
    verdict: Status,
    streaks: Streaks,
    *,
    failure_threshold: int,
    recovery_threshold: int,
) -> tuple[Status, Streaks]:
    """Give the verdict after a new result, by thresholds of truly consecutive results.

    The verdict turns to a worse status once ``failure_threshold`` results in a row were at
    least that bad. It turns back once ``recovery_threshold`` results in a row were better.

    :param verdict: the verdict until now.
    :param streaks: the streaks that the previous call returned; (0, 0) for the first call.
    :return: the verdict from now on, and the new streaks.
    """
    if status is verdict:
        return verdict, (0, 0)
    judged, counts = Status.OK, []
    for level, streak in zip(STATUSES[1:], streaks, strict=True):
        held, seen = verdict >= level, status >= level
        streak = 0 if seen is held else streak + 1
        if streak >= (failure_threshold if seen else recovery_threshold):
            held, streak = seen, 0
        counts.append(streak)
        judged = level if held else judged
    return judged, (counts[0], counts[1])


def aggregate(found: Iterable[tuple[str, bool, ProbeResult]]) -> Report:
    """Make a report, which has the status of the worst result.

    A probe that is not critical counts as degraded at worst.

    :param found: for each probe its name, whether it is critical, and its result.
    """
    severity = Status.OK.severity
    results: dict[str, ProbeResult] = {}
    for name, critical, result in found:
        severity = max(severity, weigh(result.status, critical=critical).severity)
        results[name] = worse(results.get(name, result), result)
    return Report(STATUSES[severity], MappingProxyType(results))


def worse(one: ProbeResult, other: ProbeResult) -> ProbeResult:
    """Pick the result with the worse status, or the first if both have the same."""
    return other if one.status.severity < other.status.severity else one


def weigh(status: Status, *, critical: bool) -> Status:
    """Give the status that a probe counts with. One that is not critical degrades at worst."""
    return status if critical or status.available else Status.DEGRADED
