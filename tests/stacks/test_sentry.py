"""sentry-sdk: a probe's error is filed once, and under nobody's request."""

from __future__ import annotations

import typing as t
import warnings
from collections.abc import Iterator

import pytest

from flask_connector_health import ConnectorHealth
from tests.clockwork import engine_threads, eventually
from tests.conftest import OK, PUBLIC, MakeApp

from .answers import ask, assert_envelope, broken

with warnings.catch_warnings(action="ignore"):  # it imports eventlet, which is deprecated
    import sentry_sdk
    from sentry_sdk.envelope import Envelope
    from sentry_sdk.integrations.flask import FlaskIntegration
    from sentry_sdk.transport import Transport

pytestmark = pytest.mark.stacks


class Collected(Transport):
    """A transport that keeps what it should send."""

    def __init__(self) -> None:
        super().__init__()
        self._items: list[tuple[str, t.Any]] = []

    def capture_envelope(self, envelope: Envelope) -> None:
        self._items += [(item.type, item.payload.json) for item in envelope.items]

    def of(self, kind: str) -> list[t.Any]:
        """Give the items of a kind, once the log is written."""
        eventually(lambda: not engine_threads("events") and not engine_threads("idle"))
        return [item for name, item in self._items if name == kind]


@pytest.fixture
def sentry() -> Iterator[Collected]:
    collected = Collected()
    sentry_sdk.init(
        "http://key@localhost/1",
        transport=collected,
        integrations=[FlaskIntegration()],
        traces_sample_rate=1.0,
    )
    yield collected
    # What sentry has patched stays patched, and does nothing without a client.
    sentry_sdk.get_client().close()
    sentry_sdk.get_global_scope().set_client(None)


def text_of(event: t.Any) -> str:
    return str(event["exception"]["values"][0]["value"])


def trace_of(event: t.Any) -> str:
    return str(event["contexts"]["trace"]["trace_id"])


def names_its_caller(principal: object, organization_id: str) -> bool:
    sentry_sdk.set_tag("caller", str(principal))
    sentry_sdk.set_user({"id": organization_id})
    return True


def sync_probe(organization_id: str) -> t.NoReturn:
    raise OSError(organization_id)


async def async_probe(organization_id: str) -> t.NoReturn:
    raise OSError(organization_id)


@pytest.mark.parametrize("probe", [sync_probe, async_probe])
def test_an_error_of_a_probe_is_filed_once_and_under_no_request(
    make_app: MakeApp, health: ConnectorHealth, sentry: Collected, probe: t.Callable[..., t.Any]
) -> None:
    health.add_probe(probe, scope="organization", ttl=0)
    app = make_app(AUTHORIZE=names_its_caller)
    organizations = ["org_xyz789", "org_abc123"]

    assert [ask(app, given).status_code for given in organizations] == [503, 503]

    events, requests = sentry.of("event"), sentry.of("transaction")
    assert [text_of(event) for event in events] == organizations
    assert [request["user"]["id"] for request in requests] == organizations
    for event in events:
        assert not {"request", "transaction", "user", "tags"} & event.keys()
        assert trace_of(event) not in map(trace_of, requests)


def test_what_a_run_tells_sentry_stays_in_that_run(
    make_app: MakeApp, health: ConnectorHealth, sentry: Collected
) -> None:
    @health.probe("drive", scope="organization")
    def drive(organization_id: str) -> bool:
        sentry_sdk.set_tag(organization_id, "asked")
        sentry_sdk.capture_message(organization_id)
        return True

    app = make_app(AUTHORIZE=names_its_caller)
    for given in ("org_xyz789", "org_abc123"):
        ask(app, given)

    tags = [event["tags"] for event in sentry.of("event")]
    assert tags == [{"org_xyz789": "asked"}, {"org_abc123": "asked"}]


def test_a_verifier_that_raises_is_filed_once_as_that_of_any_view(
    make_app: MakeApp, sentry: Collected
) -> None:
    response = ask(make_app(VERIFY_TOKEN=broken))

    assert_envelope(response, 500, "INTERNAL_SERVER_ERROR")
    [event] = sentry.of("event")
    assert text_of(event) == "the database is away"
    assert event["exception"]["values"][0]["mechanism"]["type"] == "flask"
    assert event["transaction"] == "connector_health.organization"
    assert event["request"]["url"].endswith("/org_xyz789/knowledge/connectors/health")


@pytest.mark.parametrize(
    ("fast_path", "name"),
    [(False, "connector_health.service"), (True, "generic WSGI request")],
)
def test_the_fast_path_is_a_transaction_without_an_endpoint(
    make_app: MakeApp, sentry: Collected, fast_path: bool, name: str
) -> None:
    assert make_app(FAST_PATH=fast_path).test_client().get(PUBLIC).data == OK

    [transaction] = sentry.of("transaction")
    assert transaction["transaction"] == name
    assert transaction["request"]["url"].endswith(PUBLIC)
