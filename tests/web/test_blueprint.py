"""Where the blueprint can be mounted, and that no two registrations share anything."""

from __future__ import annotations

import importlib.metadata
import json
import pathlib
import re
import typing as t
from datetime import UTC, datetime, timedelta

import pytest
from flask import Blueprint, Flask
from werkzeug.middleware.dispatcher import DispatcherMiddleware

import flask_connector_health
from flask_connector_health import (
    ConfigurationError,
    ConnectorHealth,
    ProbeResult,
    Status,
    get_monitor,
)
from flask_connector_health import __all__ as exported
from tests.clockwork import engine_threads, eventually, names_in, result_of
from tests.conftest import (
    BEARER,
    CONFIG,
    DETAILS,
    PUBLIC,
    SCOPED,
    SCOPED_DETAILS,
    MakeApp,
)

READY = f"{PUBLIC}/ready"
ROUTES = [path.removeprefix("/v1") for path in (PUBLIC, SCOPED, DETAILS, SCOPED_DETAILS, READY)]


@pytest.fixture
def app() -> Flask:
    """Make an app whose configuration brings every kind of route."""
    app = Flask("host")
    app.config.from_mapping(CONFIG)
    app.config["CONNECTOR_HEALTH_AUTHORIZE_DETAILS"] = lambda principal, organization_id: True
    app.config["CONNECTOR_HEALTH_GROUPS"] = {"ready": ["availability"]}
    return app


def answers(app: Flask, prefix: str) -> set[int]:
    """Ask every route below a prefix, with and without a trailing slash."""
    client = app.test_client()
    return {
        client.get(prefix + route + slash, headers=BEARER).status_code
        for route in ROUTES
        for slash in ("", "/")
    }


@pytest.mark.parametrize("prefix", ["/v1", "/api/v2", "", "/"])
def test_any_url_prefix(app: Flask, health: ConnectorHealth, prefix: str) -> None:
    app.register_blueprint(health, url_prefix=prefix)

    assert answers(app, prefix.rstrip("/")) == {200}


def test_the_blueprint_brings_its_own_prefix(app: Flask) -> None:
    app.register_blueprint(ConnectorHealth(url_prefix="/own"))

    assert answers(app, "/own") == {200}


def test_a_prefix_with_a_variable(app: Flask, health: ConnectorHealth) -> None:
    app.register_blueprint(health, url_prefix="/<region>/v1")

    assert answers(app, "/eu/v1") == {200}


def test_nested_in_another_blueprint(app: Flask, health: ConnectorHealth) -> None:
    parent = Blueprint("api", __name__, url_prefix="/api")
    parent.register_blueprint(health)
    app.register_blueprint(parent)

    assert answers(app, "/api/v1") == {200}
    assert list(app.extensions["connector_health"]) == ["api.connector_health"]


def test_two_names_in_one_app(app: Flask, health: ConnectorHealth) -> None:
    app.register_blueprint(health)
    app.register_blueprint(health, name="internal", url_prefix="/internal")

    assert answers(app, "/v1") == answers(app, "/internal") == {200}
    one, other = app.extensions["connector_health"].values()
    assert one is not other


def test_below_the_mount_of_another_app(app: Flask, health: ConnectorHealth) -> None:
    app.register_blueprint(health)
    outer = Flask("outer")
    mounts: dict[str, t.Any] = {"/mounted": app}
    outer.wsgi_app = DispatcherMiddleware(outer.wsgi_app, mounts)  # type: ignore[method-assign]

    assert answers(outer, "/mounted/v1") == {200}


def test_each_registration_has_the_routes_and_the_callables_of_its_own_configuration(
    app: Flask, health: ConnectorHealth
) -> None:
    app.register_blueprint(health)
    app.config["CONNECTOR_HEALTH_GROUPS"] = {"live": []}
    app.config["CONNECTOR_HEALTH_AUTHORIZE_DETAILS"] = lambda principal, organization_id: False
    app.register_blueprint(health, name="internal", url_prefix="/internal")
    client = app.test_client()
    paths = [DETAILS, SCOPED_DETAILS, READY, f"{PUBLIC}/live"]

    codes = [
        [client.get(p.replace("/v1", prefix), headers=BEARER).status_code for p in paths]
        for prefix in ("/v1", "/internal")
    ]

    assert codes == [[200, 200, 200, 404], [403, 403, 404, 200]]


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


def test_two_apps_share_neither_what_they_know_nor_what_people_have_said(
    health: ConnectorHealth,
) -> None:
    health.add_probe(lambda: True, name="queue")
    apps = Flask("told"), Flask("other")
    for app, available in zip(apps, (False, True), strict=True):
        app.config.from_mapping(CONFIG, CONNECTOR_HEALTH_GROUPS={"ready": ["queue"]})
        app.config["CONNECTOR_HEALTH_AVAILABILITY"] = lambda _, answer=available: answer
        app.register_blueprint(health)
    told, other = map(get_monitor, apps)

    told.report("org_xyz789")
    told.pause("queue", until=datetime.now(UTC) + timedelta(hours=1), status="unavailable")
    told.drain()

    assert other.overview().known == 0
    assert other.transitions() == ()
    assert other.report(group="ready").status is Status.OK
    assert not other.is_draining()


def test_the_configuration_is_read_once_at_registration(make_app: MakeApp) -> None:
    app = make_app(RETRY_AFTER=3, AVAILABILITY=lambda: False)
    app.config["CONNECTOR_HEALTH_RETRY_AFTER"] = "junk"

    assert app.test_client().get(PUBLIC).headers["Retry-After"] == "3"


def test_a_change_of_the_configuration_after_that_is_warned_about_once(
    make_app: MakeApp, caplog: pytest.LogCaptureFixture
) -> None:
    app = make_app(TTL=3.0, SLOTS=4)
    app.config.update(CONNECTOR_HEALTH_TTL=0, CONNECTOR_HEALTH_TIMEOUT=1)
    del app.config["CONNECTOR_HEALTH_SLOTS"]

    for _ in range(2):
        app.test_client().get(PUBLIC)

    assert [(record.levelname, record.getMessage()) for record in caplog.records] == [
        (
            "WARNING",
            "CONNECTOR_HEALTH_TTL and CONNECTOR_HEALTH_SLOTS and CONNECTOR_HEALTH_TIMEOUT"
            " changed after the blueprint was registered, which has no effect; set"
            " configuration before app.register_blueprint(health)",
        )
    ]


class Incomparable:
    """A callable that raises when it is compared."""

    def __call__(self, organization_id: str | None) -> bool:
        return True

    def __eq__(self, other: object) -> bool:
        raise TypeError("not comparable")

    __hash__ = object.__hash__


def test_a_value_that_cannot_be_compared_breaks_no_request(
    make_app: MakeApp, caplog: pytest.LogCaptureFixture
) -> None:
    apps = [make_app(AVAILABILITY=Incomparable()) for _ in range(2)]
    apps[1].config["CONNECTOR_HEALTH_AVAILABILITY"] = Incomparable()

    assert [app.test_client().get(PUBLIC).status_code for app in apps] == [200, 200]
    assert caplog.records == []


def test_a_key_that_another_registration_has_read_has_its_effect(
    app: Flask, health: ConnectorHealth, caplog: pytest.LogCaptureFixture
) -> None:
    app.register_blueprint(health)
    app.config["CONNECTOR_HEALTH_TTL"] = 0.0
    app.register_blueprint(health, name="internal", url_prefix="/internal")

    assert answers(app, "/v1") == answers(app, "/internal") == {200}
    assert caplog.records == []


def test_a_key_that_is_set_to_what_it_was_has_not_changed(
    make_app: MakeApp, caplog: pytest.LogCaptureFixture
) -> None:
    app = make_app(TTL=3.5)
    app.config.update(CONNECTOR_HEALTH_TTL=float("3.5"), TESTING=True)

    app.test_client().get(PUBLIC)

    assert caplog.records == []


@pytest.mark.parametrize("is_absolute", [False, True])
def test_a_relative_drain_file_is_below_the_instance_path(
    health: ConnectorHealth, tmp_path: pathlib.Path, is_absolute: bool
) -> None:
    app = Flask("host", instance_path=str(tmp_path / "instance"))
    file = tmp_path / "drain" if is_absolute else tmp_path / "instance" / "drain"
    given = file if is_absolute else "drain"
    app.config.from_mapping(
        CONFIG,
        CONNECTOR_HEALTH_DRAIN_FILE=given,
        CONNECTOR_HEALTH_GROUPS={"ready": ["availability"]},
    )
    app.register_blueprint(health)
    monitor = get_monitor(app)
    assert not monitor.is_draining()

    file.parent.mkdir(exist_ok=True)
    file.touch()

    assert monitor.is_draining()


# What an app gets that takes it for an extension


@pytest.mark.parametrize("misplaced", [Flask("host"), __name__, "health"])
def test_an_app_or_a_name_by_position_is_told_to_register(misplaced: t.Any) -> None:
    kind = type(misplaced).__name__

    with pytest.raises(
        ConfigurationError, match=rf"no {kind} by position: .* register it: app"
    ):
        ConnectorHealth(misplaced)


def test_init_app_says_that_a_blueprint_is_registered(health: ConnectorHealth) -> None:
    expected = re.escape("register it: app.register_blueprint(health)")

    with pytest.raises(ConfigurationError, match=expected):
        health.init_app(Flask("host"), None)


# The monitor of a registration


def test_the_monitor_answers_the_hosts_own_code(
    make_app: MakeApp, health: ConnectorHealth
) -> None:
    result = ProbeResult(Status.DEGRADED, "slow")
    health.add_probe(lambda organization_id: result, name="drive", scope="organization")
    monitor = get_monitor(make_app())

    report = monitor.report("org_xyz789")

    assert report.status is monitor.status("org_xyz789") is Status.DEGRADED
    assert report.available
    assert result_of(report) == result
    assert names_in(monitor.report()) == ["availability"]


def test_a_report_is_plain_data_for_json(make_app: MakeApp, health: ConnectorHealth) -> None:
    health.add_probe(
        lambda organization_id: ProbeResult(False, "token expired"),
        name="drive",
        scope="organization",
        critical=False,
    )
    app = make_app(AVAILABILITY=lambda organization_id: organization_id is None or "degraded")

    data = get_monitor(app).report("org_xyz789").to_dict()

    assert json.loads(json.dumps(data)) == data
    assert data == {
        "status": "degraded",
        "available": True,
        "results": [
            {
                "name": "availability",
                "scope": "service",
                "critical": True,
                "status": "ok",
                "message": "",
                "applicable": True,
            },
            {
                "name": "availability",
                "scope": "organization",
                "critical": True,
                "status": "degraded",
                "message": "",
                "applicable": True,
            },
            {
                "name": "drive",
                "scope": "organization",
                "critical": False,
                "status": "unavailable",
                "message": "token expired",
                "applicable": True,
            },
        ],
    }


def test_the_monitor_of_the_current_app_is_found(make_app: MakeApp) -> None:
    app = make_app()

    with app.app_context():
        assert get_monitor() is get_monitor(app)
    with pytest.raises(RuntimeError, match="outside of application context"):
        get_monitor()


def test_each_registration_has_a_monitor_of_its_own(
    app: Flask, health: ConnectorHealth
) -> None:
    parent = Blueprint("api", __name__)
    parent.register_blueprint(health)
    app.register_blueprint(parent)
    app.register_blueprint(health, name="internal", url_prefix="/internal")

    assert get_monitor(app, "internal") is not get_monitor(app, "api.connector_health")
    with pytest.raises(
        LookupError, match=r"as 'connector_health' .*: 'api.connector_health', 'internal'"
    ):
        get_monitor(app)


def test_an_app_without_the_blueprint_has_no_monitor(app: Flask) -> None:
    with pytest.raises(LookupError, match="registered are: none"):
        get_monitor(app)


def test_an_organization_without_an_id_is_not_the_service(make_app: MakeApp) -> None:
    """An empty id asks about an organization, and not about the service."""
    app = make_app(AVAILABILITY=lambda organization_id: organization_id is None)
    monitor = get_monitor(app)

    assert not monitor.report("").available
    assert monitor.report().available


@pytest.mark.parametrize("failing", [None, "org_xyz789"])
def test_a_probe_of_both_scopes_has_two_results(make_app: MakeApp, failing: str | None) -> None:
    app = make_app(AVAILABILITY=lambda organization_id: organization_id != failing)

    report = get_monitor(app).report("org_xyz789")

    assert [(each.name, each.scope, each.status.available) for each in report.results] == [
        ("availability", "service", failing is not None),
        ("availability", "organization", failing is None),
    ]


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
        "Details",
        "Monitor",
        "NotApplicable",
        "Overview",
        "ProbeDegraded",
        "ProbeDetail",
        "ProbeFailed",
        "ProbeFinished",
        "ProbeResult",
        "Report",
        "ReportedResult",
        "Status",
        "Transition",
        "allow_any_organization",
        "get_monitor",
        "probe_finished",
        "verdict_turned",
    ]


def test_the_package_knows_its_version() -> None:
    installed = importlib.metadata.version("flask-connector-health")

    assert flask_connector_health.__version__ == installed


def test_the_package_says_that_it_is_typed() -> None:
    assert flask_connector_health.__file__ is not None
    assert pathlib.Path(flask_connector_health.__file__).with_name("py.typed").exists()
