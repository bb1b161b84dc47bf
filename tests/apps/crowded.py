"""An app with the default settings: every organization's probe takes 0.2 s, or hangs."""

from __future__ import annotations

import asyncio
import os
import threading
import time

from flask import Flask

from flask_connector_health import ConnectorHealth

from .config import CONFIG
from .timed import timed

SECONDS = 0.2

health = ConnectorHealth()


def drive(organization_id: str) -> bool:
    if organization_id.startswith("org_hung"):
        threading.Event().wait()
    time.sleep(SECONDS)
    return True


async def async_drive(organization_id: str) -> bool:
    if organization_id.startswith("org_hung"):
        await asyncio.to_thread(threading.Event().wait)
    await asyncio.sleep(SECONDS)
    return True


if os.environ["KIND"] == "async":
    health.add_probe(async_drive, name="drive", scope="organization")
else:
    health.add_probe(drive, name="drive", scope="organization")


def create_app() -> Flask:
    app = Flask(__name__)
    app.config.from_mapping(CONFIG)
    app.register_blueprint(health)
    app.wsgi_app = timed(app.wsgi_app)  # type: ignore[assignment]
    return app
