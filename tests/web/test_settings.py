"""The configuration: complete, checked at registration, and told what to do."""

from __future__ import annotations

import dataclasses
import functools
import math
import os
import pathlib
import sys
import types
import typing as t
from datetime import timedelta

import pytest
from flask import Flask

from flask_connector_health import ConfigurationError, ConnectorHealth
from flask_connector_health.settings import PREFIX, Settings
from tests.conftest import BEARER, CONFIG, PUBLIC, SCOPED, MakeApp


def read(**changes: t.Any) -> Settings:
    config = dict(CONFIG)
    del config[PREFIX + "DEADLINE"]
    for key, value in changes.items():
        config[PREFIX + key] = value
    return Settings.from_config(config)


def complaint(**changes: t.Any) -> str:
    with pytest.raises(ConfigurationError) as caught:
        read(**changes)
    return str(caught.value)


def nothing() -> None: ...


def one(given: object) -> bool:
    return True


def two(given: object, other: object) -> bool:
    return True


def test_the_defaults() -> None:
    settings = dataclasses.asdict(read())

    del settings["availability"], settings["authorize"]
    del settings["verify_token"], settings["verify_api_key"]
    pattern = settings.pop("organization_id_pattern").pattern
    assert pattern == "org_[A-Za-z0-9_-]{1,128}"
    assert settings == {
        "auth": None,
        "foreign_organization": 403,
        "unavailable_status_code": 503,
        "retry_after": 1,
        "fast_path": False,
        "authorize_details": None,
        "groups": None,
        "drain_file": None,
        "deadline": 0.8,
        "ttl": 5.0,
        "failure_ttl": 1.0,
        "max_stale": 15.0,
        "timeout": 5.0,
        "failure_threshold": 1,
        "recovery_threshold": 1,
        "slots": 256,
        "max_organizations": 10_000,
        "log_reminder": 3600.0,
    }


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("AVAILABILITY", nothing),
        ("AVAILABILITY", one),
        ("AUTHORIZE", two),
        ("AUTHORIZE", dict),  # a callable without a signature to read
        ("FOREIGN_ORGANIZATION", 404),
        ("UNAVAILABLE_STATUS_CODE", 200),
        ("RETRY_AFTER", 0),
        ("RETRY_AFTER", 15),
        ("DEADLINE", 1),
        ("TTL", 0),
        ("FAILURE_TTL", 0),
        ("MAX_STALE", 0.0),
        ("FAILURE_THRESHOLD", 1),
        ("RECOVERY_THRESHOLD", 100),
        ("TIMEOUT", 0.001),
        ("SLOTS", 1),
        ("MAX_ORGANIZATIONS", 1),
        ("LOG_REMINDER", 0),
        ("AUTHORIZE_DETAILS", two),
        ("AUTHORIZE_DETAILS", None),
        ("GROUPS", {"ready": ["search", "tag:index"], "live": ()}),
        ("GROUPS", None),
        ("DRAIN_FILE", "drain"),
        ("DRAIN_FILE", None),
    ],
)
def test_a_usable_value_is_taken(key: str, value: object) -> None:
    assert getattr(read(**{key: value}), key.lower()) == value


SECONDS_ABOVE = "must be a number of seconds (int or float), above 0, at most 86400"
SECONDS = "must be a number of seconds (int or float), from 0 to 86400"


@pytest.mark.parametrize(
    ("key", "value", "text"),
    [
        ("AVAILABILITY", 1, "must be a callable taking (organization_id), not int"),
        ("AVAILABILITY", two, "this function takes other arguments"),
        ("AUTHORIZE", one, "must be a callable taking (principal, organization_id); this f"),
        ("AUTHORIZE", True, "not bool"),
        ("VERIFY_TOKEN", b"token", "must be a callable taking (token), not bytes"),
        ("VERIFY_TOKEN", nothing, "must be a callable taking (token); this function takes"),
        ("VERIFY_API_KEY", two, "must be a callable taking (api_key); this function takes"),
        ("ORGANIZATION_ID_PATTERN", 1, "must be a regular expression (str), not int"),
        ("ORGANIZATION_ID_PATTERN", "(", "that Python can compile: missing )"),
        ("ORGANIZATION_ID_PATTERN", "x{99999999999}", "(str) that Python can compile: the rep"),
        ("ORGANIZATION_ID_PATTERN", "(?u)x", "(str) that Python can compile: ASCII and"),
        ("FOREIGN_ORGANIZATION", 401, "must be 403 or 404 (int), not 401 (int)"),
        ("FOREIGN_ORGANIZATION", "404", "must be 403 or 404 (int), not str"),
        ("FOREIGN_ORGANIZATION", None, "must be 403 or 404 (int), not NoneType"),
        ("UNAVAILABLE_STATUS_CODE", 500, "must be 503 or 200 (int), not 500"),
        ("UNAVAILABLE_STATUS_CODE", True, "must be 503 or 200 (int), not bool"),
        ("RETRY_AFTER", 16, "must be a whole number (int), from 0 to 15, not 16 (int)"),
        ("RETRY_AFTER", -1, "must be a whole number (int), from 0 to 15, not -1 (int)"),
        ("RETRY_AFTER", 1.0, "must be a whole number (int), from 0 to 15, not float"),
        ("FAST_PATH", "off", "must be True or False (bool), not str"),
        ("DEADLINE", 0, f"{SECONDS_ABOVE}, not 0 (int)"),
        ("DEADLINE", math.inf, f"{SECONDS_ABOVE}, not inf (float)"),
        ("TTL", -1.0, f"{SECONDS}, not -1.0 (float)"),
        ("TTL", math.nan, f"{SECONDS}, not nan (float)"),
        ("TTL", 86_401, f"{SECONDS}, not 86401 (int)"),
        ("TTL", True, f"{SECONDS}, not bool"),
        ("MAX_STALE", timedelta(seconds=1), f"{SECONDS}, not timedelta"),
        ("TIMEOUT", "5", f"{SECONDS_ABOVE}, not str"),
        ("SLOTS", 0, "must be a whole number (int), at least 1, not 0 (int)"),
        ("SLOTS", True, "must be a whole number (int), at least 1, not bool"),
        ("MAX_ORGANIZATIONS", 1.5, "must be a whole number (int), at least 1, not float"),
        ("AUTHORIZE_DETAILS", one, "must be a callable taking (principal, organization_id);"),
        ("AUTHORIZE_DETAILS", False, "(principal, organization_id), not bool"),
        ("GROUPS", ["ready"], "must be a dict, not list"),
        ("GROUPS", "ready", "must be a dict, not str"),
        ("DRAIN_FILE", 7, "must be the path of a file (str or Path), not int"),
        ("DRAIN_FILE", b"drain", "must be the path of a file (str or Path), not bytes"),
        ("DRAIN_FILE", "a\0b", "must be the path of a file (str or Path), without null char"),
        ("DRAIN_FILE", "", "must be the path of a file (str or Path), not an empty str"),
    ],
)
def test_an_unusable_value_is_named_with_its_remedy(key: str, value: object, text: str) -> None:
    message = complaint(**{key: value})

    assert message.startswith(f"{PREFIX}{key} ")
    assert text in message


def test_a_path_object_may_name_the_drain_file() -> None:
    assert read(DRAIN_FILE=pathlib.Path("run", "drain")).drain_file == os.path.join(
        "run", "drain"
    )


def test_the_drain_file_need_not_exist(tmp_path: pathlib.Path) -> None:
    assert read(DRAIN_FILE=tmp_path / "no" / "such").drain_file == f"{tmp_path}/no/such"


@pytest.mark.parametrize(
    ("given", "path"), [("drain", "/srv/drain"), ("/run/drain", "/run/drain"), (None, None)]
)
def test_a_relative_drain_file_is_below_a_folder(given: str | None, path: str | None) -> None:
    settings = read(DRAIN_FILE=given, TTL=7.0)

    assert settings.below("/srv") == dataclasses.replace(settings, drain_file=path)


def test_groups_that_change_later_change_nothing() -> None:
    groups = {"ready": ["search"]}
    settings = read(GROUPS=groups)

    groups["live"] = []

    assert settings.groups == {"ready": ["search"]}


@pytest.mark.parametrize("key", ["DEADLINE", "RETRY_AFTER", "FOREIGN_ORGANIZATION"])
def test_a_number_too_long_to_be_written_is_named_all_the_same(key: str) -> None:
    assert complaint(**{key: 10**5_000}).endswith("not one that large (int)")


@pytest.mark.parametrize(
    ("key", "remedy"),
    [("AVAILABILITY", "(organization_id | None) -> bool"), ("AUTHORIZE", "allow_any_organ")],
)
@pytest.mark.parametrize("absent", [True, False])
def test_a_missing_required_key_says_what_to_set(key: str, remedy: str, absent: bool) -> None:
    config = {**CONFIG, PREFIX + key: None}
    if absent:
        del config[PREFIX + key]

    with pytest.raises(ConfigurationError, match=f"^{PREFIX}{key} is not set") as caught:
        Settings.from_config(config)

    assert remedy in str(caught.value)


def test_some_way_to_authenticate_is_required() -> None:
    message = complaint(VERIFY_TOKEN=None, VERIFY_API_KEY=None)

    assert message.startswith(f"{PREFIX}VERIFY_TOKEN and {PREFIX}VERIFY_API_KEY are not set")


def test_auth_and_verifiers_exclude_each_other() -> None:
    assert "AUTH (object) cannot be combined with" in complaint(AUTH=object())


@pytest.mark.parametrize(
    ("wrong", "right"),
    [
        ("TLL", "TTL"),
        ("VERIFY_TOKENS", "VERIFY_TOKEN"),
        ("AUTHORISE", "AUTHORIZE"),
        ("ttl", "TTL"),
        ("", "TTL"),
    ],
)
def test_an_unknown_key_is_refused_with_the_nearest_name(wrong: str, right: str) -> None:
    assert complaint(**{wrong: 1}) == (
        f"{PREFIX}{wrong} is not a setting of flask_connector_health;"
        f" did you mean {PREFIX}{right}?"
    )


def test_other_peoples_keys_are_left_alone() -> None:
    assert Settings.from_config({**CONFIG, "CONNECTOR": 1, "SECRET_KEY": "x"})


@pytest.mark.parametrize("key", ["VERIFY_TOKEN", "AUTH", "AVAILABILITY", "AUTHORIZE"])
def test_a_string_that_cannot_be_imported_is_not_repeated(key: str) -> None:
    for secret in ("s3cret-token", "admin:s3cret"):
        message = complaint(**{key: secret})

        assert "import string" in message
        assert "s3cret" not in message


def keyword_only(*, organization_id: str | None = None) -> bool:
    return organization_id is None


def keywords(**options: object) -> bool:
    return True


@pytest.mark.parametrize("call", [keyword_only, keywords, functools.partial(one, given=None)])
def test_an_availability_that_is_never_asked_about_an_organization_is_refused(
    call: t.Any,
) -> None:
    """A callback that takes organization_id by keyword alone would never get it."""
    message = complaint(AVAILABILITY=call)

    assert "must take organization_id as a positional argument, or nothing at all" in message


class Empty:
    """A verifier that is falsy, as an empty collection of keys is."""

    def __len__(self) -> int:
        return 0

    def __call__(self, credential: str) -> bool:
        return True


def test_a_falsy_verifier_is_there_all_the_same() -> None:
    """A callable object that is falsy, such as an empty container, still verifies."""
    assert read(VERIFY_TOKEN=Empty(), VERIFY_API_KEY=None).verify_token is not None
    assert "AUTH (object) cannot be combined with" in complaint(
        AUTH=object(), VERIFY_TOKEN=Empty(), VERIFY_API_KEY=None
    )


def test_registration_is_where_it_fails(make_app: MakeApp) -> None:
    with pytest.raises(ConfigurationError):
        make_app(TTL="soon")


# Import strings


@pytest.fixture
def myapp(monkeypatch: pytest.MonkeyPatch) -> types.ModuleType:
    module = types.ModuleType("myapp")
    vars(module).update(available=nothing, verify=one, may_see=two)
    monkeypatch.setitem(sys.modules, "myapp", module)
    return module


@pytest.mark.usefixtures("myapp")
def test_every_callable_may_be_an_import_string() -> None:
    settings = read(
        AVAILABILITY="myapp:available",
        VERIFY_TOKEN="myapp:verify",
        VERIFY_API_KEY="myapp:verify",
        AUTHORIZE="flask_connector_health:allow_any_organization",
        AUTHORIZE_DETAILS="myapp:may_see",
    )

    assert settings.availability is nothing
    assert settings.verify_token is settings.verify_api_key is one
    assert settings.authorize is CONFIG["CONNECTOR_HEALTH_AUTHORIZE"]
    assert settings.authorize_details is two


@pytest.mark.usefixtures("myapp")
@pytest.mark.parametrize(
    ("given", "text"),
    [
        (
            "myapp:verfy",
            "cannot be imported: AttributeError: module 'myapp' has no attribute 'verfy'",
        ),
        ("mypap:verify", "cannot be imported: ModuleNotFoundError: No module named 'mypap'"),
        ("myapp:verify.more", "is an import string (str) that cannot be imported"),
        ("myapp:may_see", "this function takes other arguments"),
        ("myapp:__name__", "must be a callable taking (token), not str"),
        ("myapp.verify", "must be the object itself or an import string"),
        ("", "must be the object itself or an import string"),
    ],
)
def test_a_typo_in_an_import_string_fails_at_registration(given: str, text: str) -> None:
    message = complaint(VERIFY_TOKEN=given)

    assert message.startswith("CONNECTOR_HEALTH_VERIFY_TOKEN ")
    assert text in message


@pytest.mark.usefixtures("myapp")
def test_the_environment_can_configure_everything(
    health: ConnectorHealth, monkeypatch: pytest.MonkeyPatch, myapp: types.ModuleType
) -> None:
    vars(myapp).update(
        available=lambda: False, verify=lambda token: token == "good-token", may_see=two
    )
    for key, value in {
        "AVAILABILITY": "myapp:available",
        "VERIFY_TOKEN": "myapp:verify",
        "AUTHORIZE": "myapp:may_see",
        "RETRY_AFTER": "4",
        "DEADLINE": "0.5",
    }.items():
        monkeypatch.setenv(f"FLASK_CONNECTOR_HEALTH_{key}", value)
    app = Flask("host")
    app.config.from_prefixed_env()

    app.register_blueprint(health)

    assert app.test_client().get(PUBLIC).headers["Retry-After"] == "4"
    assert app.test_client().get(SCOPED, headers=BEARER).status_code == 503
