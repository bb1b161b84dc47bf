"""OpenTelemetry: requests are traced as they always are, and no run is part of one."""

from __future__ import annotations

import asyncio
import logging
import typing as t
from collections.abc import Iterator

import pytest
from flask import Flask
from opentelemetry import trace
from opentelemetry.instrumentation.flask import FlaskInstrumentor
from opentelemetry.instrumentation.threading import ThreadingInstrumentor
from opentelemetry.instrumentation.wsgi import OpenTelemetryMiddleware
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from flask_connector_health import ConnectorHealth
from tests.clockwork import eventually
from tests.conftest import BEARER, CONFIG, OK, PUBLIC

from .answers import ask, assert_both_answer

pytestmark = pytest.mark.stacks


class Traced:
    """A provider of spans, and all spans that have ended."""

    def __init__(self) -> None:
        self._exporter = InMemorySpanExporter()
        self.provider = TracerProvider(shutdown_on_exit=False)
        self.provider.add_span_processor(SimpleSpanProcessor(self._exporter))

    def span(self, name: str) -> t.Any:
        return self.provider.get_tracer("probe").start_as_current_span(name)

    def ended(self, kind: trace.SpanKind = trace.SpanKind.SERVER) -> list[t.Any]:
        return [span for span in self._exporter.get_finished_spans() if span.kind == kind]

    def instrument(self, app: Flask) -> None:
        FlaskInstrumentor().instrument_app(app, tracer_provider=self.provider)


@pytest.fixture
def traced() -> Iterator[Traced]:
    ThreadingInstrumentor().instrument()
    yield Traced()
    ThreadingInstrumentor().uninstrument()


@pytest.fixture
def app(traced: Traced) -> Flask:
    """Make an app that is instrumented, as it is before anything is registered."""
    app = Flask("host")
    app.config.from_mapping(CONFIG)
    traced.instrument(app)
    return app


def test_both_routes_are_spans_of_the_server(
    app: Flask, health: ConnectorHealth, traced: Traced
) -> None:
    app.register_blueprint(health)

    assert_both_answer(app)

    public, scoped = traced.ended()
    assert public.name == f"GET {PUBLIC}"
    assert scoped.name == "GET /v1/organizations/<organization_id>/knowledge/connectors/health"


def test_no_run_is_part_of_a_requests_trace(
    app: Flask, health: ConnectorHealth, traced: Traced
) -> None:
    @health.probe("sync", scope="organization")
    def sync_probe(organization_id: str) -> bool:
        with traced.span("sync"):
            return True

    @health.probe("async", scope="organization")
    async def async_probe(organization_id: str) -> bool:
        with traced.span("async"):
            return await asyncio.to_thread(in_thread)

    def in_thread() -> bool:
        with traced.span("thread"):
            return True

    app.register_blueprint(health)
    for given in ("org_xyz789", "org_abc123"):
        assert ask(app, given).data == OK

    spans = traced.ended(trace.SpanKind.INTERNAL)
    requests = {span.context.trace_id for span in traced.ended()}
    runs = {span.context.trace_id for span in spans}
    assert (len(requests), len(runs)) == (2, 4)
    assert not requests & runs
    assert sorted(span.name for span in spans if span.parent is None) == [
        *["async"] * 2,
        *["sync"] * 2,
    ]


def test_a_line_of_our_log_has_no_requests_trace(
    app: Flask, health: ConnectorHealth, monkeypatch: pytest.MonkeyPatch
) -> None:
    written: list[trace.Span] = []

    class Handler(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            written.append(trace.get_current_span())

    monkeypatch.setattr(logging.getLogger("flask_connector_health"), "handlers", [Handler()])
    health.add_probe(lambda organization_id: False, name="drive", scope="organization")
    app.register_blueprint(health)

    for given in ("org_xyz789", "org_abc123"):
        assert ask(app, given).status_code == 503

    eventually(lambda: len(written) == 2)
    assert [span.get_span_context().is_valid for span in written] == [False, False]


@pytest.mark.parametrize("when", ["before", "after"])
def test_the_fast_path_is_no_span_of_flask(
    health: ConnectorHealth, traced: Traced, when: str
) -> None:
    """FlaskInstrumentor opens its spans in a ``before_request``, which the path is ahead of."""
    app = Flask("host")
    app.config.from_mapping(CONFIG, CONNECTOR_HEALTH_FAST_PATH=True)
    if when == "before":
        traced.instrument(app)
    app.register_blueprint(health)
    if when == "after":
        traced.instrument(app)

    assert_both_answer(app)

    [scoped] = traced.ended()
    assert "<organization_id>" in scoped.name


def test_middleware_that_is_set_after_registration_traces_the_fast_path(
    app: Flask, health: ConnectorHealth, traced: Traced
) -> None:
    app.config["CONNECTOR_HEALTH_FAST_PATH"] = True
    app.register_blueprint(health)
    middleware = OpenTelemetryMiddleware(app.wsgi_app, tracer_provider=traced.provider)
    app.wsgi_app = middleware  # type: ignore[method-assign]

    assert app.test_client().get(PUBLIC, headers=BEARER).data == OK

    [span] = traced.ended()
    assert span.name == f"GET {PUBLIC}"
