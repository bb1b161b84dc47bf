"""Minutes of load: nothing wrong, nothing late, nothing that grows. Run with ``-m soak``.

``SOAK_SECONDS`` shortens all of them. By default, the longest load takes 90 seconds.
"""

from __future__ import annotations

import asyncio
import gc
import itertools
import os
import pathlib
import statistics
import sys
import time
import typing as t
from collections.abc import Awaitable, Callable, Iterator
from functools import partial

import pytest
from flask import Flask

from flask_connector_health import ConnectorHealth, Report
from flask_connector_health.engine.slots import HUNG_IN_ORGANIZATION, HUNG_IN_SERVICE
from tests.apps.hangs import Hang
from tests.apps.timed import timed
from tests.benchmarks.measure import resident
from tests.clockwork import engine_of, engine_threads, eventually
from tests.conftest import BEARER, CONFIG, PUBLIC, MakeApp
from tests.load import Answer, ask, call, connected, in_parallel, repeatedly
from tests.serving import Launched

pytestmark = pytest.mark.soak

SECONDS = float(os.environ.get("SOAK_SECONDS", "90"))
SHARE = SECONDS / 90

DEADLINE = 0.8
LIMIT = DEADLINE + 0.05
MIB = 1024 * 1024


def scoped(organization_id: str) -> str:
    return f"/v1/organizations/{organization_id}/knowledge/connectors/health"


def wrong(answers: list[Answer], expected: Callable[[str], str]) -> list[Answer]:
    return [answer for answer in answers if answer.status != expected(answer.path)]


def late(answers: list[Answer]) -> list[Answer]:
    return [answer for answer in answers if answer.seconds > LIMIT]


def native_threads() -> int:
    """Count threads, those that ``threading`` knows nothing of included."""
    return len(list(pathlib.Path("/proc/self/task").iterdir()))


@pytest.fixture
def hang() -> Iterator[Hang]:
    hang = Hang()
    yield hang
    hang.release()


# The example app, behind gunicorn


@pytest.fixture
def example(tmp_path: pathlib.Path) -> Iterator[Launched]:
    launched = Launched(
        [
            *(sys.executable, "-m", "gunicorn", "apps.hung_example:create_app()"),
            *("--worker-class", "gthread", "--workers", "4", "--threads", "4"),
            *("--bind", "127.0.0.1:{port}"),
        ],
        tmp_path,
    )
    launched.wait_for()
    yield launched
    launched.close()


def test_the_example_app_with_a_hung_probe_answers_10_000_requests(example: Launched) -> None:
    requests = [
        (PUBLIC, {}),
        (scoped("org_xyz789"), {"Authorization": "Bearer xyz-token"}),
        (scoped("org_abc123"), {"X-API-Key": "abc-key"}),
    ]
    each = max(1, int(10_000 * SHARE) // 16)

    def client(number: int) -> list[Answer]:
        with connected(example.port) as connection:
            return [
                ask(connection, path, **headers)
                for path, headers in itertools.islice(
                    itertools.cycle(requests), number, number + each
                )
            ]

    answers = in_parallel(partial(client, number) for number in range(16))

    assert len(answers) == 16 * each
    assert wrong(answers, lambda path: "degraded") == []
    assert late(answers) == []


# 200 clients, 50 organizations, a third of the probes hung


ORGANIZATIONS = [f"org_{number}" for number in range(50)]
HEALTHY = ("fast", "slow", "loop", "tenant", "tenant-slow", "tenant-loop")
HUNG = ("hung-wait", "hung-block", "hung-swallow")


Probing: t.TypeAlias = Callable[..., bool | Awaitable[bool]]


def is_broken(organization_id: str) -> bool:
    return organization_id.endswith("7")


def add_probes(health: ConnectorHealth, hang: Hang) -> None:
    """Add nine probes, of both scopes, and among them three that hang."""

    def sync(organization_id: str = "") -> bool:
        return not is_broken(organization_id)

    def slow(organization_id: str = "") -> bool:
        time.sleep(0.01)
        return True

    async def loop(organization_id: str = "") -> bool:
        await asyncio.sleep(0.01)
        return True

    calls: list[Probing] = [sync, slow, loop]
    for name, probe in zip(HEALTHY, calls * 2, strict=True):
        if name.startswith("tenant"):
            health.add_probe(probe, name=name, scope="organization")
        else:
            health.add_probe(probe, name=name)
    # Not critical: believed healthy they would read "ok", and others hurt "unavailable".
    health.add_probe(hang.wait, name="hung-wait", critical=False)

    @health.probe("hung-block", scope="organization", critical=False)
    async def hung_block(organization_id: str) -> bool:
        return await hang.block()

    @health.probe("hung-swallow", scope="organization", critical=False)
    async def hung_swallow(organization_id: str) -> bool:
        return await hang.swallow()


class Watch:
    """What the process holds, looked at once a second."""

    def __init__(self, seconds: float) -> None:
        self.threads: list[int] = []
        self.memory: list[int] = []
        self.objects: list[int] = []
        self._seconds = seconds

    def __call__(self) -> list[Answer]:
        end = time.monotonic() + self._seconds
        while time.monotonic() < end:
            time.sleep(min(1.0, self._seconds / 20))
            self.threads.append(native_threads())
            self.memory.append(resident())
            self.objects.append(len(gc.get_objects()))
        return []

    def growth(self, samples: list[int]) -> float:
        """Compare the last quarter with the one before it, noise of the collector aside."""
        quarter = max(1, len(samples) // 4)
        *_, before, after = (
            statistics.median(samples[start : start + quarter])
            for start in range(0, quarter * 4, quarter)
        )
        return after - before


class Mixed:
    """What the mixed load brought back. What was as it should be is counted and let go."""

    def __init__(self, app: Flask) -> None:
        self.asked = 0
        self.wrong: list[Answer] = []
        self.late: list[Answer] = []
        self.verdicts: set[tuple[str, str, bool]] = set()
        self.threads_before = native_threads()
        self.watch = Watch(SECONDS)
        self._service = timed(app.wsgi_app)
        self._monitor = engine_of(app)

    def client(self, number: int) -> list[Answer]:
        organization_id = ORGANIZATIONS[number % 50]
        paths = itertools.cycle([scoped(organization_id), PUBLIC, scoped(organization_id)])
        time.sleep(number / 200)  # they do not all start at once
        # As monitors and load balancers do: 200 threads without a pause would fight for the
        # interpreter's lock, and their waits be no work of the engine.
        pause = 0.5 + (number % 11) * 0.05
        end = time.monotonic() + SECONDS
        while time.monotonic() < end:
            self._poll(next(paths))
            if number < 50:
                self._look(organization_id)
            time.sleep(pause)
        return []

    def _poll(self, path: str) -> None:
        answer = call(self._service, path, **BEARER)
        self.asked += 1
        self.wrong += wrong([answer], expected_in_mixed)
        self.late += late([answer])

    def _look(self, organization_id: str) -> None:
        results = self._monitor.report(organization_id).results
        for result in results:
            self.verdicts.add((result.name, organization_id, result.status.available))


@pytest.fixture(scope="module")
def mixed() -> Iterator[Mixed]:
    """Put the mixed load on an app in this process, once for all tests of it."""
    health, hang = ConnectorHealth(), Hang()
    add_probes(health, hang)
    mixed = Mixed(host(health))
    clients = [partial(mixed.client, number) for number in range(200)]
    in_parallel(t.cast("list[Callable[[], list[Answer]]]", [mixed.watch, *clients]))
    yield mixed
    hang.release()


def expected_in_mixed(path: str) -> str:
    return "unavailable" if path != PUBLIC and is_broken(path.split("/")[3]) else "degraded"


def test_no_answer_to_200_clients_is_wrong(mixed: Mixed) -> None:
    assert mixed.asked > 200
    assert mixed.wrong == []


def test_no_answer_to_200_clients_is_late(mixed: Mixed) -> None:
    assert mixed.late == []


def test_no_verdict_suffers_from_the_probes_that_hang(mixed: Mixed) -> None:
    unavailable = {
        (name, organization_id)
        for name, organization_id, available in mixed.verdicts
        if name in HEALTHY and not available
    }

    assert unavailable == {("tenant", name) for name in ORGANIZATIONS if is_broken(name)}


def test_no_hung_probe_is_believed_healthy(mixed: Mixed) -> None:
    believed = {name for name, _, available in mixed.verdicts if name in HUNG and available}

    assert believed == set()


def test_an_organization_that_hangs_holds_two_threads_of_a_probe(mixed: Mixed) -> None:
    hung = HUNG_IN_SERVICE + 2 * len(ORGANIZATIONS) * HUNG_IN_ORGANIZATION
    ours = max(mixed.watch.threads) - 201 - mixed.threads_before

    assert ours <= hung + len(ORGANIZATIONS) + 16  # those that do not hang, and some to spare


def test_memory_is_flat_under_the_mixed_load(mixed: Mixed) -> None:
    assert mixed.watch.growth(mixed.watch.memory) < 4 * MIB


def test_no_objects_are_left_behind_by_the_mixed_load(mixed: Mixed) -> None:
    assert mixed.watch.growth(mixed.watch.objects) < 3_000


# Fairness


def test_neither_hung_nor_slow_organizations_hurt_others(
    health: ConnectorHealth, make_app: MakeApp, hang: Hang
) -> None:
    @health.probe("drive", scope="organization")
    def drive(organization_id: str) -> bool:
        if organization_id == "org_slow":
            time.sleep(0.5)
        return organization_id != "org_hung" or hang.wait()

    @health.probe("notion", scope="organization")
    async def notion(organization_id: str) -> bool:
        if organization_id == "org_slow":
            await asyncio.sleep(0.5)
        return organization_id != "org_hung" or await hang.swallow()

    service = timed(make_app(DEADLINE=DEADLINE, TTL=1.0, MAX_STALE=1.0, TIMEOUT=1.0).wsgi_app)
    healthy = [f"org_{number}" for number in range(48)]

    def client(organization_id: str, pause: float) -> list[Answer]:
        once = partial(call, service, scoped(organization_id), **BEARER)
        return repeatedly(once, seconds=20 * SHARE, pause=pause)

    pauses = dict.fromkeys(healthy, 0.1)
    troubled = dict.fromkeys(["org_hung", "org_slow"], 0.05)
    clients = [*pauses.items(), *[*troubled.items()] * 4]
    answers = in_parallel(partial(client, name, pause) for name, pause in clients)

    others = [answer for answer in answers if answer.path.split("/")[3] in healthy]
    assert wrong(others, lambda path: "ok") == []
    assert late(others) == []


# Many organizations


Crowded: t.TypeAlias = tuple[Callable[[str], Report], list[str], list[int]]


@pytest.fixture(scope="module")
def crowded() -> Crowded:
    """Ask for 200,000 organizations, of which 10,000 fit, and watch the memory."""
    health = ConnectorHealth()
    health.add_probe(lambda organization_id: True, name="drive", scope="organization")
    app = host(health, AVAILABILITY=lambda: True, TTL=3_600.0, MAX_ORGANIZATIONS=10_000)
    report = engine_of(app).report
    count = max(40_000, int(200_000 * SHARE))
    memory = []
    for number in range(count):
        report(f"org_{number}")
        if number % (count // 100) == 0:
            memory.append(resident())
    return report, [f"org_{number}" for number in range(count - 1_000, count)], memory


def test_memory_is_flat_beyond_the_bound_of_organizations(crowded: Crowded) -> None:
    _, _, memory = crowded
    half = len(memory) // 2

    assert max(memory[half:]) - max(memory[:half]) < 4 * MIB


def test_a_hit_stays_fast_beyond_the_bound_of_organizations(crowded: Crowded) -> None:
    report, cached, _ = crowded

    def ratio() -> float:
        taken = []
        for organization_id in cached * 20:
            began = time.perf_counter_ns()
            report(organization_id)
            taken.append(time.perf_counter_ns() - began)
        return statistics.quantiles(taken, n=100)[-1] / statistics.median(taken)

    # The best of three: whatever else runs on the machine can only make it worse.
    assert min(ratio() for _ in range(3)) < 20


# Many runs


async def in_a_loop() -> bool:
    return await asyncio.to_thread(bool, 1)


@pytest.mark.parametrize(
    ("call", "number"), [(lambda: True, 50_000), (in_a_loop, 15_000)], ids=["sync", "async"]
)
def test_nothing_grows_over_many_runs(call: Probing, number: int) -> None:
    health = ConnectorHealth()
    health.add_probe(call, name="drive")
    report = engine_of(host(health, TTL=0.0)).report

    def held() -> tuple[int, int]:
        assert {report().available for _ in range(max(1_000, int(number * SHARE)))} == {True}
        eventually(lambda: not engine_threads("idle"))
        return resident(), len(list(pathlib.Path("/proc/self/fd").iterdir()))

    (memory, files), threads = held(), native_threads()
    more_memory, more_files = held()

    assert more_memory - memory < 4 * MIB
    assert more_files <= files
    eventually(lambda: native_threads() <= threads)


def host(health: ConnectorHealth, **config: t.Any) -> Flask:
    app = Flask("host")
    app.config.from_mapping(CONFIG, CONNECTOR_HEALTH_DEADLINE=DEADLINE)
    app.config.from_mapping({f"CONNECTOR_HEALTH_{key}": value for key, value in config.items()})
    app.register_blueprint(health)
    return app
