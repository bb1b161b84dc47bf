"""Many organizations at one worker with the default settings. Run with ``-m soak``."""

from __future__ import annotations

import os
import pathlib
import sys
import threading
import time
from collections.abc import Iterator

import pytest

from tests.benchmarks.scale import FULL
from tests.conftest import BEARER
from tests.load import Answer, ask, connected, in_parallel
from tests.serving import Launched

pytestmark = pytest.mark.soak

SECONDS = float(os.environ.get("SOAK_SECONDS", "90")) / 7.5
INTERVAL = FULL.poll_interval
CLIENTS = 64


@pytest.fixture(params=["sync", "async"])
def server(
    request: pytest.FixtureRequest, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Launched]:
    monkeypatch.setenv("KIND", request.param)
    launched = Launched(
        [
            *(sys.executable, "-m", "gunicorn", "apps.crowded:create_app()"),
            *("--worker-class", "gthread", "--workers", "1", "--threads", "64"),
            *("--bind", "127.0.0.1:{port}"),
        ],
        tmp_path,
    )
    launched.wait_for()
    yield launched
    launched.close()


def polled(server: Launched, organizations: list[str]) -> list[Answer]:
    """Ask about each once in every interval, evenly spread."""
    pause = INTERVAL / len(organizations)
    number, began, lock = -1, time.monotonic(), threading.Lock()

    def client() -> list[Answer]:
        nonlocal number
        answers = []
        with connected(server.port) as connection:
            while time.monotonic() - began < SECONDS:
                with lock:
                    number += 1
                    mine = number
                time.sleep(max(0.0, began + mine * pause - time.monotonic()))
                organization_id = organizations[mine % len(organizations)]
                path = f"/v1/organizations/{organization_id}/knowledge/connectors/health"
                answers.append(ask(connection, path, **BEARER))
        return answers

    return in_parallel([client] * CLIENTS)


def wrong(answers: list[Answer]) -> list[Answer]:
    return [answer for answer in answers if (answer.status == "ok") is ("hung" in answer.path)]


@pytest.mark.parametrize("count", [300, 1_000, 2_000])
def test_no_healthy_organization_reads_as_down(server: Launched, count: int) -> None:
    answers = polled(server, [f"org_{number}" for number in range(count)])

    assert len(answers) > count
    assert wrong(answers) == []


def test_organizations_that_hang_change_no_answer_for_others(server: Launched) -> None:
    organizations = [f"org_{number}" for number in range(300)]
    for number in range(100):
        organizations.insert(number * 4, f"org_hung_{number}")

    answers = polled(server, organizations)

    assert wrong(answers) == []
