"""No byte reaches a caller who may not see it: every route, every caller, whatever fails."""

from __future__ import annotations

import socket
import threading
import typing as t
from collections.abc import Iterator
from urllib.parse import urlencode

import pytest
from flask import Flask
from hypothesis import example, given, settings
from hypothesis import strategies as st
from werkzeug.test import TestResponse

from flask_connector_health import (
    ConnectorHealth,
    NotApplicable,
    ProbeDegraded,
    ProbeFailed,
    ProbeResult,
)
from tests.clockwork import PATIENCE, engine_of
from tests.conftest import CONFIG, DETAILS, PUBLIC, SCOPED, SCOPED_DETAILS

# What some callers may see: two organizations, what a probe says of each and of the service, a
# probe of the service, a probe of organizations, and the host that answers.
OWN, OTHER = "org_marker-own", "org_marker-other"
WORDS: dict[str | None, str] = {
    None: "marker-words-service",
    OWN: "marker-words-own",
    OTHER: "marker-words-other",
}
DATABASE, DRIVE = "marker-database", "marker-drive"
HOST = "marker-host"

# What nobody may see.
TEXT, ANSWER = "marker-text-of-an-exception", "no-answer"  # short: as str(KeyError()) is
CREDENTIALS = {
    "wrong": "marker-wrong-credential",
    "foreign": "marker-foreign-credential",
    "own": "marker-own-credential",
    "own with details": "marker-details-credential",
    "operator": "marker-operator-credential",
    "broken": "marker-broken-credential",  # who may see what raises for this caller
}

MARKERS = {
    *WORDS.values(),
    *CREDENTIALS.values(),
    OWN,
    OTHER,
    DATABASE,
    DRIVE,
    HOST,
    TEXT,
    ANSWER,
}
CALLERS = ["nobody", *CREDENTIALS]
OWN_ROUTE, OWN_DETAILS = (p.replace("org_xyz789", OWN) for p in (SCOPED, SCOPED_DETAILS))
PATHS = [
    PUBLIC,
    f"{PUBLIC}/live",
    f"{PUBLIC}/ready",
    DETAILS,
    OWN_ROUTE,
    OWN_DETAILS,
    OWN_DETAILS.replace("org_", "bad_"),
    *(f"{path}/unknown" for path in (PUBLIC, DETAILS, OWN_ROUTE, OWN_DETAILS)),
]
METHODS = [*["GET"] * 4, "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE"]


def visible(caller: str, path: str) -> set[str]:
    """Say which markers a caller may see at a path."""
    if path == DETAILS and caller == "operator":
        return {*WORDS.values(), OWN, OTHER, DATABASE, DRIVE, HOST}
    if path == OWN_DETAILS and caller in ("own with details", "operator"):
        return {WORDS[OWN], OWN, DRIVE, HOST}
    return set()


class Unreadable(Exception):
    def __str__(self) -> str:
        raise OSError(TEXT)


def ends(words: str) -> dict[str, object]:
    """Give how a run may end: with an answer, or with an exception."""
    return {
        "ok": True,
        "not applicable": NotApplicable(words),
        "result": ProbeResult(False, words),
        "no answer": ANSWER,
        "failed": ProbeFailed(words),
        "degraded": ProbeDegraded(words),
        "group": ExceptionGroup(TEXT, [ProbeFailed(words), ProbeDegraded(words)]),
        "raised": OSError(TEXT),
        "raised in group": ExceptionGroup(TEXT, [ProbeFailed(words), OSError(TEXT)]),
        "exited": SystemExit(TEXT),
        "unreadable": Unreadable(),
    }


class Probes:
    """Probes whose runs end as they are told, and count together."""

    def __init__(self) -> None:
        self.told: dict[str | None, str] = {}
        self.runs = 0
        self.release = threading.Event()

    def run(self, organization_id: str | None = None) -> t.Any:
        self.runs += 1
        told = self.told.get(organization_id, "failed")
        if told == "hangs":
            self.release.wait(PATIENCE)
            return True
        end = ends(WORDS[organization_id])[told]
        if isinstance(end, BaseException):
            raise end from OSError(TEXT)
        return end


def verify(credential: str) -> str | None:
    known = {credential: caller for caller, credential in CREDENTIALS.items()}
    return None if known.get(credential) == "wrong" else known.get(credential)


def may_see(principal: str, organization_id: str) -> bool:
    if principal == "broken":
        raise OSError(TEXT)
    return principal == "operator" or (principal != "foreign" and organization_id == OWN)


def may_see_details(principal: str, organization_id: str | None) -> bool:
    return principal != "own" and may_see(principal, organization_id or "")


def make(probes: Probes, **changes: t.Any) -> Flask:
    """Make an app that knows how the other organization fails."""
    health = ConnectorHealth()
    health.add_probe(lambda: probes.run(), name=DATABASE)
    health.add_probe(probes.run, name=DRIVE, scope="organization")
    app = Flask("host")
    app.config.from_mapping(
        CONFIG,
        CONNECTOR_HEALTH_AVAILABILITY=probes.run,
        CONNECTOR_HEALTH_VERIFY_TOKEN=verify,
        CONNECTOR_HEALTH_VERIFY_API_KEY=verify,
        CONNECTOR_HEALTH_AUTHORIZE=may_see,
        CONNECTOR_HEALTH_AUTHORIZE_DETAILS=may_see_details,
        CONNECTOR_HEALTH_GROUPS={"live": [], "ready": [DATABASE]},
    )
    for key, value in changes.items():
        app.config[f"CONNECTOR_HEALTH_{key}"] = value
    app.register_blueprint(health)
    engine_of(app).report(OTHER)
    return app


@pytest.fixture(scope="module", autouse=True)
def _host() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(socket, "gethostname", lambda: HOST)
        yield


@pytest.fixture(scope="module")
def probes() -> Probes:
    return Probes()


@pytest.fixture(scope="module", params=[False, True], ids=["slow", "fast"])
def app(request: pytest.FixtureRequest, probes: Probes) -> Flask:
    """Make an app whose every request runs the probes that it asks."""
    code = 404 if request.param else 403
    return make(probes, TTL=0, FAST_PATH=request.param, FOREIGN_ORGANIZATION=code)


def ask(app: Flask, caller: str, path: str, *, key: bool, method: str = "GET") -> TestResponse:
    headers = {}
    if caller in CREDENTIALS:
        token = CREDENTIALS[caller]
        headers = {"X-API-Key": token} if key else {"Authorization": f"Bearer {token}"}
    return app.test_client().open(path, method=method, headers=headers)


def markers_in(response: TestResponse) -> set[str]:
    shown = f"{response.status}\n{response.headers}\n{response.text}"
    return {marker for marker in MARKERS if marker in shown}


told = st.sampled_from([*ends("")])
queries = st.dictionaries(
    st.sampled_from(["probe", "status", "limit", "transitions", "token"]),
    st.sampled_from([*sorted(MARKERS), "availability", "unavailable", "1000", "1", "-1"])
    | st.text(max_size=5),
    max_size=3,
)


@pytest.mark.parametrize("path", PATHS)
@settings(max_examples=10)
@given(
    service=told,
    own=told,
    query=queries,
    method=st.sampled_from(METHODS),
    key=st.booleans(),
    slash=st.sampled_from(["", "/"]),
)
@example("raised", "raised", {"transitions": "1000"}, "GET", False, "")
@example("failed", "failed", {"transitions": "1000"}, "GET", True, "")
def test_no_caller_sees_what_is_not_for_that_caller(
    app: Flask,
    probes: Probes,
    path: str,
    service: str,
    own: str,
    query: dict[str, str],
    method: str,
    key: bool,
    slash: str,
) -> None:
    probes.told = {None: service, OWN: own}

    for caller in CALLERS:
        before = probes.runs
        response = ask(app, caller, f"{path}{slash}?{urlencode(query)}", key=key, method=method)

        assert markers_in(response) <= visible(caller, path)
        if response.status_code not in (200, 503) or method == "OPTIONS":
            assert probes.runs == before
        if path in (DETAILS, OWN_DETAILS) and response.status_code == 200:
            assert visible(caller, path) or method == "OPTIONS"


def test_while_probes_hang_no_caller_sees_what_is_not_for_that_caller(probes: Probes) -> None:
    probes.told = {None: "hangs", OWN: "hangs"}
    app = make(probes, DEADLINE=0.1, TIMEOUT=0.1, TTL=3600.0, FAILURE_TTL=3600.0)

    for path in PATHS:
        for caller in CALLERS:
            response = ask(app, caller, f"{path}?transitions=1000", key=False)

            assert markers_in(response) <= visible(caller, path)
    probes.release.set()


@pytest.mark.parametrize(
    ("caller", "path"),
    [
        ("operator", DETAILS),
        ("operator", OWN_DETAILS),
        ("own with details", OWN_DETAILS),
    ],
)
def test_who_may_see_the_words_of_probes_sees_them(
    app: Flask, probes: Probes, caller: str, path: str
) -> None:
    probes.told = {None: "failed", OWN: "failed"}
    engine_of(app).report(OWN)

    response = ask(app, caller, f"{path}?transitions=1000", key=False)

    assert markers_in(response) == visible(caller, path)
