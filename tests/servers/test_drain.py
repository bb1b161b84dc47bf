"""A server that drains before it ends loses no request, behind a real balancer."""

from __future__ import annotations

import contextlib
import json
import os
import pathlib
import re
import shutil
import signal
import subprocess
import sys
import sysconfig
import threading
import time
import urllib.error
import urllib.request
from collections import Counter
from collections.abc import Callable, Iterator

import pytest

from tests.clockwork import eventually
from tests.conftest import PUBLIC
from tests.serving import free_port, running, wait_for

from .test_readme import BLOCKS

pytestmark = pytest.mark.clients

READY = f"{PUBLIC}/ready"

# Seconds to wait after the drain: HAProxy needs one second to notice.
WAIT = 2

# Seconds that gunicorn gives its workers to finish their requests.
GRACEFUL_TIMEOUT = 30

KINDS = {
    "sync": ["--worker-class", "sync"],
    "gthread": ["--worker-class", "gthread", "--threads", "4"],
    "gevent": ["--worker-class", "gevent"],
}


class Instance:
    """A gunicorn with two workers, which serves the README's app with groups."""

    def __init__(self, folder: pathlib.Path, kind: str, config: str, wait: int) -> None:
        self.folder = folder
        self.wait = wait
        folder.mkdir()
        self.drain = folder / "drain"
        self.port = free_port()
        self.log = folder / "log"
        (folder / "app.py").write_text(BLOCKS["app"])
        (folder / "grouped.py").write_text(self.localized(BLOCKS["groups"]))
        (folder / "gunicorn.conf.py").write_text(self.localized(config))
        # The script: SIGUSR2 starts it again, which fails with "python -m gunicorn".
        script = pathlib.Path(sysconfig.get_path("scripts"), "gunicorn")
        command = [sys.executable, str(script), "grouped:app", "--workers", "2"]
        command += ["--bind", f"127.0.0.1:{self.port}", *KINDS[kind]]
        with self.log.open("w") as output:
            self.process = subprocess.Popen(
                command, stdout=output, stderr=output, cwd=folder, process_group=0
            )

    def localized(self, text: str) -> str:
        """Let a recipe use this instance's file, and wait for a shorter time."""
        text = text.replace("/run/app/drain", str(self.drain))
        return re.sub(r"(SECONDS = |sleep )\d+", rf"\g<1>{self.wait}", text)

    def run(self, *command: str) -> None:
        """Run a command where the app is, as an orchestrator does in a container."""
        subprocess.run(command, cwd=self.folder, check=True, timeout=60)

    def stop(self) -> None:
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(45)

    def close(self) -> None:
        if self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()

    def code(self, path: str) -> int:
        return code_of(f"http://127.0.0.1:{self.port}{path}")


def code_of(url: str) -> int:
    try:
        with urllib.request.urlopen(url, timeout=10) as response:  # noqa: S310
            return int(response.status)
    except urllib.error.HTTPError as error:
        with error:
            return error.code


class Load(threading.Thread):
    """A client that asks the balancer again and again, each time by a new connection."""

    def __init__(self, url: str) -> None:
        super().__init__(daemon=True)
        self._url = url
        self._ended = threading.Event()
        self.codes: Counter[object] = Counter()

    def run(self) -> None:
        while not self._ended.wait(0.02):
            try:
                self.codes[code_of(self._url)] += 1
            except OSError as error:
                self.codes[repr(error)] += 1

    def end(self) -> Counter[object]:
        self._ended.set()
        self.join()
        return self.codes


Start = Callable[..., Instance]


@pytest.fixture
def start(tmp_path: pathlib.Path) -> Iterator[Start]:
    instances: list[Instance] = []

    def make(kind: str = "sync", config: str = "", wait: int = WAIT) -> Instance:
        instance = Instance(tmp_path / f"instance-{len(instances)}", kind, config, wait)
        instances.append(instance)
        return instance

    yield make
    for instance in instances:
        instance.close()


@contextlib.contextmanager
def balanced(one: Instance, two: Instance) -> Iterator[str]:
    """Run the README's HAProxy in front of two instances, and give its URL."""
    # Debian has it where the path of most users does not lead.
    program = shutil.which("haproxy", path=f"{os.environ['PATH']}:/usr/sbin")
    if program is None:
        pytest.skip("needs haproxy")
    port = free_port()
    backend = BLOCKS["drain, haproxy"].replace(":8001", f":{one.port}")
    config = one.folder / "haproxy.cfg"
    config.write_text(
        "defaults\n  mode http\n  retries 0\n  timeout connect 5s\n"
        "  timeout client 5s\n  timeout server 5s\n"
        f"frontend all\n  bind 127.0.0.1:{port}\n  default_backend apps\n"
        + backend.replace(":8002", f":{two.port}")
    )
    for instance in (one, two):
        wait_for(f"http://127.0.0.1:{instance.port}", instance.log)
    command = [program, "-f", str(config), "-db"]
    with running(command, one.folder / "haproxy", cwd=one.folder, env=os.environ):
        url = f"http://127.0.0.1:{port}{PUBLIC}"
        wait_for(url, one.folder / "haproxy")
        yield url


def lost(start: Start, stop: Callable[[Instance], None], kind: str, config: str = "") -> object:
    """Stop one of two instances under load, and give what the clients got but for a 200."""
    one, two = start(kind, config), start(kind)
    with balanced(one, two) as url:
        loads = [Load(url) for _ in range(4)]
        for load in loads:
            load.start()
        eventually(lambda: all(load.codes[200] > 10 for load in loads))
        stop(one)
        before = sum(load.codes[200] for load in loads)
        eventually(lambda: sum(load.codes[200] for load in loads) > before + 40)
        codes: Counter[object] = sum((load.end() for load in loads), Counter())
    del codes[200]
    return dict(codes)


def by_kubernetes(instance: Instance) -> None:
    found = re.search(r"command: (\[.*\])", instance.localized(BLOCKS["drain, kubernetes"]))
    assert found is not None
    instance.run(*json.loads(found[1]))
    instance.stop()


def by_command(instance: Instance) -> None:
    command = (
        "flask",
        "--app",
        "grouped:app",
        "connector-health",
        "drain",
        "--wait",
        str(WAIT),
    )
    instance.run(sys.executable, "-m", *command)
    instance.stop()


def by_systemd(instance: Instance) -> None:
    found = re.search(r'ExecStop=(\S+) -c "(.*)"', instance.localized(BLOCKS["drain, systemd"]))
    assert found is not None
    instance.run(found[1], "-c", found[2])
    instance.stop()


def by_sigterm(instance: Instance) -> None:
    instance.stop()


RECIPES: dict[str, tuple[Callable[[Instance], None], str]] = {
    "command": (by_command, ""),
    "kubernetes": (by_kubernetes, ""),
    "systemd": (by_systemd, ""),
    "gunicorn": (by_sigterm, BLOCKS["drain, gunicorn"]),
}


@pytest.mark.soak
@pytest.mark.parametrize(
    ("recipe", "kind"),
    [
        ("command", "sync"),
        ("kubernetes", "gthread"),
        ("systemd", "gevent"),
        *(("gunicorn", kind) for kind in KINDS),
    ],
)
def test_a_server_that_drains_before_it_ends_loses_no_request(
    start: Start, recipe: str, kind: str
) -> None:
    stop, config = RECIPES[recipe]

    assert lost(start, stop, kind, config) == {}


@pytest.mark.soak
def test_a_server_that_just_ends_loses_some(start: Start) -> None:
    assert lost(start, by_sigterm, "sync") != {}


def test_every_worker_sees_the_file_also_a_later_one(start: Start) -> None:
    instance = start()
    wait_for(f"http://127.0.0.1:{instance.port}", instance.log)

    def codes() -> set[int]:
        return {instance.code(READY) for _ in range(20)}

    assert codes() == {200}
    instance.drain.touch()
    assert codes() == {503}
    booted = instance.log.read_text().count("Booting worker")
    instance.process.send_signal(signal.SIGHUP)  # all workers are replaced
    eventually(lambda: instance.log.read_text().count("Booting worker") == booted + 2)
    assert codes() == {503}
    assert instance.code(f"{PUBLIC}/live") == instance.code(PUBLIC) == 200
    instance.drain.unlink()
    assert codes() == {200}


@pytest.mark.soak
def test_a_second_sigterm_stops_gunicorn_at_once(start: Start) -> None:
    instance = start(config=BLOCKS["drain, gunicorn"], wait=40)
    wait_for(f"http://127.0.0.1:{instance.port}", instance.log)
    instance.process.send_signal(signal.SIGTERM)
    eventually(instance.drain.exists)
    began = time.monotonic()

    instance.stop()

    assert time.monotonic() - began < 20


def test_gunicorn_is_not_born_drained(start: Start, tmp_path: pathlib.Path) -> None:
    left = tmp_path / "instance-0" / "drain"
    config = f"import pathlib\npathlib.Path({str(left)!r}).touch()\n"
    instance = start(config=config + BLOCKS["drain, gunicorn"])
    wait_for(f"http://127.0.0.1:{instance.port}", instance.log)

    eventually(lambda: instance.code(READY) == 200)


def ready(instance: Instance) -> bool:
    return instance.code(READY) == 200


@pytest.mark.soak
def test_the_fast_path_sees_the_file_as_well(
    start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    setting = "CONNECTOR_HEALTH_DRAIN_FILE="
    fast = BLOCKS["groups"].replace(setting, f"CONNECTOR_HEALTH_FAST_PATH=True,\n    {setting}")
    # A request that reaches the app itself is refused, so the fast path must have answered.
    refuse = "\n\n@app.before_request\ndef refuse():\n    return 'slow', 418\n"
    monkeypatch.setitem(BLOCKS, "groups", fast + refuse)
    instance = start()
    wait_for(f"http://127.0.0.1:{instance.port}", instance.log)
    eventually(lambda: ready(instance))

    instance.drain.touch()

    assert {instance.code(READY) for _ in range(20)} == {503}


@pytest.mark.soak
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGQUIT])
def test_gunicorn_still_stops_at_once_by_other_signals(
    start: Start, number: signal.Signals
) -> None:
    instance = start(config=BLOCKS["drain, gunicorn"], wait=40)
    wait_for(f"http://127.0.0.1:{instance.port}", instance.log)
    instance.process.send_signal(signal.SIGTERM)
    eventually(instance.drain.exists)

    instance.process.send_signal(number)

    assert instance.process.wait(20) == 0


@pytest.mark.soak
def test_gunicorn_drains_after_a_reload_as_well(start: Start) -> None:
    instance = start(config=BLOCKS["drain, gunicorn"])
    wait_for(f"http://127.0.0.1:{instance.port}", instance.log)
    instance.process.send_signal(signal.SIGHUP)
    eventually(lambda: instance.log.read_text().count("Booting worker") == 4)

    instance.process.send_signal(signal.SIGTERM)

    eventually(lambda: instance.code(READY) == 503)
    assert instance.process.wait(45) == 0


@pytest.mark.soak
def test_a_worker_that_ends_before_it_has_begun_drains_nothing(start: Start) -> None:
    # Until a worker has set its own handlers, it has those of the master.
    early = """

def post_fork(server, worker):
    os.kill(os.getpid(), signal.SIGTERM)
"""
    instance = start(config=BLOCKS["drain, gunicorn"] + early)
    wait_for(f"http://127.0.0.1:{instance.port}", instance.log)

    assert ready(instance)
    assert not instance.drain.exists()


def replaced(instance: Instance) -> int:
    """Start a second master beside the first, and give its process's id."""
    wait_for(f"http://127.0.0.1:{instance.port}", instance.log)
    instance.process.send_signal(signal.SIGUSR2)
    eventually(lambda: instance.log.read_text().count("Booting worker") == 4)
    return int((instance.folder / "pid.2").read_text())


@pytest.mark.soak
def test_a_gunicorn_that_is_replaced_in_place_does_not_drain_the_next(start: Start) -> None:
    instance = start(config=BLOCKS["drain, gunicorn"] + 'pidfile = "pid"\n')
    new = replaced(instance)

    try:
        instance.stop()

        assert ready(instance)
        assert not instance.drain.exists()
    finally:
        os.kill(new, signal.SIGTERM)


@pytest.mark.soak
def test_a_replacement_that_is_called_off_does_not_drain_the_old_one(start: Start) -> None:
    instance = start(config=BLOCKS["drain, gunicorn"] + 'pidfile = "pid"\n')
    new = replaced(instance)

    os.kill(new, signal.SIGTERM)

    eventually(lambda: not (instance.folder / "pid.2").exists())
    assert ready(instance)
    assert not instance.drain.exists()


# What a recipe waits for, in seconds


def number(block: str, name: str) -> float:
    found = re.search(name + r"\D*(\d+)", BLOCKS[block])
    assert found is not None
    return float(found[1])


def test_kubernetes_is_given_the_time_to_notice_and_to_end() -> None:
    block = "drain, kubernetes"
    notices = number(block, "periodSeconds") * number(block, "failureThreshold")
    wait = number(block, "sleep")

    assert wait >= notices + 1
    assert number(block, "terminationGracePeriodSeconds") >= wait + GRACEFUL_TIMEOUT


def test_the_other_recipes_wait_until_haproxy_has_noticed() -> None:
    block = "drain, haproxy"
    notices = number(block, "inter") / 1000 * number(block, "fall")

    assert number("drain, systemd", "sleep") >= notices + 1
    assert number("drain, gunicorn", "SECONDS =") >= notices + 1
    assert number("drain, systemd", "TimeoutStopSec") >= GRACEFUL_TIMEOUT
