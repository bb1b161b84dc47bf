"""What the log says, in which context it says it, and that nobody waits for it."""

from __future__ import annotations

import contextlib
import json
import logging
import subprocess
import sys
import textwrap
import threading
import time
import typing as t
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone

import pytest
from flask import current_app, g, has_request_context

from flask_connector_health import (
    ConnectorHealth,
    NotApplicable,
    ProbeDegraded,
    ProbeFailed,
    ProbeResult,
    Status,
)
from flask_connector_health.engine.events import Settled
from flask_connector_health.engine.outcome import Outcome
from flask_connector_health.lines import Facts, duration
from flask_connector_health.log import LOGGER, Log
from flask_connector_health.model import UNKNOWN, Scope
from flask_connector_health.probes.spec import Probe, ProbeOptions
from flask_connector_health.settings import Settings
from tests.clockwork import (
    PATIENCE,
    Clock,
    Gated,
    Told,
    drive,
    engine_of,
    eventually,
    hang,
    in_background,
    is_told,
    lane_of,
    refusing,
    report_of,
    result_of,
    waited_for,
)
from tests.conftest import CONFIG, PUBLIC, MakeApp, MakeMonitor

HOUR = 3600.0

Listening = Callable[[logging.Handler], None]


class Story:
    """A probe of one organization, and the lines of the log about it."""

    def __init__(
        self, make_monitor: MakeMonitor, clock: Clock, caplog: pytest.LogCaptureFixture
    ) -> None:
        self._make_monitor = make_monitor
        self._clock = clock
        self._caplog = caplog
        self._told = Told()
        self.begin()

    def begin(
        self,
        *,
        scope: Scope = "organization",
        critical: bool = True,
        **settings: t.Any,
    ) -> None:
        """Begin anew, with other options and settings."""
        self._key = None if scope == "service" else "org_xyz789"
        options: ProbeOptions = {"scope": scope, "critical": critical, "ttl": 0}
        probe = Probe(name="google-drive", call=self._told, **options)
        self._monitor = self._make_monitor(probe, DEADLINE=PATIENCE, **settings)

    def run(self, answer: object, *, after: float = 0.0) -> list[str]:
        """Let a run answer this, so many seconds later, and give the lines that it has left."""
        return [record.getMessage() for record in self.records(answer, after=after)]

    def records(self, answer: object, *, after: float = 0.0) -> list[logging.LogRecord]:
        self._caplog.clear()
        self._clock.advance(after)
        self._told.answer = answer
        self._monitor.report(self._key)
        is_told(self._monitor)
        return self._caplog.records.copy()


@pytest.fixture
def story(make_monitor: MakeMonitor, clock: Clock, caplog: pytest.LogCaptureFixture) -> Story:
    return Story(make_monitor, clock, caplog)


@pytest.fixture
def listening() -> Iterator[Listening]:
    """Add a handler of the host's to the log, until the test is over."""
    logger = logging.getLogger(LOGGER)
    yield logger.addHandler
    for handler in logger.handlers.copy():
        logger.removeHandler(handler)


def degraded(reason: str) -> ProbeResult:
    return ProbeResult(Status.DEGRADED, reason)


def failed(reason: str) -> ProbeResult:
    return ProbeResult(Status.UNAVAILABLE, reason)


# A verdict turns


def test_a_failure_is_told_with_its_effect_and_its_reason(story: Story) -> None:
    assert story.run(ProbeDegraded("95 % of the quota used")) == [
        "probe 'google-drive' of organization 'org_xyz789' fails, so the organization is"
        " degraded: 95 % of the quota used"
    ]


def test_a_recovery_is_told_with_how_long_the_failure_held(story: Story) -> None:
    story.run(degraded("95 % of the quota used"))

    assert story.run(True, after=492.0) == [
        "probe 'google-drive' of organization 'org_xyz789' is ok again after 8 min 12 s"
    ]


def test_the_service_is_named_as_such(story: Story) -> None:
    story.begin(scope="service")

    assert [*story.run(ProbeFailed("disk full")), *story.run(True, after=12.0)] == [
        "probe 'google-drive' fails, so the service is unavailable: disk full",
        "probe 'google-drive' is ok again after 12 s",
    ]


def test_a_turn_from_bad_to_worse_tells_how_long_the_former_effect_held(story: Story) -> None:
    story.begin(scope="service")
    story.run(degraded("slow"))

    worse = story.run(failed("gone"), after=185.0)
    better = story.run(degraded("slow"), after=0.4)

    assert [*worse, *better] == [
        "probe 'google-drive' fails, so the service is unavailable (it was degraded for"
        " 3 min 5 s): gone",
        "probe 'google-drive' fails, so the service is degraded (it was unavailable for"
        " 0.4 s): slow",
    ]


def test_an_outage_that_changes_its_form_is_as_long_as_all_of_them(story: Story) -> None:
    story.begin(scope="service", critical=False)
    story.run(degraded("slow"))

    found = [
        *story.run(failed("gone"), after=100.0),
        *story.run(degraded("slow"), after=10.0),
        *story.run(True, after=5.0),
    ]

    assert found == [
        "probe 'google-drive' still fails after 1 min 40 s, so the service is degraded: gone",
        "probe 'google-drive' still fails after 1 min 50 s, so the service is degraded: slow",
        "probe 'google-drive' is ok again after 1 min 55 s",
    ]


def test_what_is_ok_is_told_only_after_a_failure(story: Story) -> None:
    assert story.run(True) == story.run(Status.OK, after=HOUR) == []


def test_a_failure_that_goes_on_is_told_once(story: Story) -> None:
    story.run(failed("disk full"))

    assert [story.run(failed("disk full"), after=1.0) for _ in range(5)] == [[]] * 5


def test_no_line_of_a_probe_that_is_not_critical_says_unavailable(story: Story) -> None:
    story.begin(critical=False, LOG_REMINDER=60.0)
    answers = [False, degraded("slow"), failed("gone"), failed("lost"), RuntimeError("x")]
    said = [*answers, *answers[::-1], True]

    found = [story.records(answer, after=30.0) for answer in [*said, False, False, False]]

    lines = [record.getMessage() for records in found for record in records]
    assert len(lines) > len(said)
    assert not [line for line in lines if "unavailable" in line]
    assert {record.levelname for records in found for record in records} == {"WARNING"}
    assert lines[0].endswith("fails, so the organization is degraded: the probe says so")
    assert lines[2].endswith(
        "still fails after 1 min 0 s, so the organization is degraded: gone"
    )


def test_a_threshold_is_waited_for_before_anything_is_told(story: Story) -> None:
    story.begin(scope="service", FAILURE_THRESHOLD=2, RECOVERY_THRESHOLD=2)
    story.run(True)
    answers = [failed("gone"), failed("lost"), True, failed("lost"), True, True]

    found = [story.run(answer, after=1.0) for answer in answers]

    assert found == [
        [],
        ["probe 'google-drive' fails, so the service is unavailable: lost"],
        *([], [], []),
        ["probe 'google-drive' is ok again after 4 s"],
    ]


def test_a_verdict_between_the_results_has_a_reason_that_is_true(story: Story) -> None:
    """Twice better than unavailable, but once ok: degraded is what both results agree on."""
    story.begin(scope="service", RECOVERY_THRESHOLD=2)
    story.run(failed("gone"))
    story.run(degraded("slow"))

    assert story.run(True, after=5.0) == [
        "probe 'google-drive' fails, so the service is degraded (it was unavailable for 5 s):"
        " its last result was better, and a recovery takes more such results in a row"
    ]


def test_a_probe_that_changes_its_form_with_each_run_does_not_flood_the_log(
    story: Story,
) -> None:
    """Neither form differs from the other in its effect or in its reason."""
    story.begin(critical=False)

    found = [story.run(answer) for answer in (Status.DEGRADED, False) * 30]

    assert sum(map(len, found)) == 11


@pytest.mark.parametrize("answer", [ProbeFailed, ProbeDegraded, OSError])
def test_the_words_of_others_are_one_line_of_the_log(
    story: Story, answer: type[Exception]
) -> None:
    forged = "no\nERROR probe 'billing' fails\x1b[31m, \u2028größe"

    [record] = story.records(answer(forged))

    assert "no\\nERROR probe 'billing' fails\\x1b[31m, \\u2028größe" in record.getMessage()
    assert forged in vars(record)["reason"]


# The reason changes


def test_a_new_reason_is_told_at_once(story: Story) -> None:
    story.run(degraded("disk full"))

    assert story.run(degraded("password expired"), after=185.0) == [
        "probe 'google-drive' of organization 'org_xyz789' still fails after 3 min 5 s, so the"
        " organization is degraded: password expired"
    ]


def test_an_exception_of_another_type_is_a_new_reason(story: Story) -> None:
    story.run(OSError("boom"))

    assert story.run(OSError("boom")) == []
    [record] = story.records(RuntimeError("boom"))

    assert record.getMessage().endswith(
        "still fails after 0 s, so the organization is unavailable: it raised RuntimeError:"
        " boom; mend the probe, or let it raise ProbeFailed if this failure is its answer"
    )
    assert record.exc_info is not None
    assert record.exc_info[0] is RuntimeError


@pytest.mark.parametrize("answer", [True, Status.OK, degraded("slow")])
def test_a_result_that_a_threshold_overrules_is_no_new_reason(
    story: Story, answer: object
) -> None:
    story.begin(RECOVERY_THRESHOLD=3)
    story.run(failed("gone"))

    assert story.run(answer) == story.run(failed("gone")) == []


def test_a_worse_result_that_a_threshold_overrules_is_no_new_reason(story: Story) -> None:
    story.begin(FAILURE_THRESHOLD=3)
    story.run(degraded("slow"))

    assert story.run(failed("gone")) == story.run(degraded("slow")) == []


def test_a_reason_that_changes_with_each_run_does_not_flood_the_log(story: Story) -> None:
    found = [story.run(degraded(f"{number} files wait"), after=9.0) for number in range(800)]

    told = [number for number, lines in enumerate(found) if lines]
    assert told == [*range(11), *range(410, 421)]  # 3,600 s after the last one, and 9 s apart
    assert found[410] == [
        "probe 'google-drive' of organization 'org_xyz789' still fails after 1 h 1 min, so the"
        " organization is degraded: 410 files wait"
    ]


def test_new_words_are_told_after_any_number_of_numbers(story: Story) -> None:
    for number in range(100):
        story.run(degraded(f"{number} % of the quota used"))

    found = [story.run(degraded(reason)) for reason in ("password expired", "disk full")]

    assert [len(lines) for lines in found] == [1, 1]


def test_words_that_change_with_each_run_do_not_flood_the_log_either(story: Story) -> None:
    found = [story.run(degraded("x" * number)) for number in range(1, 100)]

    assert [len(lines) for lines in found] == [1] * 21 + [0] * 78


def test_without_reminders_a_new_reason_is_told_again_an_hour_later(story: Story) -> None:
    story.begin(LOG_REMINDER=0)
    for number in range(20):
        story.run(degraded(f"{number} files wait"))

    assert story.run(degraded("21 files wait"), after=HOUR - 1.0) == []
    assert story.run(degraded("22 files wait"), after=1.0) == [
        "probe 'google-drive' of organization 'org_xyz789' still fails after 1 h 0 min, so the"
        " organization is degraded: 22 files wait"
    ]


# An answer that counts for nothing


def test_an_answer_that_does_not_apply_is_not_told(story: Story) -> None:
    story.run(failed("gone"))

    assert story.run(NotApplicable("no Drive connected"), after=HOUR) == []


def test_a_failure_after_an_answer_that_does_not_apply_is_a_new_one(story: Story) -> None:
    story.run(failed("gone"))
    story.run(NotApplicable("no Drive connected"), after=5.0)

    again = story.run(failed("gone"), after=5.0)
    ok = story.run(True, after=3.0)

    assert [*again, *ok] == [
        "probe 'google-drive' of organization 'org_xyz789' fails, so the organization is"
        " unavailable: gone",
        "probe 'google-drive' of organization 'org_xyz789' is ok again after 3 s",
    ]


def test_what_is_ok_after_an_answer_that_does_not_apply_is_no_recovery(story: Story) -> None:
    story.run(failed("gone"))
    story.run(NotApplicable())

    assert story.run(True) == []


# Reminders


def test_a_failure_is_repeated_every_hour(story: Story) -> None:
    story.run(RuntimeError("disk full"))

    found = [story.records(RuntimeError("disk full"), after=HOUR / 4) for _ in range(8)]

    assert [len(records) for records in found] == [0, 0, 0, 1] * 2
    [reminder] = found[3]
    assert (reminder.levelname, reminder.exc_info) == ("ERROR", None)
    assert reminder.getMessage() == (
        "probe 'google-drive' of organization 'org_xyz789' still fails after 1 h 0 min, so the"
        " organization is unavailable: it raised RuntimeError: disk full"
    )


def test_a_reminder_counts_from_the_last_line(story: Story) -> None:
    story.begin(LOG_REMINDER=60.0)
    story.run(failed("disk full"))
    story.run(failed("password expired"), after=50.0)

    assert story.run(failed("password expired"), after=50.0) == []
    assert story.run(failed("password expired"), after=10.0) == [
        "probe 'google-drive' of organization 'org_xyz789' still fails after 1 min 50 s, so the"
        " organization is unavailable: password expired"
    ]


def test_a_reminder_has_the_reason_of_the_verdict_and_not_of_a_result(story: Story) -> None:
    story.begin(LOG_REMINDER=10.0, RECOVERY_THRESHOLD=3)
    story.run(failed("disk full"))

    [line] = story.run(True, after=10.0)

    assert line.endswith("so the organization is unavailable: disk full")
    assert story.run(failed("disk full")) == []


def test_a_setting_turns_reminders_off(story: Story) -> None:
    story.begin(LOG_REMINDER=0)
    story.run(failed("disk full"))

    assert story.run(failed("disk full"), after=24 * HOUR) == []


# What a record carries


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.0, "0 s"),
        (0.44, "0.4 s"),
        (5.0, "5 s"),
        (12.3, "12 s"),
        (59.9, "1 min 0 s"),
        (492.0, "8 min 12 s"),
        (3599.9, "1 h 0 min"),
        (HOUR, "1 h 0 min"),
        (90_061.0, "1 d 1 h"),
        (76 * HOUR, "3 d 4 h"),
    ],
)
def test_a_duration_has_two_units_at_most(seconds: float, text: str) -> None:
    assert duration(seconds) == text


def facts(record: logging.LogRecord) -> dict[str, object]:
    return {name: getattr(record, name) for name in Facts.__annotations__}


def test_each_record_carries_its_facts(story: Story) -> None:
    found = [
        *story.records(degraded("disk full")),
        *story.records(degraded("no power"), after=2.0),
        *story.records(RuntimeError("boom"), after=3.0),
        *story.records(True, after=492.0),
        *story.records(False, after=0.5),
    ]

    rows = [tuple(facts(record).values()) for record in found]
    assert rows == [
        ("google-drive", "org_xyz789", "degraded", None, None, "disk full"),
        ("google-drive", "org_xyz789", "degraded", "degraded", 2.0, "no power"),
        (
            *("google-drive", "org_xyz789", "unavailable", "degraded", 5.0),
            "it raised RuntimeError: boom",
        ),
        ("google-drive", "org_xyz789", "ok", "unavailable", 497.0, None),
        ("google-drive", "org_xyz789", "unavailable", "ok", 0.5, "the probe says so"),
    ]


def test_a_json_formatter_finds_the_facts(
    make_app: MakeApp, health: ConnectorHealth, listening: Listening
) -> None:
    class Json(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            written.append(json.dumps({**facts(record), "level": record.levelname}))

    written: list[str] = []
    listening(Json())
    health.add_probe(lambda: failed("disk full"), name="drive")

    report_of(make_app())

    eventually(lambda: written)
    assert [json.loads(line) for line in written] == [
        {
            "probe": "drive",
            "organization": None,
            "status": "unavailable",
            "previous_status": None,
            "duration": None,
            "reason": "disk full",
            "level": "ERROR",
        }
    ]


def test_an_answer_without_a_verdict_has_its_effect_and_its_reason(
    make_monitor: MakeMonitor, clock: Clock, gated: Gated, caplog: pytest.LogCaptureFixture
) -> None:
    monitor = make_monitor(drive(gated, scope="organization", critical=False))
    report = in_background(lambda: monitor.report("org_a"))
    waited_for(monitor)

    clock.advance(0.05)
    report()
    eventually(lambda: caplog.records)

    [record] = caplog.records
    reason = (
        "it has no result within the request's deadline of 0.05 s; make it faster, or raise"
        " CONNECTOR_HEALTH_DEADLINE if the clients wait that long"
    )
    assert record.getMessage() == (
        "probe 'drive' of organization 'org_a' has no verdict, so the organization is answered"
        f" as degraded: {reason}"
    )
    assert tuple(facts(record).values()) == ("drive", "org_a", None, None, None, reason)
    gated.let_through()


def test_an_exception_after_the_verdict_has_its_traceback(
    make_monitor: MakeMonitor, clock: Clock, gated: Gated, caplog: pytest.LogCaptureFixture
) -> None:
    error = OSError("reset")

    def late() -> t.NoReturn:
        gated()
        raise error

    monitor = make_monitor(drive(late))
    hang(monitor, gated, clock)
    eventually(lambda: caplog.records)
    caplog.clear()

    gated.let_through()
    eventually(lambda: caplog.records)

    [record] = caplog.records
    text = "OSError: reset"
    assert record.getMessage() == (
        f"a run of probe 'drive' raised an exception after its verdict: {text}"
    )
    assert tuple(facts(record).values()) == ("drive", *[None] * 4, f"it raised {text}")
    assert record.exc_info is not None
    assert record.exc_info[1] is error


@pytest.fixture
def factory() -> Iterator[None]:
    """Have a host whose own record factory says of which organization a request is."""
    former = logging.getLogRecordFactory()

    def make(*args: t.Any, **kwargs: t.Any) -> logging.LogRecord:
        record = former(*args, **kwargs)
        record.organization = "the host's own"
        return record

    logging.setLogRecordFactory(make)
    yield
    logging.setLogRecordFactory(former)


@pytest.mark.usefixtures("factory")
def test_an_attribute_of_the_hosts_own_record_factory_stays(story: Story) -> None:
    [record] = story.records(failed("gone"))

    assert "so the organization is unavailable: gone" in record.getMessage()
    assert vars(record)["organization"] == "the host's own"
    assert vars(record)["probe"] == "google-drive"


@pytest.mark.parametrize("scope", ["service", "organization"])
def test_lines_that_differ_in_values_alone_have_one_text(story: Story, scope: Scope) -> None:
    """Tools that group lines by their text have a group for each probe and effect."""
    story.begin(scope=scope)
    texts = []

    for reason in ("50 % full", "90 % full"):
        texts.append([record.msg for record in story.records(failed(reason))])
        texts.append([record.msg for record in story.records(True, after=90.0)])

    assert texts[:2] == texts[2:]
    assert "'google-drive'" in texts[0][0]
    assert "full" not in str(texts)


# Pauses


UNTIL = datetime(2001, 9, 9, 3, 0, tzinfo=UTC)  # 57 min after the beginning of the clock's time


class Planned:
    """A probe of the service and one of organizations, and what the log says of pauses."""

    def __init__(self, make_monitor: MakeMonitor, caplog: pytest.LogCaptureFixture) -> None:
        self.monitor = make_monitor(
            Probe(name="sync-queue", call=Told()),
            Probe(name="google-drive", call=Told(), scope="organization", critical=False),
            DEADLINE=PATIENCE,
        )
        self._caplog = caplog

    def told(self) -> list[logging.LogRecord]:
        """Give the lines since the last call."""
        is_told(self.monitor)
        records = self._caplog.records.copy()
        self._caplog.clear()
        return records

    def lines(self) -> list[str]:
        return [record.getMessage() for record in self.told()]


@pytest.fixture
def planned(make_monitor: MakeMonitor, caplog: pytest.LogCaptureFixture) -> Planned:
    return Planned(make_monitor, caplog)


@pytest.mark.parametrize(
    ("named", "owner"),
    [
        (["sync-queue"], "probe 'sync-queue'"),
        (["google-drive"], "probe 'google-drive' of every organization"),
        (["google-drive", "org_a"], "probe 'google-drive' of organization 'org_a'"),
    ],
)
def test_a_pause_and_its_end_are_told(planned: Planned, named: list[str], owner: str) -> None:
    planned.monitor.pause(*named, until=UNTIL)
    planned.monitor.resume(*named)

    assert planned.lines() == [
        f"{owner} is paused until 2001-09-09 03:00:00 UTC, and counts as degraded: planned"
        " work",
        f"the pause of {owner} has ended",
    ]


def test_a_pause_that_ends_by_itself_is_told(planned: Planned, clock: Clock) -> None:
    planned.monitor.pause("sync-queue", until=UNTIL)
    planned.told()

    clock.advance(HOUR)
    planned.monitor.report()

    assert planned.lines() == ["the pause of probe 'sync-queue' has ended"]


def test_the_end_of_no_pause_is_not_told(planned: Planned) -> None:
    planned.monitor.resume("sync-queue")

    assert planned.lines() == []


def test_a_pause_of_a_probe_of_both_scopes_is_told_of_each(
    make_app: MakeApp, caplog: pytest.LogCaptureFixture
) -> None:
    monitor = engine_of(make_app(AVAILABILITY=lambda organization_id: True))

    monitor.pause("availability", until=datetime.now(UTC) + timedelta(hours=1))
    is_told(monitor)

    assert [line.partition(" is paused until ")[0] for line in caplog.messages] == [
        "probe 'availability'",
        "probe 'availability' of every organization",
    ]


@pytest.mark.parametrize(
    ("name", "status", "effect"),
    [
        ("sync-queue", "ok", "ok"),
        ("sync-queue", "unavailable", "unavailable"),
        ("google-drive", "unavailable", "degraded"),
    ],
)
def test_a_pause_is_told_with_its_effect_and_is_no_error(
    planned: Planned, name: str, status: Status, effect: str
) -> None:
    planned.monitor.pause(name, until=UNTIL, status=status)

    [record] = planned.told()
    assert f"UTC, and counts as {effect}: planned work" in record.getMessage()
    assert record.levelname == "WARNING"


def test_a_pause_is_told_in_utc_whatever_time_zone_it_was_given_in(planned: Planned) -> None:
    tokyo = timezone(timedelta(hours=9))

    planned.monitor.pause("sync-queue", until=UNTIL.astimezone(tokyo))

    [line] = planned.lines()
    assert "paused until 2001-09-09 03:00:00 UTC," in line


def test_the_reason_of_a_pause_is_one_line_of_the_log(planned: Planned) -> None:
    forged = "no\nERROR probe 'billing' fails\x1b[31m, \u2028größe"

    planned.monitor.pause("sync-queue", until=UNTIL, reason=forged)

    [record] = planned.told()
    assert record.getMessage().endswith(
        "degraded: no\\nERROR probe 'billing' fails\\x1b[31m, \\u2028größe"
    )
    assert vars(record)["reason"] == forged


def test_the_records_of_a_pause_carry_its_facts(planned: Planned) -> None:
    planned.monitor.pause("google-drive", "org_a", until=UNTIL, status=False, reason="move")
    planned.monitor.resume("google-drive", "org_a")

    assert [tuple(facts(record).values()) for record in planned.told()] == [
        ("google-drive", "org_a", "unavailable", None, None, "move"),
        ("google-drive", "org_a", None, None, None, None),
    ]


# What it remembers


@pytest.fixture
def log() -> Log:
    settings = Settings.from_config({**CONFIG, "CONNECTOR_HEALTH_MAX_ORGANIZATIONS": 2})
    return Log(contextlib.nullcontext, settings, 1)


def settled(key: str, before: Status, verdict: Status) -> Settled:
    outcome = Outcome(ProbeResult(verdict))
    ended = {"at": 1_000.0, "time_of_day": 1e9, "duration": 0.1}
    return Settled("drive", key, True, before, 5.0, verdict, outcome, **ended)


def test_what_was_said_is_remembered_of_a_bounded_number(
    log: Log, caplog: pytest.LogCaptureFixture
) -> None:
    """Beyond the bound, the one that was not run for longest is said anew."""
    for key in ("org_a", "org_b", "org_a", "org_c"):
        log(settled(key, Status.OK, Status.UNAVAILABLE))

    assert log(settled("org_a", Status.UNAVAILABLE, Status.UNAVAILABLE)) is None
    write = log(settled("org_b", Status.UNAVAILABLE, Status.UNAVAILABLE))

    assert len(log._said) == 2
    assert write is not None
    write()
    assert caplog.messages == [
        "probe 'drive' of organization 'org_b' still fails after 5 s, so the organization is"
        " unavailable: the probe says so"
    ]


@pytest.mark.parametrize("result", [ProbeResult(Status.OK), NotApplicable()])
def test_nothing_is_remembered_of_what_is_ok(log: Log, result: ProbeResult) -> None:
    log(settled("org_a", Status.OK, Status.UNAVAILABLE))
    log(replace(settled("org_a", Status.UNAVAILABLE, Status.OK), outcome=Outcome(result)))

    assert not log._said


def test_a_failure_whose_result_made_room_for_others_is_not_told_again(
    make_monitor: MakeMonitor, caplog: pytest.LogCaptureFixture
) -> None:
    told = Told(degraded("disk full"))
    probes = drive(told, scope="organization"), Probe(name="other", call=Told())
    monitor = make_monitor(*probes, DEADLINE=PATIENCE, MAX_ORGANIZATIONS=1)
    for organization_id in ("org_a", "org_b", "org_a"):
        monitor.report(organization_id)

    for answer in (degraded("no power"), failed("gone"), True):
        told.answer = answer
        monitor.report("org_b")
        monitor.report("org_a")
    is_told(monitor)

    assert [line for line in caplog.messages if "'org_a'" in line] == [
        f"probe 'drive' of organization 'org_a' {text}"
        for text in (
            "fails, so the organization is degraded: disk full",
            "still fails after 0 s, so the organization is degraded: no power",
            "fails, so the organization is unavailable: gone",
            "is ok again after 0 s",
        )
    ]


# Where it is written


# Asks an app with the blueprint twice, and waits until the log is written.
ASK = """
        app = Flask("host")
        app.config.from_mapping(
            CONNECTOR_HEALTH_AVAILABILITY=lambda: True,
            CONNECTOR_HEALTH_VERIFY_TOKEN=lambda token: None,
            CONNECTOR_HEALTH_AUTHORIZE=lambda principal, organization_id: False,
        )
        app.register_blueprint(health)
        for _ in range(2):
            app.test_client().get("/v1/knowledge/connectors/health")
        import threading
        for _, background in get_monitor(app)._current()._announcer._listeners:
            written = threading.Event()
            background.do(written.set)
            written.wait(10)
"""


def run(script: str) -> str:
    """Run a script in a process of its own, and give what it wrote to stderr."""
    command = [sys.executable, "-W", "error", "-c", textwrap.dedent(script)]
    return subprocess.run(command, capture_output=True, text=True, check=True).stderr


def test_an_app_that_configures_no_logging_shows_failure_and_recovery() -> None:
    script = (
        """
        from flask import Flask
        from flask_connector_health import ConnectorHealth, ProbeDegraded, get_monitor

        health, quota = ConnectorHealth(), [0.95, 0.5]

        @health.probe("google-drive", ttl=0)
        def google_drive():
            used = quota.pop(0)
            if used > 0.9:
                raise ProbeDegraded(f"{used:.0%} of the quota used")
            return True

    """
        + ASK
    )

    failure, recovery = run(script).splitlines()
    assert failure == (
        "probe 'google-drive' fails, so the service is degraded: 95% of the quota used"
    )
    assert recovery.startswith("probe 'google-drive' is ok again after ")


def test_a_logging_configuration_of_the_hosts_disables_nothing() -> None:
    """By default, dictConfig() disables every logger that exists by then."""
    script = (
        """
        import logging.config
        from flask import Flask
        from flask_connector_health import ConnectorHealth, get_monitor

        health = ConnectorHealth()
        handler = {"class": "logging.StreamHandler"}
        logging.config.dictConfig(
            {"version": 1, "handlers": {"h": handler}, "root": {"handlers": ["h"]}}
        )
        health.add_probe(lambda: False, name="google-drive", ttl=0)
    """
        + ASK
    )

    assert run(script).startswith("probe 'google-drive' fails, so the service is unavailable")


class Seeing(logging.Handler):
    """A handler whose filter reads the app and its ``g``, as those of hosts do."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[tuple[str, str, str]] = []
        self.addFilter(self._see)

    def _see(self, record: logging.LogRecord) -> bool:
        tenant = g.setdefault("tenant", record.__dict__["probe"])
        self.seen.append((current_app.name, tenant, record.getMessage().partition(" ")[2]))
        return True

    def emit(self, record: logging.LogRecord) -> None: ...


def test_a_filter_that_reads_the_app_and_its_g_swallows_nothing(
    make_app: MakeApp, health: ConnectorHealth, listening: Listening
) -> None:
    handler = Seeing()
    listening(handler)
    for name in ("drive", "notion"):
        health.add_probe(lambda: failed("gone"), name=name)

    report_of(make_app())

    eventually(lambda: len(handler.seen) == 2)
    assert sorted(handler.seen) == [
        ("host", name, f"'{name}' fails, so the service is unavailable: gone")
        for name in ("drive", "notion")
    ]


def test_a_warning_of_the_configuration_sees_the_app_and_no_request(
    make_app: MakeApp, listening: Listening
) -> None:
    class Noting(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            seen.append((current_app.name, has_request_context(), record.getMessage()))

    seen: list[tuple[str, bool, str]] = []
    listening(Noting())
    app = make_app()
    app.config["CONNECTOR_HEALTH_TTL"] = 0

    app.test_client().get(PUBLIC)

    [(name, is_in_request, line)] = seen
    assert (name, is_in_request) == ("host", False)
    assert line.startswith("CONNECTOR_HEALTH_TTL changed after")


@pytest.mark.usefixtures("broken")
def test_a_warning_of_the_configuration_that_cannot_be_written_breaks_no_request(
    make_app: MakeApp, capsys: pytest.CaptureFixture[str]
) -> None:
    app = make_app(FAST_PATH=True)
    app.config["CONNECTOR_HEALTH_TTL"] = 0

    assert app.test_client().get(PUBLIC).status_code == 200
    assert capsys.readouterr().err.count("--- Logging error ---") == 1


def test_two_apps_share_nothing_of_the_log(
    make_app: MakeApp, health: ConnectorHealth, listening: Listening
) -> None:
    handler = Seeing()
    listening(handler)
    health.add_probe(lambda: failed("gone"), name="drive")
    apps = [make_app(), make_app()]
    apps[1].name = "other"

    for app in (*apps, *apps):
        report_of(app)
        is_told(engine_of(app))

    assert [(app, line) for app, _, line in handler.seen] == [
        (name, "'drive' fails, so the service is unavailable: gone")
        for name in ("host", "other")
    ]


@contextlib.contextmanager
def never_open() -> Iterator[None]:
    raise RuntimeError("it cannot be opened")
    yield


@contextlib.contextmanager
def never_closed() -> Iterator[None]:
    yield
    raise SystemExit("it cannot be closed")


@pytest.mark.parametrize("open_context", [never_open, never_closed])
def test_a_context_that_raises_costs_no_line_and_adds_none(
    make_monitor: MakeMonitor,
    caplog: pytest.LogCaptureFixture,
    open_context: Callable[[], contextlib.AbstractContextManager[None]],
) -> None:
    monitor = make_monitor(drive(Told()), open_context=open_context, DEADLINE=PATIENCE)

    monitor.report()
    is_told(monitor)

    [line] = caplog.messages
    assert "it cannot be" in line


@pytest.fixture
def broken(listening: Listening) -> logging.Handler:
    """Make a handler whose filter raises."""

    def raising(record: logging.LogRecord) -> bool:
        raise LookupError("no tenant")

    handler = logging.StreamHandler()
    handler.addFilter(raising)
    listening(handler)
    return handler


def test_a_filter_that_raises_is_reported_as_logging_reports_handlers(
    make_monitor: MakeMonitor, broken: logging.Handler, capsys: pytest.CaptureFixture[str]
) -> None:
    monitor = make_monitor(drive(Told(False)), DEADLINE=PATIENCE)

    monitor.report()
    is_told(monitor)

    reported = capsys.readouterr().err
    assert reported.count("--- Logging error ---") == 1
    assert "LookupError: no tenant" in reported
    assert "Message: \"probe 'drive' fails, so the service is unavailable: %s\"" in reported
    assert "Arguments: ('the probe says so',)" in reported


def test_a_filter_that_raises_is_not_reported_if_logging_is_told_so(
    make_monitor: MakeMonitor,
    broken: logging.Handler,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(logging, "raiseExceptions", False)
    monitor = make_monitor(drive(Told(False)), DEADLINE=PATIENCE)

    monitor.report()
    is_told(monitor)

    assert capsys.readouterr().err == ""


def test_a_run_writes_its_line_itself_if_the_log_gets_no_thread(
    make_monitor: MakeMonitor,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    threads = [threading.Thread.start]  # for the run alone
    refuse = refusing(threading.Event())
    monkeypatch.setattr(
        threading.Thread, "start", lambda thread: (threads.pop() if threads else refuse)(thread)
    )
    monitor = make_monitor(drive(Told(False)), DEADLINE=PATIENCE)

    monitor.report()

    [record] = caplog.records
    assert record.getMessage().startswith("probe 'drive' fails")
    assert record.threadName != "connector-health events"


# Who waits for it


def test_the_log_says_that_a_probe_is_too_slow_once_a_minute(
    make_monitor: MakeMonitor, clock: Clock, gated: Gated, caplog: pytest.LogCaptureFixture
) -> None:
    monitor = make_monitor(drive(gated, ttl=0))

    for pause, lines in ((0.0, 1), (50.0, 1), (15.0, 2)):
        clock.advance(pause)
        report = in_background(monitor.report)
        waited_for(monitor)
        clock.advance(1.0)
        assert result_of(report()) == UNKNOWN
        gated.let_through()
        clock.advance(1.0)
        eventually(lambda lines=lines: len(caplog.messages) == lines)  # type: ignore[misc]
        eventually(lambda: not lane_of(monitor)._flights)

    assert caplog.messages[0].startswith(
        "probe 'drive' has no verdict, so the service is answered as unavailable: it has no"
    )


@pytest.fixture
def blocked_log(monkeypatch: pytest.MonkeyPatch) -> Iterator[threading.Event]:
    """Have the log block; the event says that it does."""
    blocked, release = threading.Event(), threading.Event()

    def emit(*values: object, **options: object) -> None:
        blocked.set()
        release.wait(PATIENCE)

    monkeypatch.setattr(logging.getLogger(LOGGER), "handle", emit)
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
    told = Told()
    monitor = make_monitor(drive(told, ttl=0), DEADLINE=PATIENCE)

    for number in range(100):
        told.answer = number % 2 == 1
        monitor.report()
    eventually(lambda: len(caplog.messages) == 100)

    assert [message.partition(",")[0] for message in caplog.messages] == [
        "probe 'drive' fails",
        "probe 'drive' is ok again after 0 s",
    ] * 50


def test_the_log_speaks_when_a_verdict_turns_and_not_per_request(
    make_app: MakeApp, health: ConnectorHealth, caplog: pytest.LogCaptureFixture
) -> None:
    told = Told()
    health.add_probe(told, name="drive", ttl=0)
    client = make_app().test_client()

    boom = RuntimeError("boom")
    for answer, lines in ((True, 0), (boom, 1), (boom, 1), (Status.DEGRADED, 2), (True, 3)):
        told.answer = answer
        for _ in range(3):
            client.get(PUBLIC)
        eventually(lambda lines=lines: len(caplog.records) >= lines)  # type: ignore[misc]

    raised = (
        "probe 'drive' fails, so the service is unavailable: it raised RuntimeError: boom;"
        " mend the probe, or let it raise ProbeFailed if this failure is its answer"
    )
    assert told.runs == 15
    levels = [record.levelname for record in caplog.records]
    first, second, third = caplog.messages
    assert levels == ["ERROR", "WARNING", "WARNING"]
    assert first == raised
    assert second.startswith("probe 'drive' fails, so the service is degraded (it was unavail")
    assert third.startswith("probe 'drive' is ok again after ")


def test_a_log_handler_that_raises_costs_no_verdict(
    make_app: MakeApp, health: ConnectorHealth, listening: Listening
) -> None:
    class Broken(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            raise OSError("disk full")

    listening(Broken())
    health.add_probe(lambda: Status.DEGRADED, name="drive")
    app = make_app()

    assert report_of(app).status is Status.DEGRADED
    is_told(engine_of(app))


def test_a_hung_probe_is_unavailable_within_the_deadline_and_named_once(
    make_app: MakeApp, health: ConnectorHealth, caplog: pytest.LogCaptureFixture
) -> None:
    release = threading.Event()
    health.add_probe(release.wait, name="drive")
    client = make_app(DEADLINE=0.25, TTL=0).test_client()

    started = time.monotonic()
    responses = [client.get(PUBLIC) for _ in range(3)]
    elapsed = time.monotonic() - started
    release.set()

    assert [response.status_code for response in responses] == [503] * 3
    assert responses[0].data == b'{"status": "unavailable", "available": false}'
    assert elapsed < 2  # three deadlines at most, and far below the probe's timeout of 5 s
    eventually(lambda: caplog.messages)
    [message] = caplog.messages
    assert message.startswith("probe 'drive' has no verdict, so the service is answered as un")
    assert "it has no result within the request's deadline of 0.25 s" in message
    assert "make it faster, or raise CONNECTOR_HEALTH_DEADLINE" in message
