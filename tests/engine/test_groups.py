"""Groups: which a configuration may have, what they answer, and what draining does to them."""

from __future__ import annotations

import pathlib
import typing as t
from datetime import UTC, datetime

import pytest
from flask import Flask

from flask_connector_health import (
    ConfigurationError,
    ConnectorHealth,
    Monitor,
    NotApplicable,
    Status,
    get_monitor,
)
from flask_connector_health.engine.lane import Lane
from flask_connector_health.probes.spec import Probe
from tests.clockwork import Clock, Gated, Told, drive, in_background, names_in, waited_for
from tests.conftest import MakeApp, MakeMonitor

OK, DEGRADED, UNAVAILABLE = Status


@pytest.fixture
def make_grouped(make_app: MakeApp, health: ConnectorHealth) -> t.Callable[..., Flask]:
    """Make an app with these groups. It has probes with tags, one of them of organizations."""
    health.add_probe(lambda: True, name="search", tags=["index"])
    health.add_probe(lambda: True, name="vectors", tags=["index", "slow"])
    health.add_probe(lambda: True, name="queue", tags=["slow"])
    health.add_probe(
        lambda organization_id: True, name="drive", scope="organization", tags=["mixed", "own"]
    )
    health.add_probe(lambda: True, name="notion", tags=["mixed"])

    def make(groups: object, **settings: t.Any) -> Flask:
        return make_app(GROUPS=groups, **settings)

    return make


# Configuration


@pytest.mark.parametrize(
    ("members", "names"),
    [
        (["search"], ("search",)),
        (("queue", "search"), ("search", "queue")),
        (["tag:index"], ("search", "vectors")),
        (["tag:slow", "tag:index", "vectors"], ("search", "vectors", "queue")),
        (["availability"], ("availability",)),
    ],
)
@pytest.mark.parametrize(
    "availability",
    [lambda: True, lambda organization_id: True],
    ids=["one scope", "both scopes"],
)
def test_a_group_has_the_probes_that_it_names_in_the_order_of_the_probes(
    make_grouped: MakeApp, members: object, names: tuple[str, ...], availability: object
) -> None:
    monitor = get_monitor(make_grouped({"ready": members}, AVAILABILITY=availability))

    assert monitor.groups == {"ready": names}
    assert tuple(names_in(monitor.report(group="ready"))) == names


def test_there_may_be_several_groups_of_the_same_probes(make_grouped: MakeApp) -> None:
    monitor = get_monitor(
        make_grouped({"live": [], "ready": ["search"], "start-up_2": ["search", "queue"]})
    )

    assert monitor.groups == {
        "live": (),
        "ready": ("search",),
        "start-up_2": ("search", "queue"),
    }


@pytest.mark.parametrize("groups", [None, {}])
def test_by_default_there_is_no_group(make_grouped: MakeApp, groups: object) -> None:
    assert get_monitor(make_grouped(groups)).groups == {}


@pytest.mark.parametrize("name", ["ready", "r", "a" * 63, "a-b_c9"])
def test_a_usable_name_is_taken(make_grouped: MakeApp, name: str) -> None:
    assert list(get_monitor(make_grouped({name: ["search"]})).groups) == [name]


@pytest.mark.parametrize(
    ("name", "found"),
    [
        *(
            (name, f"'{name}'")
            for name in ("details", "page", "Ready", "9", "-a", "a/b", "", "ä")
        ),
        ("a\n", r"'a\\n'"),
        ("a" * 64, "'a+'"),
        (7, "int"),
    ],
)
def test_an_unfit_name_is_refused(make_grouped: MakeApp, name: object, found: str) -> None:
    expected = (
        rf"^CONNECTOR_HEALTH_GROUPS \(dict\) has the group {found}, which is no name for a"
        " group: .* write up to 63 .* 'details' and 'page' are other routes$"
    )

    with pytest.raises(ConfigurationError, match=expected):
        make_grouped({name: ["search"]})


@pytest.mark.parametrize(
    ("groups", "text"),
    [
        (["ready"], " must be a dict, not list"),
        ({"ready": "search"}, ": the group 'ready' must be a list of strings, not str"),
        ({"ready": None}, ": the group 'ready' must be a list of strings, not NoneType"),
        ({"ready": [7]}, ": the group 'ready' must be a list of strings, .*; it has int"),
        ({"ready": [""]}, ": the group 'ready' must be a list of strings, none .* empty"),
        ({"ready": []}, ": the group 'ready' is empty, .* name its probes, or call it 'live'"),
        (
            {"live": ["search"]},
            ": the group 'live' must be empty: .* a restart mends no dependency; .* 'ready'",
        ),
        (
            {"ready": ["serach"]},
            ": .* has 'serach', which is no probe .*; did you mean search\\?",
        ),
        ({"ready": ["tag:indx"]}, ": .* has 'tag:indx', which .*; did you mean tag:index\\?"),
        ({"ready": ["7"]}, ": .* there are availability, notion, .*, tag:mixed, tag:slow, vec"),
        ({"ready": ["index"]}, ": .* has 'index', which is no probe and no tag"),
        (
            {"ready": ["search", "drive"]},
            ": .* has 'drive', and so the probe 'drive', one of organizations; .* alone",
        ),
        ({"ready": ["tag:own"]}, ": .* has 'tag:own', and so the probe 'drive', one of org"),
        ({"ready": ["tag:mixed"]}, ": .* has 'tag:mixed', and so the probe 'drive', one of"),
    ],
)
def test_what_a_group_cannot_have_is_refused_with_its_remedy(
    make_grouped: MakeApp, groups: object, text: str
) -> None:
    with pytest.raises(
        ConfigurationError, match=rf"^CONNECTOR_HEALTH_GROUPS( \(dict\))?{text}"
    ):
        make_grouped(groups)


# Verdicts


def grouped(make_monitor: MakeMonitor, *probes: Probe, **settings: t.Any) -> Monitor:
    """Make a monitor with the groups "ready", of the probe "drive", and "live"."""
    return make_monitor(*probes, GROUPS={"ready": ["drive"], "live": []}, **settings)


@pytest.mark.parametrize(
    ("answer", "critical", "status"),
    [
        (True, True, OK),
        (DEGRADED, True, DEGRADED),
        (False, True, UNAVAILABLE),
        (False, False, DEGRADED),
        (NotApplicable(), True, OK),
    ],
)
def test_a_group_is_as_the_worst_of_its_own_probes(
    make_monitor: MakeMonitor, answer: object, critical: bool, status: Status
) -> None:
    monitor = grouped(
        make_monitor,
        drive(Told(answer), critical=critical),
        Probe(name="other", call=Told(False)),
    )

    assert monitor.report(group="ready").status is status
    assert monitor.status(group="ready") is status  # from the record, this time
    assert monitor.status() is UNAVAILABLE


def test_a_group_asks_its_own_probes_alone(make_monitor: MakeMonitor) -> None:
    told, other = Told(), Told()
    monitor = grouped(make_monitor, drive(told), Probe(name="other", call=other))

    assert monitor.status(group="ready") is OK
    assert names_in(monitor.report(group="ready")) == ["drive"]
    assert (told.runs, other.runs) == (1, 0)


def test_a_hung_probe_outside_of_a_group_holds_it_up_by_nothing(
    make_monitor: MakeMonitor, clock: Clock, gated: Gated
) -> None:
    """The fake clock stands still: whoever waited for the hung probe would wait for ever."""
    monitor = grouped(make_monitor, drive(Told()), Probe(name="slow", call=gated), TTL=0)
    report = in_background(monitor.report)
    gated.wait_for_start()

    assert monitor.status(group="ready") is OK
    assert monitor.report(group="ready").available

    clock.advance(0.05)
    assert not report().available


def test_a_group_waits_for_its_own_probe_until_the_deadline(
    make_monitor: MakeMonitor, clock: Clock, gated: Gated
) -> None:
    monitor = grouped(make_monitor, drive(gated))
    status = in_background(lambda: monitor.status(group="ready"))
    waited_for(monitor)

    clock.advance(0.05)

    assert status() is UNAVAILABLE


def test_a_fresh_group_takes_no_lock_and_looks_at_no_probe(
    make_monitor: MakeMonitor, monkeypatch: pytest.MonkeyPatch
) -> None:
    probes = [Probe(name=f"other-{number}", call=Told()) for number in range(20)]
    monitor = grouped(make_monitor, drive(Told()), *probes)
    monitor.report(group="ready")
    process = monitor._current()
    [shard] = process.service.records._shards
    for lane in process.service.lanes:
        lane._lock.acquire()
    monkeypatch.setattr(process, "status", None)

    with shard._lock:
        assert monitor.status(group="ready") is OK

    for lane in process.service.lanes:
        lane._lock.release()


def test_a_group_is_fresh_while_its_own_probes_are(
    make_monitor: MakeMonitor, clock: Clock
) -> None:
    told, other = Told(), Told()
    monitor = grouped(
        make_monitor,
        drive(told, ttl=60.0, max_stale=0.0),
        Probe(name="other", call=other, ttl=1.0),
    )
    monitor.report()
    told.answer = False

    found = []
    for seconds in (59.0, 1.0):
        clock.advance(seconds)
        found.append(monitor.status(group="ready"))

    assert found == [OK, UNAVAILABLE]
    assert (told.runs, other.runs) == (2, 1)


def test_a_pause_counts_in_a_group(make_monitor: MakeMonitor, clock: Clock) -> None:
    monitor = grouped(make_monitor, drive(Told()))
    monitor.report(group="ready")

    until = datetime.fromtimestamp(clock.time_of_day() + 60.0, UTC)
    monitor.pause("drive", until=until, status="unavailable")

    assert monitor.status(group="ready") is UNAVAILABLE
    assert monitor.status(group="live") is OK


def test_the_group_live_is_ok_whatever_fails(
    make_monitor: MakeMonitor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monitor = grouped(make_monitor, drive(Told(False)))
    monitor.report()
    monkeypatch.setattr(Lane, "join", None)

    assert monitor.status(group="live") is OK
    report = monitor.report(group="live")
    assert (report.status, report.results) == (OK, ())


@pytest.mark.parametrize("ask", [Monitor.status, Monitor.report])
@pytest.mark.parametrize(
    ("groups", "name", "text"),
    [
        ({"ready": ["drive"], "live": []}, "raedy", "no group 'raedy'; did you mean ready?"),
        ({"ready": ["drive"], "live": []}, "quux", "no group 'quux'; there are live, ready"),
        ({}, "ready", "no group 'ready'; CONNECTOR_HEALTH_GROUPS has none"),
    ],
)
def test_an_unknown_group_is_refused(
    make_monitor: MakeMonitor, ask: t.Any, groups: object, name: str, text: str
) -> None:
    monitor = make_monitor(drive(Told()), GROUPS=groups)

    with pytest.raises(LookupError) as caught:
        ask(monitor, group=name)

    assert text in str(caught.value)


@pytest.mark.parametrize("ask", [Monitor.status, Monitor.report])
def test_a_group_of_an_organization_is_refused(make_monitor: MakeMonitor, ask: t.Any) -> None:
    told = Told()
    monitor = grouped(make_monitor, drive(told))

    with pytest.raises(ValueError, match="'ready' is about the service, and not about an org"):
        ask(monitor, "org_a", group="ready")

    assert told.runs == 0


# Draining


def drained(monitor: Monitor, group: str) -> tuple[Status, Status]:
    return monitor.status(group=group), monitor.report(group=group).status


def test_draining_takes_every_group_but_live_out_of_use_at_once(
    make_monitor: MakeMonitor,
) -> None:
    monitor = grouped(make_monitor, drive(Told()))
    assert drained(monitor, "ready") == (OK, OK)

    monitor.drain()

    assert monitor.is_draining()
    assert drained(monitor, "ready") == (UNAVAILABLE, UNAVAILABLE)
    assert drained(monitor, "live") == (OK, OK)


def test_draining_takes_a_group_out_of_use_before_anything_is_known_of_it(
    make_monitor: MakeMonitor, gated: Gated
) -> None:
    monitor = grouped(make_monitor, drive(gated))

    monitor.drain()

    assert monitor.status(group="ready") is UNAVAILABLE
    assert gated.runs == 0


def test_a_report_says_of_a_draining_group_what_its_probes_have_found(
    make_monitor: MakeMonitor,
) -> None:
    monitor = grouped(make_monitor, drive(Told()))
    monitor.drain()

    [result] = monitor.report(group="ready").results

    assert (result.name, result.status) == ("drive", OK)


def test_draining_does_not_concern_the_service_and_its_organizations(
    make_monitor: MakeMonitor,
) -> None:
    monitor = grouped(make_monitor, drive(Told()))

    monitor.drain()

    for key in (None, "org_a"):
        assert monitor.status(key) is monitor.report(key).status is OK
        assert monitor.details(key).status is monitor.peek(key).status is OK


def test_draining_can_be_taken_back(make_monitor: MakeMonitor) -> None:
    monitor = grouped(make_monitor, drive(Told()))
    monitor.drain()

    monitor.undrain()

    assert not monitor.is_draining()
    assert drained(monitor, "ready") == (OK, OK)


def test_while_its_file_exists_the_instance_drains(
    make_monitor: MakeMonitor, tmp_path: pathlib.Path
) -> None:
    file = tmp_path / "drain"
    monitor = grouped(make_monitor, drive(Told()), DRAIN_FILE=file)
    seen = [drained(monitor, "ready")]

    file.touch()
    seen.append(drained(monitor, "ready"))
    monitor.undrain()  # which leaves the file
    seen.append(drained(monitor, "ready"))
    file.unlink()
    seen.append(drained(monitor, "ready"))

    assert seen == [(OK, OK), *[(UNAVAILABLE, UNAVAILABLE)] * 2, (OK, OK)]
    assert not monitor.is_draining()


def test_a_group_is_answered_where_nothing_is_kept_yet(make_monitor: MakeMonitor) -> None:
    monitor = make_monitor(drive(Told()), GROUPS={"ready": ["drive"]})
    monitor.peek()  # which keeps nothing

    assert monitor.status(group="ready") is OK


@pytest.mark.parametrize("groups", [None, {}, {"live": []}])
def test_a_file_that_drains_nothing_is_refused(make_grouped: MakeApp, groups: object) -> None:
    with pytest.raises(ConfigurationError, match="has no effect") as caught:
        make_grouped(groups, DRAIN_FILE="drain")

    assert "add one to CONNECTOR_HEALTH_GROUPS" in str(caught.value)
