"""An app for real servers: /v1 is healthy, and under /<kind>/v1 one more probe hangs.

The environment's ``HANGS`` names the kinds, by default all of them. A kind of hang that nobody
asks for does not start, so that a test which is run alone meets its own kind alone.
"""

from __future__ import annotations

import asyncio
import os
import threading
import time

from flask import Flask

from flask_connector_health import ConnectorHealth

from .config import CONFIG
from .hangs import Hang, kinds
from .timed import timed

KINDS = os.environ.get("HANGS", "wait,sleep,block,swallow").split(",")
DEADLINE = 0.4
TTL = 0.3
MAX_STALE = 0.3  # short, so that a refresh that does not come shows as a wrong answer
TIMEOUT = 1.0  # well beyond the deadline: it must not be what ends a wait

hang = Hang()


def fast() -> bool:
    return True


async def loop() -> bool:
    await asyncio.sleep(0.005)
    return await asyncio.to_thread(fast)


def tenant(organization_id: str) -> bool:
    time.sleep(0.005)
    return organization_id != "org_down"


def create_app() -> Flask:
    app = Flask(__name__)
    app.config.from_mapping(
        CONFIG,
        CONNECTOR_HEALTH_DEADLINE=DEADLINE,
        CONNECTOR_HEALTH_TTL=TTL,
        CONNECTOR_HEALTH_MAX_STALE=MAX_STALE,
        CONNECTOR_HEALTH_TIMEOUT=TIMEOUT,
    )
    app.register_blueprint(_health("connector_health", "/v1"))
    for kind in KINDS:
        health = _health(f"hung_{kind}", f"/{kind}/v1")
        # Not critical: believed healthy it would read "ok", and others hurt "unavailable".
        health.add_probe(kinds(hang)[kind], name="hung", critical=False)
        app.register_blueprint(health)
    app.add_url_rule("/threads", view_func=threads)
    app.add_url_rule("/own-loop", view_func=own_loop)
    app.wsgi_app = timed(app.wsgi_app)  # type: ignore[assignment]
    return app


def threads() -> list[str]:
    return [thread.name for thread in threading.enumerate()]


def own_loop() -> str:
    async def work() -> str:
        await asyncio.sleep(0.01)
        return "ran"

    return asyncio.run(work())


def _health(name: str, url_prefix: str) -> ConnectorHealth:
    health = ConnectorHealth(name=name, url_prefix=url_prefix)
    health.add_probe(fast, name="fast")
    health.add_probe(loop, name="loop")
    health.add_probe(tenant, name="tenant", scope="organization")
    return health
