"""The verdict's vocabulary: plain values and pure functions, no clocks, locks or threads."""

from __future__ import annotations

import enum
import typing as t
from collections.abc import Iterable
from dataclasses import dataclass

Scope: t.TypeAlias = t.Literal["service", "organization"]


class Status(enum.StrEnum):
    """How well something works, from best to worst: ``OK < DEGRADED < UNAVAILABLE``.

    Each is its own text, as in ``Status.OK == "ok"``. Only another status is worse or better
    than a status: a comparison with anything else raises :exc:`TypeError`, and so does sorting
    statuses among other strings.
    """

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

    # All four, since a str has all four: any that is left out would go by the alphabet. For the
    # same reason they raise, and do not return NotImplemented.
    def __lt__(self, other: object) -> bool:
        return self.severity < _severity_of(other)

    def __le__(self, other: object) -> bool:
        return self.severity <= _severity_of(other)

    def __gt__(self, other: object) -> bool:
        return self.severity > _severity_of(other)

    def __ge__(self, other: object) -> bool:
        return self.severity >= _severity_of(other)


def _severity_of(other: object) -> int:
    if not isinstance(other, Status):
        raise TypeError(f"a Status is worse or better than a Status alone, not {_kind(other)}")
    return other.severity


def _kind(value: object) -> str:
    """Say what a value is, and nothing of what it says: a text may be that of an exception."""
    return type(value).__name__


# The statuses by severity.
STATUSES = tuple(Status)


# What may stand for a status: True is OK, and False is UNAVAILABLE.
StatusLike: t.TypeAlias = bool | Status | t.Literal["ok", "degraded", "unavailable"]


@dataclass(frozen=True, slots=True, init=False)
class ProbeResult:
    """What one run of a probe found.

    :param status: a :class:`Status`, its text, or whether the thing works.
    :param message: words for people. The answers of the two routes never hold them.
    :raises TypeError: if ``status`` is none of these, or ``message`` no string.
    """

    status: Status
    message: str = ""

    def __init__(self, status: StatusLike, message: str = "") -> None:
        object.__setattr__(self, "status", to_status(status, "ProbeResult.status"))
        object.__setattr__(self, "message", to_words(message, "ProbeResult.message"))


def to_status(value: StatusLike, name: str) -> Status:
    """Turn what stands for a status into that status.

    :param name: what the caller calls the value.
    :raises TypeError: if the value stands for none.
    """
    found = _status(value)
    if found is None:
        raise TypeError(
            f"{name} must be a Status, 'ok', 'degraded', 'unavailable', True or False, not"
            f" {_kind(value)}"
        )
    return found


def to_words(value: str, name: str) -> str:
    """Check words for people.

    :param name: what the caller calls them.
    :raises TypeError: if they are no string.
    """
    # isinstance() believes what a mock says of its class, and type() does not.
    if not issubclass(type(value), str):
        raise TypeError(f"{name} must be a str, not {_kind(value)}")
    return value


def _status(answer: object) -> Status | None:
    """Understand what may stand for a status, and nothing else, however truthy it is."""
    kind = type(answer)
    if kind is bool:
        return Status.OK if answer else Status.UNAVAILABLE
    if kind is Status:
        return t.cast(Status, answer)
    return _BY_TEXT.get(t.cast(str, answer)) if kind is str else None


_BY_TEXT = {status.value: status for status in Status}


class NotApplicable(ProbeResult):
    """A probe's answer for an organization that does not have what the probe looks at.

    It counts for nothing: its status is ``OK``, which makes no verdict worse. A bare class
    cannot be returned, only an object, as in ``return NotApplicable("no Drive connected")``.

    :param message: words for people.
    """

    __slots__ = ()

    def __init__(self, message: str = "") -> None:
        super().__init__(Status.OK, message)


ProbeAnswer: t.TypeAlias = StatusLike | ProbeResult

_RESULTS = {status: ProbeResult(status) for status in Status}

# The result of a probe that has no verdict which may be used. It answers as unavailable. It is
# never kept, and no threshold counts it.
UNKNOWN = ProbeResult(Status.UNAVAILABLE, "the probe has no verdict yet")


class NoAnswer(TypeError):
    """What a probe returned is no answer. The text holds nothing that the probe's code said."""


def interpret(answer: object) -> ProbeResult:
    """Turn what a probe returned into a result.

    Truthiness does not count: a function that forgot its ``return`` must not read as healthy.

    :raises NoAnswer: for anything that is not a bool, a status, its text, or a result.
    """
    status = _status(answer)
    if status is not None:
        return _RESULTS[status]
    if issubclass(type(answer), ProbeResult):  # isinstance() believes a mock
        return _checked(t.cast(ProbeResult, answer))
    raise NoAnswer(
        f"it returned {_kind(answer)}; return True, False, 'ok', 'degraded', 'unavailable', a"
        " Status, a ProbeResult or NotApplicable()"
    )


def _checked(result: ProbeResult) -> ProbeResult:
    """Make a plain result of one whose class may be a subclass, which may check nothing."""
    status, message = result.status, result.message
    try:
        plain = ProbeResult(status, message)
    except TypeError as error:
        raise NoAnswer(str(error)) from error
    return NotApplicable(message) if issubclass(type(result), NotApplicable) else plain


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


def worst(found: Iterable[tuple[bool, Status]]) -> Status:
    """Give the status of the worst result. One that is not critical degrades at worst.

    :param found: for each probe, whether it is critical, and its status.
    """
    severities = [weigh(status, critical=critical).severity for critical, status in found]
    return STATUSES[max(severities, default=0)]


def worse(one: ProbeResult, other: ProbeResult) -> ProbeResult:
    """Pick the result with the worse status, or the first if both have the same."""
    return other if one.status.severity < other.status.severity else one


def weigh(status: Status, *, critical: bool) -> Status:
    """Give the status that a probe counts with. One that is not critical degrades at worst."""
    return status if critical or status.available else Status.DEGRADED
