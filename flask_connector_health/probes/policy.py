"""A probe's policy: its timing and thresholds, with the settings filled in."""

from __future__ import annotations

import typing as t
from dataclasses import dataclass, fields

from flask_connector_health.model import Status
from flask_connector_health.settings import Settings

from .spec import Probe

# A result counts as consecutive for at least so many seconds after the previous one went stale.
MEMORY = 60.0

# The part of a TTL that jitter may take off, so that runs that began together drift apart.
JITTER = 0.1


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """A probe's options; for those that it leaves out, the settings. Times are seconds."""

    timeout: float
    ttl: float
    failure_ttl: float
    max_stale: float
    failure_threshold: int
    recovery_threshold: int
    slots: int

    @classmethod
    def of(cls, probe: Probe, settings: Settings) -> Policy:
        """Take each option from the probe, else from the settings."""
        options: dict[str, t.Any] = {}
        for field in fields(cls):
            own = getattr(probe, field.name)
            options[field.name] = getattr(settings, field.name) if own is None else own
        return cls(**options)

    def fresh_until(self, status: Status, at: float, *, jitter: float) -> float:
        """Say until when a run's result is fresh.

        :param at: when the run ended.
        :param jitter: from 0 to 1, how much of the jitter applies.
        """
        ttl = self.ttl if status.available else min(self.ttl, self.failure_ttl)
        return at + ttl * (1.0 - JITTER * jitter)

    def usable_until(self, fresh: float) -> float:
        """Say until when a result may be served at all that is fresh until then."""
        # Without a TTL, no later request is answered with it.
        return fresh + self.max_stale if self.ttl else fresh
