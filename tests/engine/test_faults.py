"""What probes, the system and the clock do wrong, and what callers get all the same."""

from __future__ import annotations

import _thread
import gc
import io
import logging
import os
import socket
import sys
import threading
import time
import typing as t
import weakref
from collections.abc import Callable, Iterator
from functools import partial

import pytest
from flask import Flask
from werkzeug.serving import make_server

from flask_connector_health import ConnectorHealth, ProbeResult, Report, Status
from flask_connector_health.engine.events import Event, Settled
from flask_connector_health.log import LOGGER
from tests.clockwork import (
    PATIENCE,
    Clock,
    Gated,
    Told,
    drive,
    engine_of,
    engine_threads,
    eventually,
    lane_of,
    report_of,
    result_of,
)
from tests.conftest import PUBLIC, MakeApp, MakeMonitor

DEADLINE = 0.2

# Over a deadline, for a machine that is busy with other things as well.
MARGIN = 0.5


@pytest.fixture
def release() -> Iterator[threading.Event]:
    """Give what hung probes wait for: they hang until the test is over."""
    event = threading.Event()
    yield event
    event.set()
    eventually(lambda: not engine_threads("hung"))


def timed(call: Callable[[], t.Any]) -> float:
    started = time.monotonic()
    call()
    return time.monotonic() - started


# Probes that never answer


def sleep_in_native_code(release: threading.Event) -> bool:
    reader, writer = os.pipe()

    def close() -> None:
        release.wait(PATIENCE)
        os.close(writer)

    threading.Thread(target=close).start()
    with os.fdopen(reader, "rb") as file:
        return not file.read()


def spin_on_the_cpu(release: threading.Event) -> bool:
    while not release.is_set():
        pass
    return True


def log_in_a_loop(release: threading.Event) -> bool:
    logger = logging.getLogger("a probe's own")
    logger.propagate = False
    logger.handlers = [logging.StreamHandler(io.StringIO())]
    while not release.is_set():
        logger.warning("still here")
    return True


def wait_for_a_lock(release: threading.Event) -> bool:
    return release.wait(PATIENCE)


HANGS = [sleep_in_native_code, spin_on_the_cpu, log_in_a_loop, wait_for_a_lock]


@pytest.mark.parametrize("hang", HANGS)
def test_a_probe_that_hangs_costs_one_deadline_and_leaves_others_alone(
    make_app: MakeApp,
    health: ConnectorHealth,
    release: threading.Event,
    hang: Callable[[threading.Event], bool],
) -> None:
    health.add_probe(lambda: hang(release), name="hung", critical=False)
    health.add_probe(lambda: True, name="fine")
    app = make_app(DEADLINE=DEADLINE)

    first = timed(lambda: report_of(app))
    second = timed(lambda: report_of(app))

    assert first < DEADLINE + MARGIN
    assert second < DEADLINE
    assert result_of(report_of(app), "fine") == ProbeResult(Status.OK)
    assert report_of(app).status is Status.DEGRADED


@pytest.mark.parametrize("hang", HANGS)
def test_a_hung_probe_takes_no_more_threads_than_twice_its_slots(
    make_app: MakeApp,
    health: ConnectorHealth,
    release: threading.Event,
    hang: Callable[[threading.Event], bool],
) -> None:
    health.add_probe(
        lambda organization_id: hang(release),
        name="hung",
        scope="organization",
        timeout=0.02,
        slots=2,
    )
    app = make_app(DEADLINE=0.01, FAILURE_TTL=0)
    monitor = engine_of(app)

    def ask() -> bool:
        for number in range(9):
            monitor.report(f"org_{number}")
        return lane_of(monitor, "hung").slots.hung.total() == 4

    eventually(ask)

    assert len(engine_threads("hung")) == 4
    refused = result_of(monitor.report("org"), "hung")
    assert refused.message.startswith("4 runs of this probe hang, which is the limit")


def test_an_answer_after_the_timeout_is_a_failure(
    make_app: MakeApp, health: ConnectorHealth
) -> None:
    release = threading.Event()
    health.add_probe(lambda: release.wait(PATIENCE), name="late", timeout=0.05)
    app = make_app(DEADLINE=PATIENCE)

    failed = result_of(report_of(app), "late")
    release.set()
    eventually(lambda: lane_of(engine_of(app), "late").slots.hung.total() == 0)

    assert failed.message.startswith("no answer within its timeout of 0.05 s")
    assert result_of(report_of(app), "late") == failed


# Probes that answer nonsense, or try to leave


class Boom(BaseException):
    pass


def raise_(error: type[BaseException]) -> bool:
    raise error


@pytest.mark.parametrize(
    "leave",
    [
        partial(sys.exit, 1),
        _thread.exit,
        *(
            partial(raise_, error)
            for error in (Boom, KeyboardInterrupt, GeneratorExit, StopIteration, MemoryError)
        ),
    ],
    ids=repr,
)
def test_a_probe_that_leaves_oddly_fails_and_is_run_again(
    make_app: MakeApp, health: ConnectorHealth, leave: Callable[[], t.Any]
) -> None:
    health.add_probe(leave, name="odd", slots=1, ttl=0)
    app = make_app(DEADLINE=PATIENCE)

    reports = [report_of(app) for _ in range(3)]

    assert {result_of(report, "odd").status for report in reports} == {Status.UNAVAILABLE}
    assert "no verdict" not in str(reports)


class Unchecked(ProbeResult):
    """A subclass that checks nothing."""

    def __init__(self, status: object, message: object = "") -> None:
        object.__setattr__(self, "status", status)
        object.__setattr__(self, "message", message)


@pytest.mark.parametrize("result", [Unchecked("up"), Unchecked(Status.OK, 7)], ids=repr)
def test_a_result_that_is_none_fails(
    make_app: MakeApp, health: ConnectorHealth, result: ProbeResult
) -> None:
    """A subclass of ProbeResult that holds values of wrong types is a failure."""
    health.add_probe(lambda: result, name="odd", slots=1, ttl=0)
    app = make_app(DEADLINE=PATIENCE)

    messages = [result_of(report_of(app), "odd").message for _ in range(3)]

    assert messages[0].startswith("ProbeResult.")
    assert len(set(messages)) == 1


def test_what_a_failed_run_held_is_let_go_at_once(
    make_app: MakeApp, health: ConnectorHealth, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No cycle keeps a failed run's frames alive until the next garbage collection."""

    class Connection:
        pass

    held: list[weakref.ref[Connection]] = []

    def leaky() -> bool:
        connection = Connection()
        held.append(weakref.ref(connection))
        raise OSError("refused")

    # The handlers of a test run keep every record, with its exception.
    monkeypatch.setattr(logging.getLogger(LOGGER), "disabled", True)
    health.add_probe(leaky, name="leaky")
    app = make_app(DEADLINE=PATIENCE)

    gc.disable()
    try:
        report_of(app)
        eventually(lambda: held[0]() is None)
    finally:
        gc.enable()


def test_a_probe_whose_answers_change_their_type_is_judged_each_time(
    make_app: MakeApp, health: ConnectorHealth
) -> None:
    answers: Iterator[object] = iter(
        [True, None, Status.DEGRADED, "up", ProbeResult(Status.OK), [], 1, False]
    )
    health.add_probe(lambda: t.cast(bool, next(answers)), name="fickle", ttl=0)
    app = make_app(DEADLINE=PATIENCE)

    found = [result_of(report_of(app), "fickle").status.value for _ in range(8)]

    assert found == [
        *("ok", "unavailable", "degraded", "unavailable"),
        *("ok", "unavailable", "unavailable", "unavailable"),
    ]


def test_a_probe_that_starts_threads_of_its_own_is_left_to_it(
    make_app: MakeApp, health: ConnectorHealth, release: threading.Event
) -> None:
    def busy() -> bool:
        for _ in range(3):
            threading.Thread(target=release.wait, args=[PATIENCE], daemon=True).start()
        return True

    health.add_probe(busy, name="busy")

    assert report_of(make_app(DEADLINE=PATIENCE)).available


def test_a_probe_that_asks_for_the_health_itself_waits_for_the_deadline_at_most(
    make_app: MakeApp, health: ConnectorHealth
) -> None:
    """A probe that waits for its own verdict does not hang for ever."""
    apps: list[Flask] = []
    health.add_probe(lambda: report_of(apps[0]).available, name="circular", critical=False)
    apps.append(make_app(DEADLINE=DEADLINE))

    assert timed(lambda: report_of(apps[0])) < DEADLINE + MARGIN
    eventually(lambda: result_of(report_of(apps[0]), "circular").message == "")


# Clients


def test_a_client_that_hangs_up_cancels_nothing(
    make_app: MakeApp, health: ConnectorHealth, gated: Gated
) -> None:
    health.add_probe(gated, name="gated")
    app = make_app(DEADLINE=PATIENCE)
    server = make_server("127.0.0.1", 0, app, threaded=True)
    threading.Thread(target=server.serve_forever, daemon=True).start()

    with socket.create_connection(("127.0.0.1", server.server_port)) as client:
        client.sendall(f"GET {PUBLIC} HTTP/1.0\r\n\r\n".encode())
        gated.wait_for_start()
    gated.let_through()

    eventually(lambda: engine_of(app).status() is Status.OK)
    assert gated.runs == 1
    server.shutdown()
    server.server_close()


# The system


def test_without_a_single_thread_to_have_the_answer_comes_within_the_deadline(
    make_app: MakeApp, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(thread: threading.Thread) -> t.NoReturn:
        raise RuntimeError("can't start new thread")

    client = make_app(DEADLINE=DEADLINE).test_client()
    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", refuse)
        started = time.monotonic()
        response = client.get(PUBLIC)

    assert time.monotonic() - started < DEADLINE + MARGIN
    assert response.status_code == 503
    eventually(lambda: client.get(PUBLIC).status_code == 200)


def told_over_time(make: MakeMonitor, clock: Clock, step: float) -> list[object]:
    """Ask all questions again and again, and give the answers, and what was announced.

    :param step: how far the time of day goes astray before each question, in seconds.
    """
    told, heard = Told(), list[Event]()
    clock.epoch = 0.0  # or what goes by the time of day would be as wrong without any step
    monitor = make(
        drive(told, failure_threshold=2),
        listeners=[heard.append],
        GROUPS={"ready": ["drive"]},
        TTL=5.0,
        MAX_STALE=0.0,
    )
    found: list[object] = []
    for answer in (True, True, False, False, True):
        told.answer = answer
        for seconds in (0.0, 0.5, 0.5, 3.5, 0.5):
            clock.advance(seconds)
            clock.epoch += step
            found += [monitor.peek().status, monitor.status(), monitor.status(group="ready")]
            [detail] = monitor.details().probes
            found += [monitor.report().status, detail.state, detail.status, detail.age_seconds]
            found += [detail.duration_ms, detail.consecutive_failures, told.runs]
    return found + [
        (event.before, event.held, event.verdict)
        for event in heard
        if isinstance(event, Settled)
    ]


@pytest.mark.parametrize("step", [1e7, -1e7, 3.0, -3.0])
def test_no_verdict_goes_by_the_time_of_day(
    make_monitor: MakeMonitor, clock: Clock, step: float
) -> None:
    steady = told_over_time(make_monitor, clock, step=0.0)

    assert told_over_time(make_monitor, clock, step) == steady


def test_the_time_of_day_is_asked_of_the_clock_alone(
    make_app: MakeApp, health: ConnectorHealth, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []

    def step() -> float:
        asked.append(1)
        return 0.0

    health.add_probe(lambda organization_id: True, name="own", scope="organization")
    app = make_app()
    for name in ("time", "time_ns"):
        monkeypatch.setattr(time, name, step)

    found = [report_of(app, "org_a").status for _ in range(3)]

    assert found == [Status.OK] * 3
    assert asked == []


# Load


def test_one_organization_that_hangs_makes_no_other_late_or_wrong(
    make_app: MakeApp, health: ConnectorHealth, release: threading.Event
) -> None:
    def tenant(organization_id: str) -> bool:
        if organization_id == "org_hung":
            release.wait(PATIENCE)
        return organization_id != "org_broken"

    health.add_probe(tenant, name="tenant", scope="organization", timeout=0.5)
    app = make_app(DEADLINE=0.8, TTL=0.05, FAILURE_TTL=0.05, MAX_STALE=0)
    monitor = engine_of(app)
    expected = {f"org_{number}": Status.OK for number in range(8)}
    expected["org_broken"] = Status.UNAVAILABLE
    wrong: list[tuple[str, Report]] = []
    end = time.monotonic() + 2.0

    def ask(organization_id: str) -> None:
        while time.monotonic() < end:
            report = monitor.report(organization_id)
            if report.status is not expected.get(organization_id, Status.UNAVAILABLE):
                wrong.append((organization_id, report))
            time.sleep(0.005)

    threads = [
        threading.Thread(target=ask, args=[organization_id])
        for organization_id in [*expected, "org_hung"]
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert wrong == []
    assert lane_of(monitor, "tenant").slots.hung == {"org_hung": 2}
