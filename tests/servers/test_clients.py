"""What real clients get from the example app behind real servers, over the wire."""

from __future__ import annotations

import asyncio
import json
import shutil
import socket
import subprocess
import typing as t
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import httpx
import pytest
import requests
from aitronos import Aitronos, AsyncAitronos
from aitronos.core.api_error import ApiError
from aitronos.errors import UnprocessableEntityError

from tests.conftest import PUBLIC, SCOPED
from tests.serving import EVERY, Server, every_state

pytestmark = pytest.mark.clients

XYZ = {"Authorization": "Bearer xyz-token"}

# For what takes seconds: the client waits as it does for every server.
ONE_SERVER = pytest.mark.parametrize("running_server", ["gunicorn"], indirect=True)


def body(status: str) -> dict[str, object]:
    return {"status": status, "available": status != "unavailable"}


# curl


def curl(*arguments: str) -> subprocess.CompletedProcess[str]:
    path = shutil.which("curl")
    if path is None:
        pytest.skip("needs curl")
    return subprocess.run(
        [path, "--silent", *arguments], capture_output=True, text=True, timeout=30, check=False
    )


@every_state
@pytest.mark.parametrize("path", [PUBLIC, SCOPED])
def test_curl_prints_the_body(
    server: Server, off: tuple[str, ...], status: str, path: str
) -> None:
    server.switch(*off, on=False)

    done = curl(server.url + path, "--header", "Authorization: Bearer xyz-token")

    assert json.loads(done.stdout) == body(status)


@every_state
def test_curl_that_fails_on_errors_fails_on_unavailable_alone(
    server: Server, off: tuple[str, ...], status: str
) -> None:
    server.switch(*off, on=False)

    done = curl("--fail", server.url + PUBLIC)

    assert done.returncode == (22 if status == "unavailable" else 0)


@pytest.mark.parametrize("path", [PUBLIC, SCOPED])
def test_curl_can_ask_for_the_head_alone(server: Server, path: str) -> None:
    done = curl("--head", server.url + path, "--header", "X-API-Key: xyz-key")

    assert " 200 " in done.stdout.splitlines()[0]
    assert "content-length: 35" in done.stdout.lower()


# The official SDK


def _nothing() -> None: ...


@dataclass(frozen=True)
class Sdk:
    """The SDK's clients, sync and async, each call with a new one."""

    kind: str
    url: str

    def __call__(
        self,
        method: str,
        *arguments: str,
        api_key: str = "xyz-key",
        token: str | None = None,
        retries: int | None = 0,
        on_response: Callable[[], None] = _nothing,
    ) -> t.Any:
        def call(client: Aitronos | AsyncAitronos) -> t.Any:
            bound = getattr(client.knowledge_connectors, method)
            if retries is None:
                return bound(*arguments)
            return bound(*arguments, request_options={"max_retries": retries})

        async def hook(response: httpx.Response) -> None:
            on_response()

        async def call_async() -> t.Any:
            async with httpx.AsyncClient(event_hooks={"response": [hook]}) as http:
                return await call(AsyncAitronos(httpx_client=http, **options))

        options: t.Any = {"base_url": self.url, "api_key": api_key, "token": token}
        if self.kind == "async":
            return asyncio.run(call_async())
        with httpx.Client(event_hooks={"response": [lambda _: on_response()]}) as http:
            return call(Aitronos(httpx_client=http, **options))


@pytest.fixture(params=["sync", "async"])
def sdk(request: pytest.FixtureRequest, server: Server) -> Sdk:
    return Sdk(request.param, server.url)


ORGANIZATION = ("health_check_org_scoped", "org_xyz789")


@every_state
@pytest.mark.parametrize("method", [("health_check",), ORGANIZATION], ids=lambda m: m[0])
def test_the_sdk_reads_every_status(
    server: Server, sdk: Sdk, off: tuple[str, ...], status: str, method: tuple[str, ...]
) -> None:
    server.switch(*off, on=False)

    if status == "unavailable":
        with pytest.raises(ApiError) as caught:
            sdk(*method)
        assert (caught.value.status_code, caught.value.body) == (503, body(status))
        assert (caught.value.headers or {})["retry-after"] == "1"
    else:
        answer = sdk(*method)
        assert (answer.status, answer.available) == (status, True)


@pytest.mark.parametrize(
    ("api_key", "token"),
    [("xyz-key", None), ("junk", "xyz-token"), ("xyz-key", "xyz-token")],
)
def test_the_sdk_is_let_in_by_key_or_token(sdk: Sdk, api_key: str, token: str | None) -> None:
    assert sdk(*ORGANIZATION, api_key=api_key, token=token).status == "ok"


@pytest.mark.parametrize(
    ("api_key", "token"),
    [("wrong", None), ("wrong", "wrong"), ("xyz-key", "wrong"), ("xyz-token", None)],
)
def test_the_sdk_hears_of_a_wrong_credential_at_once(
    sdk: Sdk, api_key: str, token: str | None
) -> None:
    asked: list[None] = []

    with pytest.raises(ApiError) as caught:
        sdk(
            *ORGANIZATION,
            api_key=api_key,
            token=token,
            retries=2,
            on_response=lambda: asked.append(None),
        )

    assert caught.value.status_code == 401
    assert caught.value.body["error"]["code"] == "AUTHENTICATION_REQUIRED"
    assert len(asked) == 1  # no retry makes a credential right


@pytest.mark.parametrize("credential", [{"api_key": "xyz-key"}, {"token": "xyz-token"}])
def test_the_sdk_hears_of_a_foreign_organization(sdk: Sdk, credential: t.Any) -> None:
    with pytest.raises(ApiError) as caught:
        sdk("health_check_org_scoped", "org_abc123", **credential)

    assert caught.value.status_code == 403
    assert caught.value.body["error"]["code"] == "ORGANIZATION_ACCESS_DENIED"


@pytest.mark.parametrize("organization_id", ["xyz789", "org_", "ORG_xyz789", "org_ä", "org x"])
def test_the_sdk_has_a_class_for_a_malformed_id(sdk: Sdk, organization_id: str) -> None:
    with pytest.raises(UnprocessableEntityError) as caught:
        sdk("health_check_org_scoped", organization_id)

    assert caught.value.status_code == 422


@pytest.mark.parametrize("organization_id", ["a/b", "../..", "", "org_xyz789?x"])
def test_an_id_that_changes_the_path_ends_as_a_4xx(sdk: Sdk, organization_id: str) -> None:
    with pytest.raises(ApiError) as caught:
        sdk("health_check_org_scoped", organization_id)

    assert 400 <= (caught.value.status_code or 0) < 500


@ONE_SERVER
def test_the_sdk_waits_as_it_is_told_and_sees_the_service_mended(
    server: Server, sdk: Sdk
) -> None:
    server.switch(*EVERY, on=False)

    answer = sdk("health_check", retries=2, on_response=lambda: server.switch(*EVERY, on=True))

    assert answer.status == "ok"


@pytest.mark.soak
@ONE_SERVER
def test_the_sdk_gives_up_after_three_tries(server: Server, sdk: Sdk) -> None:
    server.switch(*EVERY, on=False)
    asked: list[None] = []

    with pytest.raises(ApiError) as caught:
        sdk("health_check", retries=None, on_response=lambda: asked.append(None))

    assert caught.value.status_code == 503
    assert len(asked) == 3


# Bytes that no client library sends


def status_of(server: Server, head: bytes) -> int:
    """Send a request's bytes as they are, and read the status of what comes back."""
    host, port = server.url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), timeout=30) as connection:
        connection.sendall(head + b"\r\nHost: x\r\nConnection: close\r\n\r\n")
        with connection.makefile("rb") as answer:
            return int(answer.readline().split()[1])


def scoped(organization_id: bytes, *headers: bytes) -> bytes:
    path = SCOPED.encode().replace(b"org_xyz789", organization_id)
    return b"\r\n".join([b"GET " + path + b" HTTP/1.1", *headers])


@pytest.mark.parametrize(
    "headers",
    [
        [b"Authorization: Bearer xyz-token", b"Authorization: Bearer xyz-token"],
        [b"Authorization: Bearer \xc3\xbc"],
        [b"Authorization: Bearer \xff\xfe"],
        [b"Authorization: Bearer xyz-token x"],
        [b"Authorization: Bearer xyz=token"],
        [b"Authorization: Bearer"],
        [b"Authorization:"],
        [b"Authorization: Basic eHl6LXRva2VuOg=="],
        [b"Authorization: Basic \xff\xff"],
        [b"X-API-Key: \xff"],
        [b"X-API-Key: xyz-key", b"X-API-Key: xyz-key"],
        [b"X-API-Key:"],
    ],
    ids=repr,
)
def test_a_malformed_credential_is_401_over_the_wire(
    server: Server, headers: list[bytes]
) -> None:
    assert status_of(server, scoped(b"org_xyz789", *headers)) == 401


@pytest.mark.parametrize("name", [b"Authorization: Bearer ", b"X-API-Key: "])
def test_a_64_kb_credential_is_refused_by_somebody(server: Server, name: bytes) -> None:
    # gunicorn answers 431 by itself; waitress lets it through.
    assert status_of(server, scoped(b"org_xyz789", name + b"x" * 65_536)) in (401, 431)


@pytest.mark.parametrize(
    "organization_id",
    [b"org_", b"ORG_x", b"org_x%0A", b"org_%00", b"org_%D9%A3", b"%ff", b"org_%0D%0AA:%20b"],
    ids=repr,
)
def test_a_malformed_id_is_422_over_the_wire(server: Server, organization_id: bytes) -> None:
    head = scoped(organization_id, b"Authorization: Bearer xyz-token")

    assert status_of(server, head) == 422


def test_a_10_kb_id_is_refused_by_somebody(server: Server) -> None:
    head = scoped(b"org_" + b"x" * 10_240, b"X-API-Key: xyz-key")

    # gunicorn answers 414 by itself; waitress lets it through.
    assert status_of(server, head) in (414, 422)


@pytest.mark.parametrize("path", [PUBLIC, SCOPED])
def test_a_check_without_a_host_in_http_1_0_is_answered(server: Server, path: str) -> None:
    host, port = server.url.removeprefix("http://").split(":")
    request = f"GET {path} HTTP/1.0\r\nAuthorization: Bearer xyz-token\r\n\r\n"
    with socket.create_connection((host, int(port)), timeout=30) as connection:
        connection.sendall(request.encode())
        with connection.makefile("rb") as answer:
            received = answer.read()

    assert b" 200 OK\r\n" in received
    assert received.endswith(b'{"status": "ok", "available": true}')


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE"])
def test_another_method_is_405_over_the_wire(server: Server, method: str) -> None:
    response = requests.request(method, server.url + SCOPED, headers=XYZ, timeout=30)

    assert response.status_code == 405
    assert "GET" in response.headers["Allow"]


def test_headers_arrive_as_the_contract_says(server: Server) -> None:
    server.switch(*EVERY, on=False)

    response = requests.get(server.url + SCOPED, headers=XYZ, timeout=30)

    expected: Mapping[str, str] = {
        "Content-Type": "application/json",
        "Cache-Control": "no-store",
        "Vary": "Authorization, X-API-Key",
        "Retry-After": "1",
    }
    assert expected.items() <= dict(response.headers).items()
