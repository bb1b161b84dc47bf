"""What doctor examines, and what it may find."""

from __future__ import annotations

import typing as t
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from flask_connector_health.engine.details import ProbeDetail
from flask_connector_health.model import Status
from flask_connector_health.probes.policy import Policy
from flask_connector_health.probes.spec import Probe
from flask_connector_health.settings import Settings


class Finding(t.NamedTuple):
    """Something that does not fit.

    :param name: the same in every version.
    :param text: what does not fit, with its numbers.
    """

    name: str
    text: str
    remedy: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Scene:
    """What is examined.

    :param details: of each probe that has run here, with how long that took.
    :param code: what the public route answers to a prober that asks by an IP address, or
        ``None`` if it cannot be asked so.
    :param details_open: whether somebody whom nobody knows may see the details.
    :param every: how many seconds lie between two requests, or ``None`` if nobody says.
    :param organizations: how many are asked about, or ``None``.
    :param workers: how many processes the server has, or ``None``.
    """

    settings: Settings
    probes: tuple[Probe, ...]
    groups: Mapping[str, tuple[str, ...]]
    details: tuple[ProbeDetail, ...]
    code: int | None = None
    details_open: bool = False
    every: float | None = None
    organizations: int | None = None
    workers: int | None = None
    environment: Mapping[str, str]

    def runs(self) -> Iterator[tuple[Probe, Policy, float]]:
        """Give each probe that works, with its policy and how many seconds the run took."""
        for detail in self.details:
            if detail.status is Status.UNAVAILABLE and detail.state != "overdue":
                continue  # how long a failure takes says nothing
            for probe in self.probes:
                if (probe.name, probe.scope) == (detail.name, detail.scope):
                    policy = Policy.of(probe, self.settings)
                    yield probe, policy, (detail.duration_ms or 0.0) / 1_000
