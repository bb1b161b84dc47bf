"""What is measured: this library's two routes, a bare view and a hand-written one."""

from __future__ import annotations

import typing as t
from collections.abc import Callable, Sequence

from flask import Flask, Response
from flask_httpauth import HTTPTokenAuth
from marshmallow import Schema, fields

from flask_connector_health import ConnectorHealth, allow_any_organization

from .measure import Subject

Check: t.TypeAlias = Callable[[], bool]
# Ours take settings, too.
Build: t.TypeAlias = Callable[..., Subject]

PUBLIC = "/v1/knowledge/connectors/health"
SCOPED = "/v1/organizations/{}/knowledge/connectors/health"
ORGANIZATION = "org_xyz789"
BEARER = {"Authorization": "Bearer good-token"}

OURS = "flask-connector-health"
OURS_PUBLIC = f"{OURS}, public route"
OURS_FAST = f"{OURS}, fast path"
OURS_SCOPED = f"{OURS}, organization route"
BARE = "bare Flask view"
HAND_WRITTEN = "hand-written view"

HEALTHY = {"status": "ok", "available": True}
BODY = b'{"status": "ok", "available": true}'


def bare(checks: Sequence[Check] = ()) -> Subject:
    """Make the least that Flask can do: the yardstick, whatever the checks."""
    app = Flask("bare")

    @app.get(PUBLIC)
    def health() -> Response:
        return Response(BODY, mimetype="application/json")

    return Subject(BARE, app, PUBLIC, HEALTHY)


def hand_written(checks: Sequence[Check]) -> Subject:
    """Make the organization's route as an app would have it without a library."""
    app = Flask("hand_written")
    auth = HTTPTokenAuth(scheme="Bearer")
    auth.verify_token(principal)

    class HealthSchema(Schema):
        status = fields.String()
        available = fields.Boolean()

    def health(organization_id: str) -> tuple[t.Any, int]:
        available = all([check() for check in checks])
        body = {"status": "ok" if available else "unavailable", "available": available}
        return HealthSchema().dump(body), 200 if available else 503

    app.add_url_rule(SCOPED.format("<organization_id>"), None, auth.login_required(health))
    return Subject(HAND_WRITTEN, app, SCOPED.format(ORGANIZATION), HEALTHY, BEARER)


def ours_public(checks: Sequence[Check], **settings: t.Any) -> Subject:
    """Make this library's public route, with the checks as critical probes."""
    health = ConnectorHealth()
    for number, check in enumerate(checks):
        health.add_probe(check, name=f"check-{number}")
    name = OURS_FAST if settings.get("FAST_PATH") else OURS_PUBLIC
    return Subject(name, host(health, **settings), PUBLIC, HEALTHY)


def ours_fast(checks: Sequence[Check], **settings: t.Any) -> Subject:
    """Make the same route, answered ahead of the app."""
    return ours_public(checks, FAST_PATH=True, **settings)


def ours_scoped(checks: Sequence[Check], **settings: t.Any) -> Subject:
    """Make this library's organization route, with the checks as probes of that scope."""
    health = ConnectorHealth()
    for number, check in enumerate(checks):
        health.add_probe(_for_each(check), name=f"check-{number}", scope="organization")
    app = host(health, **settings)
    return Subject(OURS_SCOPED, app, SCOPED.format(ORGANIZATION), HEALTHY, BEARER)


def host(health: ConnectorHealth, **settings: t.Any) -> Flask:
    """Make an app with the blueprint; an availability callback is always there."""
    app = Flask("host")
    app.config.from_mapping(
        CONNECTOR_HEALTH_AVAILABILITY=always,
        CONNECTOR_HEALTH_VERIFY_TOKEN=principal,
        CONNECTOR_HEALTH_AUTHORIZE=allow_any_organization,
    )
    for key, value in settings.items():
        app.config[f"CONNECTOR_HEALTH_{key}"] = value
    app.register_blueprint(health)
    return app


def always() -> bool:
    """Check nothing: what is measured is everything around a check."""
    return True


def principal(token: str) -> str | None:
    """Say whose token it is."""
    return {"good-token": "ann"}.get(token)


OUR_ROUTES: list[Build] = [ours_public, ours_scoped]


def _for_each(check: Check) -> Callable[[str], bool]:
    return lambda organization_id: check()
