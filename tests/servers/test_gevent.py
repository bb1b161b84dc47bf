"""Async probes where gevent has patched threads: their loops run in native ones."""

from __future__ import annotations

import _thread
import asyncio
import importlib
import sys
import threading
import types
import typing as t
from collections.abc import Callable, Iterator

import pytest

from flask_connector_health import ConnectorHealth, ProbeResult, Status
from flask_connector_health.engine.threads import NativeThreads, Threads
from tests.clockwork import (
    PATIENCE,
    engine_of,
    engine_threads,
    eventually,
    keeps_a_thread_until,
    result_of,
)
from tests.conftest import MakeApp

from .test_processes import run as run_script

PATCHED = "import gevent.monkey; gevent.monkey.patch_all()\n"


def run(script: str) -> str:
    return run_script(script, before=PATCHED, timeout=300)


LOOK_UP = """
from flask_connector_health.engine import threads

async def look_up(*organization):
    await asyncio.get_running_loop().getaddrinfo("localhost", 80)
    return await asyncio.to_thread(bool, 1)

def held():
    time.sleep(0.5)
    listed = [len(os.listdir(f"/proc/self/{kind}")) for kind in ("fd", "task")]
    return [*listed, len(threading.enumerate())]

monitor = make(Probe(name="look-up", call=look_up), TTL=0)

def rounds(number, pause):
    for _ in range(number):
        assert monitor.report().available
        time.sleep(pause)
"""


@pytest.mark.parametrize(
    ("idle", "number", "pause"),
    [
        pytest.param(0.05, 40, 0.0, id="kept"),
        pytest.param(0.01, 5, 0.1, id="ended", marks=pytest.mark.soak),
        pytest.param(0.05, 10_000, 0.0, id="long", marks=pytest.mark.soak),
    ],
)
def test_runs_leave_no_files_and_no_threads(idle: float, number: int, pause: float) -> None:
    """Threads are used by many runs, or end after each."""
    printed = run(
        LOOK_UP
        + f"""
threads.IDLE = {idle}
rounds(2, pause={pause})
before = held()
rounds({number}, pause={pause})
print(held() == before, before)
"""
    )

    assert printed.startswith("True"), printed


def test_a_run_that_blocks_its_thread_blocks_no_greenlet() -> None:
    printed = run("""
        import gevent
        import gevent.monkey

        wait = gevent.monkey.get_original("time", "sleep")

        async def drive(organization_id):
            if organization_id == "org_bad":
                wait(0.5)
            return True

        monitor = make(Probe(name="drive", call=drive, scope="organization"), TTL=0)
        bad = gevent.spawn(monitor.report, "org_bad")
        gevent.sleep(0.1)
        print(monitor.report("org_fine").available, bad.ready(), bad.get().available)
    """)

    assert printed == "True False True"


def test_a_run_past_its_timeout_is_cancelled() -> None:
    printed = run("""
        async def drive():
            await asyncio.sleep(10)

        monitor = make(Probe(name="drive", call=drive, timeout=0.2))
        report = monitor.report()
        print(report.results[-1].message)
    """)

    assert printed.startswith("no answer within its timeout of 0.2 s")


# The same in this process, with gevent's part taken by a stand-in that patches nothing


class Hub:
    """Stand in for a thread's hub, and count those that were freed."""

    def __init__(self) -> None:
        self.freed = 0

    def destroy(self, *, destroy_loop: bool) -> None:
        assert destroy_loop
        self.freed += 1


def original(module: str, name: str) -> t.Any:
    if name == "start_new_thread":
        return start_traced
    return getattr(importlib.import_module(module), name)


def start_traced(call: Callable[[], object], arguments: tuple[()]) -> None:
    """Start a thread that Python's threading knows nothing of, but coverage does."""

    def traced() -> None:
        sys.settrace(threading.gettrace())
        call()

    _thread.start_new_thread(traced, arguments)


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    hub, gevent, monkey = Hub(), types.ModuleType("gevent"), types.ModuleType("gevent.monkey")
    gevent.get_hub = lambda: hub  # type: ignore[attr-defined]
    monkey.is_module_patched = lambda name: name == "threading"  # type: ignore[attr-defined]
    monkey.get_original = original  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "gevent", gevent)
    monkeypatch.setitem(sys.modules, "gevent.monkey", monkey)
    yield hub
    eventually(lambda: not engine_threads())


def drive_in(make_app: MakeApp, health: ConnectorHealth, call: t.Any) -> ProbeResult:
    health.add_probe(call, name="drive", ttl=0.0)
    return result_of(engine_of(make_app(DEADLINE=PATIENCE)).report())


def test_a_loop_runs_in_a_thread_of_its_own_whose_hub_is_freed_at_its_end(
    make_app: MakeApp, health: ConnectorHealth, hub: Hub
) -> None:
    seen = []

    async def drive() -> bool:
        seen.append(threading.current_thread().name)
        return await asyncio.to_thread(bool, 1)

    assert drive_in(make_app, health, drive) == ProbeResult(Status.OK)
    assert seen == ["connector-health loop"]
    eventually(lambda: hub.freed == 2)


def test_what_goes_on_after_a_verdict_keeps_its_slot(
    make_app: MakeApp, health: ConnectorHealth, hub: Hub
) -> None:
    release, started = threading.Event(), threading.Event()

    def call() -> None:
        started.set()
        release.wait(PATIENCE)

    async def drive() -> bool:
        asyncio.get_running_loop().run_in_executor(None, call)
        started.wait(PATIENCE)
        return True

    health.add_probe(drive, name="drive", ttl=0.0)
    monitor = engine_of(make_app(DEADLINE=PATIENCE))

    assert monitor.report().available
    keeps_a_thread_until(monitor, release)


def test_without_a_native_thread_a_probe_is_not_run(
    make_app: MakeApp, health: ConnectorHealth, hub: Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(threads: Threads, name: str, call: object) -> bool:
        return False

    async def drive() -> bool:
        return True

    monkeypatch.setattr(NativeThreads, "run", refuse)

    found = drive_in(make_app, health, drive)

    assert found.message.startswith("the system has no thread for this probe")
