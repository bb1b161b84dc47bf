"""Forks, threads and exits, each in a process of its own."""

from __future__ import annotations

import subprocess
import sys
import textwrap
import time

import pytest

SET_UP = """
import asyncio, contextlib, logging, os, signal, sys, threading, time, warnings

logging.disable()
warnings.filterwarnings("ignore", message=".*fork", category=DeprecationWarning)

from flask_connector_health.engine.environment import Clock, Environment
from flask_connector_health.engine.monitor import Monitor
from flask_connector_health.log import Log
from flask_connector_health.probes.spec import Probe
from flask_connector_health.settings import Settings

RUNS = []

def drive(*organization):
    RUNS.append(os.getpid())
    return True

async def loop(*organization):
    await asyncio.sleep(0)
    return True

def make(*probes, **changes):
    config = {
        "AVAILABILITY": lambda: True, "DEADLINE": 10.0, "VERIFY_TOKEN": lambda token: None,
        "AUTHORIZE": lambda principal, organization_id: True, **changes,
    }
    settings = Settings.from_config({f"CONNECTOR_HEALTH_{k}": v for k, v in config.items()})
    return Monitor(settings, probes, Environment(contextlib.nullcontext),
                   [Log(contextlib.nullcontext, settings, len(probes))])

def usual(**changes):
    return make(
        Probe(name="drive", call=drive), Probe(name="loop", call=loop),
        Probe(name="own", call=drive, scope="organization"),
        Probe(name="own-loop", call=loop, scope="organization"), **changes,
    )

def is_told(monitor):
    told = []
    for _, background in monitor._current()._announcer._listeners:
        told.append(threading.Event())
        background.do(told[-1].set)
    return all(each.wait(10) for each in told)

def in_child(call):
    pid = os.fork()
    if pid == 0:
        signal.alarm(10)
        try:
            code = 0 if call() else 1
        except BaseException:
            import traceback
            traceback.print_exc()
            code = 2
        os._exit(code)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
"""


def run(script: str, timeout: float = 60.0, before: str = "") -> str:
    """Run a script in a new interpreter, and give what it printed."""
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", before + SET_UP + textwrap.dedent(script)],
        capture_output=True,
        text=True,
        timeout=timeout,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stderr == ""
    return done.stdout.strip()


# Forks


def test_a_child_forked_with_every_lock_held_answers() -> None:
    printed = run("""
        monitor = usual(TTL=0)
        monitor.report("org_a")
        process = monitor._current()
        lanes = process.service.lanes + process.organization.lanes
        locks = [lane._lock for lane in lanes]
        locks += [s._lock for x in (process.service, process.organization)
                  for s in x.records._shards]
        locks += [b._turn for _, b in process._announcer._listeners]
        locks += [process._watch._background._turn]
        for lock in locks:
            lock.acquire(blocking=False)  # the watch keeps its own
        print(in_child(lambda: monitor.report("org_a").available), len(locks))
    """)

    code, locks = printed.split()
    assert code == "0"
    assert int(locks) >= 8


def test_a_child_forked_at_any_moment_answers() -> None:
    printed = run("""
        monitor, stop = usual(TTL=0.001, MAX_STALE=0, MAX_ORGANIZATIONS=5), threading.Event()

        def hammer(number):
            while not stop.is_set():
                for n in range(10):
                    monitor.report(f"org_{number}_{n}")

        threads = [threading.Thread(target=hammer, args=[n], daemon=True) for n in range(4)]
        for thread in threads:
            thread.start()
        codes = set()
        for number in range(40):
            time.sleep(0.003)
            codes.add(in_child(lambda: monitor.report(f"org_{number % 4}_1").available))
        stop.set()
        print(codes)
    """)

    assert printed == "{0}"


def test_a_child_goes_on_with_the_results_of_its_parent() -> None:
    printed = run("""
        monitor = usual()
        monitor.report("org_a")
        monitor.report("org_b")

        def same():
            fresh = monitor.status("org_a").available
            refreshed = [monitor.report(o).available for o in ("org_a", "org_b", "org_c")]
            return fresh and all(refreshed) and RUNS.count(os.getpid()) == 1

        print(in_child(same))
    """)

    assert printed == "0"


def test_a_child_with_the_number_of_a_process_that_has_ended_answers() -> None:
    printed = run("""
        monitor = usual(TTL=0)
        monitor.report()
        number = os.getpid()

        def recycled():
            os.getpid = lambda: number
            return monitor.report().available

        print(in_child(recycled))
    """)

    assert printed == "0"


def test_a_child_tells_the_recovery_from_what_its_parent_told() -> None:
    printed = run("""
        logging.disable(logging.NOTSET)
        logging.basicConfig(stream=sys.stdout, format="%(message)s")
        answers = [False, True]
        monitor = make(Probe(name="drive", call=lambda: answers.pop(0)), TTL=0)

        def tell():
            monitor.report()
            return is_told(monitor)

        tell()
        assert in_child(tell) == 0
    """)

    failure, recovery = printed.splitlines()
    assert failure.startswith("probe 'drive' fails")
    assert recovery.startswith("probe 'drive' is ok again after ")


def test_a_childs_verdicts_stay_its_own() -> None:
    printed = run("""
        answers = {}
        monitor = make(Probe(name="x", call=lambda: os.getpid() == answers["pid"]), TTL=0)
        answers["pid"] = os.getpid()
        print(monitor.report().available)
        print(in_child(lambda: not monitor.report().available))
        print(monitor.report().available)
    """)

    assert printed.split() == ["True", "0", "True"]


FORKING = {
    "sync": "def forking(): return fork()",
    "async": "async def forking(): return fork()",
    "awaiting": """
async def forking():
    await asyncio.sleep(0)
    return fork()
""",
}


@pytest.mark.parametrize("forking", FORKING.values(), ids=FORKING)
def test_a_probe_that_forks_answers_and_its_child_ends(forking: str) -> None:
    printed = run(
        forking
        + textwrap.dedent("""
        children = []

        def fork():
            if children:
                return True
            pid = os.fork()
            if pid:
                children.append(pid)
            return bool(pid)

        probe = Probe(name="forking", call=forking, ttl=0, timeout=20.0)
        monitor = make(probe, DEADLINE=10.0)
        print({monitor.report().available for _ in range(100)})
        deadline = time.monotonic() + 10
        while not os.waitpid(children[0], os.WNOHANG)[0]:
            assert time.monotonic() < deadline, "the child goes on"
            time.sleep(0.01)
        """)
    )

    assert printed == "{True}"


# Threads


def test_no_thread_exists_before_the_first_question() -> None:
    printed = run("""
        monitor = usual()
        print(threading.active_count())
        monitor.report("org_a")
        print(threading.active_count() > 1)
    """)

    assert printed.split() == ["1", "True"]


@pytest.mark.parametrize("method", ["report", "status"])
def test_two_threads_that_come_first_at_once_share_one_process(method: str) -> None:
    printed = run(f"""
        monitor, start, processes = usual(), threading.Barrier(20), set()

        def ask():
            start.wait()
            monitor.{method}("org_a")
            processes.add(monitor._current.process)

        threads = [threading.Thread(target=ask) for _ in range(20)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        print(len(RUNS), len(processes))
    """)

    assert printed.split() == ["2", "1"]


# Exits

HUNG = {
    "sync": "def hung(): threading.Event().wait()",
    "async": "async def hung(): await asyncio.Event().wait()",
    "blocked loop": "async def hung(): threading.Event().wait()",
    "to_thread": "async def hung(): await asyncio.to_thread(threading.Event().wait)",
    "swallowed cancellation": """
async def hung():
    while True:
        try:
            await asyncio.sleep(1)
        except asyncio.CancelledError:
            pass
""",
}


# These do for every day.
OFTEN = ("sync", "blocked loop")
EACH = [
    pytest.param(hung, id=name, marks=[] if name in OFTEN else [pytest.mark.soak])
    for name, hung in HUNG.items()
]


@pytest.mark.parametrize("hung", EACH)
def test_a_hung_run_delays_no_exit(hung: str) -> None:
    printed = run(
        hung
        + "\nmonitor = make(Probe(name='hung', call=hung, timeout=0.1), DEADLINE=0.3)"
        + "\nprint(monitor.report().available)"
        + "\nmonitor.report()"
        + "\nprint(time.monotonic())"
    )

    available, done = printed.split()
    assert available == "False"
    assert time.monotonic() - float(done) < 2.5


@pytest.mark.parametrize(
    "how",
    [
        "pass",
        pytest.param("sys.exit()", marks=pytest.mark.soak),
        pytest.param("time.sleep(0.2)", marks=pytest.mark.soak),
    ],
)
def test_an_exit_right_after_an_answer_is_quiet(how: str) -> None:
    run(f"usual().report('org_a')\n{how}")


def test_a_run_that_the_exit_leaves_without_a_thread_is_no_alarm() -> None:
    printed = run("""
        logging.disable(logging.NOTSET)
        logging.basicConfig(stream=sys.stdout)
        exiting = threading.Event()

        async def late():
            while not exiting.is_set():
                await asyncio.sleep(0.01)
            return await asyncio.to_thread(bool, 1)

        monitor = make(Probe(name="down", call=lambda: False), Probe(name="late", call=late),
                       DEADLINE=0.1, TIMEOUT=10.0)

        def outlive():
            threading.main_thread().join()
            process = monitor._current()
            exiting.set()
            while process.service.lanes[-1]._flights:
                time.sleep(0.01)
            is_told(monitor)

        threading.Thread(target=outlive).start()
        monitor.report()
    """)

    assert "probe 'down' fails" in printed
    assert "probe 'late' fails" not in printed


def test_without_a_thread_the_log_says_so_and_shows_no_request() -> None:
    """The system's limit is reached for real, and the caller's own thread writes the line."""
    printed = run("""
        import contextvars, resource
        from flask import Flask, current_app, g, has_request_context
        from flask_connector_health import ConnectorHealth

        skew, tenant = [0.0], contextvars.ContextVar("tenant", default="nobody")
        Clock.now = staticmethod(lambda: time.monotonic() + skew[0])
        logging.disable(logging.NOTSET)

        class Handler(logging.Handler):
            def emit(self, record):
                assert threading.current_thread() is threading.main_thread()
                seen = tenant.get(), has_request_context(), "user" in g, current_app.name
                print(*seen, record.levelname, record.getMessage(), sep="|")

        logging.getLogger().addHandler(Handler())
        app = Flask("host")

        @app.before_request
        def log_in():
            g.user = "ann"
            tenant.set("a request's")

        app.config.from_mapping(
            CONNECTOR_HEALTH_AVAILABILITY=lambda: True, CONNECTOR_HEALTH_DEADLINE=0.2,
            CONNECTOR_HEALTH_VERIFY_TOKEN=lambda token: None,
            CONNECTOR_HEALTH_AUTHORIZE=lambda principal, organization_id: True,
        )
        health = ConnectorHealth()
        health.add_probe(drive, name="drive", critical=False)
        app.register_blueprint(health)
        client = app.test_client()
        client.get("/nowhere")  # imports what a user without rights may not read

        if os.getuid() == 0:
            os.setuid(65534)
        resource.setrlimit(resource.RLIMIT_NPROC, (1, 1))
        for seconds in (0.0, 0.0, 58.0, 61.0):
            skew[0] += seconds
            began = time.monotonic()
            response = client.get("/v1/knowledge/connectors/health")
            print(response.status_code, time.monotonic() - began < 0.7)
        assert RUNS == []
    """)

    cause = "the system has no thread for this probe; raise the limits of the process"
    lines = [
        f"nobody|False|False|host|WARNING|probe {text}: {cause}"
        for text in (
            "'availability' has no verdict, so the service is answered as unavailable",
            "'drive' has no verdict, so the service is answered as degraded",
        )
    ]
    answer = "503 True"
    assert printed.splitlines() == [*lines, answer, answer, answer, *lines, answer]
