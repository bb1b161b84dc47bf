"""Every ``CONNECTOR_HEALTH_`` key: its default, unit, meaning and check."""

from __future__ import annotations

import functools
import os
import re
import typing as t
from collections.abc import Callable, Mapping, Sequence
from dataclasses import MISSING, dataclass, field, fields, replace

from . import checks
from .errors import ConfigurationError

PREFIX = "CONNECTOR_HEALTH_"

# The longest id, whatever the pattern allows: ids are cache keys, and the log names them.
LONGEST_ID = 255


def _availability(value: object) -> Callable[..., t.Any]:
    call = checks.resolved(value)
    if callable(call) and checks.accepts(call, 0) and not checks.accepts(call, 1):
        if checks.takes_keywords(call):
            raise ValueError(
                "must take organization_id as a positional argument, or nothing at all; this"
                f" {type(call).__name__} accepts it only as a keyword"
            )
        return call
    return checks.callable_with(call, "organization_id")


def _key(check: Callable[..., object], default: t.Any = MISSING, **bounds: t.Any) -> t.Any:
    metadata = {"check": functools.partial(check, **bounds) if bounds else check}
    if default is MISSING:
        return field(metadata=metadata)
    return field(default=default, metadata=metadata)


def _call(*parameters: str) -> Callable[[object], object]:
    return lambda value: checks.callable_with(checks.resolved(value), *parameters)


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """The configuration, validated once at registration. Times are seconds (float)."""

    #: ``(organization_id | None) -> ProbeAnswer``, or without an argument.
    availability: Callable[..., t.Any] = _key(_availability)
    #: ``(principal, organization_id) -> bool``: who may see which organization.
    authorize: Callable[[t.Any, str], object] = _key(_call("principal", "organization_id"))
    #: ``token -> principal``, or something falsy to refuse.
    verify_token: Callable[[str], object] | None = _key(_call("token"), None)
    #: ``key -> principal``, or something falsy to refuse.
    verify_api_key: Callable[[str], object] | None = _key(_call("api_key"), None)
    #: The host's own flask-httpauth object, instead of the two verifiers.
    auth: t.Any = _key(checks.resolved, None)
    #: What an organization's id looks like: it must match whole, with ASCII classes.
    organization_id_pattern: re.Pattern[str] = _key(
        checks.pattern, re.compile("org_[A-Za-z0-9_-]{1,128}", re.ASCII)
    )
    #: The HTTP code for a caller who asks about an organization of somebody else.
    foreign_organization: int = _key(lambda value: checks.one_of(value, 403, 404), 403)
    #: The HTTP code for "unavailable".
    unavailable_status_code: int = _key(lambda value: checks.one_of(value, 503, 200), 503)
    #: How many whole seconds a 503 asks its client to wait. 0 leaves the header out.
    retry_after: int = _key(checks.whole, 1, least=0, most=15)
    #: Whether the public routes are answered in WSGI, ahead of Flask.
    fast_path: bool = _key(checks.boolean, False)
    #: ``(principal, organization_id | None) -> bool``: who may see details. They have no route
    #: without it.
    authorize_details: Callable[[t.Any, str | None], object] | None = _key(
        _call("principal", "organization_id"), None
    )
    #: For each group the names of its probes, and tags such as ``"tag:search"``.
    groups: Mapping[str, Sequence[str]] | None = _key(checks.mapping, None)
    #: While this file exists, every group but "live" is unavailable.
    drain_file: str | None = _key(checks.file, None)
    #: A request's limit, over all probes together.
    deadline: float = _key(checks.seconds, 0.8, zero=False)
    #: How long a result is fresh. 0 turns caching off.
    ttl: float = _key(checks.seconds, 5.0, zero=True)
    #: How long the result of a failed run is fresh, if that is shorter than the TTL.
    failure_ttl: float = _key(checks.seconds, 1.0, zero=True)
    #: How long past its TTL a result may be served while a run refreshes it.
    max_stale: float = _key(checks.seconds, 15.0, zero=True)
    #: A run's limit, from its start.
    timeout: float = _key(checks.seconds, 5.0, zero=False)
    #: A verdict turns worse after so many results in a row that are at least that bad.
    failure_threshold: int = _key(checks.whole, 1, least=1)
    #: A verdict turns better after so many results in a row that are at least that good.
    recovery_threshold: int = _key(checks.whole, 1, least=1)
    #: How many runs of a probe may go on at once in a scope. As many more may hang.
    slots: int = _key(checks.whole, 256, least=1)
    #: How many organizations have their results kept in each process.
    max_organizations: int = _key(checks.whole, 10_000, least=1)
    #: While a probe fails, the log repeats it once it has been silent for so long. 0: never.
    log_reminder: float = _key(checks.seconds, 3600.0, zero=True)

    @classmethod
    def from_config(cls, config: Mapping[str, t.Any]) -> Settings:
        """Read and check every key that has our prefix.

        :raises ConfigurationError: for a missing, unknown or unusable key, naming the key, the
            type found and the remedy.
        """
        known = {PREFIX + field.name.upper(): field for field in fields(cls)}
        for key in own_keys(config):
            if key not in known:
                raise ConfigurationError(_unknown(key, known))
        values = {}
        for key, spec in known.items():
            value = config.get(key)
            if value is None and spec.default is MISSING:
                raise ConfigurationError(f"{key} is not set (NoneType); {_REMEDIES[spec.name]}")
            if key not in config or (value is None and spec.default is None):
                continue
            try:
                values[spec.name] = spec.metadata["check"](value)
            except ValueError as error:
                raise ConfigurationError(f"{key} {error}") from error
        settings = cls(**values)
        settings._check_credentials()
        return settings

    def below(self, folder: str) -> Settings:
        """Give the settings with relative paths of files below this folder.

        A server, a command and an orchestrator may each start in another folder.
        """
        if self.drain_file is None:
            return self
        return replace(self, drain_file=os.path.join(folder, self.drain_file))

    def is_organization(self, organization_id: str) -> bool:
        """Tell whether this may be an organization's id."""
        return len(organization_id) <= LONGEST_ID and bool(
            self.organization_id_pattern.fullmatch(organization_id)
        )

    def check_organization(self, organization_id: str) -> None:
        """Check that this may be an organization's id.

        :raises ValueError: if it is none.
        """
        if not self.is_organization(organization_id):
            raise ValueError(
                f"{organization_id!r} is no id of an organization; an id matches"
                f" {self.organization_id_pattern.pattern}, and has at most {LONGEST_ID}"
                " characters"
            )

    def _check_credentials(self) -> None:
        verifiers = self.verify_token is not None or self.verify_api_key is not None
        if self.auth is None and not verifiers:
            raise ConfigurationError(
                f"{PREFIX}VERIFY_TOKEN and {PREFIX}VERIFY_API_KEY are not set (NoneType);"
                " set at least one to a callable that turns a credential into a principal,"
                f" or {PREFIX}AUTH to your flask-httpauth object"
            )
        if self.auth is not None and verifiers:
            raise ConfigurationError(
                f"{PREFIX}AUTH ({type(self.auth).__name__}) cannot be combined with"
                f" {PREFIX}VERIFY_TOKEN and {PREFIX}VERIFY_API_KEY; remove either"
            )


_REMEDIES = {
    "availability": "set it to a callable (organization_id | None) -> bool,"
    " or to an import string such as 'myapp.health:connectors_available'",
    "authorize": "set it to a callable (principal, organization_id) -> bool that says who may"
    " see which organization, or to flask_connector_health.allow_any_organization",
}


def _unknown(key: str, known: Mapping[str, object]) -> str:
    suggestion = checks.suggestion(key.upper(), known)
    return f"{key} is not a setting of flask_connector_health; {suggestion}"


def own_keys(config: Mapping[str, t.Any]) -> dict[str, t.Any]:
    """Copy the keys that have our prefix."""
    return {key: value for key, value in config.items() if key.startswith(PREFIX)}
