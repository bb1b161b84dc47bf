"""What a probe is, and the registry that keeps their names unique."""

from __future__ import annotations

import re
import typing as t
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass

from flask_connector_health import checks
from flask_connector_health.errors import ConfigurationError
from flask_connector_health.model import ProbeAnswer

Scope: t.TypeAlias = t.Literal["service", "organization"]
ProbeCall: t.TypeAlias = Callable[..., ProbeAnswer | Awaitable[ProbeAnswer]]

# The availability callback's: it is a probe like any other.
AVAILABILITY = "availability"

_NAME = re.compile("[A-Za-z0-9][A-Za-z0-9._-]{0,63}")


class ProbeOptions(t.TypedDict, total=False):
    """A probe's severity and timing: the fields of :class:`Probe`, as keyword arguments."""

    scope: Scope
    critical: bool
    timeout: float | None
    ttl: float | None
    failure_ttl: float | None
    max_stale: float | None
    failure_threshold: int | None
    recovery_threshold: int | None
    slots: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Probe:
    """A probe's call with its severity and timing. Of the options, ``None`` takes the setting.

    :param call: takes nothing, or the organization's id in that scope; sync or async. Each
        run has a thread while it lasts, and an async one a loop there, with an app context and
        without a request.
    :param critical: whether its failing makes the scope unavailable, or merely degraded.
    :param timeout: a run's limit in seconds, from its start.
    :param ttl: how long a result is fresh, in seconds; 0 turns caching off.
    :param failure_ttl: how long a failed one is, where that is shorter.
    :param max_stale: how long past that a result may be served while a run refreshes it.
    :param failure_threshold: results in a row before a verdict turns worse.
    :param recovery_threshold: results in a row before a verdict turns better.
    :param slots: how many runs of it there may be at once; as many more may hang.
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
    """Refuse what cannot be a probe's name.

    :raises ConfigurationError: saying how to write one.
    """
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        raise ConfigurationError(
            "a probe's name must be 1 to 64 letters, digits, '.', '_' or '-', not"
            f' {type(name).__name__}; write @health.probe("search-index")'
        )


class ProbeRegistry:
    """A blueprint's probes, by unique name; complete once the blueprint is registered."""

    def __init__(self) -> None:
        self._probes: dict[str, Probe] = {}
        self._sealed = False

    def add(self, probe: Probe) -> None:
        """Add a probe.

        :raises ConfigurationError: if the name is taken, or an app has these probes already.
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
        """Refuse probes from now on: an app that is set up would never run them."""
        self._sealed = True

    def __iter__(self) -> Iterator[Probe]:
        return iter(self._probes.values())
