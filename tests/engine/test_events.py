"""Events: every settled run is announced once, and no listener can do harm."""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import threading
import typing as t
from collections.abc import Callable, Iterator

import pytest

from flask_connector_health import Status
from flask_connector_health.engine.events import (
    EndedLate,
    Event,
    NoVerdict,
    Settled,
    Transition,
)
from tests.clockwork import (
    PATIENCE,
    Clock,
    Gated,
    Told,
    drive,
    engine_threads,
    eventually,
    hang,
    in_background,
    result_of,
    waited_for,
)
from tests.conftest import MakeMonitor


@pytest.fixture
def heard() -> list[Event]:
    return []


def test_every_settled_run_is_announced_with_the_verdict_before_and_after(
    make_monitor: MakeMonitor, heard: list[Event]
) -> None:
    told = Told()
    probe = drive(told, ttl=0, failure_threshold=2, scope="organization")
    monitor = make_monitor(probe, listeners=[heard.append])

    for answer in (True, False, False):
        told.answer = answer
        in_background(lambda: monitor.report("org_a"))()

    settled = [event for event in heard if isinstance(event, Settled)]
    assert {(event.probe, event.organization_id) for event in heard} == {("drive", "org_a")}
    assert [(event.before, event.verdict) for event in settled] == [
        (None, Status.OK),
        (Status.OK, Status.OK),  # one failure of two
        (Status.OK, Status.UNAVAILABLE),
    ]
    assert [event.outcome.result.status for event in settled] == [
        *(Status.OK, Status.UNAVAILABLE, Status.UNAVAILABLE)
    ]


@pytest.mark.parametrize("critical", [True, False])
def test_an_event_says_how_long_the_verdict_before_had_held(
    make_monitor: MakeMonitor, clock: Clock, heard: list[Event], critical: bool
) -> None:
    told, began = Told(), clock.now()
    probe = drive(told, ttl=0, critical=critical)
    monitor = make_monitor(probe, listeners=[heard.append], DEADLINE=PATIENCE)

    for answer in (False, False, True):
        told.answer = answer
        monitor.report()
        clock.advance(4.0)

    settled = [event for event in heard if isinstance(event, Settled)]
    assert [event.held for event in settled] == [None, 4.0, 8.0]
    assert [event.at - began for event in settled] == [0.0, 4.0, 8.0]
    assert {event.critical for event in settled} == {critical}


def test_an_event_says_when_the_run_ended_and_how_long_it_had_gone_on(
    make_monitor: MakeMonitor, clock: Clock, heard: list[Event]
) -> None:
    def slow() -> bool:
        clock.advance(0.25)
        return True

    make_monitor(drive(slow), listeners=[heard.append], DEADLINE=PATIENCE).report()

    [settled] = heard
    assert isinstance(settled, Settled)
    assert settled.duration == 0.25
    assert (settled.at, settled.time_of_day) == (clock.now(), clock.time_of_day())


@pytest.mark.parametrize("critical", [True, False])
def test_a_turn_says_whether_the_probe_is_critical(
    make_monitor: MakeMonitor, heard: list[Event], critical: bool
) -> None:
    probe = drive(Told(False), critical=critical)

    make_monitor(probe, listeners=[heard.append], DEADLINE=PATIENCE).report()

    [turn] = [event for event in heard if isinstance(event, Transition)]
    assert turn.critical is critical


def test_an_overdue_run_is_announced_once(
    make_monitor: MakeMonitor, clock: Clock, gated: Gated, heard: list[Event]
) -> None:
    monitor = make_monitor(drive(gated), listeners=[heard.append])
    hang(monitor, gated, clock)

    gated.let_through()
    eventually(lambda: not engine_threads("drive"))

    settled, turn = heard
    assert isinstance(settled, Settled)
    assert isinstance(turn, Transition)
    assert settled.verdict is turn.after is Status.UNAVAILABLE
    assert settled.duration == 5.0  # its timeout, however long it goes on


def test_an_exception_after_the_verdict_is_announced(
    make_monitor: MakeMonitor, clock: Clock, gated: Gated, heard: list[Event]
) -> None:
    error = OSError("reset")

    def late() -> t.NoReturn:
        gated()
        raise error

    monitor = make_monitor(drive(late), listeners=[heard.append])
    hang(monitor, gated, clock)

    gated.let_through()

    eventually(lambda: heard[2:] == [EndedLate("drive", None, error)])


def test_an_answer_without_a_verdict_is_announced(
    make_monitor: MakeMonitor, clock: Clock, gated: Gated, heard: list[Event]
) -> None:
    monitor = make_monitor(drive(gated), listeners=[heard.append])
    report = in_background(monitor.report)
    waited_for(monitor)

    clock.advance(0.05)
    report()

    eventually(lambda: heard)
    [event] = heard
    assert isinstance(event, NoVerdict)
    assert event.reason.startswith("it has no result within the request's deadline of 0.05 s")


def test_a_listener_that_raises_costs_no_verdict_and_no_other_listener(
    make_monitor: MakeMonitor, heard: list[Event]
) -> None:
    def broken(event: Event) -> t.NoReturn:
        raise SystemExit

    monitor = make_monitor(drive(Told()), listeners=[broken, heard.append])

    assert result_of(in_background(monitor.report)()).status is Status.OK
    assert len(heard) == 1


def test_a_call_that_a_listener_returns_is_made_in_the_background(
    make_monitor: MakeMonitor,
) -> None:
    made: list[str] = []

    def listener(event: Event) -> Callable[[], object]:
        return lambda: made.append(threading.current_thread().name)

    monitor = make_monitor(drive(Told()), listeners=[listener])
    monitor.report()

    eventually(lambda: made == ["connector-health events"])


async def left_behind() -> bool:
    task = asyncio.create_task(asyncio.sleep(0))  # so that the outcome comes before the end
    return not task.done()


@pytest.mark.parametrize("call", [Told(), left_behind])
def test_a_listener_hears_in_an_empty_context(
    make_monitor: MakeMonitor, call: Callable[[], t.Any]
) -> None:
    """It sees no request, no app context and no event loop of a probe."""
    tenant = contextvars.ContextVar("tenant", default="nobody")
    seen: list[tuple[str, int]] = []

    def listener(event: Event) -> None:
        seen.append((tenant.get(), len(contextvars.copy_context())))

    @contextlib.contextmanager
    def open_context() -> Iterator[None]:
        tenant.set("a run's")
        yield

    monitor = make_monitor(
        drive(call), open_context=open_context, listeners=[listener], DEADLINE=PATIENCE
    )
    tenant.set("a request's")
    monitor.report()

    eventually(lambda: seen == [("nobody", 0)])


def test_no_listener_hears_in_the_thread_of_a_request(
    make_monitor: MakeMonitor, clock: Clock, gated: Gated
) -> None:
    threads: list[str] = []

    def listener(event: Event) -> None:
        threads.append(threading.current_thread().name)

    monitor = make_monitor(drive(gated), listeners=[listener])
    report = in_background(monitor.report)
    waited_for(monitor)

    clock.advance(0.05)
    report()

    eventually(lambda: threads == ["connector-health events"])


def test_a_listener_whose_calls_block_holds_up_no_other_one(make_monitor: MakeMonitor) -> None:
    """The log goes on while a receiver of the host's waits for a server."""
    release, told = threading.Event(), threading.Event()
    monitor = make_monitor(
        drive(Told()),
        listeners=[lambda event: lambda: release.wait(PATIENCE), lambda event: told.set],
        DEADLINE=PATIENCE,
    )

    monitor.report()
    was_told = told.wait(PATIENCE / 2)

    release.set()
    assert was_told
