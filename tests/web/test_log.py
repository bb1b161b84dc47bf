"""What the log says, and that nobody waits for it."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Iterator

import pytest

from flask_connector_health import (
    ConnectorHealth,
    ProbeResult,
    Status,
)
from flask_connector_health.model import UNKNOWN
from flask_connector_health.probes.spec import Probe
from tests.clockwork import (
    PATIENCE,
    Clock,
    Gated,
    Told,
    drive,
    eventually,
    hang,
    in_background,
    lane_of,
    report_of,
    result_of,
    waited_for,
)
from tests.conftest import PUBLIC, MakeApp, MakeMonitor


def test_the_log_says_that_a_probe_is_too_slow_once_a_minute(
    make_monitor: MakeMonitor, clock: Clock, gated: Gated, caplog: pytest.LogCaptureFixture
) -> None:
    monitor = make_monitor(drive(gated, ttl=0))

    for pause, lines in ((0.0, 1), (50.0, 1), (15.0, 2)):
        clock.advance(pause)
        report = in_background(monitor.report)
        waited_for(monitor)
        clock.advance(1.0)
        assert result_of(report()) == UNKNOWN
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


def test_the_log_speaks_when_a_verdict_turns_and_not_per_request(
    make_app: MakeApp, health: ConnectorHealth, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    told = Told()
    health.add_probe(told, name="drive", ttl=0)
    client = make_app().test_client()

    boom = RuntimeError("boom")
    for answer, lines in ((True, 0), (boom, 1), (boom, 1), (Status.DEGRADED, 2), (True, 3)):
        told.answer = answer
        for _ in range(3):
            client.get(PUBLIC)
        eventually(lambda lines=lines: len(caplog.records) >= lines)  # type: ignore[misc]

    raised = (
        "probe 'drive' is unavailable: it raised RuntimeError: boom;"
        " mend the probe, or let it raise ProbeFailed if this failure is its answer"
    )
    assert told.runs == 15
    assert [(record.levelname, record.getMessage()) for record in caplog.records] == [
        ("ERROR", raised),
        ("WARNING", "probe 'drive' is degraded: the probe says so"),
        ("INFO", "probe 'drive' is ok: the probe says so"),
    ]


def test_the_log_names_the_organization(
    make_app: MakeApp, health: ConnectorHealth, caplog: pytest.LogCaptureFixture
) -> None:
    health.add_probe(
        lambda organization_id: ProbeResult(Status.UNAVAILABLE, "token expired"),
        name="drive",
        scope="organization",
    )

    report_of(make_app(), "org_xyz789")

    expected = "probe 'drive' of organization 'org_xyz789' is unavailable: token expired"
    eventually(lambda: expected in caplog.messages)


def test_a_log_handler_that_raises_costs_no_verdict(
    make_app: MakeApp, health: ConnectorHealth
) -> None:
    class Broken(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            raise OSError("disk full")

    health.add_probe(lambda: Status.DEGRADED, name="drive")
    broken = Broken()
    package = logging.getLogger("flask_connector_health")
    package.addHandler(broken)
    try:
        assert report_of(make_app()).status is Status.DEGRADED
    finally:
        package.removeHandler(broken)


def test_a_hung_probe_is_unavailable_within_the_deadline_and_named_once(
    make_app: MakeApp, health: ConnectorHealth, caplog: pytest.LogCaptureFixture
) -> None:
    release = threading.Event()
    health.add_probe(release.wait, name="drive")
    client = make_app(DEADLINE=0.25, TTL=0).test_client()

    started = time.monotonic()
    responses = [client.get(PUBLIC) for _ in range(3)]
    elapsed = time.monotonic() - started
    release.set()

    assert [response.status_code for response in responses] == [503] * 3
    assert responses[0].data == b'{"status": "unavailable", "available": false}'
    assert elapsed < 2  # three deadlines at most, and far below the probe's timeout of 5 s
    eventually(lambda: caplog.messages)
    [message] = caplog.messages
    assert message.startswith("probe 'drive' counts as unavailable: it has no result within")
    assert "make it faster, or raise CONNECTOR_HEALTH_DEADLINE" in message
