"""A probe's specification, and a blueprint's registry of probes."""

from __future__ import annotations

import re
import typing as t
from collections.abc import Awaitable, Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

from flask_connector_health import checks
from flask_connector_health.errors import ConfigurationError
from flask_connector_health.model import ProbeAnswer, Scope

ProbeCall: t.TypeAlias = Callable[..., ProbeAnswer | Awaitable[ProbeAnswer]]

# The name of the availability callback, which is a probe like any other.
AVAILABILITY = "availability"

_NAME = re.compile(r"\w[\w.-]{0,63}")
_WRITE = 'write @health.probe("search-index") or health.add_probe(call, name="search-index")'


class ProbeOptions(t.TypedDict, total=False):
    """A probe's options: the fields of :class:`Probe` but its name and its call."""

    scope: Scope
    critical: bool
    timeout: float | None
    ttl: float | None
    failure_ttl: float | None
    max_stale: float | None
    failure_threshold: int | None
    recovery_threshold: int | None
    slots: int | None
    tags: Sequence[str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Probe:
    """A probe's name, call and options. If an option is ``None``, the setting holds.

    :param call: sync or async. It takes no argument, or the organization's id if the scope is
        ``"organization"``. Each run has a thread of its own while it lasts, with an app context
        and without a request. An async run has an event loop as well.
    :param critical: whether the probe's failure makes its scope unavailable, or only degraded.
    :param timeout: a run's limit in seconds, from its start.
    :param ttl: how long a result is fresh, in seconds. 0 turns caching off.
    :param failure_ttl: how long the result of a failed run is fresh, if that is shorter.
    :param max_stale: how long past its TTL a result may be served while a run refreshes it.
    :param failure_threshold: how many results in a row turn a verdict to a worse status.
    :param recovery_threshold: how many results in a row turn a verdict to a better status.
    :param slots: how many runs of the probe may go on at once. As many more may hang.
    :param tags: words by which groups choose it.
    """

    name: str
    call: ProbeCall
    scope: Scope = "service"
    critical: bool = True
    timeout: float | None = None
    ttl: float | None = None
    failure_ttl: float | None = None
    max_stale: float | None = None
    failure_threshold: int | None = None
    recovery_threshold: int | None = None
    slots: int | None = None
    tags: Sequence[str] = ()

    def __post_init__(self) -> None:
        check_name(self.name)
        if self.scope not in ("service", "organization"):
            raise self._error(f"scope must be 'service' or 'organization', not {self.scope!r}")
        if not isinstance(self.critical, bool):
            raise self._error(
                f"critical must be True or False, not {type(self.critical).__name__}"
            )
        parameters = ("organization_id",) if self.scope == "organization" else ()
        self._check("call", checks.callable_with, self.call, *parameters)
        for option in ("timeout", "ttl", "failure_ttl", "max_stale"):
            if (value := getattr(self, option)) is not None:
                self._check(option, checks.seconds, value, zero=option != "timeout")
        for option in ("failure_threshold", "recovery_threshold", "slots"):
            if (value := getattr(self, option)) is not None:
                self._check(option, checks.whole, value, least=1)
        self._check("tags", checks.words, self.tags)
        object.__setattr__(self, "tags", tuple(self.tags))

    def _check(
        self, option: str, check: Callable[..., object], *args: t.Any, **bounds: int
    ) -> None:
        try:
            check(*args, **bounds)
        except ValueError as error:
            raise self._error(f"{option} {error}") from error

    def _error(self, text: str) -> ConfigurationError:
        return ConfigurationError(f"probe {self.name!r}: {text}")


def check_name(name: object) -> None:
    """Check a probe's name.

    :raises ConfigurationError: if it is not a valid name. The message says how to write one.
    """
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        found = repr(name[:80]) if isinstance(name, str) else type(name).__name__
        raise ConfigurationError(
            "a probe's name must be 1 to 64 letters, digits, '.', '_' or '-', and begin with a"
            f" letter, a digit or '_', not {found}; {_WRITE}"
        )


def check_options(name: str, options: Iterable[str]) -> None:
    """Check that a probe has these options.

    :raises ConfigurationError: if one does not exist. The message says which one may be meant.
    """
    known = ProbeOptions.__annotations__
    for option in options:
        if option not in known:
            raise ConfigurationError(
                f"probe {name!r}: {option} is not an option of a probe;"
                f" {checks.suggestion(option, known)}"
            )


def name_of(call: object) -> str:
    """Find the name that a callable brings along: its ``name`` attribute, else its own name.

    :raises ConfigurationError: if it has none.
    """
    name = getattr(call, "name", None) or getattr(call, "__name__", None)
    if name is None:
        raise ConfigurationError(
            f"this {type(call).__name__} has no name of its own for a probe; {_WRITE}"
        )
    return t.cast(str, name)


class ProbeRegistry:
    """A blueprint's probes, each with a name of its own."""

    def __init__(self) -> None:
        self._probes: dict[str, Probe] = {}
        self._sealed = False

    def add(self, probe: Probe) -> None:
        """Add a probe.

        :raises ConfigurationError: if the name is taken, or the blueprint is registered.
        """
        if self._sealed:
            raise ConfigurationError(
                f"probe {probe.name!r} comes too late: the blueprint is registered already;"
                " import the modules with your probes before app.register_blueprint(health)"
            )
        if probe.name == AVAILABILITY:
            raise ConfigurationError(
                f"probe {probe.name!r}: this name is the availability callback's;"
                " choose another"
            )
        if probe.name in self._probes:
            raise ConfigurationError(
                f"probe {probe.name!r} exists already; choose another name"
            )
        self._probes[probe.name] = probe

    def seal(self) -> None:
        """Refuse further probes: the app is set up, and would never run them."""
        self._sealed = True

    def __iter__(self) -> Iterator[Probe]:
        return iter(self._probes.values())
