"""How probes are added, and which options they take."""

from __future__ import annotations

import dataclasses
import re
import typing as t
from functools import partial

import pytest

from flask_connector_health import (
    ConfigurationError,
    ConnectorHealth,
    ProbeResult,
    Status,
)
from flask_connector_health.probes.policy import Policy
from flask_connector_health.settings import Settings
from tests.clockwork import Told, drive, names_in, report_of, result_of
from tests.conftest import CONFIG, MakeApp


def test_the_decorator_leaves_the_function_as_it_is(health: ConnectorHealth) -> None:
    def drive() -> bool:
        return True

    assert health.probe("drive")(drive) is drive


def test_a_callable_with_a_name_needs_no_other(
    make_app: MakeApp, health: ConnectorHealth
) -> None:
    class Drive:
        name = "drive"

        def __call__(self) -> bool:
            return True

    health.add_probe(Drive())

    assert result_of(report_of(make_app())) == ProbeResult(Status.OK)


def test_a_function_without_a_name_has_its_own(
    make_app: MakeApp, health: ConnectorHealth
) -> None:
    @health.probe
    def sync_queue() -> bool:
        return True

    @health.probe()
    def _drive() -> bool:
        return True

    @health.probe(critical=False)
    def notion() -> bool:
        return True

    health.add_probe(sync_queue, name="again")

    def added() -> bool:
        return True

    health.add_probe(added)

    @health.probe
    def größe() -> bool:
        return True

    names = ["availability", "sync_queue", "_drive", "notion", "again", "added", "größe"]
    assert names_in(report_of(make_app())) == names
    assert sync_queue()


def test_an_option_that_is_like_no_other_is_refused_with_all_of_them(
    health: ConnectorHealth,
) -> None:
    with pytest.raises(
        ConfigurationError, match=r"there are critical, failure_threshold, .*ttl"
    ):
        health.add_probe(lambda: True, name="drive", **t.cast(t.Any, {"quux": 1}))


@pytest.mark.parametrize("name", ["", "a b", "-a", "x" * 65, "a/b", "a%s", "a\n"])
def test_an_unfit_name_is_refused_and_quoted(health: ConnectorHealth, name: str) -> None:
    expected = rf"name must be 1 to 64 letters.* not {re.escape(repr(name))}; write"

    with pytest.raises(ConfigurationError, match=expected):
        health.add_probe(lambda: True, name=name)


@pytest.mark.parametrize(
    ("call", "found"),
    [
        (lambda: True, "not '<lambda>'"),
        (partial(bool, 1), "this partial has no name of its own"),
    ],
)
def test_a_callable_without_a_fit_name_needs_one(
    health: ConnectorHealth, call: t.Any, found: str
) -> None:
    with pytest.raises(ConfigurationError, match=rf'{found}.*; write .* name="search-index"'):
        health.add_probe(call)


@pytest.mark.parametrize(("option", "nearest"), [("tll", "ttl"), ("Scope", "scope")])
def test_a_misspelt_option_is_refused_with_the_nearest(
    health: ConnectorHealth, option: str, nearest: str
) -> None:
    expected = f"probe 'drive': {option} is not an option .* did you mean {nearest}?"

    with pytest.raises(ConfigurationError, match=expected):
        health.probe("drive", **{option: 3})(lambda: True)  # type: ignore[call-overload]
    with pytest.raises(ConfigurationError, match=expected):
        health.add_probe(lambda: True, name="drive", **t.cast(t.Any, {option: 3}))


def test_a_name_is_unique(health: ConnectorHealth) -> None:
    health.add_probe(lambda: True, name="drive")

    with pytest.raises(ConfigurationError, match="'drive' exists already; choose another"):
        health.add_probe(lambda: True, name="drive")


def test_the_availability_callbacks_name_is_taken(health: ConnectorHealth) -> None:
    with pytest.raises(ConfigurationError, match="is the availability callback's; choose"):
        health.add_probe(lambda: True, name="availability")


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"scope": "org"}, "scope must be 'service' or 'organization', not 'org'"),
        ({"scope": ["service"]}, "scope must be 'service' or 'organization'"),
        ({"scope": "organization"}, r"call must be a callable taking \(organization_id\);"),
        ({"critical": 1}, "critical must be True or False, not int"),
        (
            {"timeout": 0},
            "timeout must be a number of seconds .* above 0, at most 86400, not 0",
        ),
        ({"timeout": "5"}, "timeout must be .* not str"),
        ({"ttl": -1}, "ttl must be a number of seconds .* from 0 to 86400, not -1"),
        ({"failure_ttl": "1"}, "failure_ttl must be .* not str"),
        ({"max_stale": 86_401}, "max_stale must be .* not 86401"),
        ({"failure_threshold": 0}, "failure_threshold must be .* at least 1, not 0"),
        ({"recovery_threshold": 1.0}, "recovery_threshold must be .* not float"),
        ({"slots": True}, "slots must be a whole number .* not bool"),
        ({"tags": "index"}, "tags must be a list of strings, not str"),
        ({"tags": ["index", 7]}, "tags must be a list of strings, none of them empty; it has"),
        ({"tags": [""]}, "tags must be a list of strings, none of them empty; it has an"),
    ],
)
def test_an_unusable_option_names_the_probe_and_the_remedy(
    health: ConnectorHealth, options: t.Any, text: str
) -> None:
    with pytest.raises(ConfigurationError, match=f"^probe 'drive': {text}"):
        health.add_probe(lambda: True, name="drive", **options)


OPTIONS: list[tuple[str, t.Any]] = [
    *(("timeout", 0.5), ("ttl", 0), ("failure_ttl", 0), ("max_stale", 0)),
    *(("failure_threshold", 2), ("recovery_threshold", 3), ("slots", 1)),
]


@pytest.mark.parametrize(("option", "value"), OPTIONS)
def test_a_probes_own_option_goes_before_the_setting(option: str, value: t.Any) -> None:
    settings = Settings.from_config(CONFIG)

    own = Policy.of(drive(Told(), **{option: value}), settings)
    others = Policy.of(drive(Told()), settings)

    assert getattr(own, option) == value
    assert getattr(others, option) == getattr(settings, option)
    assert others == dataclasses.replace(own, **{option: getattr(settings, option)})


@pytest.mark.parametrize("call", [7, "myapp:drive", lambda needed: True])
def test_something_that_cannot_be_called_is_refused(
    health: ConnectorHealth, call: t.Any
) -> None:
    with pytest.raises(ConfigurationError, match=r"call must be a callable taking \(\)"):
        health.add_probe(call, name="drive")


@pytest.mark.parametrize("tags", [["index", "slow"], ("index", "slow")])
def test_tags_are_those_that_were_given(tags: list[str]) -> None:
    assert drive(Told(), tags=tags).tags == ("index", "slow")


def test_tags_that_change_later_change_nothing() -> None:
    tags = ["index"]
    probe = drive(Told(), tags=tags)

    tags.append("slow")

    assert probe.tags == ("index",)


def test_by_default_a_probe_has_no_tags() -> None:
    assert drive(Told()).tags == ()
