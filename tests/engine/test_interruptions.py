"""Exceptions of signal handlers, which come at any line of a caller's thread."""

from __future__ import annotations

import sys
import threading
import types
import typing as t
from collections.abc import Callable

import pytest

from flask_connector_health.engine.lane import RECALL, Lane
from flask_connector_health.engine.monitor import Monitor
from flask_connector_health.probes.spec import Probe
from tests.clockwork import (
    PATIENCE,
    Clock,
    Gated,
    Told,
    drive,
    eventually,
    in_background,
    lane_of,
)
from tests.conftest import MakeMonitor


class Interrupted(BaseException):
    """Stand in for what the handler of SIGALRM raises, or Celery's of its soft limit."""


class Interrupting:
    """Raises at the n-th line of the engine's that a thread comes to."""

    def __init__(self, line: int) -> None:
        self._left = line
        self.where = ""

    def __call__(self, frame: types.FrameType, event: str, argument: object) -> t.Any:
        if "flask_connector_health" not in frame.f_code.co_filename:
            return None
        if event == "line":
            self._left -= 1
            if self._left == 0:
                self.where = f"{frame.f_code.co_filename}:{frame.f_lineno}"
                raise Interrupted
        return self


def interrupted(call: Callable[[], object], line: int) -> str:
    """Make a call in a thread that is interrupted; say where, or nothing if it came through."""
    interrupting = Interrupting(line)

    def caller() -> None:
        sys.settrace(interrupting)
        try:
            call()
        except Interrupted:
            pass
        finally:
            sys.settrace(None)

    thread = threading.Thread(target=caller, daemon=True)
    thread.start()
    thread.join(PATIENCE)
    assert not thread.is_alive(), interrupting.where
    return interrupting.where


Prepare = Callable[[Monitor, Clock], object]


def warmed(monitor: Monitor, clock: Clock) -> None:
    monitor.report("org_a")


def refreshed(monitor: Monitor, clock: Clock) -> None:
    monitor.report("org_a")
    clock.advance(6.0)  # stale: the next one is a refresh


@pytest.mark.parametrize(
    "prepare",
    [lambda monitor, clock: None, pytest.param(warmed, marks=pytest.mark.soak), refreshed],
)
def test_after_an_interruption_at_any_line_the_next_is_answered(
    make_monitor: MakeMonitor, clock: Clock, prepare: Prepare
) -> None:
    line, where = 0, "at first"
    while where:
        line += 1
        ttl = 5.0 if prepare is refreshed else 0.0
        monitor = make_monitor(
            drive(Told(), ttl=ttl),
            Probe(name="own", call=Told(), scope="organization", ttl=ttl, slots=1),
            DEADLINE=PATIENCE,
        )
        prepare(monitor, clock)
        where = interrupted(lambda monitor=monitor: monitor.report("org_a"), line)  # type: ignore[misc]
        clock.advance(RECALL)

        assert monitor.report("org_a").available, where
        eventually(lambda monitor=monitor: nothing_is_left(monitor, clock))  # type: ignore[misc]
    assert line > 100


def nothing_is_left(monitor: Monitor, clock: Clock) -> bool:
    """Ask once more: who was interrupted may have been about to start a thread."""
    clock.advance(RECALL)
    monitor.report("org_a")
    lanes = [lane_of(monitor, name) for name in ("drive", "own")]
    return not any(lane._flights or lane.slots.running for lane in lanes)


class Unwritable(dict[t.Any, t.Any]):
    """A dictionary to which a signal handler's exception lets nothing be added."""

    def __setitem__(self, key: object, value: object) -> t.NoReturn:
        raise Interrupted


def interrupt_before_it_is_registered(monitor: Monitor, organization_id: str) -> Lane:
    lane = lane_of(monitor)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(lane, "_flights", Unwritable())
        with pytest.raises(Interrupted):
            monitor.report(organization_id)
    assert len(lane._queue) == 1
    return lane


def test_a_flight_that_an_interruption_left_in_the_queue_takes_nobodys_slot(
    make_monitor: MakeMonitor,
) -> None:
    """The next request does not wait for the next look of the watch, which may be far away."""
    probe = drive(Told(), scope="organization", slots=1, ttl=0)
    monitor = make_monitor(probe, DEADLINE=PATIENCE)
    lane = interrupt_before_it_is_registered(monitor, "org_a")

    assert in_background(lambda: monitor.report("org_b"))().available
    assert not lane._queue


def test_a_run_that_an_interruption_left_ends_no_other_flight_of_its_key(
    make_monitor: MakeMonitor, gated: Gated
) -> None:
    monitor = make_monitor(drive(gated, scope="organization", ttl=0), DEADLINE=PATIENCE)
    lane = interrupt_before_it_is_registered(monitor, "org_a")
    lane.look()  # calls a thread for it
    gated.wait_for_start()

    report = in_background(lambda: monitor.report("org_a"))
    gated.wait_for_start()
    gated.let_through(2)

    assert report().available
    eventually(lambda: not lane._flights)
