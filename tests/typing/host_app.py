"""A host app as its authors would type it: checked by mypy --strict, never run."""

from __future__ import annotations

import typing as t

from flask import Flask

from flask_connector_health import (
    ConnectorHealth,
    Monitor,
    ProbeDegraded,
    ProbeResult,
    Report,
    Status,
    allow_any_organization,
    get_monitor,
)

health = ConnectorHealth(url_prefix="/api/v1")


@health.probe("sync-queue", timeout=0.5, ttl=2)
def sync_queue() -> bool:
    return True


@health.probe("google-drive", scope="organization", critical=False)
async def google_drive(organization_id: str) -> ProbeResult:
    if organization_id == "org_xyz789":
        raise ProbeDegraded("quota used up")
    return ProbeResult(Status.OK, "fine")


class Database:
    """A probe with state."""

    name = "database"

    def __call__(self) -> Status:
        return Status.OK


health.add_probe(Database(), critical=False, slots=1, failure_threshold=3)
health.add_probe(lambda: True, name="lambda")


@health.probe
def database_lag() -> t.Literal["ok", "degraded"]:
    return "degraded"


@health.probe(scope="organization")
def notion(organization_id: str) -> ProbeResult:
    return ProbeResult(organization_id != "org_xyz789", "no token")


health.probe("bad", scope="nowhere")  # type: ignore[call-overload]
health.probe("bad", slot=1)  # type: ignore[call-overload]
health.probe("bad")(lambda: 1)  # type: ignore[type-var]
ConnectorHealth(__name__)  # type: ignore[arg-type]

t.assert_type(sync_queue(), bool)
t.assert_type(database_lag(), t.Literal["ok", "degraded"])
t.assert_type(Report(Status.OK).available, bool)
t.assert_type(max(Status.OK, Status.DEGRADED), Status)
t.assert_type(get_monitor(), Monitor)
t.assert_type(get_monitor().peek("org_xyz789"), Report)


def create_app() -> Flask:
    app = Flask(__name__)
    app.config.from_mapping(CONNECTOR_HEALTH_AUTHORIZE=allow_any_organization)
    app.register_blueprint(health, url_prefix="/v2", name="internal")
    return app
