"""Under eventlet, sync probes are what they are elsewhere, and async ones fail at once."""

from __future__ import annotations

import json
import sys
import time
import typing as t
from collections.abc import Iterator

import pytest

from tests.apps.green import DEADLINE, TIMEOUT
from tests.conftest import PUBLIC, SCOPED
from tests.load import Answer, once, polled
from tests.serving import Launched

pytestmark = pytest.mark.stacks

HUNG, LOOPS = f"/hung{PUBLIC}", f"/async{PUBLIC}"
EXPECTED = {PUBLIC: "ok", SCOPED: "ok", HUNG: "degraded", LOOPS: "unavailable"}

# More than the engine's own 50 ms: other work may run on the machine.
MARGIN = 0.25

SERVE = """
import sys
import eventlet
eventlet.monkey_patch()
from apps.green import create_app
from eventlet import wsgi
wsgi.server(eventlet.listen(("127.0.0.1", int(sys.argv[1]))), create_app(), log_output=False)
"""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Launched]:
    folder = tmp_path_factory.mktemp("eventlet")
    server = Launched([sys.executable, "-W", "ignore", "-c", SERVE, "{port}"], folder)
    server.wait_for()
    yield server
    server.close()


def told(server: Launched, path: str) -> dict[str, t.Any]:
    answer: dict[str, t.Any] = json.loads(once(server, path).body)
    return answer


@pytest.fixture(scope="module")
def answers(server: Launched) -> list[Answer]:
    """Poll healthy, hung and async probes until the first hung run is overdue, and longer."""
    return polled(server, list(EXPECTED) * 4, seconds=TIMEOUT + 2 * DEADLINE)


def test_every_answer_is_right(answers: list[Answer]) -> None:
    assert len(answers) > 200
    assert {(answer.path, answer.status) for answer in answers} == set(EXPECTED.items())


def test_a_hung_sync_probe_makes_no_answer_late(answers: list[Answer]) -> None:
    assert [a for a in answers if a.seconds > DEADLINE + MARGIN] == []


def test_a_hung_sync_probe_fails_at_its_timeout(
    server: Launched, answers: list[Answer]
) -> None:
    assert "no answer within its timeout" in server.log.read_text()


def test_an_async_probe_fails_at_once_and_says_why(
    server: Launched, answers: list[Answer]
) -> None:
    slowest = max(answer.seconds for answer in answers if answer.path == LOOPS)
    reasons = told(server, "/reasons/loops")

    assert slowest < DEADLINE
    for probe in ("loop", "other-loop"):
        assert reasons[probe].startswith("eventlet has replaced the threads")


def test_a_warning_at_registration_names_the_async_probes(server: Launched) -> None:
    assert "write 'loop', 'other-loop' sync" in server.log.read_text()


def test_what_hangs_or_cannot_run_uses_no_cpu(server: Launched, answers: list[Answer]) -> None:
    before, began = told(server, "/used"), time.monotonic()
    time.sleep(0.5)
    after, seconds = told(server, "/used"), time.monotonic() - began

    assert after["cpu"] - before["cpu"] < seconds / 2
    assert after["threads"] == 1
