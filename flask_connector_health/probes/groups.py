"""Groups: some of the service's probes, with a verdict and a route of their own."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from flask_connector_health import checks
from flask_connector_health.errors import ConfigurationError
from flask_connector_health.settings import PREFIX

from .spec import Probe

# The group for liveness. It has no probes, and is ok as long as the instance answers.
LIVE = "live"

# What stands before a tag in a group.
TAG = "tag:"

# A group's route ends with its name. Other routes end with these.
_NAME = re.compile("[a-z][a-z0-9_-]{0,62}")
_TAKEN = ("details", "page")


def resolve(
    groups: Mapping[str, Sequence[str]], probes: Sequence[Probe]
) -> dict[str, tuple[str, ...]]:
    """Give the names of each group's probes, in the order of the probes.

    :param groups: for each group, names of probes, and tags such as ``"tag:search"``.
    :raises ConfigurationError: if a group cannot have its name or its members.
    """
    resolved = {}
    for name, members in groups.items():
        _check_name(name)
        resolved[name] = _Group(name).resolve(members, probes)
    return resolved


def _check_name(name: object) -> None:
    if not isinstance(name, str) or not _NAME.fullmatch(name) or name in _TAKEN:
        found = repr(name[:80]) if isinstance(name, str) else type(name).__name__
        raise ConfigurationError(
            f"{PREFIX}GROUPS (dict) has the group {found}, which is no name for a group: its"
            " route ends with its name, so write up to 63 letters in lower case, digits, '-' or"
            f" '_', with a letter first; {' and '.join(map(repr, _TAKEN))} are other routes"
        )


class _Group:
    def __init__(self, name: str) -> None:
        self._name = name

    def resolve(self, members: Sequence[str], probes: Sequence[Probe]) -> tuple[str, ...]:
        self._check(members)
        chosen: set[str] = set()
        for member in members:
            chosen |= self._named(member, probes)
        return tuple(dict.fromkeys(probe.name for probe in probes if probe.name in chosen))

    def _check(self, members: Sequence[str]) -> None:
        try:
            checks.words(members)
        except ValueError as error:
            raise self._error(str(error)) from error
        if self._name == LIVE and members:
            raise self._error(
                "must be empty: whoever asks it restarts an instance that fails, and a restart"
                " mends no dependency; put its probes into another group, such as 'ready'"
            )
        if self._name != LIVE and not members:
            raise self._error(
                f"is empty, so it would always be ok; name its probes, or call it {LIVE!r}"
            )

    def _named(self, member: str, probes: Sequence[Probe]) -> set[str]:
        found = [probe for probe in probes if member in _handles(probe)]
        if not found:
            raise self._error(
                f"has {member!r}, which is no probe and no tag;"
                f" {checks.suggestion(member, _usable(probes))}"
            )
        # The availability callback may be a probe of both scopes.
        of_service = {probe.name for probe in found if probe.scope == "service"}
        others = sorted({probe.name for probe in found} - of_service)
        if others:
            raise self._error(
                f"has {member!r}, and so the probe {others[0]!r}, one of organizations;"
                " a group may have probes of the service alone"
            )
        return of_service

    def _error(self, text: str) -> ConfigurationError:
        return ConfigurationError(f"{PREFIX}GROUPS (dict): the group {self._name!r} {text}")


def _handles(probe: Probe) -> set[str]:
    return {probe.name, *(TAG + tag for tag in probe.tags)}


def _usable(probes: Sequence[Probe]) -> set[str]:
    return {each for p in probes if p.scope == "service" for each in _handles(p)}
