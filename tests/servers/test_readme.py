"""Every code block of the README does what the README says."""

from __future__ import annotations

import contextlib
import dataclasses
import doctest
import os
import pathlib
import re
import shutil
import signal
import socket
import subprocess
import sys
import sysconfig
import time
import typing as t
import venv
from collections.abc import Callable, Iterator

import pytest
from flask import Flask, url_for
from werkzeug.test import TestResponse

from flask_connector_health import ConnectorHealth, Status, get_monitor
from flask_connector_health.settings import Settings
from tests.clockwork import engine_of, eventually, result_of
from tests.conftest import PUBLIC, ROOT, SCOPED, MakeApp
from tests.serving import Server, every_state, free_port, running, wait_for

README = (ROOT / "README.md").read_text()
NAMES = [
    "app",
    "run",
    "test",
    "session",
    "environment",
    "environment's app",
    "probes",
    "monitor",
    "signals",
    "async client",
    "shared client",
    "requests",
    "fetch",
    "sdk",
    "night",
    "pause",
    "mounted",
    "groups",
    "drain, kubernetes",
    "drain, systemd",
    "drain, gunicorn",
    "drain, haproxy",
    "command line",
    "own auth",
    "cors",
    "limits",
    "access log, app",
    "access log, gunicorn",
    "benchmark",
]
FENCE = re.compile(r"^```\w*\n(.*?)^```$", re.DOTALL | re.MULTILINE)
BLOCKS = dict(zip(NAMES, FENCE.findall(README), strict=True))

EXAMPLE = "http://127.0.0.1:5000"
BEARER = {"Authorization": "Bearer xyz-token"}


def test_every_block_is_executed_here() -> None:
    folder = pathlib.Path(__file__).parent
    source = "".join(path.read_text() for path in folder.glob("test_*.py"))

    assert [name for name in NAMES if f'BLOCKS["{name}"]' not in source] == []


def test_the_table_of_settings_is_complete_and_right() -> None:
    table = README.partition("## Configuration")[2].partition("\n\n#")[0]
    rows = re.findall(r"^\| `(\w+)` \| (\S+) \|", table, re.MULTILINE)
    defaults = {
        field.name.upper(): getattr(field.default, "pattern", field.default)
        for field in dataclasses.fields(Settings)
    }

    assert {name for name, _ in rows} == set(defaults)
    assert {name: text.strip("`") for name, text in rows} == {
        name: "required" if default is dataclasses.MISSING else str(default)
        for name, default in defaults.items()
    }


# The first screen, and what builds on it


@pytest.fixture
def host(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Put the README's ``app.py`` where Python finds it."""
    (tmp_path / "app.py").write_text(BLOCKS["app"])
    monkeypatch.syspath_prepend(tmp_path)
    yield
    sys.modules.pop("app", None)


def execute(block: str) -> dict[str, t.Any]:
    names: dict[str, t.Any] = {"__name__": "block"}
    exec(compile(block, "README.md", "exec"), names)  # noqa: S102 - our own text
    return names


def ask(app: Flask, path: str = PUBLIC, **headers: str) -> TestResponse:
    return app.test_client().get(path, headers=headers)


@pytest.mark.usefixtures("host")
def test_the_whole_app_answers_both_routes() -> None:
    app = execute("from app import create_app")["create_app"]()

    assert ask(app).data == b'{"status": "ok", "available": true}'
    assert ask(app, SCOPED, **BEARER).data == b'{"status": "ok", "available": true}'
    assert ask(app, SCOPED, Authorization="Bearer wrong").status_code == 401
    assert ask(app, SCOPED, Authorization="Bearer abc-token").status_code == 403


@pytest.mark.usefixtures("host")
def test_the_whole_app_degrades_and_breaks_with_its_connectors() -> None:
    names = execute("from app import CONNECTORS, create_app")
    names["CONNECTORS"]["org_xyz789"] = {"google-drive": True, "notion": False}
    degraded = ask(names["create_app"](), SCOPED, **BEARER)
    names["CONNECTORS"]["org_xyz789"] = {"google-drive": False}
    unavailable = ask(names["create_app"](), SCOPED, **BEARER)

    assert degraded.data == b'{"status": "degraded", "available": true}'
    assert unavailable.data == b'{"status": "unavailable", "available": false}'


def set_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Set what the README's shell commands set."""
    script = BLOCKS["environment"] + "env"
    printed = subprocess.run(
        ["sh", "-c", script], capture_output=True, text=True, check=True
    ).stdout
    for line in printed.splitlines():
        name, _, value = line.partition("=")
        if name.startswith("FLASK_CONNECTOR_HEALTH_"):
            monkeypatch.setenv(name, value)


@pytest.mark.usefixtures("host")
def test_the_environment_configures_the_app(monkeypatch: pytest.MonkeyPatch) -> None:
    set_environment(monkeypatch)

    app = execute(BLOCKS["environment's app"])["app"]

    assert app.config["CONNECTOR_HEALTH_DEADLINE"] == 0.5
    assert ask(app, SCOPED, **BEARER).status_code == 200


@pytest.mark.usefixtures("host")
def test_the_hosts_own_auth_object_is_asked() -> None:
    app = execute(BLOCKS["own auth"])["app"]
    client = app.test_client()

    assert client.get(SCOPED, auth=("org_xyz789", "example")).status_code == 200
    assert client.get(SCOPED, auth=("org_xyz789", "wrong")).status_code == 401
    assert client.get(SCOPED, auth=("org_other", "example")).status_code == 401


@pytest.mark.usefixtures("host")
def test_another_origin_may_read_the_answers() -> None:
    app = execute(BLOCKS["cors"])["app"]
    origin = "https://status.example.org"

    preflight = app.test_client().options(
        SCOPED, headers={"Origin": origin, "Access-Control-Request-Method": "GET"}
    )
    assert preflight.status_code == 200
    assert preflight.headers["Access-Control-Allow-Origin"] == origin
    for headers, code in (({}, 401), (BEARER, 200)):
        response = ask(app, SCOPED, Origin=origin, **headers)

        assert response.status_code == code
        assert response.headers["Access-Control-Allow-Origin"] == origin


@pytest.mark.usefixtures("host")
def test_a_hosts_own_code_can_ask(capsys: pytest.CaptureFixture[str]) -> None:
    names = execute(BLOCKS["monitor"])

    assert get_monitor(names["app"]) is names["monitor"]
    printed = capsys.readouterr().out.splitlines()
    assert printed[0].startswith("[] {'status': 'ok', 'available': True, 'results': [{'name'")
    assert printed[1] == "unavailable"


@pytest.mark.usefixtures("host")
def test_a_signal_tells_the_hosts_own_code() -> None:
    names = execute(BLOCKS["signals"] + "\nfrom app import CONNECTORS")
    names["CONNECTORS"]["org_xyz789"] = {"google-drive": False}

    ask(names["app"], SCOPED, **BEARER)

    eventually(lambda: names["alerts"] == ["availability of org_xyz789 fails"])


@pytest.mark.usefixtures("host")
def test_planned_work_pauses_a_probe(capsys: pytest.CaptureFixture[str]) -> None:
    names = execute(BLOCKS["pause"])

    assert capsys.readouterr().out == "paused\n"
    assert names["monitor"].details("org_xyz789").probes[1].state == "fresh"


@pytest.mark.usefixtures("host")
def test_groups_answer_by_their_own_probes(tmp_path: pathlib.Path) -> None:
    drain = tmp_path / "drain"
    app = execute(BLOCKS["groups"].replace("/run/app/drain", str(drain)))["app"]

    def codes() -> list[int]:
        return [
            ask(app, f"{PUBLIC}/{name}").status_code for name in ("live", "ready", "search")
        ]

    assert codes() == [200, 200, 200]
    drain.touch()
    assert codes() == [200, 503, 503]
    assert ask(app).status_code == 200


class Redis:
    """A real Redis, which keeps nothing when it ends."""

    def __init__(self, folder: pathlib.Path) -> None:
        program = shutil.which("redis-server")
        if program is None:
            pytest.skip("needs redis-server")
        self._port = free_port()
        self.url = f"redis://127.0.0.1:{self._port}"
        self._command = [program, "--port", str(self._port), "--bind", "127.0.0.1"]
        self._command += ["--save", "", "--dir", str(folder)]
        self.start()

    def start(self) -> None:
        self.process = subprocess.Popen(self._command, stdout=subprocess.DEVNULL)
        eventually(self._listens)

    def _listens(self) -> bool:
        with contextlib.suppress(OSError):
            socket.create_connection(("127.0.0.1", self._port)).close()
            return True
        return False

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()


@pytest.fixture
def redis(tmp_path: pathlib.Path) -> Iterator[Redis]:
    redis = Redis(tmp_path)
    yield redis
    redis.kill()


@pytest.fixture
def limited(host: None, redis: Redis) -> Iterator[Flask]:
    names = execute(BLOCKS["limits"].replace("redis://127.0.0.1:6379", redis.url))
    yield names["app"]
    names["limiter"].storage.storage.close()


def codes(app: Flask, requests: int) -> list[int]:
    return [ask(app).status_code for _ in range(requests)]


def test_the_limit_holds(limited: Flask) -> None:
    assert codes(limited, 61) == [200] * 60 + [429]


@pytest.mark.parametrize("gone", [signal.SIGKILL, signal.SIGSTOP], ids=["gone", "silent"])
def test_without_redis_each_process_limits_by_itself(
    limited: Flask, redis: Redis, gone: signal.Signals
) -> None:
    assert codes(limited, 30) == [200] * 30
    redis.process.send_signal(gone)
    if gone is signal.SIGKILL:
        redis.process.wait()
    began = time.monotonic()

    assert codes(limited, 61) == [200] * 60 + [429]
    assert time.monotonic() - began < 2.0


@pytest.mark.soak
@pytest.mark.parametrize("gone", [signal.SIGKILL, signal.SIGSTOP], ids=["gone", "silent"])
def test_redis_limits_again_once_it_is_back(
    limited: Flask, redis: Redis, gone: signal.Signals
) -> None:
    redis.process.send_signal(gone)
    assert codes(limited, 61) == [200] * 60 + [429]

    if gone is signal.SIGKILL:
        redis.process.wait()
        redis.start()
    else:
        redis.process.send_signal(signal.SIGCONT)

    eventually(lambda: ask(limited).status_code == 200)  # Redis has counted nothing so far
    assert codes(limited, 60) == [200] * 59 + [429]


@pytest.mark.usefixtures("host")
@pytest.mark.parametrize(
    ("nested", "endpoint"),
    [(True, "api.connector_health"), (False, "connector_health")],
    ids=["nested", "flat"],
)
def test_both_routes_are_mounted_below_another_prefix(
    monkeypatch: pytest.MonkeyPatch, nested: bool, endpoint: str
) -> None:
    set_environment(monkeypatch)
    start, _, _ = BLOCKS["mounted"].partition("api = ")
    flat = start + 'app.register_blueprint(health, url_prefix="/api/v1")\n'

    app = execute(BLOCKS["mounted"] if nested else flat)["app"]

    assert ask(app, f"/api{PUBLIC}").status_code == 200
    assert ask(app, f"/api{SCOPED}", **BEARER).status_code == 200
    with app.test_request_context():
        assert url_for(f"{endpoint}.service") == f"/api{PUBLIC}"
        assert url_for(f"{endpoint}.organization", organization_id="org_xyz789").endswith(
            SCOPED
        )
    assert list(app.extensions["connector_health"]) == [endpoint]


def test_the_probes_are_what_they_say(make_app: MakeApp, health: ConnectorHealth) -> None:
    names = execute(BLOCKS["probes"])
    app = Flask("host")
    app.config.from_mapping(make_app().config)
    app.register_blueprint(names["health"])
    monitor = engine_of(app)

    def status(probe: str, organization_id: str) -> Status:
        result = result_of(monitor.report(organization_id), probe)
        return result.status

    assert status("sync-queue", "org_xyz789") is Status.OK
    assert status("database", "org_xyz789") is Status.OK
    assert status("disk", "org_xyz789") is Status.OK
    assert status("google-drive", "org_xyz789") is Status.DEGRADED
    assert status("google-drive", "org_abc123") is Status.OK
    names["quota"]["org_full"] = 1.0
    assert status("google-drive", "org_full") is Status.UNAVAILABLE


@pytest.mark.parametrize("block", [BLOCKS["async client"], BLOCKS["shared client"]])
def test_both_kinds_of_client_work_run_after_run(
    make_app: MakeApp, url: str, block: str
) -> None:
    names = execute(block.replace("https://drive.example.org/ping", url))
    app = Flask("host")
    app.config.from_mapping(make_app(TTL=0.0).config)
    app.register_blueprint(names["health"])

    results = [result_of(engine_of(app).report("org_xyz789"), "drive") for _ in range(3)]

    assert [result.status for result in results] == [Status.OK] * 3
    if "client" in names:
        names["client"].close()


# The clients, against a real server

one_server = pytest.mark.parametrize("running_server", ["gunicorn"], indirect=True)


def run_python(block: str, server: Server) -> str:
    return run([sys.executable, "-c", block.replace(EXAMPLE, server.url)])


def run_node(block: str, server: Server) -> str:
    node = shutil.which("node")
    if node is None:
        pytest.skip("needs Node.js")
    script = block.replace(EXAMPLE, server.url)
    return run([node, "--input-type=module", "--eval", script])


def run(command: list[str]) -> str:
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    return done.stdout + done.stderr


@pytest.mark.clients
@one_server
@every_state
@pytest.mark.parametrize(
    ("block", "runner", "form"),
    [
        (BLOCKS["requests"], run_python, "{{'status': '{}', 'available': {}}}\n"),
        (BLOCKS["fetch"], run_node, "{{ status: '{}', available: {} }}\n"),
    ],
    ids=["requests", "fetch"],
)
def test_a_client_prints_both_bodies_in_every_state(
    server: Server,
    off: tuple[str, ...],
    status: str,
    block: str,
    runner: Callable[[str, Server], str],
    form: str,
) -> None:
    server.switch(*off, on=False)
    available = status != "unavailable"

    printed = runner(block, server)

    word = str(available) if runner is run_python else str(available).lower()
    assert printed == form.format(status, word) * 2


@pytest.mark.clients
@one_server
@pytest.mark.parametrize(
    ("block", "runner"),
    [(BLOCKS["requests"], run_python), (BLOCKS["fetch"], run_node)],
    ids=["requests", "fetch"],
)
def test_a_client_with_a_wrong_token_prints_the_envelope(
    server: Server, block: str, runner: Callable[[str, Server], str]
) -> None:
    printed = runner(block.replace("xyz-token", "wrong"), server)

    assert "AUTHENTICATION_REQUIRED" in printed


@pytest.mark.clients
@one_server
def test_the_sdk_prints_both_answers(server: Server) -> None:
    printed = run_python(BLOCKS["sdk"], server)

    assert printed == "status='ok' available=True\n" * 2


# The two commands, and the session with the example app


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    """Copy what a stranger has before the first command: nothing installed, nothing made.

    The commands are typed there one after the other, in any order.
    """
    made = shutil.ignore_patterns(".*", "__pycache__", "instance", "dist", "build")
    folder = tmp_path_factory.mktemp("stranger") / "checkout"
    return pathlib.Path(shutil.copytree(ROOT, folder, ignore=made))


def strangers(**changes: str) -> dict[str, str]:
    """Give the environment without what this test run has set for itself."""
    own = ("PYTEST_", "COV_", "COVERAGE_", "FLASK_")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(own)}
    return kept | {"PIP_NO_COMPILE": "1"} | changes  # seconds, for what is not imported


def typed(command: str, folder: pathlib.Path, **changes: str) -> str:
    """Run a command as a stranger would, and give what it printed."""
    done = subprocess.run(
        ["sh", "-c", command],
        capture_output=True,
        text=True,
        cwd=folder,
        env=strangers(**changes),
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.clients
def test_the_first_command_serves_the_example_app_as_the_session_shows(
    checkout: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    environment = strangers(FLASK_RUN_PORT=str(port))
    log = tmp_path / "log"

    with running(["sh", "-c", BLOCKS["run"]], log, cwd=checkout, env=environment):
        wait_for(url, log, seconds=300)
        for block in (BLOCKS["session"], BLOCKS["night"], BLOCKS["command line"]):
            assert_shown(block.replace(EXAMPLE, url), checkout)


def assert_shown(block: str, folder: pathlib.Path) -> None:
    """Type the commands of a block, and compare what they print with what it shows.

    There, "..." stands for any lines, and a time or a number of another run for those of this.
    """
    commands = re.findall(r"^\$ (.*)$", block, re.MULTILINE)
    script = "\n".join(f"{command}; echo" for command in commands)
    printed = subprocess.run(
        ["sh", "-c", script], capture_output=True, text=True, cwd=folder, check=False
    ).stdout
    shown = re.sub(r"^\$ .*\n", "", block, flags=re.MULTILINE)
    compare = doctest.OutputChecker().check_output
    elided = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE
    assert compare(of_any_run(shown), of_any_run(printed), elided), printed


def of_any_run(text: str) -> str:
    """Leave out what differs from run to run."""
    text = re.sub(r"\d{4}-\d\d-\d\dT[\d:.]+Z|time=[\d.]+s", "TIME", text)
    return re.sub(r'("(?:age_seconds|duration_ms|host|pid)"): [^\s,]+', r"\1: any", text)


@pytest.mark.clients
@pytest.mark.soak
def test_the_second_command_runs_the_tests(checkout: pathlib.Path) -> None:
    # One file of them: this very run is what proves the rest.
    printed = typed(BLOCKS["test"], checkout, PYTEST_ADDOPTS="tests/web/test_contract.py")

    assert re.search(r" \d+ passed in ", printed)


@pytest.mark.clients
@pytest.mark.soak
def test_the_benchmark_installs_what_it_compares_with(checkout: pathlib.Path) -> None:
    # What this test run has installed is there already; the rest goes where it hurts nobody.
    if not (checkout / ".venv").exists():
        venv.create(checkout / ".venv", with_pip=True)
    command = BLOCKS["benchmark"].strip() + " --quick parallel"

    printed = typed(command, checkout, PYTHONPATH=sysconfig.get_path("purelib"))

    assert "Left out" not in printed
    assert re.search(r"^\| pyctuator \| [\d,]+ \|$", printed, re.MULTILINE)
