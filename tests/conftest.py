"""Fixtures: a host app that can be configured, and the example app behind real servers."""

from __future__ import annotations

import contextlib
import http.server
import pathlib
import sys
import threading
import types
import typing as t
from collections.abc import Callable, Iterator, Sequence

import hypothesis
import pytest
from flask import Flask

from flask_connector_health import ConnectorHealth, allow_any_organization
from flask_connector_health.engine import threads
from flask_connector_health.engine.environment import Environment
from flask_connector_health.engine.events import Listener
from flask_connector_health.engine.monitor import Monitor
from flask_connector_health.log import Log
from flask_connector_health.probes.spec import Probe
from flask_connector_health.settings import Settings

from .clockwork import PATIENCE, Clock, Gated, drive, engine_threads, eventually
from .serving import EVERY, Server, serving

ROOT = pathlib.Path(__file__).parent.parent

# How long an example takes says more of the machine than of what is tested.
hypothesis.settings.register_profile("no clock", deadline=None)
hypothesis.settings.load_profile("no clock")

# The example app is no part of the package. Last on the path: the installed package goes first.
sys.path.append(str(ROOT))

PUBLIC = "/v1/knowledge/connectors/health"
SCOPED = "/v1/organizations/org_xyz789/knowledge/connectors/health"
DETAILS, SCOPED_DETAILS = f"{PUBLIC}/details", f"{SCOPED}/details"
OK = b'{"status": "ok", "available": true}'
BEARER = {"Authorization": "Bearer good-token"}
API_KEY = {"X-API-Key": "good-key"}

CONFIG: dict[str, t.Any] = {
    "CONNECTOR_HEALTH_AVAILABILITY": lambda: True,
    "CONNECTOR_HEALTH_VERIFY_TOKEN": lambda token: {"good-token": "ann"}.get(token),
    "CONNECTOR_HEALTH_VERIFY_API_KEY": lambda key: {"good-key": "bob"}.get(key),
    "CONNECTOR_HEALTH_AUTHORIZE": allow_any_organization,
    "CONNECTOR_HEALTH_DEADLINE": PATIENCE,  # a slow machine is no reason to fail
}

MakeApp = Callable[..., Flask]
MakeMonitor = Callable[..., Monitor]
OpenContext = Callable[[], contextlib.AbstractContextManager[object]]


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave the soak tests out unless -m names them."""
    # An -m in addopts would give way to one on the command line, and let them in.
    if "soak" in config.option.markexpr:
        return
    soak = [item for item in items if item.get_closest_marker("soak")]
    if soak:
        config.hook.pytest_deselected(items=soak)
        items[:] = [item for item in items if item not in soak]


@pytest.fixture
def health() -> ConnectorHealth:
    return ConnectorHealth()


@pytest.fixture
def make_app(health: ConnectorHealth) -> MakeApp:
    """Make a host app with the blueprint, its configuration changed by keyword."""

    def make(**changes: t.Any) -> Flask:
        app = Flask("host")
        app.config.from_mapping(CONFIG)
        for key, value in changes.items():
            app.config[f"CONNECTOR_HEALTH_{key}"] = value
        app.register_blueprint(health)
        return app

    return make


@pytest.fixture
def green_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have a stand-in for eventlet say that it has patched threads."""
    patcher = types.ModuleType("eventlet.patcher")
    patcher.is_monkey_patched = lambda name: name == "thread"  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "eventlet.patcher", patcher)


@pytest.fixture
def clock() -> Iterator[Clock]:
    clock = Clock()
    yield clock
    clock.close()


@pytest.fixture
def gated() -> Iterator[Gated]:
    gated = Gated()
    yield gated
    gated.let_through(1_000)


@pytest.fixture
def url() -> Iterator[str]:
    """Serve what a probe may ask, which answers 204."""

    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            self.send_response(204)
            self.end_headers()

        def log_message(self, *values: object) -> None: ...

        def handle(self) -> None:
            with contextlib.suppress(OSError):  # from a client that was lost with its loop
                super().handle()

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, args=[0.01], daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/"
        server.shutdown()


@pytest.fixture(scope="session", autouse=True)
def _threads_end_soon() -> Iterator[None]:
    # All the time: a thread that an earlier test has left may begin to wait at any moment.
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(threads, "IDLE", 1 / 256)  # exact, so that sums of it are, too
        yield


@pytest.fixture(autouse=True)
def _log_is_told() -> Iterator[None]:
    yield
    # Or the next test would find its lines: who is about to write one is idle in name.
    eventually(lambda: not engine_threads("events") and not engine_threads("idle"))


@pytest.fixture
def make_monitor(clock: Clock) -> Iterator[MakeMonitor]:
    """Make a monitor of these probes alone, on a clock that only the test moves."""
    eventually(lambda: not engine_threads())

    def make(
        *probes: Probe,
        jitter: Callable[[], float] = lambda: 0.0,
        open_context: OpenContext = contextlib.nullcontext,
        listeners: Sequence[Listener] = (),
        **settings: t.Any,
    ) -> Monitor:
        changes = {f"CONNECTOR_HEALTH_{key}": value for key, value in settings.items()}
        config = {**CONFIG, "CONNECTOR_HEALTH_DEADLINE": 0.05, **changes}
        made = Settings.from_config(config)
        return Monitor(
            made,
            probes,
            Environment(open_context, clock, jitter),
            [Log(open_context, made, len(probes)), *listeners],
        )

    yield make
    clock.close()
    eventually(lambda: not engine_threads())


@pytest.fixture
def once_ok(make_monitor: MakeMonitor, gated: Gated) -> Monitor:
    """Make a monitor whose probe was ok once, and fails from then on."""
    monitor = make_monitor(drive(gated), TTL=5.0, MAX_STALE=15.0)
    gated.let_through()
    monitor.report()
    gated.wait_for_start()
    gated.answer = False
    return monitor


@pytest.fixture(
    scope="session", params=["gunicorn", pytest.param("waitress", marks=pytest.mark.soak)]
)
def running_server(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Server]:
    with serving(request.param, tmp_path_factory.mktemp(request.param)) as server:
        yield server


@pytest.fixture
def server(running_server: Server) -> Iterator[Server]:
    """Serve the example app, with every connector on before and after the test."""
    yield running_server
    running_server.switch(*EVERY, on=True)
