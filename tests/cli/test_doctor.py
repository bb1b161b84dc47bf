"""``doctor``: it finds each seeded fault, and nothing where there is none."""

from __future__ import annotations

import json
import pathlib
import re
import time
import typing as t

import pytest
from flask import Flask, current_app, redirect, request
from werkzeug.exceptions import Unauthorized

import example_app
from flask_connector_health import ConnectorHealth, allow_any_organization
from tests.clockwork import Told
from tests.conftest import CONFIG, ROOT, MakeApp

from .conftest import Run

SOON = {"DEADLINE": 0.5}
READY = {"GROUPS": {"ready": ["database"]}}


@pytest.fixture
def health() -> ConnectorHealth:
    """Make a blueprint with a probe that may be in a group."""
    health = ConnectorHealth()
    health.add_probe(lambda: True, name="database")
    return health


def names(run: Run, app: Flask, *arguments: str) -> list[str]:
    result = run(app, "doctor", "--json", *arguments)
    found = [finding["name"] for finding in json.loads(result.output)]
    assert result.exit_code == int(bool(found))
    return found


def slow(seconds: float) -> t.Any:
    def probe(*arguments: object) -> bool:
        time.sleep(seconds)
        return True

    return probe


def test_it_finds_nothing_in_the_example_app(run: Run, tmp_path: pathlib.Path) -> None:
    app = example_app.create_app(
        {
            "DATABASE": tmp_path / "example.sqlite3",
            "CONNECTOR_HEALTH_DRAIN_FILE": str(tmp_path / "drain"),
        }
    )

    result = run(app, "doctor", "--organization", "org_xyz789", "--organizations", "100")

    assert (result.exit_code, result.output) == (0, "nothing found\n")


def test_it_finds_nothing_in_the_readmes_first_app(run: Run) -> None:
    block = re.search(r"```python\n(.*?)^```", (ROOT / "README.md").read_text(), re.S | re.M)
    assert block is not None
    source: dict[str, t.Any] = {"__name__": "app"}
    exec(block[1], source)  # noqa: S102 - our own text

    assert names(run, source["create_app"](), "--organization", "org_xyz789") == []


@pytest.mark.parametrize(
    ("changes", "arguments", "found"),
    [
        ({"DEADLINE": 1.0}, [], "deadline-above-prober"),
        (SOON, ["--every", "21"], "polled-too-rarely"),
        (SOON, ["--workers", "4"], "several-workers"),
        (
            SOON | {"AUTHORIZE_DETAILS": allow_any_organization},
            [],
            "details-open",
        ),
        (SOON | {"GROUPS": {"ready": ["availability"]}}, [], "shared-failure-in-group"),
        (SOON | READY | {"DRAIN_FILE": "nowhere/drain"}, [], "drain-folder-missing"),
        (SOON | READY | {"DRAIN_FILE": __file__}, [], "draining"),
        (SOON | READY | {"DRAIN_FILE": "/"}, [], "drain-file-is-a-folder"),
        (
            SOON | {"MAX_ORGANIZATIONS": 10},
            ["--organization", "org_a", "--organizations", "11"],
            "too-many-organizations",
        ),
        (SOON | {"AVAILABILITY": lambda: False}, [], "probe-fails"),
    ],
)
def test_it_finds_what_does_not_fit(
    run: Run, make_app: MakeApp, changes: dict[str, t.Any], arguments: list[str], found: str
) -> None:
    assert names(run, make_app(**changes), *arguments) == [found]


@pytest.mark.parametrize(
    "arguments", [["--every", "20"], ["--workers", "1"], ["--every", "5"]], ids=" ".join
)
def test_what_fits_is_no_finding(run: Run, make_app: MakeApp, arguments: list[str]) -> None:
    assert names(run, make_app(**SOON), *arguments) == []


@pytest.mark.parametrize(
    ("critical", "found"),
    [(True, ["timeout-too-short", "critical-probe-too-slow"]), (False, ["timeout-too-short"])],
)
def test_it_finds_probes_that_take_too_long(
    run: Run, make_app: MakeApp, health: ConnectorHealth, critical: bool, found: list[str]
) -> None:
    health.add_probe(slow(0.2), name="slow", critical=critical, timeout=0.22)

    assert names(run, make_app(DEADLINE=0.1)) == found


@pytest.mark.parametrize(
    ("tags", "seconds"), [(["third-party"], 0.0), ([], 0.15)], ids=["tagged", "slow"]
)
def test_it_finds_other_servers_in_a_group(
    run: Run, make_app: MakeApp, health: ConnectorHealth, tags: list[str], seconds: float
) -> None:
    health.add_probe(slow(seconds), name="drive", tags=tags)
    app = make_app(**SOON, GROUPS={"live": [], "ready": ["drive"]})

    assert names(run, app) == ["shared-failure-in-group"]


def test_it_finds_slots_that_do_not_do(
    run: Run, make_app: MakeApp, health: ConnectorHealth
) -> None:
    health.add_probe(slow(0.1), name="drive", scope="organization", slots=4)
    app = make_app(**SOON)
    options = ["--organization", "org_a", "--organizations"]

    assert names(run, app, *options, "100") == []
    assert names(run, app, *options, "1000") == ["slots-too-few"]


def test_slots_need_less_if_organizations_are_asked_more_rarely_than_results_last(
    run: Run, make_app: MakeApp, health: ConnectorHealth
) -> None:
    health.add_probe(
        slow(0.1), name="drive", scope="organization", slots=4, ttl=0, max_stale=60.0
    )
    options = ["--organization", "org_a", "--organizations", "100", "--every"]

    assert "slots-too-few" in names(run, make_app(**SOON), *options, "2")
    assert "slots-too-few" not in names(run, make_app(**SOON), *options, "4")


def test_without_caching_slots_are_not_judged(
    run: Run, make_app: MakeApp, health: ConnectorHealth
) -> None:
    health.add_probe(slow(0.1), name="drive", scope="organization", slots=4, ttl=0)
    options = ["--organization", "org_a", "--organizations", "1000"]

    assert names(run, make_app(**SOON), *options) == []


def test_it_finds_hosts_that_are_not_trusted(run: Run, make_app: MakeApp) -> None:
    app = make_app(**SOON)
    app.config["TRUSTED_HOSTS"] = ["api.example.org"]

    assert names(run, app) == ["trusted-hosts"]


def test_it_finds_a_redirect(run: Run, make_app: MakeApp) -> None:
    app = make_app(**SOON)
    app.before_request(lambda: redirect("https://example.org/"))

    assert names(run, app) == ["redirected"]


def test_it_finds_a_login_wall(run: Run, make_app: MakeApp) -> None:
    def refuse() -> None:
        raise Unauthorized

    app = make_app(**SOON)
    app.before_request(refuse)

    assert names(run, app) == ["public-route-refused"]


def test_the_fast_path_goes_around_them(run: Run, make_app: MakeApp) -> None:
    app = make_app(**SOON, FAST_PATH=True)
    app.before_request(lambda: redirect("https://example.org/"))

    assert names(run, app) == []


@pytest.mark.parametrize("testing", [False, True])
def test_it_finds_a_public_route_that_raises(
    run: Run, make_app: MakeApp, testing: bool
) -> None:
    def broken() -> None:
        raise RuntimeError

    app = make_app(**SOON)
    app.testing = testing
    app.before_request(broken)

    assert names(run, app) == ["public-route-broken"]


@pytest.mark.parametrize("code", [404, 500])
def test_it_finds_a_public_route_that_does_not_answer(
    run: Run, make_app: MakeApp, code: int
) -> None:
    app = make_app(**SOON)
    app.before_request(lambda: ("gone", code))

    assert names(run, app) == ["public-route-broken"]


def test_it_asks_the_public_route_of_the_registration_that_is_named(
    run: Run, make_app: MakeApp, health: ConnectorHealth
) -> None:
    app = make_app(**SOON)
    app.register_blueprint(health, name="two", url_prefix="/v2")
    app.before_request(lambda: redirect("/login") if request.path.startswith("/v2") else None)

    assert names(run, app, "--name", "connector_health") == []
    assert names(run, app, "--name", "two") == ["redirected"]


def test_it_finds_details_that_show_every_organization_to_everybody(
    run: Run, make_app: MakeApp
) -> None:
    def authorize(principal: object, organization_id: str | None) -> bool:
        return current_app.name == "host" and organization_id is not None

    app = make_app(**SOON, AUTHORIZE_DETAILS=authorize)

    assert names(run, app) == ["details-open"]


def test_it_finds_details_that_show_the_organization_that_it_is_given(
    run: Run, make_app: MakeApp
) -> None:
    """Where ids look otherwise, none can be made up."""
    app = make_app(
        **SOON,
        AUTHORIZE_DETAILS=lambda principal, organization_id: organization_id == "7",
        ORGANIZATION_ID_PATTERN="[0-9]+",
    )

    assert names(run, app) == []
    assert names(run, app, "--organization", "7") == ["details-open"]


def test_an_app_that_matches_hosts_is_not_asked(run: Run) -> None:
    app = Flask("host", host_matching=True, static_host="example.org")
    app.config.from_mapping(CONFIG, CONNECTOR_HEALTH_DEADLINE=0.5)
    app.register_blueprint(ConnectorHealth(), host="example.org")

    assert names(run, app) == []


async def nobody(principal: object, organization_id: str | None) -> bool:
    return False


class Nobody:
    async def __call__(self, principal: object, organization_id: str | None) -> bool:
        return False


@pytest.mark.parametrize(
    "authorize",
    [
        lambda principal, organization_id: principal.is_operator,
        lambda principal, organization_id: principal == "operator",
        nobody,
        Nobody(),
    ],
    ids=["raises", "refuses", "async", "async object"],
)
def test_details_that_refuse_strangers_are_no_finding(
    run: Run, make_app: MakeApp, authorize: t.Callable[[t.Any, t.Any], object]
) -> None:
    assert names(run, make_app(**SOON, AUTHORIZE_DETAILS=authorize)) == []


@pytest.mark.parametrize(
    ("variable", "value", "found"),
    [
        ("WEB_CONCURRENCY", "4", ["several-workers"]),
        ("WEB_CONCURRENCY", "1", []),
        ("WEB_CONCURRENCY", "many", []),
        ("GUNICORN_CMD_ARGS", "--bind :80 -w 4", ["several-workers"]),
        ("GUNICORN_CMD_ARGS", "--workers=4", ["several-workers"]),
        ("GUNICORN_CMD_ARGS", "--threads 4", []),
    ],
)
def test_the_environment_tells_of_workers(
    run: Run,
    make_app: MakeApp,
    monkeypatch: pytest.MonkeyPatch,
    variable: str,
    value: str,
    found: list[str],
) -> None:
    monkeypatch.setenv(variable, value)

    assert names(run, make_app(**SOON)) == found


def test_a_folder_where_nobody_may_write_is_found(
    run: Run, make_app: MakeApp, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    app = make_app(**SOON, **READY, DRAIN_FILE=str(tmp_path / "drain"))
    monkeypatch.setattr("os.access", lambda path, mode: False)  # root may write anywhere

    assert names(run, app) == ["drain-folder-read-only"]


def test_each_finding_has_its_remedy(run: Run, make_app: MakeApp) -> None:
    result = run(make_app(DEADLINE=2.0), "doctor")

    assert result.exit_code == 1
    assert result.output.splitlines() == [
        "deadline-above-prober: CONNECTOR_HEALTH_DEADLINE is 2 s, but many probers wait 1 s,"
        " and take no answer for a failure",
        "  remedy: set it below 1.0, or raise the prober's own timeout above it",
    ]


def test_a_number_of_organizations_needs_one_to_measure(run: Run, make_app: MakeApp) -> None:
    result = run(make_app(), "doctor", "--organizations", "100")

    assert result.exit_code == 2
    assert "--organizations needs --organization, whose probes are measured" in result.output


@pytest.mark.parametrize("ttl", [0.0, 5.0])
def test_people_see_what_a_probe_raised_and_programs_do_not(
    run: Run, make_app: MakeApp, health: ConnectorHealth, ttl: float
) -> None:
    health.add_probe(Told(OSError("refused")), name="drive", scope="organization", ttl=ttl)
    options = ["--organization", "org_a"]

    words = run(make_app(**SOON), "doctor", *options).output
    data = run(make_app(**SOON), "doctor", *options, "--json").output

    assert "probe-fails: probe 'drive' failed here: it raised OSError: refused\n" in words
    assert "refused" not in data
    assert "it raised an exception, which is shown without --json" in data


def test_how_long_a_quick_failure_takes_says_nothing(
    run: Run, make_app: MakeApp, health: ConnectorHealth
) -> None:
    def fail() -> bool:
        return not slow(0.2)()

    health.add_probe(fail, name="slow", timeout=0.22)

    assert names(run, make_app(DEADLINE=0.1)) == ["probe-fails"]


def test_a_run_that_goes_on_took_too_long(
    run: Run, make_app: MakeApp, health: ConnectorHealth
) -> None:
    health.add_probe(slow(0.4), name="slow", critical=False, timeout=0.2)

    assert names(run, make_app(**SOON)) == ["timeout-too-short", "probe-fails"]


def test_it_measures_the_second_run(
    run: Run, make_app: MakeApp, health: ConnectorHealth
) -> None:
    """The first run may open a connection, which the server's workers keep."""
    runs: list[None] = []

    def connect() -> bool:
        runs.append(None)
        return len(runs) > 1 or bool(slow(0.3)())

    health.add_probe(connect, name="drive")

    assert names(run, make_app(**SOON, GROUPS={"ready": ["drive"]})) == []
    assert len(runs) == 2


def test_a_group_that_is_not_for_readiness_may_have_any_probe(
    run: Run, make_app: MakeApp, health: ConnectorHealth
) -> None:
    health.add_probe(lambda: True, name="drive", tags=["third-party"])

    assert names(run, make_app(**SOON, GROUPS={"search": ["drive"]})) == []


def test_without_an_organization_its_probes_do_not_run(
    run: Run, make_app: MakeApp, health: ConnectorHealth
) -> None:
    drive = Told(False)
    health.add_probe(drive, name="drive", scope="organization")

    assert names(run, make_app(**SOON)) == []
    assert drive.runs == 0
