"""Flights: requests share a run, and the deadline of the first of them."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from flask_connector_health import ProbeResult, Status
from flask_connector_health.engine.entry import status_of
from flask_connector_health.engine.monitor import Monitor
from flask_connector_health.engine.record import Record
from flask_connector_health.model import UNKNOWN
from flask_connector_health.probes.spec import Probe
from tests.clockwork import (
    PATIENCE,
    Clock,
    Gated,
    Told,
    begin,
    drive,
    eventually,
    in_background,
    lane_of,
    names_in,
    result_of,
    waited_for,
)
from tests.conftest import MakeMonitor


def test_requests_at_the_same_time_share_one_run(
    make_monitor: MakeMonitor, gated: Gated
) -> None:
    monitor = make_monitor(drive(gated))

    reports = [in_background(monitor.report) for _ in range(20)]
    gated.let_through()

    assert all(report().available for report in reports)
    assert gated.runs == 1


def test_without_a_ttl_a_run_is_shared_while_it_lasts(
    make_monitor: MakeMonitor, gated: Gated
) -> None:
    """Even with caching off, requests at the same time share a run."""
    monitor = make_monitor(drive(gated), TTL=0)

    [flight] = {begin(monitor) for _ in range(5)}
    gated.let_through()

    eventually(lambda: flight.has_landed)
    assert gated.runs == 1


Land = Callable[[Monitor], object]


@pytest.fixture
def settle_before_joining(monkeypatch: pytest.MonkeyPatch) -> Callable[[Monitor, Land], None]:
    """Let the next request read its record, and then something happen before it joins."""

    def patch(monitor: Monitor, happen: Land) -> None:
        records = monitor._current().service.records
        get = records.get

        def get_and_let_it_happen(key: str | None) -> Record | None:
            monkeypatch.setattr(records, "get", get)
            record = get(key)
            happen(monitor)
            return record

        monkeypatch.setattr(records, "get", get_and_let_it_happen)

    return patch


def land(monitor: Monitor, name: str = "drive") -> None:
    flight = begin(monitor, name=name)
    eventually(lambda: flight.has_landed)


def test_a_result_that_came_in_a_moment_ago_starts_no_other_run(
    make_monitor: MakeMonitor, settle_before_joining: Callable[[Monitor, Land], None]
) -> None:
    """A request that read the record just before a run was settled reads it again."""
    told = Told()
    monitor = make_monitor(drive(told))
    settle_before_joining(monitor, land)

    assert monitor.report().available
    assert told.runs == 1


def test_a_request_starts_one_run_of_each_probe_whatever_others_settle_meanwhile(
    make_monitor: MakeMonitor, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With caching off, a result that arrives is not fresh, and no reason to look again."""
    told, other = Told(), Told()
    probes = [drive(told, ttl=0), Probe(name="other", call=other, ttl=0)]
    monitor = make_monitor(*probes, DEADLINE=PATIENCE)
    lane = lane_of(monitor, "other")
    join = lane.join

    def join_late(key: str | None) -> object:
        land(monitor)
        return join(key)

    monkeypatch.setattr(lane, "join", join_late)

    assert monitor.report().available
    assert (told.runs, other.runs) == (1, 1)


def test_a_result_that_has_just_arrived_changes_no_order(
    make_monitor: MakeMonitor, settle_before_joining: Callable[[Monitor, Land], None]
) -> None:
    calls = [Told() for _ in range(3)]
    probes = [Probe(name=f"probe-{n}", call=call) for n, call in enumerate(calls)]
    monitor = make_monitor(*probes)
    settle_before_joining(monitor, lambda monitor: land(monitor, "probe-1"))

    assert names_in(monitor.report()) == ["probe-0", "probe-1", "probe-2"]
    assert [call.runs for call in calls] == [1, 1, 1]


def test_a_client_that_leaves_cancels_nothing(
    make_monitor: MakeMonitor, clock: Clock, gated: Gated
) -> None:
    monitor = make_monitor(drive(gated))
    left = in_background(monitor.report)
    waited_for(monitor)
    clock.advance(0.05)
    assert not left().available

    gated.let_through()
    eventually(lambda: monitor.status() is Status.OK)

    assert gated.runs == 1


# Deadlines


def test_what_has_no_result_at_the_deadline_is_unknown(
    make_monitor: MakeMonitor, clock: Clock, gated: Gated
) -> None:
    monitor = make_monitor(drive(gated))
    report = in_background(monitor.report)
    waited_for(monitor)

    clock.advance(0.05)

    assert result_of(report()) == UNKNOWN


def test_several_hung_probes_cost_one_deadline(
    make_monitor: MakeMonitor, clock: Clock, gated: Gated
) -> None:
    probes = [Probe(name=f"other-{number}", call=gated) for number in range(3)]
    monitor = make_monitor(drive(gated), *probes)
    report = in_background(monitor.report)
    waited_for(monitor)

    clock.advance(0.05)  # once, and never again

    assert [result.message for result in report().results] == [UNKNOWN.message] * 4


def test_who_comes_later_shares_the_deadline_of_who_came_first(
    make_monitor: MakeMonitor, clock: Clock, gated: Gated
) -> None:
    monitor = make_monitor(drive(gated))
    first = in_background(monitor.report)
    waited_for(monitor)
    clock.advance(0.05)
    first()

    assert [result_of(monitor.report()) for _ in range(3)] == [UNKNOWN] * 3


def test_a_refresh_that_nobody_waited_for_leaves_the_deadline_to_who_does(
    once_ok: Monitor, clock: Clock, gated: Gated
) -> None:
    """A flight has no deadline until a request waits for it."""
    clock.advance(19.0)
    once_ok.report()
    gated.wait_for_start()
    clock.advance(1.0)  # from here on the old result is not believed

    waiting = in_background(once_ok.report)
    gated.let_through()

    assert result_of(waiting()) == ProbeResult(Status.UNAVAILABLE)


def test_unknown_is_neither_kept_nor_counted(
    make_monitor: MakeMonitor, clock: Clock, gated: Gated
) -> None:
    monitor = make_monitor(drive(gated))
    report = in_background(monitor.report)
    waited_for(monitor)
    clock.advance(0.05)
    report()

    assert len(monitor._current().service.records) == 0


def test_unknown_is_no_failure_to_a_threshold(
    make_monitor: MakeMonitor, clock: Clock, gated: Gated
) -> None:
    monitor = make_monitor(drive(gated, failure_threshold=2, ttl=0))
    gated.let_through()
    assert in_background(monitor.report)().available
    gated.answer = False
    report = in_background(monitor.report)
    waited_for(monitor)
    clock.advance(0.05)
    assert result_of(report()) == UNKNOWN
    [flight] = lane_of(monitor)._flights.values()

    gated.let_through()

    eventually(lambda: flight.has_landed)
    assert status_of(flight.entry) is Status.OK  # one failure of two
