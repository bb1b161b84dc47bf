"""The recipes that keep health requests out of access logs, in real servers."""

from __future__ import annotations

import contextlib
import itertools
import os
import pathlib
import re
import signal
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator

import pytest

from tests.clockwork import eventually
from tests.conftest import PUBLIC, SCOPED
from tests.serving import free_port, running, wait_for

from .test_readme import BLOCKS

pytestmark = pytest.mark.clients

PLACES = {
    "app": ("quiet.py", BLOCKS["access log, app"], "quiet:app"),
    "config": ("gunicorn.conf.py", BLOCKS["access log, gunicorn"], "app:create_app()"),
}
KINDS = {
    "sync": ["--worker-class", "sync"],
    "gthread": ["--worker-class", "gthread", "--threads", "4"],
    "gevent": ["--worker-class", "gevent"],
    "gevent-preload": ["--worker-class", "gevent", "--preload"],
}

# This does for every day.
OFTEN = ("app", "sync")
EACH = [
    pytest.param(*pair, marks=[] if pair == OFTEN else [pytest.mark.soak])
    for pair in itertools.product(PLACES, KINDS)
]

TOKEN = {"Authorization": "Bearer xyz-token"}
# The path of each request, and the status that its line in the log has.
LINE = re.compile(r'"[^"]*?GET (\S+) HTTP/1\.1[^"]*" (\d+)')
LOGGED = [(SCOPED, "401"), (f"/other?next={PUBLIC}", "404")]


def ask(url: str) -> None:
    """Make all requests: successful ones, and those that are to be in the log."""
    for path, headers in ((PUBLIC, {}), (SCOPED, TOKEN)):
        request = urllib.request.Request(url + path, headers=headers)  # noqa: S310
        urllib.request.urlopen(request, timeout=30).close()  # noqa: S310
    for path, _ in LOGGED:
        with pytest.raises(urllib.error.HTTPError) as caught:
            urllib.request.urlopen(url + path, timeout=30)  # noqa: S310
        caught.value.close()


def lines(log: pathlib.Path) -> list[tuple[str, str]]:
    """Read the access log, without the lines of those who wait for the server."""
    return [line for line in LINE.findall(log.read_text()) if line[0] != "/"]


@contextlib.contextmanager
def served(folder: pathlib.Path, *command: str) -> Iterator[str]:
    """Serve the README's app. When that has ended, the log is complete."""
    (folder / "app.py").write_text(BLOCKS["app"])
    port, log = free_port(), folder / "log"
    url = f"http://127.0.0.1:{port}"
    filled = [sys.executable, "-m", *(part.format(port=port) for part in command)]
    with running(filled, log, cwd=folder, env=os.environ):
        wait_for(url, log)
        yield url


@pytest.mark.soak
@pytest.mark.parametrize("options", [[], ["--debug"]], ids=["run", "debug"])
def test_flask_run_logs_no_successful_health_request(
    tmp_path: pathlib.Path, options: list[str]
) -> None:
    (tmp_path / "quiet.py").write_text(BLOCKS["access log, app"])
    command = ["flask", "--app", "quiet", "run", "--port", "{port}", *options]

    with served(tmp_path, *command) as url:
        ask(url)

    assert sorted(lines(tmp_path / "log")) == sorted(LOGGED)


@pytest.mark.parametrize(("place", "kind"), EACH)
def test_gunicorn_logs_no_successful_health_request_also_after_a_reload(
    tmp_path: pathlib.Path, place: str, kind: str
) -> None:
    name, recipe, app = PLACES[place]
    (tmp_path / name).write_text(recipe)
    log, pid = tmp_path / "log", tmp_path / "pid"
    command = ["gunicorn", app, "--bind", "127.0.0.1:{port}", "--access-logfile", "-"]

    with served(tmp_path, *command, "--pid", str(pid), *KINDS[kind]) as url:
        ask(url)
        os.kill(int(pid.read_text()), signal.SIGHUP)
        eventually(lambda: "Worker exiting" in log.read_text())
        ask(url)

    assert sorted(lines(log)) == sorted(LOGGED * 2)
