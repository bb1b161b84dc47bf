"""How the commands find the app, and what they say if they cannot."""

from __future__ import annotations

import pathlib
import subprocess
import sys

import pytest
from flask import Flask
from flask.cli import NoAppException

from flask_connector_health import ConnectorHealth, verdict_turned
from tests.clockwork import Told, engine_threads, eventually
from tests.conftest import CONFIG, ROOT, MakeApp

from .conftest import Run

COMMANDS = ["check", "probes", "doctor", "drain", "undrain"]


def flask(folder: pathlib.Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "flask", *arguments]
    return subprocess.run(command, capture_output=True, text=True, cwd=folder, check=False)


@pytest.mark.clients
def test_flask_has_the_commands_and_runs_them(tmp_path: pathlib.Path) -> None:
    (tmp_path / "app.py").write_text(
        f"import sys; sys.path.append({str(ROOT)!r}); from example_app import create_app"
    )

    done = flask(tmp_path, "connector-health", "check", "--group", "ready")

    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines() == [
        "ok: group ready",
        "  ok             database (service)",
    ]


@pytest.mark.clients
def test_an_app_that_cannot_be_loaded_is_one_line_and_no_traceback(
    tmp_path: pathlib.Path,
) -> None:
    (tmp_path / "app.py").write_text("import nothing_of_that_name")

    done = flask(tmp_path, "connector-health", "check")

    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == (
        "Error: the app cannot be loaded: ModuleNotFoundError: No module named"
        " 'nothing_of_that_name'\n"
    )


@pytest.mark.clients
def test_what_an_app_prints_as_it_is_made_is_no_output_of_a_command(
    tmp_path: pathlib.Path,
) -> None:
    (tmp_path / "app.py").write_text(
        f"print('starting'); import sys; sys.path.append({str(ROOT)!r})\n"
        "from example_app import create_app"
    )

    done = flask(tmp_path, "connector-health", "check", "--group", "live", "--nagios")

    assert done.stdout.startswith("CONNECTORS OK - ")
    assert done.stderr == "starting\n"


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (ValueError("no such file"), "the app cannot be loaded: ValueError: no such file"),
        (SystemExit(4), "the app cannot be loaded: SystemExit: 4"),
        (NoAppException("Could not import 'app'."), "Could not import 'app'."),
    ],
)
@pytest.mark.parametrize(
    ("options", "code", "begins"),
    [([], 2, "Error: "), (["--nagios"], 3, "CONNECTORS UNKNOWN - ")],
    ids=["plain", "nagios"],
)
def test_whatever_an_app_raises_as_it_is_made_is_reported(
    run: Run,
    monkeypatch: pytest.MonkeyPatch,
    error: BaseException,
    text: str,
    options: list[str],
    code: int,
    begins: str,
) -> None:
    def load_app(info: object) -> Flask:
        raise error

    monkeypatch.setattr("flask.cli.ScriptInfo.load_app", load_app)

    result = run(Flask("host"), "check", *options)

    assert (result.exit_code, result.output) == (code, f"{begins}{text}\n")


@pytest.mark.parametrize("command", COMMANDS)
def test_an_app_without_the_blueprint_is_told_to_register_it(run: Run, command: str) -> None:
    result = run(Flask("host"), command)

    assert result.exit_code == 2
    assert (
        "'host' has no ConnectorHealth; register it: app.register_blueprint(" in result.output
    )


@pytest.mark.parametrize("command", ["check", "probes", "doctor"])
def test_of_several_registrations_one_is_named(
    run: Run, make_app: MakeApp, health: ConnectorHealth, command: str
) -> None:
    app = make_app(DEADLINE=0.5)
    app.register_blueprint(health, name="internal", url_prefix="/internal")

    unnamed = run(app, command)
    wrong = run(app, command, "--name", "other")

    assert unnamed.exit_code == wrong.exit_code == 2
    assert "give --name one of 'connector_health', 'internal'" in unnamed.output
    assert "none is registered as 'other'" in wrong.output
    assert run(app, command, "--name", "internal").exit_code == 0


def test_the_only_registration_needs_no_name(run: Run) -> None:
    health = ConnectorHealth(name="own")
    app = Flask("host")
    app.config.from_mapping(CONFIG)
    app.register_blueprint(health)

    assert run(app, "check").exit_code == 0


@pytest.mark.parametrize("command", ["check", "doctor"])
def test_neither_the_log_nor_signals_hear_of_a_command(
    run: Run,
    make_app: MakeApp,
    health: ConnectorHealth,
    caplog: pytest.LogCaptureFixture,
    command: str,
) -> None:
    heard: list[object] = []

    def receive(sender: object, event: object) -> None:
        heard.append(event)

    health.add_probe(Told(OSError("refused")), name="drive")
    app = make_app()

    with verdict_turned.connected_to(receive, app):
        result = run(app, command)
        eventually(lambda: not engine_threads())

    assert result.exit_code == 1
    assert "drive" in result.output
    assert (heard, caplog.records) == ([], [])


@pytest.mark.parametrize(
    "arguments", [("check", "--json"), ("check", "--nagios"), ("doctor", "--json")]
)
def test_what_the_hosts_code_prints_is_no_output(
    run: Run, make_app: MakeApp, health: ConnectorHealth, arguments: tuple[str, ...]
) -> None:
    def chatty(*_: object) -> bool:
        print("connecting")  # noqa: T201 - as a host's probe may
        return True

    health.add_probe(chatty, name="drive")

    result = run(make_app(AUTHORIZE_DETAILS=chatty), *arguments)

    assert "connecting" not in result.stdout
    assert "connecting" in result.stderr
