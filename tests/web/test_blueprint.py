"""Where the blueprint can be mounted, and that no two registrations share anything."""

from __future__ import annotations

import pathlib

import pytest
from flask import Blueprint, Flask, url_for

from flask_connector_health import (
    ConfigurationError,
    ConnectorHealth,
    ProbeResult,
    Status,
)
from flask_connector_health import __all__ as exported
from tests.clockwork import engine_threads, eventually
from tests.conftest import BEARER, CONFIG, PUBLIC, SCOPED, MakeApp


@pytest.fixture
def app() -> Flask:
    app = Flask("host")
    app.config.from_mapping(CONFIG)
    return app


def answers(app: Flask, prefix: str) -> list[int]:
    """Ask both routes below a prefix, with and without a trailing slash."""
    client = app.test_client()
    routes = (PUBLIC.removeprefix("/v1"), SCOPED.removeprefix("/v1"))
    return [
        client.get(prefix + route + slash, headers=BEARER).status_code
        for route in routes
        for slash in ("", "/")
    ]


@pytest.mark.parametrize("prefix", ["/v1", "/api/v2", "", "/"])
def test_any_url_prefix(app: Flask, health: ConnectorHealth, prefix: str) -> None:
    app.register_blueprint(health, url_prefix=prefix)

    assert answers(app, prefix.rstrip("/")) == [200] * 4


def test_the_blueprint_brings_its_own_prefix(app: Flask) -> None:
    app.register_blueprint(ConnectorHealth(url_prefix="/own"))

    assert answers(app, "/own") == [200] * 4


def test_a_prefix_with_a_variable(app: Flask, health: ConnectorHealth) -> None:
    app.register_blueprint(health, url_prefix="/<region>/v1")

    assert answers(app, "/eu/v1") == [200] * 4


def test_nested_in_another_blueprint(app: Flask, health: ConnectorHealth) -> None:
    parent = Blueprint("api", __name__, url_prefix="/api")
    parent.register_blueprint(health)
    app.register_blueprint(parent)

    assert answers(app, "/api/v1") == [200] * 4
    assert list(app.extensions["connector_health"]) == ["api.connector_health"]


def test_two_names_in_one_app(app: Flask, health: ConnectorHealth) -> None:
    app.register_blueprint(health)
    app.register_blueprint(health, name="internal", url_prefix="/internal")

    assert answers(app, "/v1") == answers(app, "/internal") == [200] * 4
    one, other = app.extensions["connector_health"].values()
    assert one is not other


def test_a_subdomain(app: Flask, health: ConnectorHealth) -> None:
    app = Flask("host", subdomain_matching=True)
    app.config.from_mapping(CONFIG, SERVER_NAME="example.org")
    app.register_blueprint(health, subdomain="status")

    assert app.test_client().get(PUBLIC, base_url="http://status.example.org").json
    assert app.test_client().get(PUBLIC).status_code == 404


def test_the_routes_have_names(make_app: MakeApp) -> None:
    app = make_app()

    with app.test_request_context():
        assert url_for("connector_health.service") == PUBLIC
        path = url_for("connector_health.organization", organization_id="org_xyz789")
        assert path == SCOPED


def test_two_apps_share_nothing_but_the_probes(health: ConnectorHealth) -> None:
    health.add_probe(lambda: True, name="queue")
    up, down = Flask("up"), Flask("down")
    for app, available in ((up, lambda: True), (down, lambda: False)):
        app.config.from_mapping(CONFIG, CONNECTOR_HEALTH_TTL=3600.0)
        app.config["CONNECTOR_HEALTH_AVAILABILITY"] = available
        app.register_blueprint(health)

    for _ in range(2):
        assert up.test_client().get(PUBLIC).status_code == 200
        assert down.test_client().get(PUBLIC).status_code == 503


def test_the_configuration_is_read_once_at_registration(make_app: MakeApp) -> None:
    app = make_app(RETRY_AFTER=3, AVAILABILITY=lambda: False)
    app.config["CONNECTOR_HEALTH_RETRY_AFTER"] = "junk"

    assert app.test_client().get(PUBLIC).headers["Retry-After"] == "3"


def test_the_monitor_answers_the_hosts_own_code(
    make_app: MakeApp, health: ConnectorHealth
) -> None:
    result = ProbeResult(Status.DEGRADED, "slow")
    health.add_probe(lambda organization_id: result, name="drive", scope="organization")
    monitor = make_app().extensions["connector_health"]["connector_health"]

    report = monitor.report("org_xyz789")

    assert report.status is Status.DEGRADED
    assert report.available
    assert report.results == {"availability": ProbeResult(Status.OK), "drive": result}
    assert set(monitor.report().results) == {"availability"}


def test_an_organization_without_an_id_is_not_the_service(make_app: MakeApp) -> None:
    """An empty id asks about an organization, and not about the service."""
    app = make_app(AVAILABILITY=lambda organization_id: organization_id is None)
    monitor = app.extensions["connector_health"]["connector_health"]

    assert not monitor.report("").available
    assert monitor.report().available


@pytest.mark.parametrize("failing", [None, "org_xyz789"])
def test_a_probe_of_both_scopes_reports_the_worse_of_its_two_results(
    make_app: MakeApp, failing: str | None
) -> None:
    app = make_app(AVAILABILITY=lambda organization_id: organization_id != failing)

    report = app.extensions["connector_health"]["connector_health"].report("org_xyz789")

    assert report.results == {"availability": ProbeResult(Status.UNAVAILABLE)}


def test_registering_starts_no_thread(make_app: MakeApp) -> None:
    eventually(lambda: not engine_threads())  # of earlier tests

    make_app()

    assert engine_threads() == []


def test_a_probe_after_registration_is_refused(
    make_app: MakeApp, health: ConnectorHealth
) -> None:
    make_app()

    with pytest.raises(ConfigurationError, match=r"'late' comes too late: .* import"):
        health.add_probe(lambda: True, name="late")


def test_probes_may_still_come_after_a_registration_that_failed(
    make_app: MakeApp, health: ConnectorHealth
) -> None:
    with pytest.raises(ConfigurationError):
        make_app(TTL="soon")

    health.add_probe(lambda: True, name="drive")

    assert make_app().test_client().get(PUBLIC).status_code == 200


def test_the_public_names_are_these() -> None:
    assert exported == [
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


def test_the_package_says_that_it_is_typed() -> None:
    import flask_connector_health

    assert flask_connector_health.__file__ is not None
    assert pathlib.Path(flask_connector_health.__file__).with_name("py.typed").exists()
