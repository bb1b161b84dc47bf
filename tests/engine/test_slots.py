"""Slots: never more runs at once, never more hung threads, and why a run is refused."""

from __future__ import annotations

import functools

import pytest

from flask_connector_health import Status
from flask_connector_health.engine import slots as slots_module
from flask_connector_health.engine.flight import Flight
from flask_connector_health.engine.monitor import Monitor
from flask_connector_health.engine.slots import Slots
from tests.clockwork import (
    PATIENCE,
    Clock,
    Gated,
    begin,
    drive,
    engine_threads,
    eventually,
    hang,
    in_background,
    lane_of,
    result_of,
)
from tests.conftest import MakeMonitor

NO_VERDICT = (
    "probe 'drive' of organization 'org_c' has no verdict, so the organization is answered as"
    " unavailable: "
)


def test_runs_at_once_never_exceed_the_slots(make_monitor: MakeMonitor, gated: Gated) -> None:
    monitor = make_monitor(drive(gated, scope="organization", slots=2))

    reports = [
        in_background(functools.partial(monitor.report, f"org_{number}"))
        for number in range(20)
    ]
    eventually(lambda: len(lane_of(monitor)._flights) == 20)
    for _ in range(2):
        gated.wait_for_start()

    assert len(engine_threads("drive")) == 2
    assert gated.runs == 2
    gated.let_through(20)
    assert {report().status for report in reports} == {Status.OK}


def test_by_default_the_runs_of_200_organizations_go_on_at_once(
    make_monitor: MakeMonitor, gated: Gated
) -> None:
    monitor = make_monitor(drive(gated, scope="organization"), DEADLINE=PATIENCE)

    reports = [
        in_background(functools.partial(monitor.report, f"org_{number}"))
        for number in range(200)
    ]
    for _ in reports:
        gated.wait_for_start()

    gated.let_through(200)
    assert {report().status for report in reports} == {Status.OK}


# Runs that hang


def test_an_organization_that_hangs_holds_two_threads_however_often_it_is_asked_about(
    make_monitor: MakeMonitor, clock: Clock, gated: Gated
) -> None:
    monitor = make_monitor(drive(gated, scope="organization", max_stale=0.0))
    for _ in range(2):
        hang(monitor, gated, clock, "org_hung")
        clock.advance(100.0)

    for _ in range(5):
        clock.advance(100.0)
        result = result_of(monitor.report("org_hung"))

    text = "2 earlier runs of this probe hang for this organization, so it is not run again"
    assert result.message.startswith(text)
    assert gated.runs == 2
    gated.let_through(3)
    assert monitor.report("org_fine").available


def test_the_service_may_hang_in_four(
    make_monitor: MakeMonitor, clock: Clock, gated: Gated
) -> None:
    monitor = make_monitor(drive(gated, max_stale=0.0))
    for _ in range(4):
        hang(monitor, gated, clock)
        clock.advance(100.0)

    result = result_of(monitor.report())

    assert result.message.startswith("4 earlier runs of this probe hang, so it is not run")
    assert gated.runs == 4


def test_who_hangs_is_run_again_once_a_run_has_ended(
    make_monitor: MakeMonitor, clock: Clock, gated: Gated
) -> None:
    monitor = make_monitor(drive(gated, scope="organization", max_stale=0.0))
    for _ in range(2):
        hang(monitor, gated, clock, "org_a")
        clock.advance(100.0)
    clock.advance(100.0)
    assert not monitor.report("org_a").available

    gated.let_through(3)
    eventually(lambda: not lane_of(monitor).slots.hung)

    assert monitor.report("org_a").available


def test_beyond_as_many_as_there_are_slots_a_hung_run_takes_one(
    make_monitor: MakeMonitor, clock: Clock, gated: Gated
) -> None:
    """Once as many threads hang as there are slots, each further hung thread takes a slot."""
    monitor = make_monitor(drive(gated, scope="organization", slots=2))
    for number in range(3):
        hang(monitor, gated, clock, f"org_{number}")

    for number in range(3, 6):
        begin(monitor, f"org_{number}")
    gated.wait_for_start()

    eventually(lambda: len(lane_of(monitor).slots.running) == 1)
    assert len(engine_threads("drive")) == 4
    gated.let_through(6)
    eventually(lambda: not lane_of(monitor).slots.hung)


@pytest.fixture
def all_hung(make_monitor: MakeMonitor, clock: Clock, gated: Gated) -> Monitor:
    """Make a monitor in whose lane all hangs that may."""
    monitor = make_monitor(drive(gated, scope="organization", slots=1))
    for organization_id in ("org_a", "org_b"):
        hang(monitor, gated, clock, organization_id)
    return monitor


def test_when_all_hang_that_may_the_result_and_the_log_say_so(
    all_hung: Monitor, gated: Gated, caplog: pytest.LogCaptureFixture
) -> None:
    result = result_of(all_hung.report("org_c"))

    text = "2 runs of this probe hang, which is the limit, so no more runs start; give the"
    assert result.message.startswith(text)
    assert result.status is Status.UNAVAILABLE
    eventually(lambda: NO_VERDICT + text in caplog.text)
    assert gated.runs == 2


def test_no_capacity_is_neither_kept_nor_logged_as_a_failure(
    all_hung: Monitor, gated: Gated, caplog: pytest.LogCaptureFixture
) -> None:
    stranded = all_hung.report("org_c")
    gated.let_through(3)
    eventually(lambda: not lane_of(all_hung).slots.hung)

    assert not stranded.available
    assert all_hung.report("org_c").available
    gated.answer = False
    gated.let_through()
    all_hung.report("org_d")
    eventually(lambda: "'org_d' fails" in caplog.text)
    assert "'org_c' fails" not in caplog.text


def test_what_waits_for_a_slot_is_told_so_when_the_last_one_hangs(
    make_monitor: MakeMonitor, clock: Clock, gated: Gated
) -> None:
    monitor = make_monitor(drive(gated, scope="organization", slots=1), DEADLINE=PATIENCE)
    hang(monitor, gated, clock, "org_a")
    in_background(lambda: monitor.report("org_b"))
    gated.wait_for_start()
    waiting = in_background(lambda: monitor.report("org_c"))
    eventually(lambda: lane_of(monitor)._queue)

    clock.advance(5.0)

    assert result_of(waiting()).message.startswith(
        "2 runs of this probe hang, which is the limit"
    )
    assert gated.runs == 2


# Capacity


def take_the_slot(monitor: Monitor, gated: Gated, clock: Clock) -> None:
    """Let a run end after two seconds, and another one begin."""
    first = begin(monitor, "org_a")
    gated.wait_for_start()
    clock.advance(2.0)
    gated.let_through()
    eventually(lambda: first.has_landed)
    begin(monitor, "org_b")
    gated.wait_for_start()


def test_a_run_that_cannot_begin_before_the_deadline_is_waited_for_by_nobody(
    make_monitor: MakeMonitor, clock: Clock, gated: Gated, caplog: pytest.LogCaptureFixture
) -> None:
    monitor = make_monitor(
        drive(gated, scope="organization", slots=1, timeout=60.0), DEADLINE=0.5
    )
    take_the_slot(monitor, gated, clock)

    refused = result_of(monitor.report("org_c"))  # without the clock's help: at once

    text = (
        "the slots of this probe (1) are all taken: it needs about 1.5 runs a second and can"
        " have 0.5, at 2 s each; raise its slots or CONNECTOR_HEALTH_SLOTS to 5, raise its ttl,"
        " or make it faster"
    )
    assert refused.message == text
    eventually(lambda: NO_VERDICT + text in caplog.text)
    gated.let_through()


def test_a_run_that_can_begin_before_the_deadline_is_waited_for(
    make_monitor: MakeMonitor, clock: Clock, gated: Gated
) -> None:
    monitor = make_monitor(drive(gated, scope="organization", slots=1), DEADLINE=2.5)
    take_the_slot(monitor, gated, clock)

    waiting = in_background(lambda: monitor.report("org_c"))
    eventually(lambda: lane_of(monitor)._queue)
    gated.let_through(2)

    assert waiting().available


def test_who_waited_for_a_slot_in_vain_is_told_so(
    make_monitor: MakeMonitor, clock: Clock, gated: Gated
) -> None:
    """A request whose run got no slot before the deadline is told so."""
    monitor = make_monitor(drive(gated, scope="organization", slots=1))
    begin(monitor, "org_a")
    gated.wait_for_start()
    waiting = in_background(lambda: monitor.report("org_b"))
    eventually(lambda: [f for f in lane_of(monitor)._queue if f.deadline])

    clock.advance(0.05)

    text = (
        "the slots of this probe (1) are all taken: it needs about 2 runs a second and none has"
        " ended yet"
    )
    assert result_of(waiting()).message.startswith(text)
    gated.let_through(2)


def test_a_rate_is_that_of_the_last_seconds(clock: Clock) -> None:
    """The needed rate counts the runs of the last seconds, and none before."""
    slots = Slots(1, deadline=PATIENCE)
    for _ in range(100):
        slots.admit(Flight(None, clock.now()), 0, clock.now())
        clock.advance(0.1)

    assert "needs about 10 runs a second" in slots.explained(clock.now())


def test_a_burst_as_large_as_the_slots_waits_for_threads_alone(
    make_monitor: MakeMonitor, gated: Gated, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The bound of the queue does not count runs that have a slot."""
    monkeypatch.setattr(slots_module, "QUEUE", 1)
    monitor = make_monitor(drive(gated, scope="organization", slots=20))
    monkeypatch.setattr(lane_of(monitor)._threads, "run", lambda name, call: True)

    flights = [begin(monitor, f"org_{number}") for number in range(21)]
    refused = lane_of(monitor).join("org_too_many")

    assert not [flight for flight in flights if flight.has_landed]
    assert isinstance(refused, Flight)
    assert str(refused.refusal).startswith("the slots of this probe (20) are all taken")
