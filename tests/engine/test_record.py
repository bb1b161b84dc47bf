"""Records: what is kept for each key, by the thresholds of each probe."""

from __future__ import annotations

import gc

from flask_connector_health import ConnectorHealth, NotApplicable, Status
from flask_connector_health.engine.events import Event, Settled
from flask_connector_health.probes.spec import Probe
from tests.clockwork import Clock, Told, drive, engine_of
from tests.conftest import PUBLIC, MakeApp, MakeMonitor


def test_thresholds_are_kept_for_each_organization(
    make_app: MakeApp, health: ConnectorHealth
) -> None:
    told = {"org_a": True, "org_b": False}
    health.add_probe(
        lambda organization_id: told[organization_id], name="drive", scope="organization"
    )
    app = make_app(TTL=0, FAILURE_THRESHOLD=2)
    monitor = engine_of(app)
    for organization_id in told:
        monitor.report(organization_id)

    told["org_a"] = False
    found = [monitor.report(organization_id).status for organization_id in ("org_a", "org_b")]

    assert found == [Status.OK, Status.UNAVAILABLE]
    assert monitor.report("org_a").status is Status.UNAVAILABLE


def test_a_probes_own_thresholds_go_before_the_settings(
    make_app: MakeApp, health: ConnectorHealth
) -> None:
    told = Told()
    health.add_probe(told, name="drive", failure_threshold=2, recovery_threshold=3)
    client = make_app(TTL=0, FAILURE_THRESHOLD=9, RECOVERY_THRESHOLD=9).test_client()
    client.get(PUBLIC)

    codes = []
    for answer in (False, False, True, True, True):
        told.answer = answer
        codes.append(client.get(PUBLIC).status_code)

    assert codes == [200, 503, 503, 503, 200]


def test_what_is_kept_of_a_scope_is_nothing_for_the_garbage_collector_to_walk(
    make_monitor: MakeMonitor,
) -> None:
    answer = NotApplicable("no Drive connected")
    monitor = make_monitor(
        drive(Told(answer), scope="organization"),
        Probe(name="own", call=Told(OSError("gone")), scope="organization"),
        Probe(name="search", call=Told()),
        GROUPS={"ready": ["search"], "live": []},
    )
    monitor.report("org_a")
    process = monitor._current()

    for _ in range(4):  # one for each level of the tuples
        gc.collect()

    for scope, key in ((process.service, None), (process.organization, "org_a")):
        assert not gc.is_tracked(scope.records.get(key))


def test_a_run_is_announced_with_the_status_before_it_and_for_how_long_that_held(
    make_monitor: MakeMonitor, clock: Clock
) -> None:
    """An answer that does not apply is no status, so after it there was none."""
    heard: list[Event] = []
    told = Told()
    monitor = make_monitor(drive(told, ttl=0), listeners=[heard.append])

    for answer in (True, True, False, NotApplicable(), NotApplicable(), True):
        told.answer = answer
        monitor.report()
        clock.advance(10.0)

    events = [event for event in heard if isinstance(event, Settled)]
    assert [(event.before, event.held) for event in events] == [
        (None, None),
        (Status.OK, 10.0),
        (Status.OK, 20.0),
        (Status.UNAVAILABLE, 10.0),
        (None, None),
        (None, None),
    ]
