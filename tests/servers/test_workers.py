"""Both routes behind every kind of worker, with healthy probes and with hung ones."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator

import pytest

from tests.apps.workers import DEADLINE, KINDS, MAX_STALE, TIMEOUT, TTL
from tests.load import Answer, once, polled
from tests.serving import Launched

pytestmark = pytest.mark.clients

# More than the engine's own 50 ms: other work may run on the machine.
MARGIN = 0.25

GUNICORN = (
    *(sys.executable, "-W", "default::DeprecationWarning", "-m", "gunicorn"),
    *("apps.workers:create_app()", "--bind", "127.0.0.1:{port}", "--workers", "2"),
)
CLASSES = {
    "sync": (*GUNICORN, "--worker-class", "sync"),
    "gthread": (*GUNICORN, "--worker-class", "gthread", "--threads", "8"),
    "gevent": (*GUNICORN, "--worker-class", "gevent"),
}
COMMANDS = {
    **CLASSES,
    **{f"{name}-preload": (*command, "--preload") for name, command in CLASSES.items()},
    "waitress": (
        *(sys.executable, "-m", "waitress", "--listen", "127.0.0.1:{port}"),
        *("--threads", "8", "--call", "apps.workers:create_app"),
    ),
}

# Two kinds do for every day. Other tests fork beside threads, and start waitress.
SELDOM = ("sync-preload", "gthread", "gthread-preload", "gevent-preload", "waitress")
EACH = [
    pytest.param(kind, marks=[pytest.mark.soak] if kind in SELDOM else []) for kind in COMMANDS
]

# The threads that are the server's own.
SERVERS_OWN = re.compile(r"MainThread|ThreadPoolExecutor-\d+_\d+|waitress-\d+")

HEALTHY = {
    "/v1/knowledge/connectors/health": "ok",
    "/v1/organizations/org_fine/knowledge/connectors/health": "ok",
    "/v1/organizations/org_down/knowledge/connectors/health": "unavailable",
}
HUNG = {
    f"/{kind}{path}": "degraded" if status == "ok" else status
    for kind in KINDS
    for path, status in HEALTHY.items()
}


class Pool:
    """The server of one kind that the tests share, until one of them ends it."""

    def __init__(self, kind: str, factory: pytest.TempPathFactory) -> None:
        self._kind = kind
        self._factory = factory
        self._launched: Launched | None = None
        self.first_threads = b""

    def server(self) -> Launched:
        if self._launched is None:
            folder = self._factory.mktemp(self._kind)
            self._launched = Launched(COMMANDS[self._kind], folder)
            self._launched.wait_for()
            self.first_threads = once(self._launched, "/threads").body
        return self._launched

    def close(self) -> None:
        if self._launched is not None:
            launched, self._launched = self._launched, None
            launched.close()


@pytest.fixture(scope="module", params=EACH)
def pool(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Pool]:
    pool = Pool(request.param, tmp_path_factory)
    yield pool
    pool.close()


@pytest.fixture
def server(pool: Pool) -> Launched:
    return pool.server()


def wrong(answers: list[Answer], expected: dict[str, str]) -> set[tuple[str, object]]:
    return {
        (answer.path, answer.status)
        for answer in answers
        if answer.status != expected[answer.path]
        or answer.code != (503 if answer.status == "unavailable" else 200)
    }


def late(answers: list[Answer]) -> set[tuple[str, float]]:
    return {
        (answer.path, answer.seconds)
        for answer in answers
        if answer.seconds > DEADLINE + MARGIN
    }


def test_no_thread_exists_before_the_first_request(pool: Pool, server: Launched) -> None:
    names = re.findall(r'"([^"]+)"', pool.first_threads.decode())

    assert "MainThread" in names
    assert [name for name in names if not SERVERS_OWN.fullmatch(name)] == []


def test_no_fork_happens_beside_a_thread(server: Launched) -> None:
    assert "multi-threaded" not in server.log.read_text()


@pytest.fixture(scope="module")
def answers_while_results_expire(pool: Pool) -> list[Answer]:
    """Poll beside a view of the host's that runs a loop of its own."""
    return polled(pool.server(), [*HEALTHY, "/own-loop"], seconds=TTL + MAX_STALE + 0.4)


def test_no_answer_is_wrong_while_results_expire(
    answers_while_results_expire: list[Answer],
) -> None:
    answers = [answer for answer in answers_while_results_expire if answer.path in HEALTHY]

    assert wrong(answers, HEALTHY) == set()


def test_a_loop_of_the_hosts_runs_beside_async_probes(
    answers_while_results_expire: list[Answer],
) -> None:
    bodies = {a.body for a in answers_while_results_expire if a.path == "/own-loop"}

    assert bodies == {b"ran"}


def test_many_requests_at_once_are_all_right(server: Launched) -> None:
    answers = polled(server, [*HEALTHY] * 8, seconds=0.0)

    assert wrong(answers, HEALTHY) == set()


@pytest.fixture(scope="module")
def answers_beside_hung_probes(pool: Pool) -> list[Answer]:
    """Poll until the first runs are overdue, and one more deadline."""
    return polled(pool.server(), HUNG | HEALTHY, seconds=TIMEOUT + DEADLINE)


def test_a_hung_probe_makes_no_answer_late(answers_beside_hung_probes: list[Answer]) -> None:
    assert late(answers_beside_hung_probes) == set()


def test_a_hung_probe_makes_no_answer_wrong(answers_beside_hung_probes: list[Answer]) -> None:
    assert wrong(answers_beside_hung_probes, HUNG | HEALTHY) == set()


def test_sigterm_with_a_hung_probe_ends_the_server(pool: Pool, server: Launched) -> None:
    polled(server, HUNG, seconds=0.0)

    seconds = server.terminate()

    pool.close()
    assert seconds is not None
    assert seconds < 2.5
