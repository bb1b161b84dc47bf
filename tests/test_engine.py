"""The engine behind the routes: freshness, sharing, deadlines, hung runs and slots."""

from __future__ import annotations

import contextlib
import contextvars
import functools
import gc
import itertools
import os
import threading
import time
import typing as t
from collections.abc import Callable, Iterator

import pytest

from flask_connector_health import ProbeResult, Status
from flask_connector_health.engine import lane as lane_module
from flask_connector_health.engine import teller as teller_module
from flask_connector_health.engine import watch as watch_module
from flask_connector_health.engine.cache import Cache
from flask_connector_health.engine.flight import Flight
from flask_connector_health.engine.monitor import Monitor
from flask_connector_health.engine.record import Record
from flask_connector_health.model import UNKNOWN
from flask_connector_health.probes.spec import Probe

from .clockwork import (
    PATIENCE,
    Clock,
    Gated,
    Told,
    drive,
    engine_threads,
    eventually,
    in_background,
    lane_of,
    result_of,
    waited_for,
)
from .conftest import MakeMonitor

# Freshness


def test_a_fresh_result_is_used_as_it_is(make_monitor: MakeMonitor, clock: Clock) -> None:
    told = Told()
    monitor = make_monitor(drive(told), TTL=5.0)

    for _ in range(10):
        monitor.report()
    clock.advance(4.9)

    assert monitor.status() is Status.OK
    assert told.runs == 1


@pytest.fixture
def once_ok(make_monitor: MakeMonitor, gated: Gated) -> Monitor:
    """Make a monitor whose probe was ok once, and fails from then on."""
    monitor = make_monitor(drive(gated), TTL=5.0, MAX_STALE=15.0)
    gated.let_through()
    monitor.report()
    gated.wait_for_start()
    gated.answer = False
    return monitor


def test_a_stale_result_is_served_at_once_while_one_run_refreshes_it(
    once_ok: Monitor, clock: Clock, gated: Gated
) -> None:
    clock.advance(19.9)

    clients = [in_background(once_ok.status) for _ in range(50)]

    assert {status() for status in clients} == {Status.OK}
    gated.wait_for_start()
    assert gated.runs == 2


def test_what_a_refresh_found_is_served_from_then_on(
    once_ok: Monitor, clock: Clock, gated: Gated
) -> None:
    clock.advance(5.0)
    once_ok.report()
    gated.let_through()

    eventually(lambda: once_ok.status() is Status.UNAVAILABLE)

    assert gated.runs == 2


def test_a_result_beyond_max_stale_is_not_believed(
    once_ok: Monitor, clock: Clock, gated: Gated
) -> None:
    clock.advance(20.0)

    report = in_background(once_ok.report)
    gated.let_through()

    assert report().status is Status.UNAVAILABLE
    assert gated.runs == 2


def test_a_clock_that_stands_still_or_goes_back_makes_nothing_older(
    make_monitor: MakeMonitor, clock: Clock
) -> None:
    told = Told()
    monitor = make_monitor(drive(told))
    monitor.report()

    clock.now -= 500.0

    assert monitor.status() is Status.OK
    assert told.runs == 1


def test_without_max_stale_an_old_result_is_not_served(
    make_monitor: MakeMonitor, clock: Clock
) -> None:
    told = Told()
    monitor = make_monitor(drive(told, max_stale=0.0), TTL=5.0)
    monitor.report()
    told.answer = False

    clock.advance(5.0)

    assert monitor.status() is Status.UNAVAILABLE


def test_a_probes_own_ttl_goes_before_the_setting(
    make_monitor: MakeMonitor, clock: Clock
) -> None:
    told = Told()
    monitor = make_monitor(drive(told, ttl=60.0), TTL=1.0)

    monitor.report()
    clock.advance(59.0)
    monitor.report()

    assert told.runs == 1


def test_without_a_ttl_every_request_asks(make_monitor: MakeMonitor) -> None:
    told = Told()
    monitor = make_monitor(drive(told), TTL=0)

    monitor.report()
    told.answer = Status.DEGRADED

    assert monitor.report().status is Status.DEGRADED


@pytest.mark.parametrize(
    ("answer", "fresh"), [(True, 5.0), (Status.DEGRADED, 5.0), (False, 1.0)]
)
def test_a_failure_is_fresh_for_a_shorter_time(
    make_monitor: MakeMonitor, clock: Clock, answer: object, fresh: float
) -> None:
    told = Told(answer)
    monitor = make_monitor(drive(told, max_stale=0.0), TTL=5.0, FAILURE_TTL=1.0)
    monitor.report()

    clock.advance(fresh - 0.01)
    monitor.report()
    assert told.runs == 1
    clock.advance(0.01)
    monitor.report()

    assert told.runs == 2


def test_a_failure_is_never_fresh_for_longer_than_the_ttl(
    make_monitor: MakeMonitor, clock: Clock
) -> None:
    told = Told(False)
    monitor = make_monitor(drive(told, ttl=0.5, max_stale=0.0), FAILURE_TTL=9.0)
    monitor.report()

    clock.advance(0.5)
    monitor.report()

    assert told.runs == 2


def test_jitter_takes_off_a_tenth_at_most(make_monitor: MakeMonitor, clock: Clock) -> None:
    told = Told()
    jitter = iter([1.0, 0.5, 0.0])
    monitor = make_monitor(drive(told, max_stale=0.0), TTL=10.0, jitter=lambda: next(jitter))

    for fresh in (9.0, 9.5):
        runs = told.runs
        monitor.report()
        clock.advance(fresh - 0.01)
        monitor.report()
        assert told.runs == runs + 1
        clock.advance(0.01)

    monitor.report()
    assert told.runs == 3


# Aggregation


@pytest.mark.parametrize(
    ("critical", "other", "status"),
    [
        (True, True, Status.OK),
        (True, False, Status.DEGRADED),
        (True, Status.DEGRADED, Status.DEGRADED),
        (Status.DEGRADED, True, Status.DEGRADED),
        (False, True, Status.UNAVAILABLE),
        (False, False, Status.UNAVAILABLE),
    ],
)
def test_the_worst_critical_result_decides_and_another_degrades_at_most(
    make_monitor: MakeMonitor, critical: object, other: object, status: Status
) -> None:
    monitor = make_monitor(
        drive(Told(critical)), Probe(name="other", call=Told(other), critical=False)
    )

    assert monitor.report().status is status
    assert monitor.status() is status  # from the record, this time


def test_a_probe_without_a_verdict_is_not_left_out(
    make_monitor: MakeMonitor, gated: Gated
) -> None:
    gated.answer = False
    monitor = make_monitor(drive(gated), Probe(name="other", call=Told()))
    in_background(monitor.report)
    eventually(lambda: len(monitor._current().service.records) == 1)

    waiting = in_background(monitor.status)
    gated.let_through()

    assert waiting() is Status.UNAVAILABLE


@pytest.mark.parametrize(
    ("service", "organization", "status"),
    [
        (True, True, Status.OK),
        (True, False, Status.UNAVAILABLE),
        (False, True, Status.UNAVAILABLE),
        (Status.DEGRADED, True, Status.DEGRADED),
    ],
)
def test_an_organization_is_never_better_off_than_the_service(
    make_monitor: MakeMonitor, service: object, organization: object, status: Status
) -> None:
    monitor = make_monitor(
        drive(Told(service)),
        Probe(name="own", call=Told(organization), scope="organization"),
    )

    assert monitor.report("org_a").status is status
    assert monitor.status("org_a") is status
    assert set(monitor.report("org_a").results) == {"drive", "own"}


def test_without_probes_of_its_own_an_organization_is_as_the_service(
    make_monitor: MakeMonitor,
) -> None:
    told = Told(Status.DEGRADED)
    monitor = make_monitor(drive(told))

    assert {monitor.status(f"org_{number}") for number in range(5)} == {Status.DEGRADED}
    assert told.runs == 1


def test_a_service_probe_runs_once_and_not_per_organization(make_monitor: MakeMonitor) -> None:
    told = Told()
    monitor = make_monitor(drive(told))

    for number in range(10):
        monitor.report(f"org_{number}")

    assert told.runs == 1


def test_organizations_do_not_share_a_result(make_monitor: MakeMonitor) -> None:
    asked: list[str] = []

    def call(organization_id: str) -> bool:
        asked.append(organization_id)
        return organization_id != "org_b"

    monitor = make_monitor(drive(call, scope="organization"))

    found = [monitor.status(organization_id) for organization_id in ("org_a", "org_b")]
    again = [monitor.status(organization_id) for organization_id in ("org_a", "org_b")]

    assert found == again == [Status.OK, Status.UNAVAILABLE]
    assert asked == ["org_a", "org_b"]


def test_organizations_beyond_the_bound_still_get_their_answer(
    make_monitor: MakeMonitor,
) -> None:
    probe = drive(lambda organization_id: organization_id != "org_7", scope="organization")
    monitor = make_monitor(probe, MAX_ORGANIZATIONS=3)

    unavailable = [n for n in range(20) if not monitor.report(f"org_{n}").available]

    assert unavailable == [7]
    assert len(monitor._current().organization.records) == 3


class Reading:
    """A cache that notes what is read, and allows nothing else."""

    def __init__(self, cache: Cache[str | None, Record], reads: list[str | None]) -> None:
        self._cache = cache
        self._reads = reads

    def get(self, key: str | None) -> Record | None:
        self._reads.append(key)
        return self._cache.get(key)


def test_a_fresh_scope_costs_one_look_whatever_its_probes(
    make_monitor: MakeMonitor, monkeypatch: pytest.MonkeyPatch
) -> None:
    probes = [Probe(name=f"own-{n}", call=Told(), scope="organization") for n in range(20)]
    monitor = make_monitor(drive(Told()), *probes)
    monitor.report("org_a")
    reads: list[str | None] = []
    runtime = monitor._current()
    for scope in (runtime.service, runtime.organization):
        for lane in scope.lanes:
            lane._lock.acquire()  # nobody needs a lane
        monkeypatch.setattr(scope, "records", Reading(scope.records, reads))
    ticks = itertools.count()
    monkeypatch.setattr(monitor, "_clock", lambda: 1_000.0 + next(ticks) / 1_000)

    assert monitor.status("org_a") is Status.OK

    for lane in runtime.service.lanes + runtime.organization.lanes:
        lane._lock.release()
    assert reads == [None, "org_a"]
    assert next(ticks) == 1


def test_what_is_kept_of_a_scope_is_nothing_for_the_garbage_collector_to_walk(
    make_monitor: MakeMonitor,
) -> None:
    monitor = make_monitor(drive(Told(), scope="organization"), Probe(name="x", call=Told()))
    monitor.report("org_a")
    runtime = monitor._current()

    for _ in range(3):
        gc.collect()

    for scope, key in ((runtime.service, None), (runtime.organization, "org_a")):
        assert not gc.is_tracked(scope.records.get(key))


# Sharing


def test_requests_at_the_same_time_share_one_run(
    make_monitor: MakeMonitor, gated: Gated
) -> None:
    monitor = make_monitor(drive(gated))

    reports = [in_background(monitor.report) for _ in range(20)]
    gated.let_through()

    assert all(report().available for report in reports)
    assert gated.runs == 1


def test_without_a_ttl_a_run_is_shared_while_it_lasts(
    make_monitor: MakeMonitor, gated: Gated
) -> None:
    monitor = make_monitor(drive(gated), TTL=0)
    join = functools.partial(lane_of(monitor).join, None, unless=lambda: False)

    flights = {join() for _ in range(5)}
    gated.let_through()

    assert [flight is not None and flight.done.wait(PATIENCE) for flight in flights] == [True]
    assert gated.runs == 1


def test_a_result_that_came_in_a_moment_ago_starts_no_other_run(
    make_monitor: MakeMonitor, monkeypatch: pytest.MonkeyPatch
) -> None:
    told = Told()
    monitor = make_monitor(drive(told))
    monitor.report()
    records = monitor._current().service.records
    seen = iter([None])
    get = records.get
    monkeypatch.setattr(records, "get", lambda key: next(seen, get(key)))

    assert monitor.report().available
    assert told.runs == 1


def test_a_client_that_leaves_cancels_nothing(
    make_monitor: MakeMonitor, clock: Clock, gated: Gated
) -> None:
    monitor = make_monitor(drive(gated))
    left = in_background(monitor.report)
    waited_for(monitor)
    clock.advance(0.05)
    assert not left().available

    gated.let_through()
    eventually(lambda: monitor.status() is Status.OK)

    assert gated.runs == 1


# Deadlines


def test_what_has_no_result_at_the_deadline_is_unknown(
    make_monitor: MakeMonitor, clock: Clock, gated: Gated
) -> None:
    monitor = make_monitor(drive(gated))
    report = in_background(monitor.report)
    waited_for(monitor)

    clock.advance(0.05)

    assert result_of(report()) is UNKNOWN


def test_several_hung_probes_cost_one_deadline(
    make_monitor: MakeMonitor, clock: Clock, gated: Gated
) -> None:
    probes = [Probe(name=f"other-{number}", call=gated) for number in range(3)]
    monitor = make_monitor(drive(gated), *probes)
    report = in_background(monitor.report)
    waited_for(monitor)

    clock.advance(0.05)  # once, and never again

    assert list(report().results.values()) == [UNKNOWN] * 4


def test_who_comes_later_shares_the_deadline_of_who_came_first(
    make_monitor: MakeMonitor, clock: Clock, gated: Gated
) -> None:
    monitor = make_monitor(drive(gated))
    first = in_background(monitor.report)
    waited_for(monitor)
    clock.advance(0.05)
    first()

    assert [result_of(monitor.report()) for _ in range(3)] == [UNKNOWN] * 3


def test_a_refresh_that_nobody_waited_for_leaves_the_deadline_to_who_does(
    once_ok: Monitor, clock: Clock, gated: Gated
) -> None:
    clock.advance(19.0)
    once_ok.report()
    gated.wait_for_start()
    clock.advance(1.0)  # from here on the old result is not believed

    waiting = in_background(once_ok.report)
    gated.let_through()

    assert waiting().results["drive"] == ProbeResult(Status.UNAVAILABLE)


def test_unknown_is_neither_kept_nor_counted(
    make_monitor: MakeMonitor, clock: Clock, gated: Gated
) -> None:
    monitor = make_monitor(drive(gated))
    report = in_background(monitor.report)
    waited_for(monitor)
    clock.advance(0.05)
    report()

    assert len(monitor._current().service.records) == 0


def test_unknown_is_no_failure_to_a_threshold(
    make_monitor: MakeMonitor, clock: Clock, gated: Gated
) -> None:
    monitor = make_monitor(drive(gated, failure_threshold=2, ttl=0))
    gated.let_through()
    assert in_background(monitor.report)().available
    gated.answer = False
    report = in_background(monitor.report)
    waited_for(monitor)
    clock.advance(0.05)
    assert result_of(report()) is UNKNOWN
    [flight] = lane_of(monitor)._flights.values()

    gated.let_through()

    assert flight.done.wait(PATIENCE)
    assert flight.result == ProbeResult(Status.OK)  # one failure of two


def test_the_log_says_that_a_probe_is_too_slow_once_a_minute(
    make_monitor: MakeMonitor, clock: Clock, gated: Gated, caplog: pytest.LogCaptureFixture
) -> None:
    monitor = make_monitor(drive(gated, ttl=0))

    for pause, lines in ((0.0, 1), (50.0, 1), (15.0, 2)):
        clock.advance(pause)
        report = in_background(monitor.report)
        waited_for(monitor)
        clock.advance(1.0)
        assert result_of(report()) is UNKNOWN
        gated.let_through()
        clock.advance(1.0)
        eventually(lambda lines=lines: len(caplog.messages) == lines)  # type: ignore[misc]
        eventually(lambda: not lane_of(monitor)._flights)

    assert caplog.messages[0].startswith(
        "probe 'drive' counts as unavailable: it has no result within the request's deadline"
    )


@pytest.fixture
def blocked_log(monkeypatch: pytest.MonkeyPatch) -> Iterator[threading.Event]:
    """Have the log block; the event says that it does."""
    blocked, release = threading.Event(), threading.Event()

    def emit(*values: object, **options: object) -> None:
        blocked.set()
        release.wait(PATIENCE)

    monkeypatch.setattr("flask_connector_health.engine.log.logger.log", emit)
    yield blocked
    release.set()


def test_a_log_that_blocks_holds_up_neither_requests_nor_runs(
    make_monitor: MakeMonitor, blocked_log: threading.Event
) -> None:
    monitor = make_monitor(drive(Told(False), scope="organization", slots=2), DEADLINE=PATIENCE)

    found = [monitor.report(f"org_{number}") for number in range(20)]

    assert blocked_log.wait(PATIENCE)
    assert {result_of(report) for report in found} == {ProbeResult(Status.UNAVAILABLE)}


def test_a_log_that_blocks_does_not_hold_up_the_watch(
    make_monitor: MakeMonitor, clock: Clock, gated: Gated, blocked_log: threading.Event
) -> None:
    monitor = make_monitor(drive(gated), Probe(name="other", call=Told(False)))
    in_background(monitor.report)
    assert blocked_log.wait(PATIENCE)

    hang(monitor, gated, clock)


def test_lines_of_the_log_keep_their_order(
    make_monitor: MakeMonitor, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    told = Told()
    monitor = make_monitor(drive(told, ttl=0), DEADLINE=PATIENCE)

    for number in range(100):
        told.answer = number % 2 == 1
        monitor.report()
    eventually(lambda: len(caplog.messages) == 100)

    assert [message.split(":")[0] for message in caplog.messages] == [
        "probe 'drive' is unavailable",
        "probe 'drive' is ok",
    ] * 50


def test_lines_beyond_a_log_that_blocks_are_bounded() -> None:
    told: list[int] = []
    release = threading.Event()
    teller = teller_module.Teller()
    teller.tell(t.cast(teller_module.Line, lambda: release.wait(PATIENCE)))
    eventually(lambda: not teller._lines)

    for number in range(teller_module.LINES + 10):
        teller.tell(functools.partial(told.append, number))
    release.set()
    eventually(lambda: not engine_threads("log"))

    assert told == list(range(10, teller_module.LINES + 10))


def test_a_line_that_raises_costs_no_other() -> None:
    told: list[int] = []
    teller = teller_module.Teller()

    teller.tell(t.cast(teller_module.Line, lambda: 1 / 0))
    teller.tell(lambda: told.append(1))

    eventually(lambda: told == [1])


def test_a_line_wakes_the_thread_that_waits_for_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(teller_module, "IDLE", 0.5)
    teller = teller_module.Teller()
    began = time.monotonic()

    for number in range(10):
        told: list[int] = []
        teller.tell(functools.partial(told.append, number))
        eventually(lambda told=told: told)  # type: ignore[misc]

    assert time.monotonic() - began < 2.5


def test_a_line_that_found_no_thread_is_told_with_the_next(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    told: list[str] = []
    teller = teller_module.Teller()
    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", refusing("connector-health log"))
        teller.tell(lambda: told.append("first"))

    teller.tell(lambda: told.append("second"))

    eventually(lambda: told == ["first", "second"])


# Hung runs


def hang(monitor: Monitor, gated: Gated, clock: Clock, key: str | None = None) -> None:
    """Start a run for this key and let it hang, until it is settled as failed."""
    flight = lane_of(monitor).join(key, unless=lambda: False)
    assert isinstance(flight, Flight)
    gated.wait_for_start()
    monitor._current()._watch.ensure()
    eventually(lambda: engine_threads("watch"))
    clock.advance(5.0)
    assert flight.done.wait(PATIENCE)


def test_a_hung_run_is_failed_at_its_timeout(
    make_monitor: MakeMonitor, clock: Clock, gated: Gated, caplog: pytest.LogCaptureFixture
) -> None:
    monitor = make_monitor(drive(gated))

    hang(monitor, gated, clock)

    text = "no answer within its timeout of 5 s; give the client that it uses a shorter"
    assert result_of(monitor.report()).message.startswith(text)
    eventually(lambda: f"probe 'drive' is unavailable: {text}" in caplog.text)


def test_those_who_wait_hear_of_it_then(
    make_monitor: MakeMonitor, clock: Clock, gated: Gated
) -> None:
    monitor = make_monitor(drive(gated, timeout=0.5), DEADLINE=PATIENCE)
    report = in_background(monitor.report)
    gated.wait_for_start()
    eventually(lambda: engine_threads("watch"))

    clock.advance(0.5)

    assert result_of(report()).message.startswith("no answer within its timeout of 0.5 s")


def test_a_failure_that_nobody_asked_for_is_as_old_as_its_timeout(
    make_monitor: MakeMonitor, clock: Clock, gated: Gated
) -> None:
    monitor = make_monitor(drive(gated))
    report = in_background(monitor.report)
    gated.wait_for_start()
    eventually(lambda: engine_threads("watch"))

    clock.advance(1_000.0)  # the machine slept, say

    assert not report().available
    eventually(lambda: not lane_of(monitor)._flights)
    gated.let_through(2)
    assert in_background(monitor.report)().status is Status.OK


def test_an_answer_past_the_timeout_is_failed_even_if_nobody_looked(
    make_monitor: MakeMonitor, clock: Clock
) -> None:
    def slow() -> bool:
        clock.advance(5.0)
        return True

    monitor = make_monitor(drive(slow))

    flight = lane_of(monitor).join(None, unless=lambda: False)  # with nobody to look after it

    assert flight is not None
    assert flight.done.wait(PATIENCE)
    assert flight.result is not None
    assert flight.result.message.startswith("no answer within its timeout of 5 s")


def test_a_late_answer_never_replaces_a_newer_one(
    make_monitor: MakeMonitor, clock: Clock, gated: Gated
) -> None:
    monitor = make_monitor(drive(gated, max_stale=0.0))
    hang(monitor, gated, clock)
    clock.advance(1.0)
    gated.answer = Status.DEGRADED
    report = in_background(monitor.report)
    gated.wait_for_start()

    gated.let_through(2)

    assert report().status is Status.DEGRADED
    eventually(lambda: lane_of(monitor)._hung.total() == 0)
    assert monitor.status() is Status.DEGRADED


def test_a_hung_probe_leaves_other_probes_alone(
    make_monitor: MakeMonitor, clock: Clock, gated: Gated
) -> None:
    monitor = make_monitor(drive(gated, critical=False), Probe(name="other", call=lambda: True))
    report = in_background(monitor.report)
    gated.wait_for_start()
    eventually(lambda: len(monitor._current().service.records) == 1)
    waited_for(monitor)
    clock.advance(0.05)

    assert report().results["other"] == ProbeResult(Status.OK)
    assert report().status is Status.DEGRADED


def test_re_tries_of_a_hung_probe_are_spaced_ever_wider(
    make_monitor: MakeMonitor, clock: Clock, gated: Gated
) -> None:
    monitor = make_monitor(drive(gated, slots=5, max_stale=100.0), FAILURE_TTL=1.0)

    for runs, pause in ((1, 1.0), (2, 5.0), (3, 10.0), (4, 20.0)):  # seconds
        hang(monitor, gated, clock)
        clock.advance(pause - 0.1)
        monitor.report()
        assert not lane_of(monitor)._flights
        assert gated.runs == runs
        clock.advance(0.1)

    monitor.report()
    gated.wait_for_start()
    assert gated.runs == 5


def test_no_spacing_makes_a_failure_last_longer_than_it_may_be_served(
    make_monitor: MakeMonitor, clock: Clock, gated: Gated
) -> None:
    monitor = make_monitor(drive(gated, slots=9, max_stale=3.0), FAILURE_TTL=1.0)
    for _ in range(3):
        hang(monitor, gated, clock)

    clock.advance(4.0)
    gated.let_through(9)

    assert in_background(monitor.report)().available


def test_a_verdict_that_a_threshold_holds_up_is_not_held_up_for_longer(
    make_monitor: MakeMonitor, clock: Clock, gated: Gated
) -> None:
    monitor = make_monitor(drive(gated, failure_threshold=9, slots=9), TTL=5.0)
    gated.let_through()
    monitor.report()
    gated.wait_for_start()
    for _ in range(4):
        hang(monitor, gated, clock)

    assert monitor.status() is Status.OK
    clock.advance(1.0)  # the failure's own time, and none of the spacing
    monitor.report()

    gated.wait_for_start()


def test_a_re_try_that_succeeds_mends_the_verdict(
    make_monitor: MakeMonitor, clock: Clock, gated: Gated
) -> None:
    monitor = make_monitor(drive(Hanging(gated, 1)))
    hang(monitor, gated, clock)

    clock.advance(1.0)
    monitor.report()

    eventually(lambda: monitor.status() is Status.OK)


class Hanging:
    """A probe whose first runs hang, and whose others do not."""

    def __init__(self, gated: Gated, hung: int) -> None:
        self._gated = gated
        self._hung = hung

    def __call__(self, *arguments: object) -> bool:
        self._hung -= 1
        if self._hung >= 0:
            self._gated()
        return True


# Slots


def test_threads_never_exceed_the_slots(make_monitor: MakeMonitor, gated: Gated) -> None:
    monitor = make_monitor(drive(gated, scope="organization", slots=2))

    reports = [
        in_background(functools.partial(monitor.report, f"org_{number}"))
        for number in range(20)
    ]
    eventually(lambda: len(lane_of(monitor)._flights) == 20)

    assert len(engine_threads("drive")) == 2
    gated.let_through(20)
    assert {report().status for report in reports} == {Status.OK}


def test_a_thread_that_waits_for_work_is_used_again(
    make_monitor: MakeMonitor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lane_module, "IDLE", 0.5)
    seen = set()
    began = time.monotonic()

    def call() -> bool:
        seen.add(threading.get_ident())
        return True

    monitor = make_monitor(drive(call, ttl=0))

    for _ in range(10):
        monitor.report()
        eventually(lambda: lane_of(monitor)._idle == 1)

    assert len(seen) == 1
    assert time.monotonic() - began < 2.5  # unless each was found out only as it went


def test_threads_end_when_they_have_been_idle(make_monitor: MakeMonitor, clock: Clock) -> None:
    monitor = make_monitor(drive(Told()))
    monitor.report()
    eventually(lambda: engine_threads("watch"))

    clock.close()

    eventually(lambda: not engine_threads())
    monitor._current().service.records.update(None, lambda _: (0.0, 0, (None,)))
    assert monitor.report().available


def test_two_runs_at_once_do_not_queue_for_one_idle_thread(
    make_monitor: MakeMonitor, gated: Gated, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lane_module, "IDLE", 0.3)
    monitor = make_monitor(drive(gated, scope="organization"))
    gated.let_through()
    monitor.report("org_first")
    gated.wait_for_start()
    eventually(lambda: lane_of(monitor)._idle == 1)

    for organization_id in ("org_a", "org_b"):
        lane_of(monitor).join(organization_id, unless=lambda: False)

    gated.wait_for_start()
    gated.wait_for_start()


def test_a_runs_timeout_counts_from_its_start_and_not_from_its_queueing(
    make_monitor: MakeMonitor, clock: Clock, gated: Gated
) -> None:
    monitor = make_monitor(drive(gated, scope="organization", slots=1), DEADLINE=PATIENCE)
    first = in_background(lambda: monitor.report("org_a"))
    gated.wait_for_start()
    queued = in_background(lambda: monitor.report("org_b"))
    eventually(lambda: lane_of(monitor)._queue)
    clock.advance(4.9)
    gated.let_through()
    gated.wait_for_start()

    clock.advance(4.9)
    gated.let_through()

    assert first().available
    assert queued().available


def test_when_all_slots_hang_the_result_and_the_log_say_so(
    make_monitor: MakeMonitor, clock: Clock, gated: Gated, caplog: pytest.LogCaptureFixture
) -> None:
    monitor = make_monitor(drive(gated, scope="organization", slots=2))
    for organization_id in ("org_a", "org_b"):
        hang(monitor, gated, clock, organization_id)

    result = result_of(monitor.report("org_c"))

    text = "all 2 of its threads hang in earlier runs, so it cannot be run; give the client"
    assert result.message.startswith(text)
    assert result.status is Status.UNAVAILABLE
    clock.advance(1.0)
    expected = f"probe 'drive' of organization 'org_c' counts as unavailable: {text}"
    eventually(lambda: expected in caplog.text)
    assert gated.runs == 2


def test_what_waits_for_a_slot_is_told_so_when_the_last_one_hangs(
    make_monitor: MakeMonitor, clock: Clock, gated: Gated
) -> None:
    monitor = make_monitor(
        drive(gated, scope="organization", slots=1, timeout=0.5), DEADLINE=PATIENCE
    )
    in_background(lambda: monitor.report("org_a"))
    gated.wait_for_start()
    waiting = in_background(lambda: monitor.report("org_b"))
    eventually(lambda: lane_of(monitor)._queue)
    eventually(lambda: engine_threads("watch"))

    clock.advance(0.5)

    assert result_of(waiting()).message.startswith("all 1 of its threads hang in earlier runs")
    assert gated.runs == 1


def test_no_capacity_is_neither_kept_nor_logged_as_a_failure(
    make_monitor: MakeMonitor, clock: Clock, gated: Gated, caplog: pytest.LogCaptureFixture
) -> None:
    monitor = make_monitor(drive(gated, scope="organization", slots=1))
    hang(monitor, gated, clock, "org_a")

    stranded = monitor.report("org_b")
    gated.let_through(2)
    eventually(lambda: lane_of(monitor)._hung.total() == 0)

    assert not stranded.available
    assert monitor.report("org_b").available
    assert "'org_b' is unavailable" not in caplog.text


def test_hung_threads_count_among_the_slots(
    make_monitor: MakeMonitor, clock: Clock, gated: Gated
) -> None:
    monitor = make_monitor(drive(gated, scope="organization", slots=2))
    hang(monitor, gated, clock, "org_hung")

    for number in range(3):
        lane_of(monitor).join(f"org_{number}", unless=lambda: False)

    assert len(engine_threads("drive")) == 2
    gated.let_through(4)
    eventually(lambda: lane_of(monitor)._hung.total() == 0)


def test_a_hung_run_that_returns_gives_its_slot_back(
    make_monitor: MakeMonitor, clock: Clock, gated: Gated
) -> None:
    monitor = make_monitor(drive(gated, slots=1, max_stale=0.0))
    hang(monitor, gated, clock)
    clock.advance(1.0)
    assert result_of(monitor.report()).message.startswith("all 1 of its threads hang")

    gated.let_through(2)
    eventually(lambda: lane_of(monitor)._hung.total() == 0)

    assert monitor.report().available
    lane = lane_of(monitor)
    eventually(lambda: (lane._working, lane._idle) == (1, 1))


def test_an_organizations_re_tries_leave_half_of_the_slots_to_the_others(
    make_monitor: MakeMonitor, clock: Clock, gated: Gated
) -> None:
    monitor = make_monitor(drive(gated, scope="organization", slots=4, max_stale=0.0))
    for _ in range(2):
        hang(monitor, gated, clock, "org_hung")
    clock.advance(100.0)

    result = result_of(monitor.report("org_hung"))

    assert result.message.startswith("2 of its threads hang in earlier runs for this organiz")
    gated.let_through(3)
    assert monitor.report("org_fine").available
    assert gated.runs == 3


def test_threads_on_their_way_are_counted_on(make_monitor: MakeMonitor, gated: Gated) -> None:
    monitor = make_monitor(drive(gated, slots=16))

    reports = [in_background(monitor.report) for _ in range(30)]
    eventually(lambda: lane_of(monitor)._flights)
    gated.let_through()

    assert all(report().available for report in reports)
    assert lane_of(monitor)._working <= 1


@pytest.mark.parametrize("part", ["_execute", "_settle"])
def test_what_must_not_raise_costs_no_slot_when_it_does(
    make_monitor: MakeMonitor, monkeypatch: pytest.MonkeyPatch, part: str
) -> None:
    def out_of_memory(*arguments: object) -> t.NoReturn:
        raise MemoryError

    monitor = make_monitor(drive(Told(), slots=1, ttl=0), DEADLINE=PATIENCE)
    with monkeypatch.context() as patch:
        patch.setattr(lane_of(monitor), part, out_of_memory)
        found = [monitor.report().available for _ in range(3)]

    assert found == [False] * 3
    assert monitor.report().available


def test_a_thread_that_was_refused_is_asked_for_without_another_request(
    make_monitor: MakeMonitor, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monitor = make_monitor(drive(Told()))
    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", refusing("connector-health drive"))
        in_background(monitor.report)
        waited_for(monitor)
        [flight] = lane_of(monitor)._flights.values()

    clock.advance(5.0)

    assert flight.done.wait(PATIENCE)
    assert flight.result == ProbeResult(Status.OK)


def refusing(name: str) -> Callable[[threading.Thread], None]:
    """Make a Thread.start that the system refuses for threads of this name."""
    start = threading.Thread.start

    def refuse(thread: threading.Thread) -> None:
        if thread.name.startswith(name):
            raise RuntimeError("can't start new thread")
        start(thread)

    return refuse


def test_a_watch_that_was_refused_is_asked_for_again(
    make_monitor: MakeMonitor, clock: Clock, gated: Gated, monkeypatch: pytest.MonkeyPatch
) -> None:
    monitor = make_monitor(drive(gated))
    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", refusing("connector-health watch"))
        in_background(monitor.report)
        waited_for(monitor)
        clock.advance(0.05)

    monitor.report()
    eventually(lambda: engine_threads("watch"))
    clock.advance(5.0)

    eventually(lambda: len(monitor._current().service.records) == 1)


def test_beyond_a_full_queue_there_is_no_verdict(
    make_monitor: MakeMonitor,
    clock: Clock,
    gated: Gated,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr(lane_module, "QUEUE", 1)
    monitor = make_monitor(drive(gated, scope="organization", slots=1))
    running = in_background(lambda: monitor.report("org_running"))
    gated.wait_for_start()
    queued = in_background(lambda: monitor.report("org_queued"))
    eventually(lambda: lane_of(monitor)._queue)

    refused = result_of(monitor.report("org_too_many"))

    text = "too many of its runs wait for a thread already; make it faster, or raise"
    assert refused.message.startswith(text)
    gated.let_through(3)
    assert running().available
    assert queued().available
    assert monitor.report("org_too_many").available
    clock.advance(1.0)
    eventually(lambda: text in caplog.text)


def test_a_thread_that_the_system_refuses_is_asked_for_again(
    make_monitor: MakeMonitor, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monitor = make_monitor(drive(Told()))
    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", refusing("connector-health"))
        report = in_background(monitor.report)
        waited_for(monitor)
        clock.advance(0.05)
        assert result_of(report()) is UNKNOWN

    monitor.report()

    eventually(lambda: monitor.status() is Status.OK)


# Context


def test_a_run_leaves_nothing_in_the_context_of_the_next(
    make_monitor: MakeMonitor, gated: Gated
) -> None:
    tenant = contextvars.ContextVar("tenant", default="nobody")
    seen: list[str] = []

    def call(organization_id: str) -> bool:
        seen.append(tenant.get())
        tenant.set(organization_id)
        return True

    monitor = make_monitor(drive(call, scope="organization", slots=1))
    tenant.set("a request's")

    for organization_id in ("org_a", "org_b"):
        monitor.report(organization_id)

    assert seen == ["nobody", "nobody"]
    assert len(engine_threads("drive")) == 1


# The watch


def test_it_starts_no_thread_before_there_is_something_to_look_after(
    make_monitor: MakeMonitor,
) -> None:
    make_monitor(drive(Told()))

    assert engine_threads() == []


def test_a_look_that_raises_is_not_the_last(clock: Clock) -> None:
    looked = threading.Event()
    looks = iter([MemoryError()])

    def look() -> float | None:
        error = next(looks, None)
        if error is not None:
            raise error
        looked.set()
        return None

    watch = watch_module.Watch(look, 10.0, clock=clock, sleep_until=clock.sleep_until)
    watch.ensure()
    clock.close()

    assert looked.wait(PATIENCE)


def test_whoever_comes_as_it_ends_is_looked_after(clock: Clock) -> None:
    busy = iter([None, None, 1_000_000.0])
    looked = threading.Event()

    def look() -> float | None:
        due = next(busy, None)
        if due is not None:
            looked.set()
        return due

    watch = watch_module.Watch(look, 10.0, clock=clock, sleep_until=clock.sleep_until)
    watch.ensure()
    clock.close()

    assert looked.wait(PATIENCE)
    eventually(lambda: not engine_threads("watch"))


def test_it_leaves_what_came_as_it_ended_to_its_successor(clock: Clock) -> None:
    looks: list[Callable[[], float | None]] = [
        lambda: None,
        lambda: None,
        lambda: (watch._claim(), 1.0)[1],  # somebody else's thread is there already
    ]
    watch = watch_module.Watch(
        lambda: looks.pop(0)(), 10.0, clock=clock, sleep_until=clock.sleep_until
    )
    watch.ensure()
    clock.close()

    eventually(lambda: not engine_threads("watch"))
    assert looks == []


# Processes: the real ones are in test_processes.py


def test_another_process_begins_anew_with_the_results_of_its_parent(
    make_monitor: MakeMonitor, monkeypatch: pytest.MonkeyPatch
) -> None:
    service, own = Told(), Told()
    monitor = make_monitor(drive(service), Probe(name="own", call=own, scope="organization"))
    monitor.report("org_a")
    parent = monitor._current()

    monkeypatch.setattr(os, "getpid", lambda: -1)

    assert monitor.report("org_a").available
    assert monitor._current() is not parent
    assert (service.runs, own.runs) == (1, 1)


def test_who_waited_for_a_runtime_takes_the_one_that_was_made(
    make_monitor: MakeMonitor,
) -> None:
    monitor = make_monitor(drive(Told()))

    made = monitor._make_runtime(os.getpid(), None)

    class Held(contextlib.nullcontext[None]):
        def __enter__(self) -> None:
            monitor._runtime = made

    monitor._making[os.getpid()] = t.cast(threading.Lock, Held())

    assert monitor._current() is made


class Left(BaseException):
    """Stand in for the end of a process."""


async def come_back_later(fork: Callable[[], bool]) -> bool:
    return fork()


@pytest.mark.parametrize("is_async", [False, True])
def test_a_forked_child_leaves_before_it_touches_what_is_its_parents(
    make_monitor: MakeMonitor, is_async: bool
) -> None:
    left: list[int] = []
    child = pytest.MonkeyPatch()

    def leave(code: int) -> None:
        left.append(code)
        child.undo()
        raise Left

    def fork() -> bool:
        child.setattr(os, "getpid", lambda: -1)
        child.setattr(os, "_exit", leave)
        return True

    call = functools.partial(come_back_later, fork) if is_async else fork
    monitor = make_monitor(drive(call), DEADLINE=PATIENCE)

    monitor.report()

    assert left == [0]
