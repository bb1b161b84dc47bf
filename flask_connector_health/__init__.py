"""Health of knowledge connectors, for the service and for each organization, as a blueprint."""

from __future__ import annotations

from .auth import allow_any_organization
from .blueprint import ConnectorHealth
from .errors import (
    ConfigurationError,
    ConnectorHealthError,
    ProbeDegraded,
    ProbeFailed,
)
from .model import ProbeResult, Report, Status

__all__ = [
    "ConfigurationError",
    "ConnectorHealth",
    "ConnectorHealthError",
    "ProbeDegraded",
    "ProbeFailed",
    "ProbeResult",
    "Report",
    "Status",
    "allow_any_organization",
]
