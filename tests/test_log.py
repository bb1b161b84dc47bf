"""What the log says, and that nobody waits for it."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest

from flask_connector_health import ProbeResult, Status
from flask_connector_health.model import UNKNOWN
from flask_connector_health.probes.spec import Probe

from .clockwork import (
    PATIENCE,
    Clock,
    Gated,
    Told,
    drive,
    eventually,
    hang,
    in_background,
    lane_of,
    result_of,
    waited_for,
)
from .conftest import MakeMonitor


def test_the_log_says_that_a_probe_is_too_slow_once_a_minute(
    make_monitor: MakeMonitor, clock: Clock, gated: Gated, caplog: pytest.LogCaptureFixture
) -> None:
    monitor = make_monitor(drive(gated, ttl=0))

    for pause, lines in ((0.0, 1), (50.0, 1), (15.0, 2)):
        clock.advance(pause)
        report = in_background(monitor.report)
        waited_for(monitor)
        clock.advance(1.0)
        assert result_of(report()) is UNKNOWN
        gated.let_through()
        clock.advance(1.0)
        eventually(lambda lines=lines: len(caplog.messages) == lines)  # type: ignore[misc]
        eventually(lambda: not lane_of(monitor)._flights)

    assert caplog.messages[0].startswith(
        "probe 'drive' counts as unavailable: it has no result within the request's deadline"
    )


@pytest.fixture
def blocked_log(monkeypatch: pytest.MonkeyPatch) -> Iterator[threading.Event]:
    """Have the log block; the event says that it does."""
    blocked, release = threading.Event(), threading.Event()

    def emit(*values: object, **options: object) -> None:
        blocked.set()
        release.wait(PATIENCE)

    monkeypatch.setattr("flask_connector_health.log.logger.log", emit)
    yield blocked
    release.set()


def test_a_log_that_blocks_holds_up_neither_requests_nor_runs(
    make_monitor: MakeMonitor, blocked_log: threading.Event
) -> None:
    monitor = make_monitor(drive(Told(False), scope="organization", slots=2), DEADLINE=PATIENCE)

    found = [monitor.report(f"org_{number}") for number in range(20)]

    assert blocked_log.wait(PATIENCE)
    assert {result_of(report) for report in found} == {ProbeResult(Status.UNAVAILABLE)}


def test_a_log_that_blocks_does_not_hold_up_the_watch(
    make_monitor: MakeMonitor, clock: Clock, gated: Gated, blocked_log: threading.Event
) -> None:
    monitor = make_monitor(drive(gated), Probe(name="other", call=Told(False)))
    in_background(monitor.report)
    assert blocked_log.wait(PATIENCE)

    hang(monitor, gated, clock)


def test_lines_of_the_log_keep_their_order(
    make_monitor: MakeMonitor, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    told = Told()
    monitor = make_monitor(drive(told, ttl=0), DEADLINE=PATIENCE)

    for number in range(100):
        told.answer = number % 2 == 1
        monitor.report()
    eventually(lambda: len(caplog.messages) == 100)

    assert [message.split(":")[0] for message in caplog.messages] == [
        "probe 'drive' is unavailable",
        "probe 'drive' is ok",
    ] * 50
