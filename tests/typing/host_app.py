"""A host app as its authors would type it: checked by mypy --strict, never run."""

from __future__ import annotations

import typing as t
from datetime import UTC, datetime, timedelta

from flask import Flask

from flask_connector_health import (
    ConnectorHealth,
    Monitor,
    NotApplicable,
    ProbeDegraded,
    ProbeFinished,
    ProbeResult,
    Report,
    ReportedResult,
    Status,
    Transition,
    allow_any_organization,
    get_monitor,
    probe_finished,
    verdict_turned,
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
health.add_probe(lambda: True, name="lambda", tags=["search"])


@health.probe
def database_lag() -> t.Literal["ok", "degraded"]:
    return "degraded"


@health.probe(scope="organization", tags=("sync",))
def notion(organization_id: str) -> ProbeResult:
    return ProbeResult(organization_id != "org_xyz789", "no token")


@health.probe("sharepoint", scope="organization")
def sharepoint(organization_id: str) -> bool | NotApplicable:
    return NotApplicable("not connected") if organization_id == "org_xyz789" else True


health.probe("bad", scope="nowhere")  # type: ignore[call-overload]
health.probe("bad", slot=1)  # type: ignore[call-overload]
health.probe("bad", tags=1)  # type: ignore[call-overload]
health.probe("bad")(lambda: 1)  # type: ignore[type-var]
ConnectorHealth(__name__)  # type: ignore[arg-type]

t.assert_type(sync_queue(), bool)
t.assert_type(database_lag(), t.Literal["ok", "degraded"])
t.assert_type(Report(Status.OK).available, bool)
t.assert_type(max(Status.OK, Status.DEGRADED), Status)
t.assert_type(get_monitor(), Monitor)
t.assert_type(get_monitor().peek("org_xyz789"), Report)
t.assert_type(get_monitor().status(group="ready"), Status)
t.assert_type(get_monitor().report(group="ready", within=0.5).results[0], ReportedResult)
t.assert_type(get_monitor().transitions(), tuple[Transition, ...])
t.assert_type(get_monitor().transitions()[0].before, Status | None)
t.assert_type(get_monitor().details("org_xyz789").probes[0].status, Status | None)
t.assert_type(get_monitor().overview(status=Status.DEGRADED, limit=5).unknown, int)
t.assert_type(get_monitor().overview(probe="notion").failing[0].organization_id, str)
t.assert_type(get_monitor().is_draining(), bool)


@verdict_turned.connect
def tell_the_chat(app: Flask, event: Transition) -> None:
    t.assert_type(
        (event.critical, event.before, event.after), tuple[bool, Status | None, Status]
    )


@probe_finished.connect
def count(app: Flask, event: ProbeFinished) -> None:
    t.assert_type((event.status, event.duration, event.at), tuple[Status, float, datetime])


def plan_work(monitor: Monitor) -> None:
    """Do what operators do."""
    until = datetime.now(UTC) + timedelta(hours=1)
    monitor.pause("notion", "org_xyz789", until=until, status="degraded", reason="new disks")
    monitor.resume("notion", "org_xyz789")
    monitor.drain()
    monitor.undrain()


def may_see_details(principal: str, organization_id: str | None) -> bool:
    return principal == "operator" or principal == organization_id


def create_app() -> Flask:
    app = Flask(__name__)
    app.config.from_mapping(
        CONNECTOR_HEALTH_AUTHORIZE=allow_any_organization,
        CONNECTOR_HEALTH_AUTHORIZE_DETAILS=may_see_details,
        CONNECTOR_HEALTH_GROUPS={"live": [], "ready": ["sync-queue", "tag:search"]},
    )
    app.register_blueprint(health, url_prefix="/v2", name="internal")
    return app
