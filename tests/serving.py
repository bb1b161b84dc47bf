"""The example app behind real servers, each in processes of its own with a new database."""

from __future__ import annotations

import contextlib
import os
import pathlib
import select
import signal
import socket
import sqlite3
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import pytest

TESTS = pathlib.Path(__file__).parent
EXAMPLE_APP = TESTS.parent / "example_app"
APPS = TESTS / "apps"

COMMANDS = {
    "gunicorn": [
        *(sys.executable, "-m", "gunicorn", "example_app:create_app()"),
        *("--worker-class", "gthread", "--workers", "2", "--threads", "8"),
        *("--bind", "127.0.0.1:{port}"),
    ],
    "waitress": [
        *(sys.executable, "-m", "waitress", "--listen", "127.0.0.1:{port}"),
        *("--call", "example_app:create_app"),
    ],
}

# Every connector of the seed.
EVERY = ("google-drive", "notion", "postgres")

# What is switched off, for every organization, and what org_xyz789 and the public get then.
STATES = [((), "ok"), (("google-drive",), "degraded"), (EVERY, "unavailable")]
every_state = pytest.mark.parametrize(
    ("off", "status"), STATES, ids=[status for _, status in STATES]
)


@dataclass(frozen=True)
class Server:
    """A server that runs, and the state that it serves."""

    url: str
    environment: Mapping[str, str]

    def switch(self, *names: str, on: bool) -> None:
        """Switch connectors of all organizations."""
        database = self.environment["FLASK_DATABASE"]
        with contextlib.closing(sqlite3.connect(database)) as connection, connection:
            connection.executemany(
                "UPDATE connector SET enabled = ? WHERE name = ?",
                [(on, name) for name in names],
            )


@contextlib.contextmanager
def serving(kind: str, folder: pathlib.Path) -> Iterator[Server]:
    """Run the example app; what its log holds in the end must be no traceback."""
    # Only the app is in the folder: the package comes from where it was installed.
    (folder / "example_app").symlink_to(EXAMPLE_APP)
    port = free_port()
    environment = {**os.environ, "FLASK_DATABASE": str(folder / "example.sqlite3")}
    log = folder / "server.log"
    command = [part.format(port=port) for part in COMMANDS[kind]]
    with running(command, log, cwd=folder, env=environment):
        url = f"http://127.0.0.1:{port}"
        wait_for(url, log)  # at its root there is nothing: a 404
        yield Server(url, environment)
    assert "Traceback" not in log.read_text()


@contextlib.contextmanager
def running(
    command: Sequence[str], log: pathlib.Path, *, cwd: pathlib.Path, env: Mapping[str, str]
) -> Iterator[None]:
    """Run a command in a group of its own, and end all of it."""
    with log.open("w") as output:
        process = subprocess.Popen(
            command, stdout=output, stderr=output, cwd=cwd, env=env, process_group=0
        )
    try:
        yield
    finally:
        os.killpg(process.pid, 15)
        process.wait(30)


class Launched:
    """A server whose end can be timed.

    Every process of it holds a pipe open, which ends with the last of them.
    """

    def __init__(self, command: Sequence[str], folder: pathlib.Path) -> None:
        for package in (EXAMPLE_APP, APPS):
            (folder / package.name).symlink_to(package)
        self.port = free_port()
        self.log = folder / "server.log"
        self._pipe, end = os.pipe()
        with self.log.open("w") as output:
            self._process = subprocess.Popen(
                [part.format(port=self.port) for part in command],
                stdout=output,
                stderr=output,
                cwd=folder,
                env={**os.environ, "FLASK_DATABASE": str(folder / "example.sqlite3")},
                process_group=0,
                pass_fds=[end],
            )
        os.close(end)

    def wait_for(self) -> None:
        wait_for(f"http://127.0.0.1:{self.port}", self.log)  # there is nothing: a 404

    def terminate(self, *, within: float = 30.0) -> float | None:
        """Send SIGTERM, and return after how many seconds no process was left."""
        began = time.monotonic()
        self._process.send_signal(signal.SIGTERM)
        ended, _, _ = select.select([self._pipe], [], [], within)
        return time.monotonic() - began if ended else None

    def close(self) -> None:
        """End what is left, and look for what went wrong."""
        if self._process.poll() is None and self.terminate(within=5.0) is None:
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait(30)
        os.close(self._pipe)
        log = self.log.read_text()
        assert "Traceback" not in log, log


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port


def wait_for(url: str, log: pathlib.Path, *, seconds: float = 20.0) -> None:
    """Wait until an app answers there, by refusing what it does not have."""
    end = time.monotonic() + seconds
    while True:
        try:
            urllib.request.urlopen(url, timeout=5).close()  # noqa: S310
        except urllib.error.HTTPError as error:
            error.close()
            return
        except OSError:
            assert time.monotonic() < end, log.read_text()
            time.sleep(0.05)
        else:
            return
