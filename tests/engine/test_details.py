"""Details: what people are told of each probe's verdict, in each state that it may have."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import pytest

from flask_connector_health import Monitor, NotApplicable, ProbeResult, Status
from flask_connector_health.engine.details import Details, ProbeDetail
from flask_connector_health.engine.events import Event
from flask_connector_health.model import UNKNOWN
from flask_connector_health.probes.spec import Probe
from tests.clockwork import (
    PATIENCE,
    Clock,
    Gated,
    Told,
    begin,
    drive,
    eventually,
    hang,
    in_background,
    lane_of,
    waited_for,
)
from tests.conftest import MakeMonitor

OK, DEGRADED, UNAVAILABLE = Status


def moment(clock: Clock, seconds: float = 0.0) -> datetime:
    return datetime.fromtimestamp(clock.time_of_day() + seconds, UTC)


def only(details: Details) -> ProbeDetail:
    [detail] = details.probes
    return detail


def asked_in_vain(monitor: Monitor, clock: Clock, key: str | None = None) -> Details:
    """Ask, and let the deadline pass before the run has ended."""
    details = in_background(lambda: monitor.details(key))
    waited_for(monitor)
    clock.advance(0.05)
    return details()


# The states


def test_a_fresh_verdict_is_described(
    make_monitor: MakeMonitor, clock: Clock, gated: Gated
) -> None:
    gated.answer = ProbeResult("degraded", "slow")
    monitor = make_monitor(drive(gated, scope="organization", critical=False), DEADLINE=9.0)
    details = in_background(lambda: monitor.details("org_a"))
    gated.wait_for_start()
    clock.advance(0.25)
    gated.let_through()
    details()
    clock.advance(4.0)

    assert only(monitor.details("org_a")) == ProbeDetail(
        name="drive",
        scope="organization",
        critical=False,
        status=DEGRADED,
        message="slow",
        state="fresh",
        since=moment(clock, -4.0),
        checked_at=moment(clock, -4.0),
        last_ok_at=None,
        age_seconds=4.0,
        duration_ms=250.0,
        consecutive_failures=1,
    )


def test_a_verdict_is_stale_while_a_run_refreshes_it(
    once_ok: Monitor, clock: Clock, gated: Gated
) -> None:
    clock.advance(5.0)

    detail = only(once_ok.details())

    gated.wait_for_start()
    assert (detail.status, detail.state, detail.age_seconds) == (OK, "stale", 5.0)


def test_without_a_ttl_the_answer_of_the_request_itself_is_fresh(
    make_monitor: MakeMonitor,
) -> None:
    detail = only(make_monitor(drive(Told()), TTL=0).details())

    assert (detail.status, detail.state, detail.age_seconds) == (OK, "fresh", 0.0)


def test_without_a_verdict_a_run_on_its_way_is_running(
    make_monitor: MakeMonitor, clock: Clock, gated: Gated
) -> None:
    monitor = make_monitor(drive(gated))

    details = asked_in_vain(monitor, clock)

    assert details.status is UNAVAILABLE
    assert only(details) == ProbeDetail(
        name="drive",
        scope="service",
        critical=True,
        status=None,
        message=UNKNOWN.message,
        state="running",
        since=None,
        checked_at=None,
        last_ok_at=None,
        age_seconds=None,
        duration_ms=None,
        consecutive_failures=0,
    )


def test_a_run_that_hangs_is_overdue_and_took_its_timeout(
    make_monitor: MakeMonitor, clock: Clock, gated: Gated
) -> None:
    """However late the watch looks, the run ended when its timeout was over."""
    monitor = make_monitor(drive(gated), TIMEOUT=5.0, FAILURE_TTL=60.0)
    flight = begin(monitor)
    gated.wait_for_start()
    clock.advance(7.0)
    eventually(lambda: flight.has_landed)

    detail = only(monitor.details())

    assert (detail.status, detail.state) == (UNAVAILABLE, "overdue")
    assert (detail.duration_ms, detail.age_seconds) == (5_000.0, 2.0)
    assert detail.message.startswith("no answer within its timeout of 5 s")


def test_without_a_verdict_a_run_that_hangs_is_overdue_as_well(
    make_monitor: MakeMonitor, clock: Clock, gated: Gated
) -> None:
    monitor = make_monitor(drive(gated), MAX_STALE=0.0)
    hang(monitor, gated, clock)
    clock.advance(1.0)

    detail = only(asked_in_vain(monitor, clock))

    assert (detail.status, detail.state) == (None, "overdue")


def test_a_run_that_has_returned_at_last_is_overdue_no_more(
    make_monitor: MakeMonitor, clock: Clock, gated: Gated
) -> None:
    monitor = make_monitor(drive(gated), FAILURE_TTL=60.0)
    hang(monitor, gated, clock)

    gated.let_through()

    eventually(lambda: only(monitor.details()).state == "fresh")


def test_a_probe_that_cannot_be_run_is_unknown_and_says_why(
    make_monitor: MakeMonitor, clock: Clock, gated: Gated
) -> None:
    monitor = make_monitor(drive(gated, scope="organization"), SLOTS=1)
    for key in ("org_a", "org_b"):
        hang(monitor, gated, clock, key)

    detail = only(monitor.details("org_c"))

    assert (detail.status, detail.state) == (None, "unknown")
    assert detail.message.startswith("2 runs of this probe hang, which is the limit")


def test_an_answer_that_does_not_apply_has_no_status(
    make_monitor: MakeMonitor, clock: Clock
) -> None:
    monitor = make_monitor(drive(Told(NotApplicable("no Drive")), scope="organization"), TTL=5)
    monitor.report("org_a")
    clock.advance(4.0)

    details = monitor.details("org_a")

    detail = only(details)
    assert details.status is OK
    assert (detail.status, detail.state, detail.message) == (None, "not_applicable", "no Drive")
    assert (detail.since, detail.age_seconds) == (moment(clock, -4.0), 4.0)
    assert (detail.last_ok_at, detail.consecutive_failures) == (None, 0)


def test_an_answer_that_does_not_apply_is_told_by_who_waits_for_it(
    make_monitor: MakeMonitor,
) -> None:
    detail = only(make_monitor(drive(Told(NotApplicable())), TTL=0).details())

    assert (detail.status, detail.state) == (None, "not_applicable")


def test_a_paused_probe_has_the_status_of_its_pause_and_the_facts_of_its_last_run(
    make_monitor: MakeMonitor, clock: Clock
) -> None:
    monitor = make_monitor(drive(Told(), critical=False))
    monitor.report()
    clock.advance(10.0)
    paused = moment(clock)
    zone = timezone(timedelta(hours=2))
    until = moment(clock, 60.0).astimezone(zone)
    monitor.pause("drive", until=until, status="unavailable", reason="moving house")
    clock.advance(20.0)

    details = monitor.details()

    assert details.status is DEGRADED
    assert only(details) == ProbeDetail(
        name="drive",
        scope="service",
        critical=False,
        status=UNAVAILABLE,
        message=f"moving house (paused until {moment(clock, 40.0):%Y-%m-%dT%H:%M:%S}Z)",
        state="paused",
        since=paused,
        checked_at=moment(clock, -30.0),
        last_ok_at=moment(clock, -30.0),
        age_seconds=30.0,
        duration_ms=0.0,
        consecutive_failures=0,
    )


def test_a_probe_that_was_paused_before_its_first_run_was_never_checked(
    make_monitor: MakeMonitor, clock: Clock
) -> None:
    monitor = make_monitor(drive(Told()))
    monitor.pause("drive", until=moment(clock, 60.0), reason="")

    detail = only(monitor.details())

    assert (detail.status, detail.state) == (DEGRADED, "paused")
    assert detail.since == moment(clock)
    assert (detail.checked_at, detail.last_ok_at, detail.age_seconds) == (None, None, None)
    assert detail.message.startswith("(paused until ")


def test_a_pause_hides_that_a_run_hangs(
    make_monitor: MakeMonitor, clock: Clock, gated: Gated
) -> None:
    monitor = make_monitor(drive(gated))
    hang(monitor, gated, clock)

    monitor.pause("drive", until=moment(clock, 60.0))

    assert only(monitor.details()).state == "paused"


# Facts and statuses


def test_what_was_last_known_stays_when_a_verdict_is_too_old_to_be_believed(
    once_ok: Monitor, clock: Clock
) -> None:
    clock.advance(20.0)

    detail = only(asked_in_vain(once_ok, clock))

    began = moment(clock, -20.05)
    assert (detail.status, detail.state, detail.since) == (None, "running", None)
    assert (detail.checked_at, detail.last_ok_at, detail.age_seconds) == (began, began, 20.05)


@pytest.mark.parametrize("step", [1e8, -1e8])
def test_a_step_of_the_time_of_day_changes_no_age_and_nothing_that_was_noted(
    make_monitor: MakeMonitor, clock: Clock, step: float
) -> None:
    monitor = make_monitor(drive(Told()), TTL=60.0)
    monitor.report()
    noted = moment(clock)

    clock.epoch += step
    clock.advance(4.0)

    detail = only(monitor.details())
    assert (detail.age_seconds, detail.state) == (4.0, "fresh")
    assert detail.since == detail.checked_at == detail.last_ok_at == noted


def test_a_status_holds_on_while_runs_confirm_it(
    make_monitor: MakeMonitor, clock: Clock
) -> None:
    told = Told()
    monitor = make_monitor(drive(told, ttl=0))
    monitor.report()
    clock.advance(10.0)
    told.answer = False
    for _ in range(3):
        clock.advance(1.0)
        detail = only(monitor.details())

    assert (detail.since, detail.checked_at) == (moment(clock, -2.0), moment(clock))
    assert (detail.last_ok_at, detail.consecutive_failures) == (moment(clock, -13.0), 3)


def test_runs_count_as_failed_before_a_threshold_turns_the_verdict(
    make_monitor: MakeMonitor,
) -> None:
    told = Told()
    monitor = make_monitor(drive(told, ttl=0, failure_threshold=3))
    monitor.report()
    told.answer = False
    monitor.report()

    detail = only(monitor.details())

    assert (detail.status, detail.consecutive_failures) == (OK, 2)


def test_a_status_is_the_probes_own_whatever_its_effect(make_monitor: MakeMonitor) -> None:
    details = make_monitor(drive(Told(False), critical=False)).details()

    assert only(details).status is UNAVAILABLE
    assert (details.status, details.available) == (DEGRADED, True)


@pytest.mark.parametrize("key", [None, "org_a"])
def test_of_an_exception_the_line_of_the_log_is_named_and_not_its_text(
    make_monitor: MakeMonitor, caplog: pytest.LogCaptureFixture, key: str | None
) -> None:
    scope = "service" if key is None else "organization"
    monitor = make_monitor(drive(Told(OSError("s3cret")), scope=scope))

    message = only(monitor.details(key)).message

    words, quoted = message.split(" the log for ")
    assert words == "it raised an exception; search"
    eventually(lambda: caplog.messages)
    assert quoted.strip('"') in caplog.text


# Whose details they are


def test_details_ask_as_a_report_does(make_monitor: MakeMonitor) -> None:
    told, own = Told(), Told(False)
    monitor = make_monitor(drive(told), Probe(name="own", call=own, scope="organization"))

    for _ in range(2):
        assert monitor.details("org_a").status is monitor.report("org_a").status

    assert (told.runs, own.runs) == (1, 1)


@pytest.mark.parametrize(
    ("service", "organization", "status"),
    [
        (True, DEGRADED, DEGRADED),
        (False, True, UNAVAILABLE),
        (DEGRADED, False, UNAVAILABLE),
    ],
)
def test_an_organizations_details_have_its_own_probes_and_of_the_service_only_the_status(
    make_monitor: MakeMonitor, service: object, organization: object, status: Status
) -> None:
    monitor = make_monitor(
        drive(Told(service)),
        Probe(name="own", call=Told(organization), scope="organization"),
    )

    details = monitor.details("org_a")

    assert [probe.name for probe in details.probes] == ["own"]
    assert details.status is status
    assert details.available is (status is not UNAVAILABLE)
    assert details.service is monitor.status()


def test_the_services_details_have_its_own_probes(make_monitor: MakeMonitor) -> None:
    monitor = make_monitor(
        drive(Told()),
        Probe(name="other", call=Told(DEGRADED)),
        Probe(name="own", call=Told(False), scope="organization"),
    )
    monitor.report("org_a")

    details = monitor.details()

    assert [probe.name for probe in details.probes] == ["drive", "other"]
    assert details.status is details.service is DEGRADED


def test_without_probes_of_its_own_an_organizations_details_have_none(
    make_monitor: MakeMonitor,
) -> None:
    details = make_monitor(drive(Told(DEGRADED))).details("org_a")

    assert details == Details(DEGRADED, DEGRADED, (), groups={}, draining=False)


def test_a_row_speaks_of_one_run_though_another_ends_meanwhile(
    make_monitor: MakeMonitor, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The answer is stale, and the run that refreshes it has ended before it is described."""
    told = Told()
    monitor = make_monitor(drive(told), TTL=5.0, MAX_STALE=15.0, GROUPS={"ready": ["drive"]})
    monitor.status()
    clock.advance(6.0)
    told.answer = False
    lane = lane_of(monitor)
    monkeypatch.setattr(lane, "call", lambda flight: in_background(lane.work)())

    details = monitor.details()

    [row] = details.probes
    assert told.runs == 2
    assert (row.status, row.state, row.age_seconds) == (OK, "stale", 6.0)
    assert (row.consecutive_failures, row.last_ok_at) == (0, row.since)
    assert details.groups == {"ready": OK}


def test_an_answer_keeps_its_times_though_it_is_evicted_meanwhile(
    make_monitor: MakeMonitor, clock: Clock
) -> None:
    def forget(event: Event) -> None:
        monitor.forget()  # as the last run ends, before its answer is described

    monitor = make_monitor(
        drive(Told(False), scope="organization"), listeners=[forget], DEADLINE=PATIENCE
    )

    [row] = monitor.details("org_a").probes

    assert (row.status, row.state, row.consecutive_failures) == (UNAVAILABLE, "fresh", 1)
    assert row.since == row.checked_at is not None


def test_a_pause_that_begins_after_the_answer_says_nothing_of_it(
    make_monitor: MakeMonitor, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The answer is stale, and the pause begins before it is described."""
    monitor = make_monitor(drive(Told()), TTL=5.0, MAX_STALE=15.0)
    monitor.status()
    clock.advance(6.0)
    until = moment(clock, 60.0)
    monkeypatch.setattr(
        lane_of(monitor), "call", lambda flight: monitor.pause("drive", until=until)
    )

    row = only(monitor.details())

    assert (row.status, row.state, row.message) == (OK, "stale", "")
