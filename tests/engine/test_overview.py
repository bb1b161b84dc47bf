"""The overview: how organizations are counted, and which of those that fail are listed."""

from __future__ import annotations

import typing as t
from datetime import UTC, datetime

import pytest

from flask_connector_health import Monitor, NotApplicable, ProbeResult, Status
from flask_connector_health.engine.overview import (
    FailingOrganization,
    FailingProbe,
    Overview,
)
from flask_connector_health.engine.record import Record
from flask_connector_health.engine.scope import Scope
from flask_connector_health.probes.spec import Probe
from tests.clockwork import Clock, Gated, Told, begin, drive, eventually
from tests.conftest import MakeMonitor

OK, DEGRADED, UNAVAILABLE = Status

ABSENT = NotApplicable("no Drive connected")


class ByOrganization:
    """A probe that answers for each organization what it was told."""

    def __init__(self, **answers: object) -> None:
        self.answers = answers
        self.runs = 0

    def __call__(self, organization_id: str) -> object:
        self.runs += 1
        return self.answers.get(organization_id, True)


def own(call: ByOrganization | Gated, name: str = "drive", *, critical: bool = True) -> Probe:
    return Probe(name=name, call=call, scope="organization", critical=critical)  # type: ignore[arg-type]


def moment(clock: Clock, seconds: float = 0.0) -> datetime:
    return datetime.fromtimestamp(clock.time_of_day() + seconds, UTC)


def asked(monitor: Monitor, *keys: str) -> Monitor:
    for key in keys:
        monitor.report(key)
    return monitor


def ran(monitor: Monitor, key: str) -> None:
    """Let the first probe run for an organization that nobody asks about."""
    flight = begin(monitor, key)
    eventually(lambda: flight.has_landed)


def listed(overview: Overview) -> list[str]:
    return [each.organization_id for each in overview.failing]


def counts(overview: Overview) -> tuple[int, int, int, int, int]:
    of = overview
    return of.known, of.ok, of.degraded, of.unavailable, of.unknown


# The counts


def test_nobody_is_known_at_first(make_monitor: MakeMonitor) -> None:
    assert make_monitor(own(ByOrganization())).overview() == Overview(0, 0, 0, 0, 0, ())


def test_each_organization_counts_by_its_last_verdict(make_monitor: MakeMonitor) -> None:
    call = ByOrganization(org_b=DEGRADED, org_c=False, org_d=False)
    monitor = asked(make_monitor(own(call)), "org_a", "org_b", "org_c", "org_d")

    assert counts(monitor.overview()) == (4, 1, 1, 2, 0)


def test_a_verdict_counts_however_old_it_is(make_monitor: MakeMonitor, clock: Clock) -> None:
    monitor = asked(make_monitor(own(ByOrganization(org_b=False))), "org_a", "org_b")

    clock.advance(86_400.0)

    assert counts(monitor.overview()) == (2, 1, 0, 1, 0)


def test_an_organization_counts_by_its_own_probes_alone(make_monitor: MakeMonitor) -> None:
    probes = drive(Told(False)), own(ByOrganization(org_b=DEGRADED), "own")
    monitor = asked(make_monitor(*probes), "org_a", "org_b")

    assert counts(monitor.overview()) == (2, 1, 1, 0, 0)


def test_a_probe_that_is_not_critical_degrades_at_most(make_monitor: MakeMonitor) -> None:
    call = ByOrganization(org_a=False)
    monitor = asked(make_monitor(own(call, critical=False)), "org_a")

    assert counts(monitor.overview()) == (1, 0, 1, 0, 0)


@pytest.mark.parametrize(("other", "status"), [(True, OK), (ABSENT, OK), (False, UNAVAILABLE)])
def test_an_answer_that_does_not_apply_counts_for_nothing(
    make_monitor: MakeMonitor, other: object, status: Status
) -> None:
    probes = own(ByOrganization(org_a=ABSENT)), own(ByOrganization(org_a=other), "other")
    overview = asked(make_monitor(*probes), "org_a").overview()

    assert (overview.ok, overview.unavailable) == (status is OK, status is UNAVAILABLE)
    names = [probe.name for each in overview.failing for probe in each.probes]
    assert names == (["other"] if status is UNAVAILABLE else [])


def test_an_organization_whose_first_run_is_on_its_way_is_unknown(
    make_monitor: MakeMonitor, gated: Gated
) -> None:
    monitor = make_monitor(own(gated))
    begin(monitor, "org_a")
    gated.wait_for_start()

    assert counts(monitor.overview()) == (1, 0, 0, 0, 1)


def test_an_organization_without_the_verdict_of_a_probe_is_unknown_unless_it_fails(
    make_monitor: MakeMonitor, gated: Gated
) -> None:
    probes = own(ByOrganization(org_b=False)), own(gated, "slow")
    monitor = make_monitor(*probes)
    for key in ("org_a", "org_b"):
        ran(monitor, key)
        begin(monitor, key, "slow")

    assert counts(monitor.overview()) == (2, 0, 0, 1, 1)


def test_an_organization_counts_once_however_many_of_its_runs_are_on_their_way(
    make_monitor: MakeMonitor, gated: Gated
) -> None:
    monitor = make_monitor(own(gated), own(gated, "other"))
    for name in ("drive", "other"):
        begin(monitor, "org_a", name)

    assert counts(monitor.overview()) == (1, 0, 0, 0, 1)


# The list


def test_a_failing_organization_is_described(make_monitor: MakeMonitor, clock: Clock) -> None:
    call, other = ByOrganization(), ByOrganization(org_a=ProbeResult("degraded", "slow"))
    monitor = make_monitor(own(call), own(other, "other"))
    asked(monitor, "org_a")
    clock.advance(20.0)
    call.answers["org_a"] = ProbeResult(False, "token expired")
    asked(monitor, "org_a")
    clock.advance(20.0)
    asked(monitor, "org_a")

    assert monitor.overview().failing == (
        FailingOrganization(
            "org_a",
            UNAVAILABLE,
            since=moment(clock, -20.0),
            checked_at=moment(clock),
            probes=(
                FailingProbe("drive", UNAVAILABLE, "token expired", moment(clock, -20.0)),
                FailingProbe("other", DEGRADED, "slow", moment(clock, -40.0)),
            ),
        ),
    )


def test_of_an_exception_the_line_of_the_log_is_named_and_not_its_text(
    make_monitor: MakeMonitor,
) -> None:
    def call(organization_id: str) -> bool:
        raise OSError("s3cret")

    monitor = asked(make_monitor(drive(call, scope="organization")), "org_a")

    [[probe]] = [each.probes for each in monitor.overview().failing]
    assert probe.message == (
        "it raised an exception; search the log for \"probe 'drive' of organization 'org_a'\""
    )


def test_the_worst_come_first_and_of_those_the_ones_that_fail_for_longest(
    make_monitor: MakeMonitor, clock: Clock
) -> None:
    call = ByOrganization(org_a=DEGRADED, org_b=False, org_c=False, org_d=DEGRADED)
    monitor = make_monitor(own(call))
    for key in ("org_d", "org_c", "org_b", "org_a"):
        asked(monitor, key)
        clock.advance(1.0)

    assert listed(monitor.overview()) == ["org_c", "org_b", "org_d", "org_a"]


def test_of_equals_the_list_is_in_the_order_of_their_ids(make_monitor: MakeMonitor) -> None:
    call = ByOrganization(org_a=False, org_b=False, org_c=False)
    monitor = asked(make_monitor(own(call)), "org_b", "org_c", "org_a")

    assert listed(monitor.overview()) == ["org_a", "org_b", "org_c"]


def test_an_organization_fails_since_it_is_as_bad_as_it_is(
    make_monitor: MakeMonitor, clock: Clock
) -> None:
    """Another probe that fails as well, and later, prolongs that and starts nothing anew."""
    call, other = ByOrganization(org_a=DEGRADED), ByOrganization()
    monitor = make_monitor(own(call), own(other, "other"))
    seen = []
    for answer, others in ((DEGRADED, True), (False, True), (False, False), (True, False)):
        call.answers["org_a"], other.answers["org_a"] = answer, others
        asked(monitor, "org_a")
        [each] = monitor.overview().failing
        seen.append((each.status, each.since))
        clock.advance(20.0)

    began = moment(clock, -80.0), moment(clock, -60.0)
    assert seen == [(DEGRADED, began[0]), *[(UNAVAILABLE, began[1])] * 3]


def test_the_limit_shortens_the_list_and_no_count(make_monitor: MakeMonitor) -> None:
    keys = [f"org_{number:02}" for number in range(60)]
    call = ByOrganization(**dict.fromkeys(keys, False))
    monitor = asked(make_monitor(own(call)), *keys)

    for limit, length in ((0, 0), (1, 1), (7, 7), (1_000, 60)):
        overview = monitor.overview(limit=limit)

        assert listed(overview) == keys[:length]
        assert counts(overview) == (60, 0, 0, 60, 0)
    assert listed(monitor.overview()) == keys[:50]


@pytest.mark.parametrize(
    ("status", "keys"), [(OK, []), (DEGRADED, ["org_b"]), (UNAVAILABLE, ["org_c"])]
)
def test_a_status_narrows_the_list_and_no_count(
    make_monitor: MakeMonitor, status: Status, keys: list[str]
) -> None:
    call = ByOrganization(org_b=DEGRADED, org_c=False)
    monitor = asked(make_monitor(own(call)), "org_a", "org_b", "org_c")

    overview = monitor.overview(status=status)

    assert listed(overview) == keys
    assert counts(overview) == (3, 1, 1, 1, 0)


@pytest.mark.parametrize(
    ("asked_for", "error", "text"),
    [
        ({"probe": "driv"}, LookupError, "there is no probe 'driv'; did you mean drive"),
        ({"status": "bad"}, TypeError, "^status must be a Status, 'ok'"),
        ({"limit": -1}, ValueError, "^limit must be a whole number .*, at least 0, not -1"),
        ({"limit": "5"}, ValueError, "at least 0, not str"),
    ],
)
def test_what_no_overview_can_be_narrowed_to_is_refused(
    make_monitor: MakeMonitor, asked_for: dict[str, t.Any], error: type[Exception], text: str
) -> None:
    monitor = make_monitor(own(ByOrganization()))

    with pytest.raises(error, match=text):
        monitor.overview(**asked_for)


def test_a_status_may_be_given_as_a_word(make_monitor: MakeMonitor) -> None:
    monitor = asked(make_monitor(own(ByOrganization(org_a=False))), "org_a", "org_b")

    assert listed(monitor.overview(status="unavailable")) == ["org_a"]
    assert listed(monitor.overview(status="degraded")) == []


@pytest.mark.parametrize(
    ("probe", "found"),
    [
        ("drive", [("org_a", ["drive"]), ("org_c", ["drive"])]),
        ("other", [("org_b", ["other"]), ("org_c", ["other"])]),
        ("search", []),
    ],
)
def test_a_probe_narrows_the_list_to_itself_and_no_count(
    make_monitor: MakeMonitor, probe: str, found: list[tuple[str, list[str]]]
) -> None:
    call = ByOrganization(org_a=False, org_c=False)
    other = ByOrganization(org_b=False, org_c=DEGRADED)
    probes = own(call), own(other, "other"), Probe(name="search", call=Told(False))
    monitor = asked(make_monitor(*probes), "org_a", "org_b", "org_c", "org_d")

    overview = monitor.overview(probe=probe)

    names = [
        (each.organization_id, [probe.name for probe in each.probes])
        for each in overview.failing
    ]
    assert names == found
    assert counts(overview) == (4, 1, 0, 3, 0)


def test_all_of_them_narrow_the_list_together(make_monitor: MakeMonitor) -> None:
    call = ByOrganization(org_a=False, org_b=False, org_c=DEGRADED, org_d=False)
    other = ByOrganization(org_d=False)
    monitor = asked(
        make_monitor(own(call), own(other, "other")), "org_a", "org_b", "org_c", "org_d"
    )

    found = monitor.overview(status=UNAVAILABLE, probe="drive", limit=2)

    assert listed(found) == ["org_a", "org_b"]


# What looking costs


def test_looking_runs_no_probe(make_monitor: MakeMonitor, clock: Clock) -> None:
    call = ByOrganization()
    monitor = asked(make_monitor(own(call), TTL=0), "org_a")
    clock.advance(86_400.0)

    monitor.overview()

    assert call.runs == 1
    assert not monitor._current().organization.lanes[0].asked()


def test_looking_saves_no_organization_from_eviction(make_monitor: MakeMonitor) -> None:
    call = ByOrganization(org_a=False, org_b=False)
    monitor = make_monitor(own(call), MAX_ORGANIZATIONS=2)
    for key in ("org_a", "org_b"):
        ran(monitor, key)
    monitor.report("org_a")  # which alone saves this one

    assert listed(monitor.overview()) == ["org_a", "org_b"]
    ran(monitor, "org_c")

    assert listed(monitor.overview()) == ["org_a"]


# Pauses


def test_an_organization_with_a_pause_counts_as_it_answers(
    make_monitor: MakeMonitor, clock: Clock
) -> None:
    call = ByOrganization(org_b=False)
    monitor = asked(make_monitor(own(call)), "org_a", "org_b", "org_c")

    monitor.pause("drive", "org_a", until=moment(clock, 60.0))
    monitor.pause("drive", "org_b", until=moment(clock, 60.0), status="ok")

    assert counts(monitor.overview()) == (3, 2, 1, 0, 0)
    assert listed(monitor.overview()) == ["org_a"]
    assert monitor.status("org_a") is DEGRADED
    assert monitor.status("org_b") is OK


def test_a_pause_of_all_counts_for_each(make_monitor: MakeMonitor, clock: Clock) -> None:
    monitor = asked(make_monitor(own(ByOrganization(org_b=False))), "org_a", "org_b")

    monitor.pause("drive", until=moment(clock, 60.0))

    assert counts(monitor.overview()) == (2, 0, 2, 0, 0)


def test_a_pause_costs_nothing_for_the_organizations_that_it_does_not_concern(
    make_monitor: MakeMonitor, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    search = Probe(name="search", call=Told())
    monitor = asked(make_monitor(own(ByOrganization()), search), "org_a", "org_b")
    monitor.pause("search", until=moment(clock, 60.0))
    monitor.pause("drive", "org_a", until=moment(clock, 60.0))
    with_pauses, keys = Scope.with_pauses, list[str | None]()

    def noted(scope: Scope, key: str | None, record: Record) -> Record:
        keys.append(key)
        return with_pauses(scope, key, record)

    monkeypatch.setattr(Scope, "with_pauses", noted)

    assert counts(monitor.overview()) == (2, 1, 1, 0, 0)
    assert keys == ["org_a"]


def test_a_pause_that_has_ended_counts_no_more(make_monitor: MakeMonitor, clock: Clock) -> None:
    monitor = asked(make_monitor(own(ByOrganization())), "org_a")
    monitor.pause("drive", until=moment(clock, 60.0))

    clock.advance(60.0)

    assert counts(monitor.overview()) == (1, 1, 0, 0, 0)


def test_a_paused_organization_fails_since_its_pause_and_was_checked_by_its_last_run(
    make_monitor: MakeMonitor, clock: Clock
) -> None:
    monitor = asked(make_monitor(own(ByOrganization())), "org_a")
    clock.advance(20.0)
    paused = moment(clock)
    monitor.pause("drive", until=moment(clock, 60.0), reason="moving")
    clock.advance(20.0)

    [each] = monitor.overview().failing

    assert (each.since, each.checked_at) == (paused, moment(clock, -40.0))
    assert each.probes == (FailingProbe("drive", DEGRADED, "moving", paused),)


def test_an_organization_that_failed_as_badly_before_its_pause_fails_since_then(
    make_monitor: MakeMonitor, clock: Clock
) -> None:
    monitor = asked(make_monitor(own(ByOrganization(org_a=False))), "org_a")
    began = moment(clock)
    clock.advance(20.0)

    monitor.pause("drive", "org_a", until=moment(clock, 60.0), status="unavailable")

    [each] = monitor.overview().failing
    assert each.since == began


def test_an_organization_that_was_only_asked_about_in_its_pause_is_known(
    make_monitor: MakeMonitor, clock: Clock
) -> None:
    monitor = make_monitor(own(ByOrganization()))
    until = datetime.fromtimestamp(clock.time_of_day() + 60.0, UTC)
    monitor.pause("drive", "org_a", until=until, status="unavailable", reason="moving house")
    assert monitor.status("org_a") is UNAVAILABLE

    overview = monitor.overview()

    assert counts(overview) == (1, 0, 0, 1, 0)
    [found] = overview.failing
    assert (found.organization_id, found.checked_at) == ("org_a", None)
    assert found.probes[0].message == "moving house"
    assert found.since == found.probes[0].since
