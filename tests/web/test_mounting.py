"""Hosts, subdomains and other options of a registration: each has its effect, or raises."""

from __future__ import annotations

import typing as t

import pytest
from flask import Blueprint, Flask

from flask_connector_health import ConfigurationError, ConnectorHealth
from tests.conftest import BEARER, CONFIG, DETAILS, OK, PUBLIC, SCOPED, SCOPED_DETAILS

ROUTES = [PUBLIC, f"{PUBLIC}/", SCOPED, DETAILS, SCOPED_DETAILS, f"{PUBLIC}/ready"]


def make(**options: t.Any) -> Flask:
    """Make an app whose configuration brings every kind of route."""
    app = Flask("host", **options)
    app.config.from_mapping(CONFIG)
    app.config["CONNECTOR_HEALTH_AUTHORIZE_DETAILS"] = lambda principal, organization_id: True
    app.config["CONNECTOR_HEALTH_GROUPS"] = {"ready": ["availability"]}
    return app


@pytest.fixture
def by_host() -> Flask:
    """Make an app that matches hosts."""
    return make(host_matching=True, static_host="www.example.org")


@pytest.fixture
def by_subdomain() -> Flask:
    """Make an app that matches subdomains."""
    app = make(subdomain_matching=True)
    app.config["SERVER_NAME"] = "example.org"
    return app


def codes(app: Flask, host: str) -> set[int]:
    client = app.test_client()
    return {
        client.get(path, base_url=f"http://{host}", headers=BEARER).status_code
        for path in ROUTES
    }


def test_a_host(by_host: Flask, health: ConnectorHealth) -> None:
    by_host.register_blueprint(health, host="api.example.org:8000")

    assert codes(by_host, "api.example.org:8000") == {200}
    assert codes(by_host, "api.example.org") == codes(by_host, "10.0.0.7") == {404}


def test_every_host(by_host: Flask, health: ConnectorHealth) -> None:
    by_host.register_blueprint(health, host="<any_host>")

    assert codes(by_host, "api.example.org") == codes(by_host, "10.0.0.7:8000") == {200}


def test_nested_a_host_belongs_to_the_inner_registration(
    by_host: Flask, health: ConnectorHealth
) -> None:
    parent = Blueprint("api", __name__)
    parent.register_blueprint(health, host="api.example.org")
    by_host.register_blueprint(parent)

    assert codes(by_host, "api.example.org") == {200}


def test_a_host_of_the_outer_registration_alone_is_refused(
    by_host: Flask, health: ConnectorHealth
) -> None:
    parent = Blueprint("api", __name__)
    parent.register_blueprint(health)

    with pytest.raises(ConfigurationError, match="write it where health is registered"):
        by_host.register_blueprint(parent, host="api.example.org")


@pytest.mark.parametrize("host", [None, "", 7])
def test_an_app_that_matches_hosts_needs_one(
    by_host: Flask, health: ConnectorHealth, host: t.Any
) -> None:
    with pytest.raises(ConfigurationError, match=r"host is missing .* host='api.example.org'"):
        by_host.register_blueprint(health, host=host)


def test_a_host_has_no_effect_in_another_app(health: ConnectorHealth) -> None:
    with pytest.raises(ConfigurationError, match=r"host \(str\) .* host_matching=True"):
        make().register_blueprint(health, host="api.example.org")


@pytest.mark.parametrize(
    "host",
    [
        "API.example.org",
        "https://api.example.org",
        "api.example.org/",
        " api.example.org",
        "*.example.org",
        "münchen.example.org",
    ],
)
def test_a_host_that_no_request_can_name_is_refused(
    by_host: Flask, health: ConnectorHealth, host: str
) -> None:
    with pytest.raises(ConfigurationError, match=r"the host .* can never match: write it in"):
        by_host.register_blueprint(health, host=host)


@pytest.mark.parametrize("host", ["[::1]:8000", "<tenant>.example.org", "<any(a,B):x>.org"])
def test_a_host_may_be_an_address_or_have_a_variable(
    by_host: Flask, health: ConnectorHealth, host: str
) -> None:
    by_host.register_blueprint(health, host=host)


def test_a_subdomain_that_no_request_can_name_is_refused(
    by_subdomain: Flask, health: ConnectorHealth
) -> None:
    with pytest.raises(ConfigurationError, match="the subdomain 'Status' can never match"):
        by_subdomain.register_blueprint(health, subdomain="Status")


def test_a_subdomain(by_subdomain: Flask, health: ConnectorHealth) -> None:
    by_subdomain.register_blueprint(health, subdomain="status")

    assert codes(by_subdomain, "status.example.org") == {200}
    assert codes(by_subdomain, "example.org") == {404}


def test_a_subdomain_in_another_blueprint(by_subdomain: Flask, health: ConnectorHealth) -> None:
    parent = Blueprint("api", __name__, subdomain="eu")
    parent.register_blueprint(health, subdomain="status")
    by_subdomain.register_blueprint(parent)

    assert codes(by_subdomain, "status.eu.example.org") == {200}


def test_without_a_subdomain_the_server_name_answers(
    by_subdomain: Flask, health: ConnectorHealth
) -> None:
    by_subdomain.register_blueprint(health)

    assert codes(by_subdomain, "example.org") == {200}


@pytest.mark.parametrize("options", [{}, {"subdomain_matching": True}])
def test_a_subdomain_that_can_never_match_is_refused(
    health: ConnectorHealth, options: dict[str, bool]
) -> None:
    """It needs an app that matches subdomains, and SERVER_NAME."""
    with pytest.raises(
        ConfigurationError, match=r"'status' can never match: .* and set SERVER_NAME"
    ):
        make(**options).register_blueprint(health, subdomain="status")


def test_a_subdomain_of_the_parents_counts_as_well(health: ConnectorHealth) -> None:
    parent = Blueprint("api", __name__, subdomain="api")
    parent.register_blueprint(health)

    with pytest.raises(ConfigurationError, match="'api' can never match"):
        make().register_blueprint(parent)


def test_a_subdomain_has_no_effect_where_hosts_are_matched(
    by_host: Flask, health: ConnectorHealth
) -> None:
    with pytest.raises(ConfigurationError, match=r"'status' has no effect .* whole host"):
        by_host.register_blueprint(health, subdomain="status", host="api.example.org")


@pytest.mark.parametrize(("option", "nearest"), [("prefix", "url_prefix"), ("hots", "host")])
def test_an_option_that_flask_does_not_know_is_refused(
    health: ConnectorHealth, option: str, nearest: str
) -> None:
    with pytest.raises(
        ConfigurationError, match=rf"no option '{option}'; did you mean {nearest}\?"
    ):
        make().register_blueprint(health, **{option: "/api"})


def test_the_options_that_flask_knows_are_taken(health: ConnectorHealth) -> None:
    app = make()
    app.register_blueprint(
        health, name="status", url_prefix="/api", url_defaults={"region": "eu"}, cli_group=None
    )

    assert app.test_client().get(PUBLIC.replace("/v1", "/api")).data == OK
