"""What doctor examines, and what it may find."""

from __future__ import annotations

import typing as t
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

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


class Run(t.NamedTuple):
    """A run of a probe that doctor has made.

    :param status: what it has found.
    :param words: why, for the reader of the findings.
    :param seconds: how long it took, or the probe's timeout if it went on.
    :param is_overdue: whether it went on.
    """

    probe: Probe
    policy: Policy
    status: Status
    words: str
    seconds: float
    is_overdue: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Scene:
    """What is examined.

    :param runs: one of each probe that has run here.
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
    runs: Sequence[Run]
    code: int | None = None
    details_open: bool = False
    every: float | None = None
    organizations: int | None = None
    workers: int | None = None
    environment: Mapping[str, str]

    @property
    def telling(self) -> list[Run]:
        """The runs whose duration says something. That of a quick failure does not."""
        return [run for run in self.runs if run.status.available or run.is_overdue]
