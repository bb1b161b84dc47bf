"""What clients send that they should not: a 4xx each, and silence in the log."""

from __future__ import annotations

import logging
import random
from collections.abc import Iterator

import pytest
from werkzeug.test import TestResponse

from tests.conftest import BEARER, PUBLIC, SCOPED, SCOPED_DETAILS, MakeApp

BAD_IDS = [
    "org_",
    "ORG_x",
    "Org_x",
    "org-x",
    "orgx",
    "xorg_x",
    "org_x%0A",
    "org_x%0D%0AX-Evil:%20yes",
    "org_%00",
    "org_%D9%A3",  # an Arabic digit
    "org_x%20",
    "%20org_x",
    "org_x..",
    "org_%3Cscript%3E",
    "org_" + "x" * 129,
    "org_" + "x" * 10_240,
    "%ff",
    "org_%ED%A0%80",  # a lone surrogate
]

both_routes = pytest.mark.parametrize("path", [SCOPED, SCOPED_DETAILS])


def brief(text: str) -> str:
    return f"{text[:20]!a} ({len(text)})"


def scoped(organization_id: str, path: str = SCOPED) -> str:
    return path.replace("org_xyz789", organization_id)


def never(principal: object, organization_id: str | None) -> bool:
    raise AssertionError(organization_id)


@pytest.fixture(autouse=True)
def _log_stays_silent(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    caplog.set_level(logging.INFO)
    yield
    assert not caplog.records


def send(make_app: MakeApp, path: str = SCOPED, **environ: str) -> TestResponse:
    """Send headers as a WSGI server hands them over: bytes, as latin-1 text."""
    return make_app().test_client().get(path, environ_overrides=environ)


@both_routes
@pytest.mark.parametrize("bad", BAD_IDS, ids=brief)
def test_a_malformed_id_is_422(make_app: MakeApp, path: str, bad: str) -> None:
    app = make_app(AUTHORIZE=never, AUTHORIZE_DETAILS=never)

    response = app.test_client().get(scoped(bad, path), headers=BEARER)

    assert response.status_code == 422
    assert response.get_json()["error"]["code"] == "VALIDATION_ERROR"
    assert "Evil" not in str(response.headers)
    assert "script" not in response.text


@both_routes
@pytest.mark.parametrize("bad", BAD_IDS, ids=brief)
def test_a_malformed_id_without_a_credential_is_401(
    make_app: MakeApp, path: str, bad: str
) -> None:
    app = make_app(AUTHORIZE_DETAILS=never)

    assert app.test_client().get(scoped(bad, path)).status_code == 401


@pytest.mark.parametrize(
    "path",
    [scoped("org_x%2F..%2F.."), scoped("a%2Fb"), scoped("org_x/y"), scoped("")],
)
def test_an_id_with_a_slash_is_the_apps_404(make_app: MakeApp, path: str) -> None:
    response = make_app().test_client().get(path, headers=BEARER)

    assert (response.status_code, response.mimetype) == (404, "text/html")


@pytest.mark.parametrize("given", ["org_A-b_9", "org_" + "x" * 128])
def test_a_well_formed_id_is_looked_at(make_app: MakeApp, given: str) -> None:
    assert make_app().test_client().get(scoped(given), headers=BEARER).status_code == 200


def test_the_pattern_is_the_hosts_to_choose(make_app: MakeApp) -> None:
    client = make_app(ORGANIZATION_ID_PATTERN=r"\d+|.*z").test_client()

    assert client.get(scoped("42"), headers=BEARER).status_code == 200
    assert client.get(scoped("org_xyz789"), headers=BEARER).status_code == 422
    assert client.get(scoped("%D9%A3"), headers=BEARER).status_code == 422
    assert client.get(scoped("x" * 254 + "z"), headers=BEARER).status_code == 200
    assert client.get(scoped("x" * 255 + "z"), headers=BEARER).status_code == 422


BAD_HEADERS = [
    "",
    " ",
    "Bearer",
    "Bearer ",
    "bearer  ",
    "Bearer good-token extra",
    "Bearer good-token,Bearer good-token",
    "Bearer good-token, Bearer good-token",
    "Bearer abc=def",
    "Bearer =",
    "Bearer gööd",
    "Bearer \xff\xfe\x00",
    "Bearer \u00a0good-token",
    "Bearer " + "x" * 65_536,
    "BeArEr wrong",
    "good-token",
    "Basic",
    "Basic !!!",
    "Basic \xff\xff",
    "Basic g\xf6\xf6d",
    "Digest nonce=\xff",
    "Basic Z29vZC10b2tlbjpnb29k",
    'Digest username="x", nonce=',
    "Token good-token",
    "\xe2\x82\xac",
]


@pytest.mark.parametrize("header", BAD_HEADERS, ids=brief)
def test_a_malformed_authorization_is_401(make_app: MakeApp, header: str) -> None:
    response = send(make_app, HTTP_AUTHORIZATION=header)

    assert response.status_code == 401
    assert response.headers["WWW-Authenticate"].startswith("Bearer ")


@pytest.mark.parametrize(
    "key",
    ["", " ", "a b", "good-key,good-key", "gööd", "\xff", "x" * 65_536, "="],
    ids=brief,
)
def test_a_malformed_api_key_is_401(make_app: MakeApp, key: str) -> None:
    assert send(make_app, HTTP_X_API_KEY=key).status_code == 401


def test_any_bytes_at_all_are_401(make_app: MakeApp) -> None:
    client = make_app().test_client()
    rng = random.Random(7)  # noqa: S311 - the same bytes in every run
    for _ in range(200):
        junk = "".join(chr(rng.randrange(1, 256)) for _ in range(rng.randrange(40)))
        for environ in (
            {"HTTP_AUTHORIZATION": junk},
            {"HTTP_AUTHORIZATION": f"Bearer {junk}"},
            {"HTTP_AUTHORIZATION": f"Basic {junk}"},
            {"HTTP_X_API_KEY": junk},
        ):
            assert client.get(SCOPED, environ_overrides=environ).status_code == 401


@pytest.mark.parametrize("credential", ["gööd", "x" * 8_191, "a b", "a\tb"], ids=brief)
def test_what_cannot_be_a_credential_never_reaches_the_verifier(
    make_app: MakeApp, credential: str
) -> None:
    def verify(given: str) -> bool:
        raise AssertionError(given)

    client = make_app(VERIFY_TOKEN=verify, VERIFY_API_KEY=verify).test_client()

    for environ in (
        {"HTTP_AUTHORIZATION": f"Bearer {credential}"},
        {"HTTP_X_API_KEY": credential},
    ):
        assert client.get(SCOPED, environ_overrides=environ).status_code == 401


@pytest.mark.parametrize("path", [PUBLIC, f"{PUBLIC}/live", f"{PUBLIC}/ready"])
def test_a_public_route_ignores_credentials_and_queries(make_app: MakeApp, path: str) -> None:
    client = make_app(GROUPS={"live": [], "ready": ["availability"]}).test_client()

    response = client.get(
        path + "?x=%ff&probe=x", environ_overrides={"HTTP_AUTHORIZATION": "Basic \xff"}
    )

    assert response.status_code == 200
