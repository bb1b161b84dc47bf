"""What the blueprint asks of the server: threads, and event loops for async probes."""

from __future__ import annotations

import _thread
import functools
import subprocess
import sys
import types
import typing as t

import pytest

from flask_connector_health import ConfigurationError, ConnectorHealth, servers
from tests.conftest import MakeApp

# Isolated and legacy sub-interpreters

IN_A_SUB_INTERPRETER = """
import os, sys

if sys.version_info >= (3, 13):
    import _interpreters as interpreters
    made, run = interpreters.create(sys.argv[1]), interpreters.exec
else:
    import _xxsubinterpreters as interpreters
    made, run = interpreters.create(isolated=sys.argv[1] == "isolated"), interpreters.run_string
print(run(made, sys.argv[2]), flush=True)
os._exit(0)  # Python 3.12 crashes while it ends an interpreter with Flask's extensions
"""

HOST = """
import asyncio, sys, threading
from flask import Flask
from flask_connector_health import ConfigurationError, ConnectorHealth, allow_any_organization

health, app = ConnectorHealth(), Flask("host")
app.config.from_mapping(
    CONNECTOR_HEALTH_AVAILABILITY=lambda: True,
    CONNECTOR_HEALTH_VERIFY_TOKEN=bool,
    CONNECTOR_HEALTH_AUTHORIZE=allow_any_organization,
    CONNECTOR_HEALTH_DEADLINE=10.0,
)

@health.probe("loop")
async def loop():
    await asyncio.sleep(0)
    return await asyncio.to_thread(bool, 1)

try:
    app.register_blueprint(health)
except ConfigurationError as error:
    print(f"refused: {error}", flush=True)
else:
    print(app.test_client().get("/v1/knowledge/connectors/health").text, flush=True)
"""


def in_a_sub_interpreter(kind: str) -> str:
    """Register the blueprint there, and ask it; give what was printed."""
    done = subprocess.run(
        [sys.executable, "-c", IN_A_SUB_INTERPRETER, kind, HOST],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    printed, _, raised = done.stdout.strip().rpartition("\n")
    assert raised == "None", raised
    return printed


def test_an_isolated_sub_interpreter_is_refused_with_the_remedy() -> None:
    printed = in_a_sub_interpreter("isolated")

    assert printed.startswith("refused: the app is in an isolated sub-interpreter")
    assert "WSGIApplicationGroup %{GLOBAL}" in printed


def test_a_legacy_sub_interpreter_is_served() -> None:
    assert in_a_sub_interpreter("legacy") == '{"status": "ok", "available": true}'


def test_where_no_daemon_thread_may_start_nothing_is_registered(
    make_app: MakeApp, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_thread, "daemon_threads_allowed", lambda: False, raising=False)

    with pytest.raises(ConfigurationError, match=r"WSGIApplicationGroup %\{GLOBAL\}"):
        make_app()


def refuse(*arguments: object) -> None:
    raise RuntimeError("thread is not supported for isolated subinterpreters")


@pytest.mark.parametrize(
    ("current", "start", "may_start"),
    [
        pytest.param("main", refuse, True, id="main"),
        pytest.param("other", lambda *arguments: 1, True, id="legacy"),
        pytest.param("other", refuse, False, id="isolated"),
        pytest.param(None, refuse, True, id="unknown"),
    ],
)
def test_before_python_3_12_only_a_sub_interpreter_starts_a_thread(
    monkeypatch: pytest.MonkeyPatch, current: str | None, start: t.Any, may_start: bool
) -> None:
    interpreters: t.Any = types.ModuleType("_xxsubinterpreters")
    interpreters.get_current, interpreters.get_main = lambda: current, lambda: "main"
    monkeypatch.setitem(sys.modules, interpreters.__name__, current and interpreters)
    monkeypatch.setattr(_thread, "start_new_thread", start)

    assert servers._attempt() is may_start


# Async probes under eventlet


async def answer(*organization: object) -> bool:
    return True


class Asked:
    """A probe whose class has an async ``__call__``."""

    async def __call__(self) -> bool:
        return True


def test_a_warning_at_registration_names_the_probes_that_eventlet_cannot_run(
    make_app: MakeApp,
    health: ConnectorHealth,
    green_threads: None,
    caplog: pytest.LogCaptureFixture,
) -> None:
    health.add_probe(functools.partial(answer, 1), name="partial")
    health.add_probe(Asked(), name="asked")
    health.add_probe(lambda: True, name="sync")

    make_app(AVAILABILITY=answer)

    assert [record.levelname for record in caplog.records] == ["WARNING"]
    assert "'asked', 'availability', 'partial' sync" in caplog.messages[0]


@pytest.mark.usefixtures("green_threads")
def test_sync_probes_cause_no_warning_under_eventlet(
    make_app: MakeApp, caplog: pytest.LogCaptureFixture
) -> None:
    make_app()

    assert caplog.messages == []


def test_async_probes_cause_no_warning_elsewhere(
    make_app: MakeApp, caplog: pytest.LogCaptureFixture
) -> None:
    make_app(AVAILABILITY=answer)

    assert caplog.messages == []
