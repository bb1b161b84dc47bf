"""What belongs to one process and one run. Real processes are in test_processes.py."""

from __future__ import annotations

import contextlib
import contextvars
import functools
import os
import random
import threading
import time
import typing as t
from collections.abc import Callable

import pytest

from flask_connector_health.engine import environment
from flask_connector_health.engine.environment import Environment
from flask_connector_health.engine.process import Process
from flask_connector_health.probes.spec import Probe

from .clockwork import PATIENCE, Gated, Told, drive, eventually, in_background, lane_of
from .conftest import MakeMonitor


def test_a_run_leaves_nothing_in_the_context_of_the_next(
    make_monitor: MakeMonitor, gated: Gated
) -> None:
    tenant = contextvars.ContextVar("tenant", default="nobody")
    seen: list[tuple[int, str]] = []

    def call(organization_id: str) -> t.Any:
        seen.append((threading.get_ident(), tenant.get()))
        tenant.set(organization_id)
        return gated()

    monitor = make_monitor(drive(call, scope="organization", slots=1))
    tenant.set("a request's")

    first = in_background(lambda: monitor.report("org_a"))
    gated.wait_for_start()
    second = in_background(lambda: monitor.report("org_b"))
    eventually(lambda: lane_of(monitor)._queue)
    gated.let_through(2)

    assert first().available
    assert second().available
    [thread] = {thread for thread, _ in seen}
    assert seen == [(thread, "nobody")] * 2


def test_another_process_begins_anew_with_the_results_of_its_parent(
    make_monitor: MakeMonitor, monkeypatch: pytest.MonkeyPatch
) -> None:
    service, own = Told(), Told()
    monitor = make_monitor(drive(service), Probe(name="own", call=own, scope="organization"))
    monitor.report("org_a")
    parent = monitor._current()

    monkeypatch.setattr(os, "getpid", lambda: -1)

    assert monitor.report("org_a").available
    assert monitor._current() is not parent
    assert (service.runs, own.runs) == (1, 1)


def test_a_process_that_has_forked_from_another_is_not_that_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(environment, "_forks", environment._forks)
    before = environment.this_process()

    environment._count_fork()

    assert environment.this_process() != before
    assert environment.this_process()[0] == before[0]


def test_who_makes_a_runtime_too_late_takes_the_one_that_was_made(
    make_monitor: MakeMonitor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monitor = make_monitor(drive(Told()))
    make, first = monitor._make_process, []

    def make_late(*arguments: t.Any) -> Process:
        monkeypatch.setattr(monitor, "_make_process", make)
        first.append(monitor._current())
        return make(*arguments)

    monkeypatch.setattr(monitor, "_make_process", make_late)

    assert [monitor._current(), monitor._current()] == first * 2


class Left(BaseException):
    """Stand in for the end of a process."""


async def come_back_later(fork: Callable[[], bool]) -> bool:
    return fork()


@pytest.mark.parametrize("is_async", [False, True])
def test_a_forked_child_leaves_before_it_touches_what_is_its_parents(
    make_monitor: MakeMonitor, is_async: bool
) -> None:
    left: list[int] = []
    child = pytest.MonkeyPatch()

    def leave(code: int) -> None:
        left.append(code)
        child.undo()
        raise Left

    def fork() -> bool:
        child.setattr(os, "getpid", lambda: -1)
        child.setattr(os, "_exit", leave)
        return True

    call = functools.partial(come_back_later, fork) if is_async else fork
    monitor = make_monitor(drive(call), DEADLINE=PATIENCE)

    monitor.report()

    assert left == [0]


def test_time_is_monotonic_and_chance_is_from_0_to_1() -> None:
    defaults = Environment(contextlib.nullcontext)

    assert defaults.clock.now is time.monotonic
    assert defaults.jitter is random.random
