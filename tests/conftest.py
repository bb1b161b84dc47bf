"""Fixtures: a host app that can be configured, and the example app behind real servers."""

from __future__ import annotations

import pathlib
import sys
import typing as t
from collections.abc import Callable, Iterator

import pytest
from flask import Flask

from flask_connector_health import ConnectorHealth, allow_any_organization

from .servers import EVERY, Server, serving

ROOT = pathlib.Path(__file__).parent.parent

# The example app is no part of the package. Last on the path: the installed package goes first.
sys.path.append(str(ROOT))

PUBLIC = "/v1/knowledge/connectors/health"
SCOPED = "/v1/organizations/org_xyz789/knowledge/connectors/health"
BEARER = {"Authorization": "Bearer good-token"}
API_KEY = {"X-API-Key": "good-key"}

CONFIG: dict[str, t.Any] = {
    "CONNECTOR_HEALTH_AVAILABILITY": lambda: True,
    "CONNECTOR_HEALTH_VERIFY_TOKEN": lambda token: {"good-token": "ann"}.get(token),
    "CONNECTOR_HEALTH_VERIFY_API_KEY": lambda key: {"good-key": "bob"}.get(key),
    "CONNECTOR_HEALTH_AUTHORIZE": allow_any_organization,
}

MakeApp = Callable[..., Flask]


@pytest.fixture
def health() -> ConnectorHealth:
    return ConnectorHealth()


@pytest.fixture
def make_app(health: ConnectorHealth) -> MakeApp:
    """Make a host app with the blueprint, its configuration changed by keyword."""

    def make(**changes: t.Any) -> Flask:
        app = Flask("host")
        app.config.from_mapping(CONFIG)
        for key, value in changes.items():
            app.config[f"CONNECTOR_HEALTH_{key}"] = value
        app.register_blueprint(health)
        return app

    return make


@pytest.fixture(scope="session", params=["gunicorn", "waitress"])
def running_server(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Server]:
    with serving(request.param, tmp_path_factory.mktemp(request.param)) as server:
        yield server


@pytest.fixture
def server(running_server: Server) -> Iterator[Server]:
    """Serve the example app, with every connector on before and after the test."""
    yield running_server
    running_server.switch(*EVERY, on=True)
