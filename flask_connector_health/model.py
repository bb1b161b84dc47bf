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

    #: Where it stands in the order: an index of ``STATUSES``.
    severity: int

    OK = "ok"
    DEGRADED = "degraded"
    UNAVAILABLE = "unavailable"

    def __init__(self, value: str) -> None:
        self.severity = len(type(self).__members__)  # of those before it

    @property
    def available(self) -> bool:
        """Whether it can be used at all: everything but ``UNAVAILABLE``."""
        return self is not Status.UNAVAILABLE

    def __lt__(self, other: object) -> bool:
        if not isinstance(other, Status):
            return NotImplemented
        return self.severity < other.severity


# By severity.
STATUSES = tuple(Status)


@dataclass(frozen=True, slots=True)
class ProbeResult:
    """What one run of a probe found.

    :param message: words for authorized callers; never part of the two public keys.
    :raises TypeError: if ``status`` is no :class:`Status` or ``message`` no string.
    """

    status: Status
    message: str = ""

    def __post_init__(self) -> None:
        # By type(): what a mock says that it is does not count.
        if not issubclass(type(self.status), Status):
            raise TypeError(_must_be("status", Status, self.status))
        if not issubclass(type(self.message), str):
            raise TypeError(_must_be("message", str, self.message))


def _must_be(name: str, kind: type, value: object) -> str:
    return f"ProbeResult.{name} must be a {kind.__name__}, not {type(value).__name__}"


ProbeAnswer: t.TypeAlias = bool | Status | ProbeResult

_YES = ProbeResult(Status.OK)
_NO = ProbeResult(Status.UNAVAILABLE)

# Without a verdict yet. Internal: it answers as unavailable, and is never cached or counted.
UNKNOWN = ProbeResult(Status.UNAVAILABLE, "no verdict yet")


@dataclass(frozen=True, slots=True)
class Report:
    """A scope's verdict: the aggregated status, and by probe the results it came from.

    Where a probe has a result for the service and one for the organization, as
    ``availability`` has, the worse of the two stands here.
    """

    status: Status
    results: Mapping[str, ProbeResult]

    @property
    def available(self) -> bool:
        """Whether the scope can be used: the contract's second key."""
        return self.status.available


def interpret(answer: object) -> ProbeResult:
    """Turn what a probe returned into a result.

    Only ``True`` and ``False`` themselves count, not what is merely truthy: a callback that
    forgot its ``return`` must not read as healthy.

    :raises TypeError: for anything that is not a bool, a status or a result.
    """
    kind = type(answer)  # what a mock says that it is does not count
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


# How many results in a row contradicted the verdict: on "at least degraded", "unavailable".
Streaks: t.TypeAlias = tuple[int, int]


def judge(
    status: Status,
    verdict: Status,
    streaks: Streaks,
    *,
    failure_threshold: int,
    recovery_threshold: int,
) -> tuple[Status, Streaks]:
    """Say what a new result makes of a verdict, by thresholds of truly consecutive results.

    The verdict turns to a worse status once ``failure_threshold`` results in a row were at
    least that bad, and away from one once ``recovery_threshold`` in a row were better.

    :param verdict: the status that has held until now.
    :param streaks: what the former call returned beside it; (0, 0) at first.
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
    """Make a report: as bad as the worst result, where a non-critical probe degrades at most.

    :param found: for each probe its name, whether it is critical, and its result.
    """
    severity = Status.OK.severity
    results: dict[str, ProbeResult] = {}
    for name, critical, result in found:
        severity = max(severity, weigh(result.status, critical=critical).severity)
        results[name] = worse(results.get(name, result), result)
    return Report(STATUSES[severity], MappingProxyType(results))


def worse(one: ProbeResult, other: ProbeResult) -> ProbeResult:
    """Pick the result with the worse status; the first where they are equal."""
    return other if one.status.severity < other.status.severity else one


def weigh(status: Status, *, critical: bool) -> Status:
    """Say what a probe's status means for its scope: a non-critical one degrades at most."""
    return status if critical or status.available else Status.DEGRADED
