"""The filter of access logs, on lines that gunicorn and Werkzeug write themselves."""

from __future__ import annotations

import datetime
import logging
import socket
import typing as t
from collections.abc import Callable

import pytest
from gunicorn.config import Config
from gunicorn.glogging import Logger
from gunicorn.http.parser import RequestParser
from gunicorn.http.wsgi import create
from hypothesis import given
from hypothesis import strategies as st
from werkzeug.serving import make_server

from flask_connector_health.access_log import HealthRequests
from tests.conftest import PUBLIC, SCOPED, MakeApp

CLIENT = ("127.0.0.1", 50_000)


class AccessLog(logging.Logger):
    """A logger that no other code can get, and that keeps its lines."""

    def __init__(self) -> None:
        super().__init__("access", logging.INFO)
        self.lines: list[str] = []

    def callHandlers(self, record: logging.LogRecord) -> None:
        self.lines.append(record.getMessage())


def by_gunicorn(log: logging.Logger, request: bytes, status: str, **settings: str) -> None:
    """Have gunicorn parse a request, and log the response."""
    config = Config()
    for name, value in {"accesslog": "-", **settings}.items():
        config.set(name, value)
    loggers = {"gunicorn.access": log, "gunicorn.error": AccessLog()}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(logging, "getLogger", loggers.__getitem__)
        logger = Logger(config)
    parsed = next(RequestParser(config, iter([request]), CLIENT))
    response, environ = create(parsed, None, CLIENT, CLIENT, config)
    response.start_response(status, [])
    logger.access(response, parsed, environ, datetime.timedelta())


def by_werkzeug(log: logging.Logger, request: bytes, status: str) -> None:
    """Have Werkzeug's server answer a request with a status."""

    def app(environ: t.Any, start_response: t.Any) -> list[bytes]:
        start_response(status, [])
        return []

    client, connection = socket.socketpair()
    with (
        pytest.MonkeyPatch.context() as patch,
        client,
        connection,
        make_server("127.0.0.1", 0, app) as server,
    ):
        patch.setattr("werkzeug._internal._logger", log)
        client.sendall(request)
        server.finish_request(connection, CLIENT)


Serve = Callable[[logging.Logger, bytes, str], None]
servers = pytest.mark.parametrize("serve", [by_gunicorn, by_werkzeug])


def logged(
    serve: Serve,
    target: str = PUBLIC,
    status: str = "200 OK",
    *,
    method: str = "GET",
    drop_failures: bool = False,
) -> bool:
    """Tell whether a request leaves a line in the log."""
    log = AccessLog()
    log.addFilter(HealthRequests(drop_failures=drop_failures))
    request = f"{method} {target} HTTP/1.1\r\nHost: x\r\n\r\n"
    serve(log, request.encode("latin-1"), status)
    return bool(log.lines)


# What is dropped


@servers
@pytest.mark.parametrize(
    "target",
    [
        PUBLIC,
        SCOPED,
        f"{PUBLIC}/",
        f"{PUBLIC}/details",
        f"{SCOPED}/details/",
        f"{PUBLIC}/page",
        f"{PUBLIC}/live",
        f"{PUBLIC}/{'g' * 63}",
        "/knowledge/connectors/health",
        f"/mounted/at%20a/prefix{PUBLIC}",
        f"http://example.org{PUBLIC}",
        f"//{PUBLIC}",
        f"{PUBLIC}?",
        f"{PUBLIC}/?verbose=1&next=/other",
        SCOPED.replace("org_xyz789", "%C3%BC%20%ff%0A"),
    ],
)
def test_a_successful_health_request_leaves_no_line(serve: Serve, target: str) -> None:
    assert not logged(serve, target)


def test_every_route_of_the_blueprint_is_recognized(make_app: MakeApp) -> None:
    urls = make_app().url_map.bind("localhost")
    rules = [rule for rule in urls.map.iter_rules() if "connector_health" in rule.endpoint]
    paths = [
        urls.build(rule.endpoint, dict.fromkeys(rule.arguments, "org_xyz789")) for rule in rules
    ]

    assert {PUBLIC, SCOPED} <= set(paths)
    assert [path for path in paths if logged(by_werkzeug, path)] == []


@servers
@pytest.mark.parametrize("method", ["HEAD", "OPTIONS", "POST"])
def test_the_method_does_not_matter(serve: Serve, method: str) -> None:
    assert not logged(serve, method=method)


@servers
@pytest.mark.parametrize("status", ["204 No Content", "304 Not Modified", "308 Redirect"])
def test_each_status_below_400_is_a_success(serve: Serve, status: str) -> None:
    assert not logged(serve, status=status)


def test_the_format_of_gunicorns_log_does_not_matter() -> None:
    def serve(log: logging.Logger, request: bytes, status: str) -> None:
        by_gunicorn(log, request, status, access_log_format="%(h)s")

    assert not logged(serve)
    assert logged(serve, "/other")


# What stays


@servers
@pytest.mark.parametrize(
    "target",
    [
        "/",
        "/v1/knowledge/connectors",
        "/v1/knowledge/connectors/healthy",
        "/v1/my-knowledge/connectors/health",
        f"{PUBLIC}/a/b",
        f"{PUBLIC}/Upper",
        f"{PUBLIC}/1st",
        f"{PUBLIC}/{'g' * 64}",
        f"{PUBLIC}//",
        f"/other?next={PUBLIC}",
        f"/other?{PUBLIC}?",
        f"/other#{PUBLIC}",
        f"/other%3F{PUBLIC}%23x",
    ],
)
def test_every_other_request_stays_in_the_log(serve: Serve, target: str) -> None:
    assert logged(serve, target, drop_failures=True)


FAILED = ["401 Unauthorized", "404 Not Found", "422 Unprocessable", "503 Unavailable"]


@servers
@pytest.mark.parametrize("status", FAILED)
def test_a_failed_health_request_stays_in_the_log(serve: Serve, status: str) -> None:
    assert logged(serve, status=status)


@servers
@pytest.mark.parametrize("status", FAILED)
def test_failed_health_requests_are_dropped_on_demand(serve: Serve, status: str) -> None:
    assert not logged(serve, status=status, drop_failures=True)


# gunicorn refuses some of these before it logs anything.
@pytest.mark.parametrize(
    "target", ["/ÿþ%ff%00\x1b[0m", f"{PUBLIC} and more", "", "http://[::1]/%"]
)
def test_a_malformed_request_stays_in_the_log(target: str) -> None:
    assert logged(by_werkzeug, target)


LINE = f"GET {PUBLIC} HTTP/1.1"


@pytest.mark.parametrize(
    "args",
    [
        None,
        (),
        (LINE,),
        (LINE, "200"),
        (LINE, "200", "35", "and more"),
        (LINE, None, "35"),
        (LINE.encode(), b"200", b"35"),
        {"r": LINE},
        {"r": LINE, "s": None},
        {"r": LINE.encode(), "s": "200"},
    ],
)
def test_a_record_of_another_kind_passes(args: t.Any) -> None:
    assert HealthRequests().filter(logging.makeLogRecord({"args": args}))


VALUES = st.none() | st.integers() | st.binary() | st.text() | st.just(LINE) | st.just("200")


@given(
    VALUES
    | st.lists(VALUES, max_size=4).map(tuple)
    | st.dictionaries(st.sampled_from("rsU"), VALUES)
)
def test_no_record_makes_the_filter_raise(args: t.Any) -> None:
    assert HealthRequests().filter(logging.makeLogRecord({"args": args})) in (True, False)


# Filters on a logger


def test_a_logger_takes_equal_filters_for_one() -> None:
    log = AccessLog()
    for _ in range(2):
        log.addFilter(HealthRequests())
    log.addFilter(HealthRequests(drop_failures=True))

    assert log.filters == [HealthRequests(), HealthRequests(drop_failures=True)]
