"""Health of knowledge connectors, for the service and for each organization, as a blueprint."""

from __future__ import annotations

from .auth import allow_any_organization
from .blueprint import ConnectorHealth, get_monitor
from .engine.details import Details, ProbeDetail
from .engine.events import Transition
from .engine.monitor import Monitor
from .engine.overview import Overview
from .errors import (
    ConfigurationError,
    ConnectorHealthError,
    ProbeDegraded,
    ProbeFailed,
)
from .model import NotApplicable, ProbeResult, Status
from .report import Report, ReportedResult
from .signals import ProbeFinished, probe_finished, verdict_turned

__version__ = "0.1.0"

__all__ = [
    "ConfigurationError",
    "ConnectorHealth",
    "ConnectorHealthError",
    "Details",
    "Monitor",
    "NotApplicable",
    "Overview",
    "ProbeDegraded",
    "ProbeDetail",
    "ProbeFailed",
    "ProbeFinished",
    "ProbeResult",
    "Report",
    "ReportedResult",
    "Status",
    "Transition",
    "allow_any_organization",
    "get_monitor",
    "probe_finished",
    "verdict_turned",
]
