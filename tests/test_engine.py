"""The engine behind the routes: caching, sharing, deadlines and slots."""

from __future__ import annotations

import contextlib
import contextvars
import functools
import threading
import time
import typing as t
from collections.abc import Callable, Iterator

import pytest

from flask_connector_health import ProbeResult, Report, Status
from flask_connector_health.engine import lane as lane_module
from flask_connector_health.engine.cache import Cache, Entry
from flask_connector_health.engine.lane import Flight, Lane, Outcome, Timing
from flask_connector_health.engine.monitor import Monitor
from flask_connector_health.model import UNKNOWN, interpret
from flask_connector_health.probes.spec import Probe
from flask_connector_health.settings import Settings

from .conftest import CONFIG

# Real seconds: only a test that fails waits this long.
PATIENCE = 10.0


class Clock:
    """Monotonic seconds that only a test moves."""

    def __init__(self) -> None:
        self.now = 1_000.0

    def __call__(self) -> float:
        return self.now

    def advance(self, seconds: float) -> None:
        self.now += seconds


class Gated:
    """A probe whose runs wait until they are let through, one by one."""

    def __init__(self) -> None:
        self.answer: object = True
        self.started = threading.Semaphore(0)
        self.runs = 0
        self._gate = threading.Semaphore(0)

    def __call__(self, *arguments: object) -> t.Any:
        self.runs += 1
        self.started.release()
        self._gate.acquire(timeout=PATIENCE)
        return self.answer

    def wait_for_start(self) -> None:
        assert self.started.acquire(timeout=PATIENCE)

    def let_through(self, runs: int = 1) -> None:
        self._gate.release(runs)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def gated() -> Iterator[Gated]:
    gated = Gated()
    yield gated
    gated.let_through(1_000)


@pytest.fixture(autouse=True)
def _no_thread_is_left() -> Iterator[None]:
    yield
    for thread in lane_threads():
        thread.join(PATIENCE)
    assert not lane_threads()


MakeMonitor = Callable[..., Monitor]
MakeLane = Callable[..., Lane]


@pytest.fixture
def make_monitor(clock: Clock) -> MakeMonitor:
    """Make a monitor of these probes alone, its settings changed by keyword."""

    def make(*probes: Probe, **settings: t.Any) -> Monitor:
        changes = {f"CONNECTOR_HEALTH_{key}": value for key, value in settings.items()}
        return Monitor(
            Settings.from_config({**CONFIG, "CONNECTOR_HEALTH_DEADLINE": 0.05, **changes}),
            probes,
            open_context=contextlib.nullcontext,
            clock=clock,
        )

    return make


@pytest.fixture
def make_lane(clock: Clock) -> MakeLane:
    """Make a lane whose results nobody keeps."""

    def execute(probe: Probe, organization_id: str | None) -> Outcome:
        return Outcome(interpret(probe.call()))

    def make(
        probe: Probe,
        slots: int = 4,
        settle: Callable[..., None] = lambda lane, flight, outcome: None,
    ) -> Lane:
        timing = Timing(timeout=probe.timeout or 5.0, ttl=0.0, max_stale=0.0)
        return Lane(probe, timing, slots, execute=execute, settle=settle, clock=clock)

    return make


def drive(call: Callable[..., t.Any], **options: t.Any) -> Probe:
    return Probe(name="drive", call=call, **options)


def result_of(report: Report) -> ProbeResult:
    return report.results["drive"]


def join(lane: Lane, organization_id: str | None) -> Flight:
    flight = lane.join(organization_id, unless=lambda: False)
    assert flight is not None
    return flight


def settled(flight: Flight) -> ProbeResult:
    assert flight.done.wait(PATIENCE)
    assert flight.outcome is not None
    return flight.outcome.result


def in_background(call: Callable[[], Report]) -> Callable[[], Report]:
    """Start a request in a thread of its own; calling the answer waits for the report."""
    reports: list[Report] = []
    thread = threading.Thread(target=lambda: reports.append(call()), daemon=True)
    thread.start()

    def outcome() -> Report:
        thread.join(PATIENCE)
        return reports[0]

    return outcome


def eventually(condition: Callable[[], bool]) -> None:
    """Let other threads go on until they have brought this about."""
    end = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.001)


def lane_threads() -> list[threading.Thread]:
    name = "connector-health drive"
    return [thread for thread in threading.enumerate() if thread.name == name]


# The cache


def entry(until: float = 0.0) -> Entry:
    return Entry(ProbeResult(Status.OK), until, until)


def test_beyond_its_bound_the_entry_unused_for_longest_goes() -> None:
    cache = Cache(2)
    cache.put("a", entry())
    cache.put("b", entry())
    cache.get("a")

    cache.put("c", entry())

    assert len(cache) == 2
    assert cache.get("b") is None
    assert cache.get("a") is not None


def test_a_newer_entry_takes_its_predecessors_place() -> None:
    cache = Cache(2)
    cache.put("a", entry(1.0))
    cache.put("b", entry())

    cache.put("a", entry(2.0))

    assert len(cache) == 2
    assert cache.get("a") == entry(2.0)


def test_organizations_beyond_the_bound_still_get_their_answer(
    make_monitor: MakeMonitor,
) -> None:
    probe = drive(lambda organization_id: organization_id != "org_7", scope="organization")
    monitor = make_monitor(probe, MAX_ORGANIZATIONS=3, DEADLINE=PATIENCE)

    unavailable = [n for n in range(20) if not monitor.report(f"org_{n}").available]

    assert unavailable == [7]


# Freshness


class Counted:
    def __init__(self) -> None:
        self.answer = Status.OK
        self.runs = 0

    def __call__(self) -> Status:
        self.runs += 1
        return self.answer


def test_a_fresh_result_is_used_as_it_is(make_monitor: MakeMonitor, clock: Clock) -> None:
    counted = Counted()
    monitor = make_monitor(drive(counted), TTL=5.0, DEADLINE=PATIENCE)

    for _ in range(10):
        monitor.report()
    clock.advance(4.9)
    monitor.report()

    assert counted.runs == 1


@pytest.fixture
def once_ok(make_monitor: MakeMonitor, gated: Gated) -> Monitor:
    """Make a monitor whose probe was ok once, and fails from then on."""
    monitor = make_monitor(drive(gated), TTL=5.0, MAX_STALE=15.0, DEADLINE=PATIENCE)
    gated.let_through()
    monitor.report()
    gated.answer = False
    return monitor


def test_a_stale_result_is_served_at_once_while_one_run_refreshes_it(
    once_ok: Monitor, clock: Clock, gated: Gated
) -> None:
    clock.advance(19.9)

    reports = [once_ok.report() for _ in range(10)]

    assert {report.status for report in reports} == {Status.OK}
    gated.wait_for_start()
    gated.wait_for_start()
    assert gated.runs == 2


def test_a_result_beyond_max_stale_is_not_believed(
    once_ok: Monitor, clock: Clock, gated: Gated
) -> None:
    clock.advance(20.0)

    report = in_background(once_ok.report)
    gated.let_through()

    assert report().status is Status.UNAVAILABLE
    assert gated.runs == 2


def test_a_probes_own_ttl_goes_before_the_setting(
    make_monitor: MakeMonitor, clock: Clock
) -> None:
    counted = Counted()
    monitor = make_monitor(drive(counted, ttl=60.0), TTL=1.0, DEADLINE=PATIENCE)

    monitor.report()
    clock.advance(59.0)
    monitor.report()

    assert counted.runs == 1


def test_without_a_ttl_every_request_asks(make_monitor: MakeMonitor) -> None:
    counted = Counted()
    monitor = make_monitor(drive(counted), TTL=0, DEADLINE=PATIENCE)

    monitor.report()
    counted.answer = Status.DEGRADED

    assert monitor.report().status is Status.DEGRADED


# Sharing


def test_requests_at_the_same_time_share_one_run(
    make_monitor: MakeMonitor, gated: Gated
) -> None:
    monitor = make_monitor(drive(gated), DEADLINE=PATIENCE)

    reports = [in_background(monitor.report) for _ in range(20)]
    gated.let_through()

    assert all(report().available for report in reports)
    assert gated.runs == 1


def test_without_a_ttl_a_run_is_shared_while_it_lasts(
    make_lane: MakeLane, gated: Gated
) -> None:
    lane = make_lane(drive(gated, ttl=0))

    assert join(lane, None) is join(lane, None)


def test_organizations_do_not_share_a_run(make_monitor: MakeMonitor) -> None:
    asked: list[str] = []

    def call(organization_id: str) -> bool:
        asked.append(organization_id)
        return True

    monitor = make_monitor(drive(call, scope="organization"), DEADLINE=PATIENCE)

    for organization_id in ("org_a", "org_b", "org_a"):
        monitor.report(organization_id)

    assert asked == ["org_a", "org_b"]


def test_a_service_probe_runs_once_and_not_per_organization(make_monitor: MakeMonitor) -> None:
    counted = Counted()
    monitor = make_monitor(drive(counted), DEADLINE=PATIENCE)

    for number in range(10):
        monitor.report(f"org_{number}")

    assert counted.runs == 1


def test_a_result_that_came_in_a_moment_ago_starts_no_other_run(
    make_monitor: MakeMonitor, monkeypatch: pytest.MonkeyPatch
) -> None:
    counted = Counted()
    monitor = make_monitor(drive(counted), DEADLINE=PATIENCE)
    monitor.report()
    seen = iter([None])
    get = monitor._cache.get
    monkeypatch.setattr(monitor._cache, "get", lambda key: next(seen, get(key)))

    assert monitor.report().available
    assert counted.runs == 1


# Deadlines and timeouts


def test_what_has_no_result_at_the_deadline_is_unknown_and_its_run_goes_on(
    make_monitor: MakeMonitor, clock: Clock, gated: Gated
) -> None:
    monitor = make_monitor(drive(gated))
    report = in_background(monitor.report)
    gated.wait_for_start()

    clock.advance(0.05)

    assert result_of(report()) is UNKNOWN
    late = in_background(monitor.report)
    gated.let_through()
    assert late().status is Status.OK
    assert gated.runs == 1


def test_the_log_says_so_once_a_minute(
    make_monitor: MakeMonitor, clock: Clock, gated: Gated, caplog: pytest.LogCaptureFixture
) -> None:
    monitor = make_monitor(drive(gated, ttl=0))

    for pause in (0.0, 58.0, 2.0):
        clock.advance(pause)
        report = in_background(monitor.report)
        gated.wait_for_start()
        clock.advance(0.5)
        assert result_of(report()) is UNKNOWN
        gated.let_through()
        eventually(lambda: not monitor._service[0]._flights)

    assert len(caplog.messages) == 2
    assert caplog.messages[0].startswith(
        "probe 'drive' counts as unavailable: it has no result within the request's deadline"
    )


def test_a_run_past_its_timeout_is_failed_for_those_who_wait(
    make_monitor: MakeMonitor, clock: Clock, gated: Gated
) -> None:
    monitor = make_monitor(drive(gated, timeout=0.1), DEADLINE=PATIENCE)
    report = in_background(monitor.report)
    gated.wait_for_start()

    clock.advance(0.1)

    text = "no answer within its timeout of 0.1 s; give the client that it uses a shorter"
    assert result_of(report()).message.startswith(text)


def test_an_answer_past_the_timeout_is_failed_even_if_nobody_waited(
    make_lane: MakeLane, clock: Clock
) -> None:
    def slow() -> bool:
        clock.advance(1.0)
        return True

    flight = join(make_lane(drive(slow, timeout=1.0)), None)

    assert settled(flight).status is Status.UNAVAILABLE


def test_a_late_answer_never_replaces_a_newer_one(
    make_lane: MakeLane, clock: Clock, gated: Gated
) -> None:
    lane = make_lane(drive(gated, timeout=1.0))
    overdue = join(lane, None)
    gated.wait_for_start()
    clock.advance(1.0)
    lane.reap()
    newer = join(lane, None)
    gated.wait_for_start()

    gated.let_through(2)

    assert settled(newer).status is Status.OK
    assert settled(overdue).status is Status.UNAVAILABLE


def test_a_run_that_is_being_settled_is_not_settled_again_as_overdue(
    make_lane: MakeLane, clock: Clock
) -> None:
    outcomes: list[Outcome] = []

    def settle(lane: Lane, flight: Flight, outcome: Outcome) -> None:
        outcomes.append(outcome)
        clock.advance(1.0)
        if len(outcomes) == 1:
            lane.reap()

    flight = join(make_lane(drive(lambda: True, timeout=1.0), settle=settle), None)

    assert settled(flight).status is Status.OK
    assert len(outcomes) == 1


def test_a_hung_probe_leaves_other_probes_alone(
    make_monitor: MakeMonitor, clock: Clock, gated: Gated
) -> None:
    other = Probe(name="other", call=lambda: True)
    monitor = make_monitor(drive(gated, critical=False), other)
    report = in_background(monitor.report)
    gated.wait_for_start()
    eventually(lambda: len(monitor._cache) == 1)
    clock.advance(0.05)

    assert report().results["other"] == ProbeResult(Status.OK)
    assert report().status is Status.DEGRADED


def test_a_run_leaves_nothing_in_the_context_of_the_next(make_monitor: MakeMonitor) -> None:
    tenant = contextvars.ContextVar("tenant", default="nobody")
    seen: list[str] = []
    started = threading.Event()

    def call(organization_id: str) -> bool:
        started.wait(PATIENCE)
        seen.append(tenant.get())
        tenant.set(organization_id)
        return True

    monitor = make_monitor(drive(call, scope="organization"), SLOTS=1, DEADLINE=PATIENCE)
    reports = [
        in_background(functools.partial(monitor.report, organization_id))
        for organization_id in ("org_a", "org_b")
    ]
    eventually(lambda: len(monitor._organization[0]._queue) == 1)
    started.set()

    assert all(report().available for report in reports)
    assert seen == ["nobody", "nobody"]


# Slots


def test_threads_never_exceed_the_slots(make_lane: MakeLane, gated: Gated) -> None:
    lane = make_lane(drive(gated, scope="organization"), slots=2)

    flights = [join(lane, f"org_{number}") for number in range(20)]

    assert len(lane_threads()) == 2
    gated.let_through(20)
    assert {settled(flight).status for flight in flights} == {Status.OK}


def test_threads_end_when_nothing_is_left_to_do(make_lane: MakeLane) -> None:
    settled(join(make_lane(drive(lambda: True)), None))

    for thread in lane_threads():
        thread.join(PATIENCE)
    assert not lane_threads()


def test_when_all_slots_hang_the_result_says_so(
    make_lane: MakeLane, clock: Clock, gated: Gated
) -> None:
    lane = make_lane(drive(gated, scope="organization", timeout=1.0), slots=2)
    for organization_id in ("org_a", "org_b"):
        join(lane, organization_id)
        gated.wait_for_start()
    clock.advance(1.0)

    flight = join(lane, "org_c")

    assert settled(flight).message.startswith("all 2 of its threads hang in earlier runs")
    assert gated.runs == 2


def test_what_waits_for_a_slot_is_told_so_when_the_last_one_hangs(
    make_lane: MakeLane, clock: Clock, gated: Gated
) -> None:
    lane = make_lane(drive(gated, scope="organization", timeout=1.0), slots=1)
    join(lane, "org_a")
    gated.wait_for_start()
    waiting = join(lane, "org_b")
    clock.advance(1.0)

    lane.reap()

    assert settled(waiting).message.startswith("all 1 of its threads hang in earlier runs")
    gated.let_through()
    eventually(lambda: (lane._working, lane._hung) == (0, 0))
    assert gated.runs == 1


def test_what_found_all_slots_hung_is_neither_kept_nor_logged(
    make_monitor: MakeMonitor, clock: Clock, gated: Gated, caplog: pytest.LogCaptureFixture
) -> None:
    monitor = make_monitor(drive(gated, scope="organization", timeout=1.0), SLOTS=1)
    hung = in_background(lambda: monitor.report("org_a"))
    gated.wait_for_start()
    clock.advance(1.0)
    assert not hung().available

    stranded = monitor.report("org_b")
    gated.let_through(2)
    eventually(lambda: monitor._organization[0]._hung == 0)
    mended = in_background(lambda: monitor.report("org_b"))

    assert result_of(stranded).message.startswith("all 1 of its threads hang")
    assert mended().available
    assert "org_b" not in caplog.text


def test_hung_threads_count_among_the_slots(
    make_lane: MakeLane, clock: Clock, gated: Gated
) -> None:
    lane = make_lane(drive(gated, scope="organization", timeout=1.0), slots=2)
    join(lane, "org_hung")
    gated.wait_for_start()
    clock.advance(1.0)
    lane.reap()

    for number in range(3):
        join(lane, f"org_{number}")

    assert len(lane_threads()) == 2
    gated.let_through(4)
    eventually(lambda: (lane._working, lane._hung) == (0, 0))


def test_whoever_waits_for_a_result_that_is_being_settled_does_not_spin(
    make_lane: MakeLane, clock: Clock
) -> None:
    class CountingEvent(threading.Event):
        waits = 0

        def wait(self, timeout: float | None = None) -> bool:
            self.waits += 1
            return super().wait(timeout)

    settling, release = threading.Event(), threading.Event()

    def settle(lane: Lane, flight: Flight, outcome: Outcome) -> None:
        settling.set()
        release.wait(PATIENCE)

    lane = make_lane(drive(lambda: True, timeout=1.0), settle=settle)
    flight = join(lane, None)
    settling.wait(PATIENCE)
    flight.done = done = CountingEvent()
    clock.advance(1.0)
    waiter = threading.Thread(target=lane.wait, args=[flight, clock() + PATIENCE])
    waiter.start()
    eventually(lambda: done.waits > 0)

    time.sleep(0.02)  # in which a loop would come round thousands of times
    release.set()
    waiter.join(PATIENCE)

    assert done.waits == 1


def test_a_hung_run_that_returns_gives_its_slot_back(
    make_lane: MakeLane, clock: Clock, gated: Gated
) -> None:
    lane = make_lane(drive(gated, timeout=1.0), slots=1)
    join(lane, None)
    gated.wait_for_start()
    clock.advance(1.0)
    assert settled(join(lane, None)).status is Status.UNAVAILABLE

    gated.let_through(2)
    for thread in lane_threads():
        thread.join(PATIENCE)

    assert settled(join(lane, None)).status is Status.OK


def test_beyond_a_full_queue_there_is_no_verdict(
    make_monitor: MakeMonitor,
    gated: Gated,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr(lane_module, "QUEUE", 1)
    monitor = make_monitor(drive(gated, scope="organization"), SLOTS=1, DEADLINE=PATIENCE)
    running = in_background(lambda: monitor.report("org_running"))
    gated.wait_for_start()
    queued = in_background(lambda: monitor.report("org_queued"))
    lane = monitor._organization[0]
    eventually(lambda: len(lane._queue) == 1)

    assert result_of(monitor.report("org_too_many")) is UNKNOWN
    assert "too many of its runs wait for a thread already; make it faster" in caplog.text

    gated.let_through(3)
    assert running().available
    assert queued().available
    assert monitor.report("org_too_many").available


@pytest.mark.parametrize("error", [RuntimeError("can't start new thread"), MemoryError()])
def test_a_thread_that_the_system_refuses_is_asked_for_again(
    make_lane: MakeLane, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    def refuse(thread: threading.Thread) -> t.NoReturn:
        raise error

    lane = make_lane(drive(lambda: True))
    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", refuse)
        flight = join(lane, None)
    assert not flight.done.is_set()

    lane.reap()

    assert settled(flight).status is Status.OK
