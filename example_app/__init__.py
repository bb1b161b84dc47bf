"""A small knowledge-connector service that shows what a host of flask_connector_health does."""

from __future__ import annotations

import pathlib
import typing as t
from collections.abc import Mapping

from flask import Flask

from . import database
from .commands import connector
from .health import connectors_available, health, may_see, verify_api_key, verify_token


def create_app(config: Mapping[str, t.Any] | None = None) -> Flask:
    """Make the app, and on its first start the database, with two organizations in it."""
    app = Flask(__name__)
    app.config.from_mapping(
        DATABASE=pathlib.Path(app.instance_path, "example.sqlite3"),
        CONNECTOR_HEALTH_AVAILABILITY=connectors_available,
        CONNECTOR_HEALTH_VERIFY_TOKEN=verify_token,
        CONNECTOR_HEALTH_VERIFY_API_KEY=verify_api_key,
        CONNECTOR_HEALTH_AUTHORIZE=may_see,
        CONNECTOR_HEALTH_AUTHORIZE_DETAILS=may_see,
        # For the orchestrator of an instance. No other server's failure takes it out of use.
        CONNECTOR_HEALTH_GROUPS={"live": [], "ready": ["tag:own"]},
        CONNECTOR_HEALTH_DRAIN_FILE="drain",  # in the instance folder
        # A look into SQLite is cheap enough for every request, and shows a change at once.
        # Leave the default, or more, where a probe asks another server.
        CONNECTOR_HEALTH_TTL=0.0,
    )
    app.config.from_prefixed_env()  # such as FLASK_CONNECTOR_HEALTH_DEADLINE=0.5
    app.config.from_mapping(config)
    database.create(app.config["DATABASE"])
    app.register_blueprint(health)
    app.cli.add_command(connector)
    return app
