"""What a host sets, where all is well and one token is good."""

from __future__ import annotations

from flask_connector_health import allow_any_organization

CONFIG = {
    "CONNECTOR_HEALTH_AVAILABILITY": lambda: True,
    "CONNECTOR_HEALTH_VERIFY_TOKEN": lambda token: token == "good-token",
    "CONNECTOR_HEALTH_AUTHORIZE": allow_any_organization,
}
