"""Load on servers and apps, and what comes back of it."""

from __future__ import annotations

import contextlib
import json
import time
import typing as t
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from http.client import HTTPConnection

from werkzeug.test import create_environ
from werkzeug.wsgi import ClosingIterator

from .apps.timed import HEADER
from .conftest import BEARER
from .serving import Launched

if t.TYPE_CHECKING:
    from _typeshed.wsgi import WSGIApplication

T = t.TypeVar("T")


class Answer(t.NamedTuple):
    """What a client got, and the seconds that it took inside of the server."""

    path: str
    code: int
    body: bytes
    seconds: float

    @property
    def status(self) -> object:
        return json.loads(self.body).get("status")


def connected(port: int) -> contextlib.closing[HTTPConnection]:
    return contextlib.closing(HTTPConnection("127.0.0.1", port, timeout=5))


def ask(connection: HTTPConnection, path: str, **headers: str) -> Answer:
    """Ask over a connection, which is opened anew where the server does not keep it."""
    connection.request("GET", path, headers=headers)
    response = connection.getresponse()
    seconds = float(response.headers[HEADER])
    return Answer(path, response.status, response.read(), seconds)


def in_parallel(calls: Iterable[Callable[[], Iterable[T]]]) -> list[T]:
    """Make each call in a thread of its own, and collect what all of them got."""
    calls = list(calls)
    with ThreadPoolExecutor(len(calls)) as pool:
        return [item for items in pool.map(lambda call: list(call()), calls) for item in items]


def repeatedly(call: Callable[[], T], *, seconds: float, pause: float) -> list[T]:
    """Call as a poller does: again and again, with a pause between."""
    end = time.monotonic() + seconds
    got = [call()]
    while time.monotonic() < end:
        time.sleep(pause)
        got.append(call())
    return got


def call(app: WSGIApplication, path: str, **headers: str) -> Answer:
    """Ask an app in process. The app is a timed one, without a server around it."""
    started: list[tuple[str, list[tuple[str, str]]]] = []

    def start_response(
        status: str, headers: list[tuple[str, str]], exc_info: object = None, /
    ) -> Callable[[bytes], object]:
        started.append((status, headers))
        return lambda data: None

    answer = app(create_environ(path, headers=headers), start_response)
    body = b"".join(answer)
    if isinstance(answer, ClosingIterator):
        answer.close()
    status, received = started[-1]
    return Answer(path, int(status.split()[0]), body, float(dict(received)[HEADER]))


def once(server: Launched, path: str) -> Answer:
    """Ask a server, with a credential and a new connection."""
    with connected(server.port) as connection:
        return ask(connection, path, **BEARER)


def polled(server: Launched, paths: Iterable[str], *, seconds: float) -> list[Answer]:
    """Poll all paths at once, with new connections, so that all workers get some."""
    return in_parallel(
        partial(repeatedly, partial(once, server, path), seconds=seconds, pause=0.01)
        for path in paths
    )
