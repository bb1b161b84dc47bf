"""The monitor: the verdict of the service and of an organization, from those of all probes."""

from __future__ import annotations

import contextlib
import itertools

import pytest

from flask_connector_health import Monitor, Status
from flask_connector_health.engine.cache import Cache
from flask_connector_health.engine.environment import Environment
from flask_connector_health.engine.record import Record
from flask_connector_health.model import UNKNOWN
from flask_connector_health.probes.spec import Probe
from flask_connector_health.settings import Settings
from tests.clockwork import (
    Clock,
    Gated,
    Told,
    drive,
    eventually,
    in_background,
    names_in,
)
from tests.conftest import CONFIG, MakeMonitor


@pytest.mark.parametrize(
    ("critical", "other", "status"),
    [
        (True, True, Status.OK),
        (True, False, Status.DEGRADED),
        (True, Status.DEGRADED, Status.DEGRADED),
        (Status.DEGRADED, True, Status.DEGRADED),
        (False, True, Status.UNAVAILABLE),
        (False, False, Status.UNAVAILABLE),
    ],
)
def test_the_worst_critical_result_decides_and_another_degrades_at_most(
    make_monitor: MakeMonitor, critical: object, other: object, status: Status
) -> None:
    monitor = make_monitor(
        drive(Told(critical)), Probe(name="other", call=Told(other), critical=False)
    )

    assert monitor.report().status is status
    assert monitor.status() is status  # from the record, this time


def test_a_probe_without_a_verdict_is_not_left_out(
    make_monitor: MakeMonitor, gated: Gated
) -> None:
    """An unknown result counts as unavailable, whatever the other probes say."""
    gated.answer = False
    monitor = make_monitor(drive(gated), Probe(name="other", call=Told()))
    in_background(monitor.report)
    eventually(lambda: len(monitor._current().service.records) == 1)

    waiting = in_background(monitor.status)
    gated.let_through()

    assert waiting() is Status.UNAVAILABLE


@pytest.mark.parametrize(
    ("service", "organization", "status"),
    [
        (True, True, Status.OK),
        (True, False, Status.UNAVAILABLE),
        (False, True, Status.UNAVAILABLE),
        (Status.DEGRADED, True, Status.DEGRADED),
    ],
)
def test_an_organization_is_never_better_off_than_the_service(
    make_monitor: MakeMonitor, service: object, organization: object, status: Status
) -> None:
    monitor = make_monitor(
        drive(Told(service)),
        Probe(name="own", call=Told(organization), scope="organization"),
    )

    assert monitor.report("org_a").status is status
    assert monitor.status("org_a") is status
    assert names_in(monitor.report("org_a")) == ["drive", "own"]


def test_without_probes_of_its_own_an_organization_is_as_the_service(
    make_monitor: MakeMonitor,
) -> None:
    told = Told(Status.DEGRADED)
    monitor = make_monitor(drive(told))

    assert {monitor.status(f"org_{number}") for number in range(5)} == {Status.DEGRADED}
    assert told.runs == 1


def test_a_service_probe_runs_once_and_not_per_organization(make_monitor: MakeMonitor) -> None:
    told = Told()
    monitor = make_monitor(drive(told))

    for number in range(10):
        monitor.report(f"org_{number}")

    assert told.runs == 1


def test_organizations_do_not_share_a_result(make_monitor: MakeMonitor) -> None:
    asked: list[str] = []

    def call(organization_id: str) -> bool:
        asked.append(organization_id)
        return organization_id != "org_b"

    monitor = make_monitor(drive(call, scope="organization"))

    found = [monitor.status(organization_id) for organization_id in ("org_a", "org_b")]
    again = [monitor.status(organization_id) for organization_id in ("org_a", "org_b")]

    assert found == again == [Status.OK, Status.UNAVAILABLE]
    assert asked == ["org_a", "org_b"]


def test_organizations_beyond_the_bound_still_get_their_answer(
    make_monitor: MakeMonitor,
) -> None:
    probe = drive(lambda organization_id: organization_id != "org_7", scope="organization")
    monitor = make_monitor(probe, MAX_ORGANIZATIONS=3)

    unavailable = [n for n in range(20) if not monitor.report(f"org_{n}").available]

    assert unavailable == [7]
    assert len(monitor._current().organization.records) == 3


class Reading:
    """A cache that notes what is read, and allows nothing else."""

    def __init__(self, cache: Cache[str | None, Record], reads: list[str | None]) -> None:
        self._cache = cache
        self._reads = reads

    def get(self, key: str | None) -> Record | None:
        self._reads.append(key)
        return self._cache.get(key)


def test_a_fresh_scope_costs_one_look_whatever_its_probes(
    make_monitor: MakeMonitor, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A fresh answer reads each record once and the clock once, and takes no lock."""
    probes = [Probe(name=f"own-{n}", call=Told(), scope="organization") for n in range(20)]
    monitor = make_monitor(drive(Told()), *probes)
    monitor.report("org_a")
    reads: list[str | None] = []
    process = monitor._current()
    for scope in (process.service, process.organization):
        for lane in scope.lanes:
            lane._lock.acquire()  # nobody needs a lane
        monkeypatch.setattr(scope, "records", Reading(scope.records, reads))
    ticks = itertools.count()
    monkeypatch.setattr(monitor, "_now", lambda: 1_000.0 + next(ticks) / 1_000)

    assert monitor.status("org_a") is Status.OK

    for lane in process.service.lanes + process.organization.lanes:
        lane._lock.release()
    assert reads == [None, "org_a"]
    assert next(ticks) == 1


# A peek


def test_a_peek_starts_no_run(make_monitor: MakeMonitor) -> None:
    told, own = Told(), Told()
    monitor = make_monitor(drive(told), Probe(name="own", call=own, scope="organization"))

    report = monitor.peek("org_a")

    assert (told.runs, own.runs) == (0, 0)
    assert not report.available
    assert [result.message for result in report.results] == [UNKNOWN.message] * 2


def test_a_peek_sees_what_a_request_would_be_answered_with(
    once_ok: Monitor, clock: Clock, gated: Gated
) -> None:
    """Fresh and stale results count, and too old ones do not."""
    runs = gated.runs

    for seconds, available in ((0.0, True), (19.9, True), (0.1, False)):
        clock.advance(seconds)
        assert once_ok.peek().available is available
    assert gated.runs == runs


def test_a_peek_at_an_organization_sees_the_service_as_well(make_monitor: MakeMonitor) -> None:
    monitor = make_monitor(
        drive(Told(Status.DEGRADED)), Probe(name="own", call=Told(), scope="organization")
    )
    monitor.report("org_a")

    assert monitor.peek("org_a") == monitor.report("org_a")
    assert monitor.peek() == monitor.report()


def test_what_is_to_come_first_comes_once(clock: Clock) -> None:
    calls: list[float] = []
    monitor = Monitor(
        Settings.from_config(CONFIG),
        [],
        Environment(contextlib.nullcontext, clock),
        at_first=lambda: calls.append(clock.now()),
    )
    assert calls == []

    for _ in range(2):
        monitor.status()

    assert calls == [clock.now()]
