"""Async probes: a loop that persists, and what happens to those that misuse it."""

from __future__ import annotations

import asyncio
import contextvars
import gc
import http.server
import sys
import threading
import time
import typing as t
from collections.abc import Awaitable, Callable, Iterator
from contextlib import suppress
from functools import partial

import httpx
import pytest
from flask import current_app

from flask_connector_health import ConnectorHealth, ProbeResult, Report, Status
from flask_connector_health.engine import executor as executor_module
from flask_connector_health.engine import loop as loop_module
from flask_connector_health.engine import native
from flask_connector_health.engine.executor import Executor
from flask_connector_health.engine.loop import Loops
from flask_connector_health.engine.monitor import Monitor
from flask_connector_health.engine.outcome import Outcome, answered
from flask_connector_health.engine.run import Run, Steps

from .clockwork import PATIENCE, engine_of, engine_threads, eventually, in_background, lane_of
from .conftest import MakeApp

AsyncProbe = Callable[[], Awaitable[object]]

TIMEOUT = 0.15


@pytest.fixture
def monitor_of(make_app: MakeApp, health: ConnectorHealth) -> Callable[..., Monitor]:
    """Make an app with this probe, without caching, on the real clock."""

    def make(call: AsyncProbe, **options: t.Any) -> Monitor:
        options = {"ttl": 0.0, "timeout": PATIENCE, **options}
        health.add_probe(t.cast(t.Any, call), name="drive", **options)
        app = make_app(DEADLINE=PATIENCE)
        return engine_of(app)

    return make


def drive_in(report: Report) -> ProbeResult:
    return report.results["drive"]


# The loop


def test_runs_share_one_loop_in_a_thread_of_its_own(
    monitor_of: Callable[..., Monitor],
) -> None:
    seen = set()

    async def drive() -> bool:
        seen.add((asyncio.get_running_loop(), threading.current_thread().name))
        return True

    monitor = monitor_of(drive)

    assert [monitor.report().available for _ in range(3)] == [True] * 3
    [(_, thread)] = seen
    assert thread == "connector-health loop"


@pytest.fixture
def url() -> Iterator[str]:
    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            self.send_response(204)
            self.end_headers()

        def log_message(self, *values: object) -> None: ...

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/"
        server.shutdown()


def test_a_hosts_shared_async_client_works_run_after_run(
    monitor_of: Callable[..., Monitor], url: str
) -> None:
    client = httpx.AsyncClient()

    async def drive() -> bool:
        return (await client.get(url)).status_code == 204

    async def drive_or_close() -> bool:
        if closing.is_set():
            await client.aclose()
            return True
        return await drive()

    closing = threading.Event()
    monitor = monitor_of(drive_or_close)

    found = [monitor.report().available for _ in range(3)]
    closing.set()
    monitor.report()

    assert found == [True] * 3


def test_a_run_sees_an_app_context_and_nothing_of_the_request_or_the_run_before(
    monitor_of: Callable[..., Monitor],
) -> None:
    tenant = contextvars.ContextVar("tenant", default="nobody")
    seen = []

    async def drive() -> bool:
        seen.append((tenant.get(), current_app.name))
        tenant.set("a run's")
        return await asyncio.to_thread(lambda: current_app.name == "host")

    monitor = monitor_of(drive)
    tenant.set("a request's")

    assert [monitor.report().available for _ in range(2)] == [True] * 2
    assert seen == [("nobody", "host")] * 2


def test_the_loop_ends_with_its_app(make_app: MakeApp, health: ConnectorHealth) -> None:
    async def drive() -> bool:
        return True

    health.add_probe(drive, name="drive")
    before = set(engine_threads("loop"))
    app = make_app(TIMEOUT=0.1)
    engine_of(app).report()
    [loop] = set(engine_threads("loop")) - before

    def has_ended() -> bool:
        gc.collect()
        return not loop.is_alive()

    del app
    eventually(has_ended)


# What goes wrong in it


class Boom(BaseException):
    pass


@pytest.mark.parametrize(
    "error", [Boom, SystemExit, KeyboardInterrupt, GeneratorExit, asyncio.CancelledError]
)
def test_whatever_is_raised_fails_the_run_and_the_loop_goes_on(
    monitor_of: Callable[..., Monitor], error: type[BaseException]
) -> None:
    raising = [True]

    async def drive() -> bool:
        if raising.pop() if raising else False:
            raise error
        return True

    monitor = monitor_of(drive)

    assert drive_in(monitor.report()).status is Status.UNAVAILABLE
    assert drive_in(monitor.report()).status is Status.OK
    assert len(engine_threads("loop")) >= 1


def test_a_task_of_the_probes_own_that_exits_does_not_stop_the_loop(
    monitor_of: Callable[..., Monitor],
) -> None:
    async def drive() -> bool:
        task = asyncio.create_task(leave())
        await asyncio.wait([task])
        return isinstance(task.exception(), SystemExit)

    monitor = monitor_of(drive)

    assert [monitor.report().available for _ in range(2)] == [True] * 2


def test_a_run_past_its_timeout_is_cancelled_and_gives_its_slot_back(
    monitor_of: Callable[..., Monitor],
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
    eventually(lambda: lane_of(monitor)._hung.total() == 0)
    assert drive_in(monitor.report()).message.startswith("no answer within its timeout")


def test_one_that_swallows_its_cancellation_holds_up_nobody(
    monitor_of: Callable[..., Monitor],
) -> None:
    hanging, release = [True], threading.Event()
    loops = set()

    async def drive() -> bool:
        loops.add(asyncio.get_running_loop())
        if hanging:
            hanging.clear()
            while not release.is_set():
                try:
                    await asyncio.sleep(0.01)
                except asyncio.CancelledError:
                    continue
        return True

    monitor = monitor_of(drive, timeout=TIMEOUT)

    assert not drive_in(monitor.report()).status.available
    eventually(lambda: lane_of(monitor)._hung.total() == 1)
    assert drive_in(monitor.report()).status is Status.OK
    assert len(loops) == 1
    release.set()
    eventually(lambda: lane_of(monitor)._hung.total() == 0)


def test_a_blocked_loop_is_retired_and_the_next_run_has_a_new_one(
    monitor_of: Callable[..., Monitor],
) -> None:
    release = threading.Event()
    loops = []

    async def drive() -> bool:
        loops.append((asyncio.get_running_loop(), threading.current_thread()))
        if len(loops) == 1:
            release.wait(PATIENCE)
        return True

    monitor = monitor_of(drive, timeout=TIMEOUT)

    assert not drive_in(monitor.report()).status.available
    eventually(lambda: drive_in(monitor.report()).status is Status.OK)
    (blocked, thread), *others = loops
    assert blocked not in [loop for loop, _ in others]
    release.set()
    thread.join(PATIENCE)
    assert not thread.is_alive()
    assert blocked.is_closed()
    eventually(lambda: lane_of(monitor)._hung.total() == 0)


async def leave() -> None:
    sys.exit(3)


def test_a_retired_loop_ends_its_runs_whatever_their_tasks_do() -> None:
    loops, release, started = Loops(2, time.monotonic), threading.Event(), threading.Event()
    threads = []

    async def block() -> Outcome:
        threads.append(threading.current_thread())
        started.set()
        release.wait(PATIENCE)
        with suppress(asyncio.CancelledError):
            await asyncio.sleep(PATIENCE)
        task = asyncio.create_task(leave())
        await asyncio.wait([task])
        await asyncio.sleep(0.01)
        return answered(isinstance(task.exception(), SystemExit))

    blocked = in_background(lambda: loops.run(block, TIMEOUT))
    started.wait(PATIENCE)
    eventually(lambda: loops._loop is None)
    release.set()

    assert blocked() == answered(True)
    threads[0].join(PATIENCE)
    assert not threads[0].is_alive()


def test_a_loop_that_closed_in_the_meantime_is_not_asked_for_anything() -> None:
    loops = Loops(1, time.monotonic)
    loop = loops._new_loop()
    assert not isinstance(loop, str)
    loops._give_up(loop, Run())
    eventually(lambda: loop._loop.is_closed())

    loop.retire()

    assert not loop.answers()


def test_a_run_that_cannot_begin_has_failed() -> None:
    def refuse() -> t.NoReturn:
        raise OSError("no task today")

    outcome = Loops(1, time.monotonic).run(refuse, PATIENCE)

    assert isinstance(outcome, Outcome)

    assert outcome is not None
    assert isinstance(outcome.cause, OSError)


def test_a_run_without_a_task_is_cancelled_without_a_word(
    caplog: pytest.LogCaptureFixture,
) -> None:
    loops = Loops(1, time.monotonic)
    loop = loops._new_loop()
    assert not isinstance(loop, str)

    loop.cancel(Run())

    assert loop.answers()
    assert caplog.messages == []


def test_a_task_factory_that_raises_has_failed_the_run() -> None:
    loops = Loops(1, time.monotonic)

    def refuse(*arguments: object, **options: object) -> t.NoReturn:
        raise OSError("no task today")

    async def run() -> Outcome:
        asyncio.get_running_loop().set_task_factory(refuse)
        return answered(True)

    loops.run(run, PATIENCE)
    outcome = loops.run(run, PATIENCE)

    assert isinstance(outcome, Outcome)
    assert isinstance(outcome.cause, OSError)


def test_a_new_loop_has_the_threads_of_the_old_one() -> None:
    loops = Loops(1, time.monotonic)

    async def call() -> Outcome:
        return answered(await asyncio.to_thread(bool, 1))

    found = []
    for _ in range(2):
        found.append(loops.run(call, PATIENCE))
        loop = loops._loop
        assert loop is not None
        loops._give_up(loop, Run())

    assert found == [answered(True)] * 2


def test_a_run_that_obeys_its_cancellation_keeps_no_other_from_its_turn(
    make_app: MakeApp, health: ConnectorHealth
) -> None:
    async def drive(organization_id: str) -> bool:
        if organization_id == "org_slow":
            await asyncio.sleep(PATIENCE)
        return True

    health.add_probe(drive, name="drive", scope="organization", slots=1, timeout=TIMEOUT)
    monitor = engine_of(make_app(DEADLINE=PATIENCE))
    names = ["org_slow", *(f"org_{number}" for number in range(10))]

    reports = [in_background(partial(monitor.report, name)) for name in names]

    assert [report().available for report in reports] == [False] + [True] * 10


def test_a_run_sees_nothing_of_its_callers_context() -> None:
    tenant = contextvars.ContextVar("tenant", default="nobody")
    tenant.set("a request's")

    async def drive() -> Outcome:
        return answered(tenant.get() == "nobody")

    outcome = Loops(1, time.monotonic).run(drive, PATIENCE)

    assert isinstance(outcome, Outcome)
    assert outcome.result.status is Status.OK


class Blocking:
    """A probe that blocks its loop for one organization, and keeps the others for a while."""

    def __init__(self) -> None:
        self.started = threading.Semaphore(0)
        self.runs: list[str] = []
        self.threads: list[threading.Thread] = []
        self.waits = 0.0
        self.release = threading.Event()

    async def __call__(self, organization_id: str) -> bool:
        self.runs.append(organization_id)
        self.threads.append(threading.current_thread())
        self.started.release()
        if organization_id == "org_blocking":
            self.release.wait(PATIENCE)
        await asyncio.sleep(self.waits)
        return True

    def wait_for_start(self) -> None:
        assert self.started.acquire(timeout=PATIENCE)


@pytest.fixture
def blocking() -> Iterator[Blocking]:
    blocking = Blocking()
    yield blocking
    blocking.release.set()


@pytest.fixture
def blocked(make_app: MakeApp, health: ConnectorHealth, blocking: Blocking) -> Monitor:
    health.add_probe(blocking, name="drive", scope="organization", timeout=1.0, ttl=0.0)
    return engine_of(make_app(DEADLINE=PATIENCE))


def test_a_run_behind_one_that_blocks_the_loop_is_run_in_a_new_one(
    blocked: Monitor, blocking: Blocking
) -> None:
    in_background(lambda: blocked.report("org_blocking"))
    blocking.wait_for_start()

    assert drive_in(blocked.report("org_a")).status is Status.OK
    eventually(lambda: lane_of(blocked)._hung == {"org_blocking": 1})
    assert drive_in(blocked.report("org_a")).status is Status.OK
    blocking.release.set()
    eventually(lambda: not lane_of(blocked)._hung)
    assert blocking.runs == ["org_blocking", "org_a", "org_a"]


def test_a_run_that_had_begun_is_run_again(blocked: Monitor, blocking: Blocking) -> None:
    blocking.waits = 0.1
    report = in_background(lambda: blocked.report("org_a"))
    blocking.wait_for_start()
    in_background(lambda: blocked.report("org_blocking"))
    blocking.wait_for_start()

    assert drive_in(report()).status is Status.OK
    blocking.wait_for_start()
    blocking.release.set()
    eventually(lambda: not lane_of(blocked)._hung)


async def in_a_child(call: Callable[[], object]) -> None:
    async def block() -> None:
        call()

    await asyncio.gather(block())


def test_a_task_that_a_run_made_blocks_the_loop_in_its_name(
    make_app: MakeApp, health: ConnectorHealth
) -> None:
    started, release = threading.Semaphore(0), threading.Event()

    async def drive(organization_id: str) -> bool:
        started.release()
        if organization_id == "org_blocking":
            await in_a_child(partial(release.wait, PATIENCE))
        await asyncio.sleep(0.1)
        return True

    health.add_probe(drive, name="drive", scope="organization", timeout=1.0)
    monitor = engine_of(make_app(DEADLINE=PATIENCE))
    report = in_background(lambda: monitor.report("org_a"))
    started.acquire(timeout=PATIENCE)
    in_background(lambda: monitor.report("org_blocking"))

    assert report().available
    eventually(lambda: lane_of(monitor)._hung == {"org_blocking": 1})
    release.set()
    eventually(lambda: not lane_of(monitor)._hung)


def test_a_coroutine_of_a_sync_probe_is_not_awaited_twice(
    make_app: MakeApp, health: ConnectorHealth, blocking: Blocking
) -> None:
    blocking.waits = 0.1

    def drive(organization_id: str) -> t.Any:
        return blocking(organization_id)

    health.add_probe(drive, name="drive", scope="organization", timeout=1.0)
    monitor = engine_of(make_app(DEADLINE=PATIENCE))
    report = in_background(lambda: monitor.report("org_a"))
    blocking.wait_for_start()
    in_background(lambda: monitor.report("org_blocking"))

    refused = drive_in(report())

    assert refused.message.startswith("a run for another organization blocks its event loop")


def test_the_coroutine_of_a_task_is_one_for_whoever_takes_it() -> None:
    async def one() -> int:
        return 1

    def steps() -> Steps[int]:
        return Steps(lambda resume, *values: resume(*values), one())

    async def run() -> int:
        return await steps()

    assert asyncio.run(run()) == 1
    steps().close()  # or it would warn that it was never awaited


def test_a_run_sees_its_exceptions_as_without_us() -> None:
    async def run() -> Outcome:
        with suppress(TimeoutError):
            async with asyncio.timeout(0.001):
                await asyncio.sleep(PATIENCE)
        return answered(sys.exc_info() == (None, None, None))

    outcome = Loops(1, time.monotonic).run(run, PATIENCE)

    assert isinstance(outcome, Outcome)
    assert outcome.result.status is Status.OK


@pytest.mark.parametrize(
    ("waits", "patience"),
    [(0.75, 0.5), (60.0, 2.0)],
    ids=["of what is left of its timeout", "at its timeout"],
)
def test_a_run_without_time_for_another_is_not_failed_for_it(
    blocked: Monitor,
    blocking: Blocking,
    monkeypatch: pytest.MonkeyPatch,
    waits: float,
    patience: float,
) -> None:
    monkeypatch.setattr(loop_module, "PATIENCE", patience)
    blocking.waits = waits
    report = in_background(lambda: blocked.report("org_a"))
    blocking.wait_for_start()
    in_background(lambda: blocked.report("org_blocking"))

    refused = drive_in(report())

    assert refused.message.startswith("a run for another organization blocks its event loop")
    assert blocked._current().organization.records.get("org_a") is None


def test_what_was_cancelled_with_its_loop_leaves_nothing_behind(
    blocked: Monitor, blocking: Blocking
) -> None:
    blocking.waits = 60.0
    report = in_background(lambda: blocked.report("org_a"))
    blocking.wait_for_start()
    in_background(lambda: blocked.report("org_blocking"))
    blocking.wait_for_start()
    blocking.waits = 0.0
    report()

    blocking.release.set()

    blocking.threads[0].join(PATIENCE)
    assert not blocking.threads[0].is_alive()


def test_a_blocked_loop_leaves_other_async_probes_alone(
    monitor_of: Callable[..., Monitor], health: ConnectorHealth
) -> None:
    release = threading.Event()

    async def blocking() -> bool:
        return release.wait(PATIENCE)

    async def other() -> bool:
        await asyncio.sleep(0)
        return True

    health.add_probe(other, name="other")
    monitor = monitor_of(blocking, timeout=TIMEOUT)

    report = monitor.report()

    assert report.results["other"].status is Status.OK
    assert report.results["drive"].status is Status.UNAVAILABLE
    release.set()


def test_loops_are_no_more_than_the_slots_and_one(
    make_app: MakeApp, health: ConnectorHealth
) -> None:
    release, loops = threading.Event(), []

    async def drive(organization_id: str) -> bool:
        loops.append(asyncio.get_running_loop())
        return release.wait(PATIENCE)

    health.add_probe(drive, name="drive", scope="organization", timeout=0.05, slots=2)
    monitor = engine_of(make_app(DEADLINE=PATIENCE))

    found = [monitor.report(f"org_{number}").available for number in range(5)]

    assert found == [False] * 5
    assert len(set(loops)) == 2
    release.set()
    eventually(lambda: not lane_of(monitor)._hung)


def test_loops_that_runs_keep_although_they_were_cancelled_are_bounded() -> None:
    loops, release = Loops(2, time.monotonic), threading.Event()
    begun = threading.Semaphore(0)

    async def keep() -> Outcome:
        begun.release()
        while not release.is_set():
            with suppress(asyncio.CancelledError):
                await asyncio.sleep(0.01)
        return answered(True)

    async def fine() -> Outcome:
        return answered(True)

    for _ in range(3):
        in_background(lambda: loops.run(keep, PATIENCE, again=False))
        assert begun.acquire(timeout=PATIENCE)
        assert loops._loop is not None
        loops._give_up(loops._loop, Run())

    refused = loops.run(fine, PATIENCE)
    release.set()

    assert isinstance(refused, str)
    assert refused.startswith("all of its event loops are kept by runs that do not end")
    eventually(lambda: loops.run(fine, PATIENCE) == answered(True))


# Its threads


def test_calls_to_a_thread_run_beside_each_other_up_to_the_slots(
    monitor_of: Callable[..., Monitor],
) -> None:
    meeting = threading.Barrier(2)

    async def drive() -> bool:
        await asyncio.gather(*(asyncio.to_thread(meeting.wait, PATIENCE) for _ in range(4)))
        return True

    monitor = monitor_of(drive, slots=2)

    assert monitor.report().available
    eventually(lambda: not engine_threads("to_thread"))


@pytest.fixture
def hung_calls(make_app: MakeApp, health: ConnectorHealth) -> Iterator[Monitor]:
    """Make an app whose probe calls what hangs in threads, for some organizations."""
    release = threading.Event()

    async def drive(organization_id: str) -> bool:
        if organization_id == "org_bad":
            await asyncio.to_thread(release.wait, PATIENCE)
        if organization_id == "org_worse":
            calls = (asyncio.to_thread(release.wait, PATIENCE) for _ in range(4))
            await asyncio.gather(*calls)
        if organization_id == "org_careful":
            await asyncio.wait_for(asyncio.to_thread(release.wait, PATIENCE), 0.01)
        return await asyncio.to_thread(bool, 1)

    health.add_probe(drive, name="drive", scope="organization", timeout=0.5, slots=4)
    monitor = engine_of(make_app(DEADLINE=PATIENCE))
    yield monitor
    release.set()
    eventually(lambda: not lane_of(monitor)._hung)


@pytest.mark.parametrize("organization_id", ["org_bad", "org_careful"])
def test_a_run_keeps_its_slot_while_its_call_hangs(
    hung_calls: Monitor, organization_id: str
) -> None:
    assert not hung_calls.report(organization_id).available

    eventually(lambda: lane_of(hung_calls)._hung == {organization_id: 1})
    assert hung_calls.report("org_fine").available


def test_a_call_that_ends_soon_after_its_run_costs_no_slot(
    monitor_of: Callable[..., Monitor],
) -> None:
    release = threading.Event()

    async def drive() -> bool:
        if not release.is_set():
            await asyncio.wait_for(asyncio.to_thread(release.wait, PATIENCE), 0.01)
        return True

    monitor = monitor_of(drive, slots=1)
    assert not monitor.report().available

    release.set()

    assert monitor.report().available


def test_a_run_that_waited_for_a_thread_in_vain_is_not_failed_for_it(
    hung_calls: Monitor,
) -> None:
    assert not hung_calls.report("org_worse").available

    refused = drive_in(hung_calls.report("org_fine"))

    assert refused.message.startswith("all threads of asyncio.to_thread hang in earlier runs")
    assert hung_calls._current().organization.records.get("org_fine") is None


def test_what_a_call_in_a_thread_raises_is_raised_in_the_run(
    monitor_of: Callable[..., Monitor], caplog: pytest.LogCaptureFixture
) -> None:
    async def drive() -> bool:
        return bool(await asyncio.to_thread(int, "x"))

    assert not monitor_of(drive).report().available
    eventually(lambda: "it raised ValueError: invalid literal for int()" in caplog.text)


def test_a_call_that_found_no_thread_is_never_made(monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[int] = []
    threads = Executor(1)
    with monkeypatch.context() as patch:
        patch.setattr(native, "start_thread", no_thread)
        with pytest.raises(RuntimeError, match="the system has no thread"):
            threads.submit(made.append, 1)

    threads.submit(made.append, 2).result(PATIENCE)

    assert made == [2]


def test_a_call_that_found_no_thread_waits_for_one_that_there_is(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    threads, release = Executor(2), threading.Event()
    threads.submit(release.wait, PATIENCE)
    monkeypatch.setattr(native, "start_thread", no_thread)

    waiting = threads.submit(int)
    release.set()

    assert waiting.result(PATIENCE) == 0


def no_thread_for_calls(call: Callable[[], None], name: str) -> None:
    if name == "connector-health to_thread":
        raise RuntimeError("can't create new thread at interpreter shutdown")
    threading.Thread(target=call, name=name, daemon=True).start()


def test_a_run_is_not_failed_for_a_thread_that_the_system_refuses(
    monitor_of: Callable[..., Monitor],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def drive() -> bool:
        return await asyncio.to_thread(bool, 1)

    monitor = monitor_of(drive)
    monkeypatch.setattr(native, "start_thread", no_thread_for_calls)

    refused = drive_in(monitor.report())

    assert refused.message.startswith("the system has no thread for asyncio.to_thread")
    eventually(lambda: "probe 'drive' counts as unavailable" in caplog.text)
    assert "probe 'drive' is unavailable" not in caplog.text


def test_a_run_that_does_without_the_thread_that_it_was_refused_has_its_verdict(
    monitor_of: Callable[..., Monitor], monkeypatch: pytest.MonkeyPatch
) -> None:
    async def drive() -> bool:
        with suppress(RuntimeError):
            await asyncio.to_thread(bool, 1)
        return True

    monitor = monitor_of(drive)
    monkeypatch.setattr(native, "start_thread", no_thread_for_calls)

    assert monitor.report().available


def test_hung_calls_do_not_pile_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(executor_module, "CALLS", 2)
    threads, release = Executor(1), threading.Event()
    running = threads.submit(release.wait, PATIENCE)
    eventually(running.running)
    waiting = [threads.submit(int) for _ in range(2)]

    with pytest.raises(RuntimeError, match="all threads of asyncio"):
        threads.submit(int)

    assert waiting[0].cancel()
    release.set()
    assert waiting[1].result(PATIENCE) == 0


def no_thread(call: object, name: str) -> t.NoReturn:
    raise RuntimeError("can't start new thread")


def no_descriptor() -> t.NoReturn:
    raise OSError(24, "Too many open files")


@pytest.mark.parametrize("wrapped", [False, True])
@pytest.mark.parametrize(
    ("part", "refuse"), [("start_thread", no_thread), ("new_event_loop", no_descriptor)]
)
def test_without_a_loop_a_probe_is_not_run(
    monitor_of: Callable[..., Monitor],
    monkeypatch: pytest.MonkeyPatch,
    part: str,
    refuse: Callable[..., t.NoReturn],
    wrapped: bool,
) -> None:
    runs = []

    async def drive() -> bool:
        runs.append(1)
        return True

    monitor = monitor_of((lambda: drive()) if wrapped else drive)
    with monkeypatch.context() as patch:
        patch.setattr(native, part, refuse)
        refused = drive_in(monitor.report())

    assert refused.message.startswith("the system has no thread or no file for its event loop")
    assert runs == []
    assert monitor.report().available


def test_who_was_held_up_by_a_loop_retires_no_newer_one() -> None:
    loops = Loops(1, time.monotonic)
    blocked = loops._new_loop()
    assert not isinstance(blocked, str)
    loops._give_up(blocked, Run())
    newer = loops._new_loop()

    loops._give_up(blocked, Run())

    assert not isinstance(newer, str)
    assert loops._loop is newer
    loops._give_up(newer, Run())


class FakeGevent:
    """What gevent.monkey offers: here, the originals are only told apart."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, str]] = []

    def get_original(self, module: str, name: str) -> object:
        self.asked.append((module, name))
        return getattr(__import__(module), name)


def test_where_gevent_patches_threads_the_originals_are_taken(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    gevent, ran = FakeGevent(), threading.Event()
    monkeypatch.setitem(sys.modules, "gevent.monkey", t.cast(t.Any, gevent))

    native.start_thread(ran.set, "connector-health loop")
    with native.make_lock():
        assert ran.wait(PATIENCE)
    native.new_event_loop().close()

    assert gevent.asked == [
        ("_thread", "start_new_thread"),
        ("_thread", "allocate_lock"),
        ("selectors", "DefaultSelector"),
    ]
