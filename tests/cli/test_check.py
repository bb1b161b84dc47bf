"""``check``: what it prints, and with which code it exits."""

from __future__ import annotations

import json
import pathlib
import re
import sys
import time

import pytest

from flask_connector_health import (
    ConnectorHealth,
    NotApplicable,
    ProbeDegraded,
    Status,
)
from flask_connector_health.cli import commands
from tests.clockwork import Told
from tests.conftest import MakeApp

from .conftest import Run

# In the package, the command has the name of its module.
MODULE = sys.modules["flask_connector_health.cli.check"]

STATUSES = [(Status.OK, 0), (Status.DEGRADED, 0), (Status.UNAVAILABLE, 1)]


@pytest.mark.parametrize(("status", "code"), STATUSES)
def test_it_exits_by_whether_the_service_is_available(
    run: Run, make_app: MakeApp, status: Status, code: int
) -> None:
    result = run(make_app(AVAILABILITY=lambda: status), "check")

    assert result.exit_code == code
    assert result.output.splitlines() == [
        f"{status}: the service",
        f"  {status:14} availability (service)",
    ]


@pytest.mark.parametrize(("status", "code"), [(Status.OK, 0), (Status.DEGRADED, 1)])
def test_it_can_exit_with_1_for_degraded(
    run: Run, make_app: MakeApp, status: Status, code: int
) -> None:
    app = make_app(AVAILABILITY=lambda: status)

    assert run(app, "check", "--fail-on", "degraded").exit_code == code


def test_it_asks_about_an_organization(
    run: Run, make_app: MakeApp, health: ConnectorHealth
) -> None:
    def drive(organization_id: str) -> bool:
        raise ProbeDegraded("quota\x1b[2J used up")

    health.add_probe(drive, scope="organization", critical=False)
    health.add_probe(
        lambda organization_id: NotApplicable(), name="notion", scope="organization"
    )

    result = run(make_app(), "check", "--organization", "org_a")

    assert result.exit_code == 0
    assert result.output.splitlines() == [
        "degraded: org_a",
        "  ok             availability (service)",
        "  degraded       drive (organization, not critical): quota\\x1b[2J used up",
        "  not applicable notion (organization)",
    ]


def test_it_asks_about_a_group_alone(
    run: Run, make_app: MakeApp, health: ConnectorHealth, tmp_path: pathlib.Path
) -> None:
    health.add_probe(lambda: True, name="database")
    file = tmp_path / "drain"
    app = make_app(
        AVAILABILITY=lambda: False,
        GROUPS={"live": [], "ready": ["database"]},
        DRAIN_FILE=str(file),
    )

    result = run(app, "check", "--group", "ready")
    file.touch()
    draining = run(app, "check", "--group", "ready")

    assert (result.exit_code, draining.exit_code) == (0, 1)
    assert result.output.splitlines()[0] == "ok: group ready"
    assert draining.output.splitlines()[0] == "unavailable: group ready (the instance drains)"
    nagios = run(app, "check", "--group", "ready", "--nagios")
    assert nagios.output.startswith("CONNECTORS CRITICAL - the instance drains | ok=1;;;0;1 ")
    assert json.loads(run(app, "check", "--group", "ready", "--json").output)["draining"]
    assert run(app, "check", "--group", "live").output == "ok: group live\n"


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (["--group", "redy"], "there is no group 'redy'; did you mean ready?"),
        (["--organization", "nope"], "'nope' is no id of an organization; an id matches org_["),
        (["--organization", "org_a", "--group", "ready"], "give either a group or an organ"),
        (["--wait", "nan"], "must be a number of seconds (int or float), from 0 to 86400"),
        (["--wait", "soon"], "could not convert string to float"),
        (["--fail-on", "ok"], "'ok' is not one of 'degraded', 'unavailable'"),
        (["--json", "--nagios"], "--nagios and --json exclude each other"),
    ],
)
@pytest.mark.parametrize("plugin", [False, True], ids=["plain", "nagios"])
def test_wrong_usage_says_what_is_right(
    run: Run, make_app: MakeApp, arguments: list[str], text: str, plugin: bool
) -> None:
    app = make_app(GROUPS={"ready": ["availability"]})
    if plugin and "--nagios" not in arguments:
        arguments = [*arguments, "--nagios"]

    result = run(app, "check", *arguments)

    assert result.exit_code == (3 if "--nagios" in arguments else 2)
    assert text in result.output


def test_json_has_what_the_report_has(run: Run, make_app: MakeApp) -> None:
    data = json.loads(run(make_app(), "check", "--json").output)

    assert (data["status"], data["available"]) == ("ok", True)
    assert [result["name"] for result in data["results"]] == ["availability"]


def test_it_waits_for_the_timeouts_and_not_for_the_deadline(
    run: Run, make_app: MakeApp, health: ConnectorHealth
) -> None:
    def slow() -> bool:
        time.sleep(0.15)
        return True

    health.add_probe(slow, timeout=10.0)

    assert run(make_app(DEADLINE=0.01), "check").exit_code == 0


def test_it_asks_anew_until_all_is_well(
    run: Run, make_app: MakeApp, health: ConnectorHealth, monkeypatch: pytest.MonkeyPatch
) -> None:
    told, pauses = Told("degraded"), []
    health.add_probe(told, name="drive", ttl=300.0, recovery_threshold=3)

    def sleep(seconds: float) -> None:
        pauses.append(seconds)
        told.answer = len(pauses) == 2 or "degraded"

    app = make_app()
    monkeypatch.setattr(MODULE, "sleep", sleep)

    result = run(app, "check", "--fail-on", "degraded", "--wait", "60")

    assert result.exit_code == 0
    assert pauses == [1.0, 1.0]


def test_it_gives_up_when_the_time_is_up(run: Run, make_app: MakeApp) -> None:
    told = Told(False)

    result = run(make_app(AVAILABILITY=lambda: told()), "check", "--wait", "0.1")

    assert result.exit_code == 1
    assert told.runs == 2


NUMBERS = re.compile(r" \| ok=1;;;0;2 degraded=1;;;0;2 unavailable=0;;;0;2 time=0\.\d{3}s;;;0$")


def test_nagios_gets_one_line_with_performance_data(
    run: Run, make_app: MakeApp, health: ConnectorHealth
) -> None:
    def drive() -> bool:
        raise ProbeDegraded("a|b\nc")

    health.add_probe(drive)
    health.add_probe(NotApplicable, name="notion")  # which counts for nothing

    result = run(make_app(), "check", "--nagios")

    [line] = result.output.splitlines()
    assert line.startswith("CONNECTORS WARNING - drive degraded (a/b\\nc) | ")
    assert NUMBERS.search(line)


@pytest.mark.parametrize(
    ("status", "code", "begins"),
    [
        ("ok", 0, "CONNECTORS OK - 1 of 1 probes are ok | "),
        ("degraded", 1, "CONNECTORS WARNING - availability degraded | "),
        ("unavailable", 2, "CONNECTORS CRITICAL - availability unavailable | "),
    ],
)
def test_nagios_gets_its_own_codes(
    run: Run, make_app: MakeApp, status: str, code: int, begins: str
) -> None:
    result = run(make_app(AVAILABILITY=lambda: status), "check", "--nagios")

    assert result.exit_code == code
    assert result.output.startswith(begins)


def test_the_help_names_the_route_that_asks_the_running_worker(
    run: Run, make_app: MakeApp
) -> None:
    text = " ".join(run(make_app(), "check", "--help").output.split())

    assert "does not ask the running worker" in text
    assert "/v1/knowledge/connectors/health/details" in text


def test_a_terminal_has_colours_unless_it_wants_none(
    make_app: MakeApp, monkeypatch: pytest.MonkeyPatch
) -> None:
    def ask(color: bool) -> str:
        runner = app.test_cli_runner()
        return str(runner.invoke(commands, ["check"], color=color).output)

    app = make_app()

    assert "\x1b[32m" in ask(color=True)
    assert "\x1b" not in ask(color=False)
    monkeypatch.setenv("NO_COLOR", "1")
    assert "\x1b" not in ask(color=True)


def test_people_see_what_a_probe_raised_and_other_systems_do_not(
    run: Run, make_app: MakeApp, health: ConnectorHealth
) -> None:
    def drive(organization_id: str) -> bool:
        raise OSError("refused by\x1b[2J 10.0.0.7")

    health.add_probe(drive, scope="organization")
    app, asked = make_app(), ("check", "--organization", "org_a")

    assert "drive (organization): it raised OSError: refused by\\x1b[2J 10.0.0.7" in (
        run(app, *asked).output
    )
    for option in ("--json", "--nagios"):
        output = run(app, *asked, option).output
        assert "it raised an exception" in output
        assert "10.0.0.7" not in output


def test_a_reason_is_that_of_the_last_run(
    run: Run, make_app: MakeApp, health: ConnectorHealth, monkeypatch: pytest.MonkeyPatch
) -> None:
    told = Told(OSError("refused"))
    health.add_probe(told, name="drive")

    def sleep(seconds: float) -> None:
        told.answer = True

    monkeypatch.setattr(MODULE, "sleep", sleep)

    assert "refused" not in run(make_app(), "check", "--wait", "60").output


def test_no_id_moves_the_cursor_of_a_terminal(run: Run, make_app: MakeApp) -> None:
    app = make_app(ORGANIZATION_ID_PATTERN="(?s).*")

    result = run(app, "check", "--organization", "a\n\x1b[2J")

    assert result.output.splitlines()[0] == r"ok: a\n\x1b[2J"
