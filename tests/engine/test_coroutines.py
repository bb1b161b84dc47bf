"""Async probes: each run drives a loop of its own, and what it does hurts no other."""

from __future__ import annotations

import asyncio
import contextvars
import gc
import inspect
import os
import socket
import sys
import threading
import time
import typing as t
import warnings
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import suppress
from functools import partial

import anyio
import httpx
import pytest
from flask import current_app

from flask_connector_health import ConnectorHealth, ProbeResult, Report, Status
from flask_connector_health.engine.coroutines import Calls
from flask_connector_health.engine.coroutines import drive as drive_in_a_loop
from flask_connector_health.engine.monitor import Monitor
from flask_connector_health.engine.outcome import Outcome
from flask_connector_health.engine.threads import Threads
from tests.clockwork import (
    PATIENCE,
    engine_of,
    engine_threads,
    eventually,
    in_background,
    keeps_a_thread_until,
    lane_of,
    result_of,
)
from tests.conftest import MakeApp

AsyncProbe = Callable[..., Awaitable[object]]
MonitorOf = Callable[..., Monitor]

TIMEOUT = 0.15


@pytest.fixture
def monitor_of(make_app: MakeApp, health: ConnectorHealth) -> MonitorOf:
    """Make an app with this probe, without caching, on the real clock."""

    def make(call: AsyncProbe, **options: t.Any) -> Monitor:
        options = {"ttl": 0.0, "timeout": PATIENCE, **options}
        health.add_probe(t.cast(t.Any, call), name="drive", **options)
        return engine_of(make_app(DEADLINE=PATIENCE))

    return make


def drive_in(report: Report) -> ProbeResult:
    return result_of(report)


@pytest.fixture
def _garbage_goes() -> Iterator[None]:
    """Collect what nobody could close or await any more, and what asyncio says of it.

    Later, asyncio might say it in the middle of a compilation in another test. Before 3.11.8,
    Python fails that compilation, since a printed traceback needs the same compiler.
    """
    yield
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)
        gc.collect()


def files() -> int:
    return len(os.listdir("/proc/self/fd"))


# A run and its loop


def test_a_run_has_a_loop_of_its_own_in_its_slots_thread(monitor_of: MonitorOf) -> None:
    seen = []

    async def drive() -> bool:
        seen.append((asyncio.get_running_loop(), threading.current_thread().name))
        return True

    monitor = monitor_of(drive)

    assert [monitor.report().available for _ in range(3)] == [True] * 3
    assert len({loop for loop, _ in seen}) == 3
    assert {name for _, name in seen} == {"connector-health drive"}
    assert [loop.is_closed() for loop, _ in seen] == [True] * 3


def test_tasks_and_coroutines_are_what_asyncio_made(monitor_of: MonitorOf) -> None:
    async def child() -> bool:
        task = asyncio.current_task()
        return type(task) is asyncio.Task and inspect.iscoroutine(task.get_coro())

    async def drive() -> bool:
        return await child() and await asyncio.create_task(child())

    assert monitor_of(drive).report().available


def test_libraries_that_cancel_by_themselves_work(monitor_of: MonitorOf) -> None:
    async def drive() -> bool:
        with anyio.move_on_after(0.01) as scope:
            async with anyio.create_task_group() as group:
                group.start_soon(anyio.sleep, PATIENCE)
                await anyio.sleep(PATIENCE)
        with pytest.raises(TimeoutError), anyio.fail_after(0.01):
            await anyio.sleep(PATIENCE)
        async with (
            anyio.create_task_group() as group
        ):  # which ends before its child's first step
            group.start_soon(anyio.sleep, PATIENCE)
            group.cancel_scope.cancel()
        return scope.cancelled_caught

    assert monitor_of(drive).report().available


def test_a_connect_timeout_of_httpx_is_kept(monitor_of: MonitorOf) -> None:
    with socket.create_server(("127.0.0.1", 0), backlog=0) as listener:
        address = listener.getsockname()
        waiting = [socket.socket() for _ in range(3)]  # who fills the backlog
        for client in waiting:
            client.setblocking(False)
            client.connect_ex(address)

        async def drive() -> bool:
            async with httpx.AsyncClient(timeout=0.1, trust_env=False) as client:
                with pytest.raises(httpx.ConnectTimeout):
                    await client.get(f"http://127.0.0.1:{address[1]}/")
            return True

        found = drive_in(monitor_of(drive).report())
        for client in waiting:
            client.close()

    assert found == ProbeResult(Status.OK)


def test_a_run_sees_an_app_context_and_nothing_of_the_request_or_the_run_before(
    monitor_of: MonitorOf,
) -> None:
    tenant = contextvars.ContextVar("tenant", default="nobody")
    seen = []

    def call() -> bool:
        seen.append(tenant.get())
        tenant.set("a call's")
        return current_app.name == "host"

    async def drive() -> bool:
        seen.append(tenant.get())
        in_loop = asyncio.get_running_loop().run_in_executor
        named = await asyncio.to_thread(call)
        tenant.set("a run's")
        for _ in range(2):
            seen.append(await in_loop(None, tenant.get))
            await in_loop(None, tenant.set, "a thread's")
        return named

    monitor = monitor_of(drive)
    tenant.set("a request's")

    assert [monitor.report().available for _ in range(2)] == [True] * 2
    assert seen == ["nobody"] * 8


def test_what_a_run_leaves_behind_in_its_loop_ends_with_it(monitor_of: MonitorOf) -> None:
    ended = []

    async def numbers() -> AsyncIterator[int]:
        try:
            yield 1
        finally:
            ended.append("generator")

    async def child() -> None:
        try:
            await asyncio.sleep(PATIENCE)
        finally:
            ended.append("task")

    left: list[object] = []

    async def drive() -> bool:
        left.append(asyncio.create_task(child()))
        left.append(numbers())
        await asyncio.sleep(0)
        async for _ in t.cast("AsyncIterator[int]", left[1]):
            return True
        return False

    assert monitor_of(drive).report().available
    eventually(lambda: sorted(ended) == ["generator", "task"])


def test_a_task_left_behind_that_does_not_end_holds_up_no_verdict(
    monitor_of: MonitorOf,
) -> None:
    release = threading.Event()

    async def stubborn() -> None:
        while not release.is_set():
            with suppress(asyncio.CancelledError):
                await asyncio.sleep(0.01)

    left: list[object] = []

    async def drive() -> bool:
        left.append(asyncio.create_task(stubborn()))
        await asyncio.sleep(0)
        return True

    monitor = monitor_of(drive)

    assert monitor.report().available
    keeps_a_thread_until(monitor, release)


# A client that is kept between runs


REMEDY = (
    "a client that is kept between runs is bound to the event loop of the run that opened it,"
    " which has ended: open it inside the probe, or write the probe sync"
)


@pytest.mark.usefixtures("_garbage_goes")
def test_a_client_that_is_kept_between_runs_fails_with_the_remedy(
    monitor_of: MonitorOf, url: str, caplog: pytest.LogCaptureFixture
) -> None:
    kept = [httpx.AsyncClient(trust_env=False)]

    async def drive() -> bool:
        return (await kept[0].get(url)).status_code == 204

    monitor = monitor_of(drive)

    assert monitor.report().available
    assert not monitor.report().available
    eventually(lambda: REMEDY in caplog.text)
    assert "it raised RuntimeError: Event loop is closed" in caplog.text
    kept.clear()
    caplog.clear()  # its records lead to the client


def test_a_lock_that_is_kept_between_runs_fails_with_the_remedy(
    monitor_of: MonitorOf, caplog: pytest.LogCaptureFixture
) -> None:
    lock = asyncio.Lock()

    async def drive() -> bool:
        async with lock:
            with suppress(TimeoutError):  # a second one waits, and binds the lock to its loop
                await asyncio.wait_for(lock.acquire(), 0.01)
        return True

    async def wrapped() -> bool:
        try:
            return await drive()
        except RuntimeError as error:
            raise OSError("the pool is broken") from error

    monitor = monitor_of(wrapped)
    monitor.report()

    assert not monitor.report().available
    eventually(lambda: REMEDY in caplog.text)


def test_a_client_that_is_opened_inside_works_run_after_run(
    monitor_of: MonitorOf, url: str
) -> None:
    async def drive() -> bool:
        async with httpx.AsyncClient(trust_env=False) as client:
            return (await client.get(url)).status_code == 204

    monitor = monitor_of(drive)

    assert [monitor.report().available for _ in range(3)] == [True] * 3


# What goes wrong in a run


class Boom(BaseException):
    pass


@pytest.mark.parametrize(
    "error", [Boom, SystemExit, KeyboardInterrupt, GeneratorExit, asyncio.CancelledError]
)
def test_whatever_is_raised_fails_that_run_alone(
    monitor_of: MonitorOf, error: type[BaseException]
) -> None:
    raising = [True]

    async def drive() -> bool:
        if raising.pop() if raising else False:
            raise error
        return True

    monitor = monitor_of(drive, slots=1)

    assert drive_in(monitor.report()).message == "it raised an exception; see the log"
    assert drive_in(monitor.report()).status is Status.OK


@pytest.mark.usefixtures("_garbage_goes")
def test_a_task_of_the_probes_own_that_exits_fails_that_run_alone(
    monitor_of: MonitorOf, caplog: pytest.LogCaptureFixture
) -> None:
    async def leave() -> None:
        sys.exit(3)

    exiting = [True]

    async def drive() -> bool:
        if exiting.pop() if exiting else False:
            await asyncio.wait([asyncio.create_task(leave())])
        return True

    monitor = monitor_of(drive, slots=1)

    assert not monitor.report().available
    assert monitor.report().available
    eventually(lambda: "it raised SystemExit: 3" in caplog.text)
    caplog.clear()  # its record leads to the task


def test_a_run_past_its_timeout_is_cancelled_and_gives_its_slot_back(
    monitor_of: MonitorOf,
) -> None:
    cancelled = threading.Event()

    async def drive() -> bool:
        try:
            await asyncio.sleep(PATIENCE)
        except asyncio.CancelledError:
            cancelled.set()
            raise
        return True

    monitor = monitor_of(drive, timeout=TIMEOUT, slots=1)

    result = drive_in(monitor.report())

    assert result.message.startswith("no answer within its timeout")
    assert cancelled.wait(PATIENCE)
    eventually(lambda: not lane_of(monitor).slots.hung)
    assert drive_in(monitor.report()).message.startswith("no answer within its timeout")


def swallow(release: threading.Event) -> AsyncProbe:
    async def drive() -> None:
        while not release.is_set():
            with suppress(asyncio.CancelledError):
                await asyncio.sleep(0.01)

    return drive


def block(release: threading.Event) -> AsyncProbe:
    async def drive() -> None:
        release.wait(PATIENCE)

    return drive


def block_in_a_callback(release: threading.Event) -> AsyncProbe:
    async def drive() -> None:
        asyncio.get_running_loop().call_soon(release.wait, PATIENCE)
        await asyncio.sleep(0)
        await asyncio.sleep(0)

    return drive


def spin(release: threading.Event) -> AsyncProbe:
    async def drive() -> None:
        while not release.is_set():
            await asyncio.sleep(0)

    async def spinning() -> None:
        while not release.is_set():
            with suppress(asyncio.CancelledError):
                await drive()

    return spinning


@pytest.mark.parametrize("misuse", [swallow, block, block_in_a_callback, spin])
def test_whatever_a_run_does_it_hurts_its_own_slot_alone(
    make_app: MakeApp,
    health: ConnectorHealth,
    misuse: Callable[[threading.Event], AsyncProbe],
) -> None:
    release, runs = threading.Event(), []

    async def drive(organization_id: str) -> bool:
        runs.append(organization_id)
        if organization_id == "org_bad":
            await misuse(release)()
        await asyncio.sleep(0.1)
        return True

    health.add_probe(drive, name="drive", scope="organization", timeout=0.4, slots=3)
    monitor = engine_of(make_app(DEADLINE=PATIENCE))
    before = in_background(lambda: monitor.report("org_before"))
    eventually(lambda: runs == ["org_before"])
    bad = in_background(lambda: monitor.report("org_bad"))
    eventually(lambda: "org_bad" in runs)

    assert monitor.report("org_after").available
    assert before().available
    assert not bad().available
    eventually(lambda: lane_of(monitor).slots.hung == {"org_bad": 1})
    release.set()
    eventually(lambda: not lane_of(monitor).slots.hung)
    assert sorted(runs) == ["org_after", "org_bad", "org_before"]  # nothing is run twice


def test_a_late_run_that_raises_in_the_end_says_so(
    monitor_of: MonitorOf, caplog: pytest.LogCaptureFixture
) -> None:
    release = threading.Event()

    async def drive() -> bool:
        release.wait(PATIENCE)
        raise OSError("connection reset")

    monitor = monitor_of(drive, timeout=TIMEOUT)
    assert not monitor.report().available
    eventually(lambda: lane_of(monitor).slots.hung)

    release.set()

    text = "a run of probe 'drive' raised an exception after its verdict: OSError: connection"
    eventually(lambda: text in caplog.text)


# Loops that cannot be made or run


def no_descriptor(*arguments: object) -> t.NoReturn:
    raise OSError(24, "Too many open files")


def lose_its_files() -> None:
    """Do to a loop what closing files does that are not one's own."""
    loop = t.cast(t.Any, asyncio.get_running_loop())
    with open(os.devnull) as other:
        os.dup2(other.fileno(), loop._selector.fileno())


@pytest.mark.parametrize("wrapped", [False, True])
def test_without_a_loop_a_probe_is_not_run(
    monitor_of: MonitorOf,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    wrapped: bool,
) -> None:
    runs = []

    async def drive() -> bool:
        runs.append(1)
        return True

    monitor = monitor_of((lambda: drive()) if wrapped else drive)
    with monkeypatch.context() as patch:
        patch.setattr(asyncio, "new_event_loop", no_descriptor)
        refused = drive_in(monitor.report())

    text = "its event loop cannot be made or run (OSError: [Errno 24] Too many open files)"
    assert refused.message.startswith(text)
    line = f"probe 'drive' has no verdict, so the service is answered as unavailable: {text}"
    eventually(lambda: line in caplog.text)
    assert runs == []
    assert monitor.report().available


@pytest.mark.usefixtures("_garbage_goes")
def test_a_loop_whose_files_are_closed_ends_its_run_at_once(monitor_of: MonitorOf) -> None:
    closing = [True]

    async def drive() -> bool:
        if closing.pop() if closing else False:
            lose_its_files()
            await asyncio.sleep(PATIENCE)
        return True

    monitor = monitor_of(drive)
    began = time.process_time()

    refused = drive_in(monitor.report())

    assert refused.message.startswith("its event loop cannot be made or run (")
    assert time.process_time() - began < PATIENCE / 2
    assert drive_in(monitor.report()).status is Status.OK


def driven(awaitable: Awaitable[object]) -> Outcome | str | None:
    return drive_in_a_loop(awaitable, PATIENCE, Threads(), lambda outcome: None)


def test_a_loop_that_would_run_in_another_one_is_refused() -> None:
    async def drive() -> bool:
        return True

    async def outer() -> Outcome | str | None:
        return driven(drive())

    refused = asyncio.run(outer())

    assert str(refused).startswith("its event loop cannot be made or run (RuntimeError: Runner")


@pytest.mark.usefixtures("_garbage_goes")
def test_an_awaitable_that_cannot_be_closed_is_let_go() -> None:
    """A coroutine that raises when it is closed harms nothing."""

    async def drive() -> bool:
        lose_its_files()
        try:
            await asyncio.sleep(PATIENCE)
        finally:
            raise OSError("still busy")
        return True

    refused = driven(drive())

    assert str(refused).startswith("its event loop cannot be made or run (")


# Its threads


def test_a_run_has_eight_calls_in_threads_at_once(monitor_of: MonitorOf) -> None:
    meeting, lock, running, most = threading.Barrier(8), threading.Lock(), [0], []

    def call() -> None:
        with lock:
            running[0] += 1
            most.append(running[0])
        meeting.wait(PATIENCE)
        with lock:
            running[0] -= 1

    async def drive() -> bool:
        await asyncio.gather(*(asyncio.to_thread(call) for _ in range(16)))
        return True

    assert monitor_of(drive).report().available
    assert max(most) == 8
    eventually(lambda: not engine_threads("to_thread"))


def test_its_threads_are_used_again_by_later_runs(monitor_of: MonitorOf) -> None:
    seen = set()

    async def drive() -> bool:
        seen.add(await asyncio.to_thread(threading.get_ident))
        return True

    monitor = monitor_of(drive)
    for _ in range(50):
        assert monitor.report().available
        eventually(lambda: not engine_threads("to_thread") + engine_threads("drive"))

    assert len(seen) <= 10


@pytest.fixture
def hung_calls(make_app: MakeApp, health: ConnectorHealth) -> Iterator[Monitor]:
    """Make an app whose probe calls what hangs in threads, for some organizations."""
    release = threading.Event()

    async def drive(organization_id: str) -> bool:
        if organization_id == "org_bad":
            await asyncio.to_thread(release.wait, PATIENCE)
        if organization_id == "org_worse":
            calls = (asyncio.to_thread(release.wait, PATIENCE) for _ in range(20))
            await asyncio.gather(*calls)
        if organization_id == "org_careful":
            await asyncio.wait_for(asyncio.to_thread(release.wait, PATIENCE), 0.01)
        return await asyncio.to_thread(bool, 1)

    health.add_probe(drive, name="drive", scope="organization", timeout=0.5, slots=4)
    monitor = engine_of(make_app(DEADLINE=PATIENCE))
    yield monitor
    release.set()
    eventually(lambda: not lane_of(monitor).slots.hung)


@pytest.mark.parametrize("organization_id", ["org_bad", "org_careful", "org_worse"])
def test_a_run_keeps_its_slot_and_takes_no_others_threads_while_its_calls_hang(
    hung_calls: Monitor, organization_id: str
) -> None:
    assert not hung_calls.report(organization_id).available

    eventually(lambda: lane_of(hung_calls).slots.hung == {organization_id: 1})
    assert hung_calls.report("org_fine").available


def test_a_name_server_that_hangs_takes_no_others_threads(
    make_app: MakeApp, health: ConnectorHealth, monkeypatch: pytest.MonkeyPatch
) -> None:
    release = threading.Event()
    look_up = socket.getaddrinfo

    def slow(host: t.Any, *arguments: t.Any, **options: t.Any) -> t.Any:
        if host == "hung.example":
            release.wait(PATIENCE)
        return look_up("127.0.0.1", *arguments, **options)

    monkeypatch.setattr(socket, "getaddrinfo", slow)

    async def drive(organization_id: str) -> bool:
        host = "hung.example" if organization_id.startswith("org_hung") else "fine.example"
        return bool(await asyncio.get_running_loop().getaddrinfo(host, 80))

    health.add_probe(drive, name="drive", scope="organization", timeout=TIMEOUT)
    monitor = engine_of(make_app(DEADLINE=PATIENCE))
    hung = [in_background(partial(monitor.report, f"org_hung{n}")) for n in range(10)]

    assert monitor.report("org_fine").available
    assert {report().available for report in hung} == {False}
    release.set()
    eventually(lambda: not lane_of(monitor).slots.hung)


def test_what_a_call_in_a_thread_raises_is_raised_in_the_run(
    monitor_of: MonitorOf, caplog: pytest.LogCaptureFixture
) -> None:
    async def drive() -> bool:
        return bool(await asyncio.to_thread(int, "x"))

    assert not monitor_of(drive).report().available
    eventually(lambda: "it raised ValueError: invalid literal for int()" in caplog.text)


def test_calls_that_wait_for_a_thread_as_their_run_ends_are_never_made(
    monitor_of: MonitorOf,
) -> None:
    """When a run ends, its calls that have not begun are dropped."""
    meeting, release = threading.Barrier(9), threading.Event()
    made: list[int] = []

    def call() -> None:
        meeting.wait(PATIENCE)
        release.wait(PATIENCE)

    async def drive() -> bool:
        in_loop = asyncio.get_running_loop().run_in_executor
        for _ in range(8):
            in_loop(None, call)
        in_loop(None, made.append, 1)
        meeting.wait(PATIENCE)
        return True

    monitor = monitor_of(drive)

    assert monitor.report().available
    keeps_a_thread_until(monitor, release)
    assert made == []


def test_a_call_that_was_cancelled_in_time_is_never_made() -> None:
    release, calls = threading.Event(), Calls(Threads())
    made: list[int] = []
    running = [calls.submit(release.wait, PATIENCE) for _ in range(8)]

    cancelled = calls.submit(made.append, 1)
    last = calls.submit(made.append, 2)
    assert cancelled.cancel()
    release.set()

    last.result(PATIENCE)
    assert made == [2]
    assert [future.result(PATIENCE) for future in running] == [True] * 8


def refuse(threads: Threads, name: str, call: object) -> bool:
    return False


def test_a_call_that_found_no_thread_waits_for_one_that_its_run_has(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """If the system has no more threads, a call waits for one of its run's own."""
    release, calls = threading.Event(), Calls(Threads())
    calls.submit(release.wait, PATIENCE)
    monkeypatch.setattr(Threads, "run", refuse)

    waiting = calls.submit(int)
    release.set()

    assert waiting.result(PATIENCE) == 0


@pytest.fixture
def starving(monitor_of: MonitorOf, monkeypatch: pytest.MonkeyPatch) -> MonitorOf:
    """Make an app whose runs have a thread, but none for what they call."""
    run = Threads.run

    def refuse_calls(threads: Threads, name: str, call: Callable[[], object]) -> bool:
        return name != "to_thread" and run(threads, name, call)

    monkeypatch.setattr(Threads, "run", refuse_calls)
    return monitor_of


def test_a_run_is_not_failed_for_a_thread_that_the_system_refuses(
    starving: MonitorOf, caplog: pytest.LogCaptureFixture
) -> None:
    async def drive() -> bool:
        return await asyncio.to_thread(bool, 1)

    refused = drive_in(starving(drive).report())

    assert refused.message.startswith(
        "the system has no thread for this probe; raise the limits"
    )
    eventually(lambda: "probe 'drive' has no verdict" in caplog.text)
    assert "probe 'drive' fails" not in caplog.text


def test_a_run_that_does_without_the_thread_that_it_was_refused_has_its_verdict(
    starving: MonitorOf,
) -> None:
    """A probe that catches the refusal of a thread, and goes on, is judged by its answer."""

    async def drive() -> bool:
        with suppress(RuntimeError):
            await asyncio.to_thread(bool, 1)
        return True

    assert starving(drive).report().available


def test_runs_leave_no_files_and_no_threads(monitor_of: MonitorOf) -> None:
    async def drive() -> bool:
        await asyncio.get_running_loop().getaddrinfo("localhost", 80)
        return await asyncio.to_thread(bool, 1)

    monitor = monitor_of(drive)
    monitor.report()
    eventually(lambda: not engine_threads())
    before = files()

    for _ in range(200):
        assert monitor.report().available

    eventually(lambda: not engine_threads())
    assert files() == before


@pytest.mark.usefixtures("green_threads")
def test_under_eventlet_a_run_fails_at_once_and_says_why(monitor_of: MonitorOf) -> None:
    begun = []

    async def call() -> bool:
        begun.append(True)
        return True

    result = drive_in(monitor_of(call).report())

    assert result.status is Status.UNAVAILABLE
    assert result.message.startswith("eventlet has replaced the threads")
    assert "write the probe sync" in result.message
    assert begun == []
