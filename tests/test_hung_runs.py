"""Runs that hang: failed at their timeout, written off, tried again."""

from __future__ import annotations

import pytest

from flask_connector_health import ProbeResult, Status
from flask_connector_health.engine.policy import Policy
from flask_connector_health.probes.spec import Probe
from flask_connector_health.settings import Settings

from .clockwork import (
    PATIENCE,
    Clock,
    Gated,
    Told,
    drive,
    engine_threads,
    eventually,
    hang,
    in_background,
    lane_of,
    result_of,
    waited_for,
)
from .conftest import CONFIG, MakeMonitor


def test_a_hung_run_is_failed_at_its_timeout(
    make_monitor: MakeMonitor, clock: Clock, gated: Gated, caplog: pytest.LogCaptureFixture
) -> None:
    monitor = make_monitor(drive(gated))

    hang(monitor, gated, clock)

    text = "no answer within its timeout of 5 s; give the client that it uses a shorter"
    assert result_of(monitor.report()).message.startswith(text)
    eventually(lambda: f"probe 'drive' is unavailable: {text}" in caplog.text)


def test_those_who_wait_hear_of_it_then(
    make_monitor: MakeMonitor, clock: Clock, gated: Gated
) -> None:
    monitor = make_monitor(drive(gated, timeout=0.5), DEADLINE=PATIENCE)
    report = in_background(monitor.report)
    gated.wait_for_start()
    eventually(lambda: engine_threads("watch"))

    clock.advance(0.5)

    assert result_of(report()).message.startswith("no answer within its timeout of 0.5 s")


def test_a_failure_that_nobody_asked_for_is_as_old_as_its_timeout(
    make_monitor: MakeMonitor, clock: Clock, gated: Gated
) -> None:
    monitor = make_monitor(drive(gated))
    report = in_background(monitor.report)
    gated.wait_for_start()
    eventually(lambda: engine_threads("watch"))

    clock.advance(1_000.0)  # the machine slept, say

    assert not report().available
    eventually(lambda: not lane_of(monitor)._flights)
    gated.let_through(2)
    assert in_background(monitor.report)().status is Status.OK


def test_an_answer_past_the_timeout_is_failed_even_if_nobody_looked(
    make_monitor: MakeMonitor, clock: Clock
) -> None:
    def slow() -> bool:
        clock.advance(5.0)
        return True

    monitor = make_monitor(drive(slow))

    flight = lane_of(monitor).join(None, unless=lambda: False)  # with nobody to look after it

    assert flight is not None
    assert flight.done.wait(PATIENCE)
    assert flight.result is not None
    assert flight.result.message.startswith("no answer within its timeout of 5 s")


def test_a_late_answer_never_replaces_a_newer_one(
    make_monitor: MakeMonitor, clock: Clock, gated: Gated
) -> None:
    newer = Gated()
    newer.answer = Status.DEGRADED
    runs = iter([gated, newer])
    monitor = make_monitor(drive(lambda: next(runs)(), max_stale=0.0))
    hang(monitor, gated, clock)
    clock.advance(1.0)
    report = in_background(monitor.report)
    newer.let_through()
    assert report().status is Status.DEGRADED

    gated.let_through()

    eventually(lambda: lane_of(monitor)._hung.total() == 0)
    assert monitor.status() is Status.DEGRADED


def test_a_hung_probe_leaves_other_probes_alone(
    make_monitor: MakeMonitor, clock: Clock, gated: Gated
) -> None:
    monitor = make_monitor(drive(gated, critical=False), Probe(name="other", call=lambda: True))
    report = in_background(monitor.report)
    gated.wait_for_start()
    waited_for(monitor)
    eventually(lambda: not lane_of(monitor, "other")._flights)
    clock.advance(0.05)

    assert report().results["other"] == ProbeResult(Status.OK)
    assert report().status is Status.DEGRADED


def test_re_tries_of_a_hung_probe_are_spaced_ever_wider(
    make_monitor: MakeMonitor, clock: Clock, gated: Gated
) -> None:
    monitor = make_monitor(drive(gated, slots=5, max_stale=100.0), FAILURE_TTL=1.0)

    for runs, pause in ((1, 1.0), (2, 5.0), (3, 10.0), (4, 20.0)):  # seconds
        hang(monitor, gated, clock)
        clock.advance(pause - 0.1)
        monitor.report()
        assert not lane_of(monitor)._flights
        assert gated.runs == runs
        clock.advance(0.1)

    monitor.report()
    gated.wait_for_start()
    assert gated.runs == 5


def test_no_spacing_makes_a_failure_last_longer_than_it_may_be_served(
    make_monitor: MakeMonitor, clock: Clock, gated: Gated
) -> None:
    monitor = make_monitor(drive(gated, slots=9, max_stale=3.0), FAILURE_TTL=1.0)
    for _ in range(3):
        hang(monitor, gated, clock)

    clock.advance(4.0)
    gated.let_through(9)

    assert in_background(monitor.report)().available


def test_spacing_has_an_end_however_many_runs_hang() -> None:
    policy = Policy.of(drive(Told(), timeout=86_400.0), Settings.from_config(CONFIG))

    assert policy.spacing(100) == policy.spacing(100_000) > policy.spacing(10)


def test_a_verdict_that_a_threshold_holds_up_is_not_held_up_for_longer(
    make_monitor: MakeMonitor, clock: Clock, gated: Gated
) -> None:
    monitor = make_monitor(drive(gated, failure_threshold=9, slots=9), TTL=5.0)
    gated.let_through()
    monitor.report()
    gated.wait_for_start()
    for _ in range(4):
        hang(monitor, gated, clock)

    assert monitor.status() is Status.OK
    clock.advance(1.0)  # the failure's own time, and none of the spacing
    monitor.report()

    gated.wait_for_start()


def test_a_re_try_that_succeeds_mends_the_verdict(
    make_monitor: MakeMonitor, clock: Clock, gated: Gated
) -> None:
    monitor = make_monitor(drive(Hanging(gated, 1)))
    hang(monitor, gated, clock)

    clock.advance(1.0)
    monitor.report()

    eventually(lambda: monitor.status() is Status.OK)


class Hanging:
    """A probe whose first runs hang, and whose others do not."""

    def __init__(self, gated: Gated, hung: int) -> None:
        self._gated = gated
        self._hung = hung

    def __call__(self, *arguments: object) -> bool:
        self._hung -= 1
        if self._hung >= 0:
            self._gated()
        return True
