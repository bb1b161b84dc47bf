"""The query of a request for details: what is no such thing is refused, and says the remedy."""

from __future__ import annotations

import pytest
from werkzeug.test import TestResponse

from flask_connector_health import ConnectorHealth
from tests.clockwork import Told
from tests.conftest import BEARER, DETAILS, SCOPED_DETAILS, MakeApp

both_details = pytest.mark.parametrize("path", [DETAILS, SCOPED_DETAILS])


def may_see(principal: object, organization_id: str | None) -> bool:
    return True


@pytest.fixture(autouse=True)
def _probes(health: ConnectorHealth) -> None:
    health.add_probe(lambda: True, name="database")
    health.add_probe(lambda organization_id: True, name="drive", scope="organization")


def ask(make_app: MakeApp, path: str, **changes: object) -> TestResponse:
    app = make_app(AUTHORIZE_DETAILS=may_see, **changes)
    return app.test_client().get(path, headers=BEARER)


def complaint(response: TestResponse) -> str:
    """Read the message of a refused query from its envelope."""
    error = response.get_json()["error"]
    assert response.status_code == error["status"] == 422
    assert (error["code"], error["type"]) == ("VALIDATION_ERROR", "client_error")
    return str(error["message"])


@pytest.mark.parametrize("value", ["bad", "ok", "", "UNAVAILABLE", "degraded,unavailable"])
def test_a_status_that_no_failing_organization_has_is_refused(
    make_app: MakeApp, value: str
) -> None:
    response = ask(make_app, f"{DETAILS}?status={value}")

    assert complaint(response) == "status must be degraded or unavailable"


NO_NUMBER = ["", "x", "-1", "+5", "5.0", "1e2", "0x10", " 5", "%D9%A3", "1_0", "1001", "9" * 99]


@pytest.mark.parametrize("value", [*NO_NUMBER, "0"])
def test_a_limit_that_is_no_number_or_too_small_or_too_large_is_refused(
    make_app: MakeApp, value: str
) -> None:
    response = ask(make_app, f"{DETAILS}?limit={value}")

    assert complaint(response) == "limit must be a whole number from 1 to 1000"


@both_details
@pytest.mark.parametrize("value", NO_NUMBER)
def test_transitions_that_are_no_number_or_too_large_are_refused(
    make_app: MakeApp, path: str, value: str
) -> None:
    response = ask(make_app, f"{path}?transitions={value}")

    assert complaint(response) == "transitions must be a whole number from 0 to 1000"


@pytest.mark.parametrize(
    ("path", "remedy"),
    [
        (f"{DETAILS}?probe=databse", "did you mean database?"),
        (f"{DETAILS}?probe=dirve", "did you mean drive?"),
        (f"{DETAILS}?probe=", "there are availability, database, drive"),
        (f"{SCOPED_DETAILS}?probe=dirve", "did you mean drive?"),
        (f"{SCOPED_DETAILS}?probe=%ff", "there are drive"),
    ],
)
def test_an_unknown_probe_is_refused_with_those_that_may_be_meant(
    make_app: MakeApp, path: str, remedy: str
) -> None:
    response = ask(make_app, path)

    assert complaint(response) == f"probe: there is no such probe here; {remedy}"


@pytest.mark.parametrize("name", ["database", "availability", "databas"])
def test_to_an_organization_a_probe_of_the_service_is_unknown_and_stays_unnamed(
    make_app: MakeApp, name: str
) -> None:
    response = ask(make_app, f"{SCOPED_DETAILS}?probe={name}")

    assert complaint(response) == "probe: there is no such probe here; there are drive"


def test_an_organization_without_probes_is_told_that_there_are_none(make_app: MakeApp) -> None:
    bare = ConnectorHealth()
    app = make_app(AUTHORIZE_DETAILS=may_see)
    app.register_blueprint(bare, name="bare", url_prefix="/bare")
    path = SCOPED_DETAILS.replace("/v1", "/bare")

    response = app.test_client().get(f"{path}?probe=drive", headers=BEARER)

    assert complaint(response) == "probe: there is no such probe here; there are none"


@pytest.mark.parametrize(
    "query",
    [
        "limit=1",
        "limit=1000",
        "limit=0050",
        "transitions=0",
        "transitions=1000",
        "status=degraded&limit=7&probe=drive&transitions=3",
        "verbose=1&limits=x&Status=no",  # nobody reads these
        "limit=5&limit=x",  # the first one counts
    ],
)
def test_any_other_query_is_answered(make_app: MakeApp, query: str) -> None:
    assert ask(make_app, f"{DETAILS}?{query}").status_code == 200


@pytest.mark.parametrize("query", ["status=bad", "limit=x"])
def test_an_organizations_details_refuse_what_no_details_understand(
    make_app: MakeApp, query: str
) -> None:
    assert ask(make_app, f"{SCOPED_DETAILS}?{query}").status_code == 422


@both_details
@pytest.mark.parametrize("query", ["probe=nope", "transitions=x"])
def test_a_refused_query_starts_no_run(
    make_app: MakeApp, health: ConnectorHealth, path: str, query: str
) -> None:
    told = Told()
    health.add_probe(told, name="queue")
    health.add_probe(told, name="notion", scope="organization")

    complaint(ask(make_app, f"{path}?{query}"))

    assert told.runs == 0


@both_details
def test_a_refused_query_is_private_to_its_caller(make_app: MakeApp, path: str) -> None:
    response = ask(make_app, f"{path}?probe=nope")

    assert response.headers["Cache-Control"] == "no-store"
    assert response.headers["Vary"] == "Authorization, X-API-Key"


@both_details
def test_a_caller_who_is_refused_learns_nothing_of_the_query(
    make_app: MakeApp, path: str
) -> None:
    app = make_app(AUTHORIZE_DETAILS=lambda principal, organization_id: False)
    client = app.test_client()
    query = "?probe=nope&limit=x&status=x&transitions=x"

    assert client.get(path + query).status_code == 401
    assert client.get(path + query, headers=BEARER).status_code == 403
