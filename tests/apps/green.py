"""An app for eventlet: /v1 is healthy, /hung/v1 hangs, and /async/v1 has async probes."""

from __future__ import annotations

import asyncio
import os
import time

from flask import Flask

from flask_connector_health import ConnectorHealth, get_monitor

from .config import CONFIG
from .timed import timed

DEADLINE = 0.4
MAX_STALE = 0.6  # more than the deadline: a wait makes no other result too old
TIMEOUT = 1.0


def pause(*organization: str) -> bool:
    time.sleep(0.005)
    return True


def hang() -> bool:
    time.sleep(3_600)
    return True


async def loop() -> bool:
    await asyncio.sleep(0.005)
    return True


def create_app() -> Flask:
    app = Flask(__name__)
    app.config.from_mapping(
        CONFIG,
        CONNECTOR_HEALTH_DEADLINE=DEADLINE,
        CONNECTOR_HEALTH_TIMEOUT=TIMEOUT,
        CONNECTOR_HEALTH_TTL=0.2,
        CONNECTOR_HEALTH_MAX_STALE=MAX_STALE,
    )
    fine, hung, loops = (ConnectorHealth(name=name) for name in ("fine", "hung", "loops"))
    fine.add_probe(pause, name="pause")
    fine.add_probe(pause, name="own", scope="organization")
    hung.add_probe(hang, name="hang", critical=False)
    for name in ("loop", "other-loop"):
        loops.add_probe(loop, name=name)
    app.register_blueprint(fine)
    app.register_blueprint(hung, url_prefix="/hung/v1")
    app.register_blueprint(loops, url_prefix="/async/v1")
    app.add_url_rule("/reasons/<name>", view_func=reasons)
    app.add_url_rule("/used", view_func=used)
    app.wsgi_app = timed(app.wsgi_app)  # type: ignore[assignment]
    return app


def reasons(name: str) -> dict[str, str]:
    return {result.name: result.message for result in get_monitor(name=name).report().results}


def used() -> dict[str, float]:
    """Give the CPU seconds of the process, and its native threads."""
    return {"cpu": time.process_time(), "threads": len(os.listdir("/proc/self/task"))}
