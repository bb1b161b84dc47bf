"""A run: its contexts are its own, and end with it, as a session of Flask-SQLAlchemy does."""

from __future__ import annotations

import asyncio
import contextvars
import functools
import os
import pathlib
import threading
import typing as t
from collections.abc import Awaitable, Callable, Iterator
from functools import partial

import pytest
from flask import Flask, current_app, g, has_request_context
from flask_sqlalchemy import SQLAlchemy
from sqlalchemy import func, select
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column
from sqlalchemy.pool import QueuePool

from flask_connector_health import (
    ConnectorHealth,
    Report,
    Status,
)
from tests.apps.hangs import Hang
from tests.clockwork import (
    PATIENCE,
    Gated,
    drive,
    engine_of,
    eventually,
    in_background,
    lane_of,
    report_of,
)
from tests.conftest import MakeApp, MakeMonitor


class Base(DeclarativeBase):
    pass


class Item(Base):
    __tablename__ = "item"

    id: Mapped[int] = mapped_column(primary_key=True)


class Host:
    """A host app with a database, and what its teardown functions saw of the probe's runs."""

    def __init__(self, app: Flask, path: pathlib.Path) -> None:
        self.app = app
        self.torn_down = threading.Semaphore(0)
        self.teardown_threads: list[int] = []
        # Teardown functions are called last one first: this one finds the session removed.
        app.teardown_appcontext(self._tear_down)
        app.config["SQLALCHEMY_DATABASE_URI"] = f"sqlite:///{path}"
        self.db = SQLAlchemy(app, model_class=Base)
        with app.app_context():
            Base.metadata.create_all(self.db.engine)
            self.pool = t.cast(QueuePool, self.db.engine.pool)

    def report(self, organization_id: str | None = None) -> Report:
        return engine_of(self.app).report(organization_id)

    def wait_for_teardown(self) -> None:
        assert self.torn_down.acquire(timeout=PATIENCE)

    def close(self) -> None:
        with self.app.app_context():
            self.db.engine.dispose()

    def _tear_down(self, error: BaseException | None) -> None:
        if "looked" in g:  # the availability callback's runs have contexts of their own
            self.teardown_threads.append(threading.get_ident())
            self.torn_down.release()


class Look:
    """A probe that looks into the database, and keeps what it saw; then it may hang."""

    db: SQLAlchemy

    def __init__(self) -> None:
        self.hang = Hang()
        self.sessions: list[Session] = []
        self.contents: list[object] = []
        self.counts: list[int] = []
        self.threads: list[int] = []

    def sync(self) -> bool:
        g.looked = True
        session = self.db.session()
        self.threads.append(threading.get_ident())
        self.sessions.append(session)
        self.contents += [*session.new, *session.identity_map.values()]
        self.counts.append(session.scalars(select(func.count(Item.id))).one())
        return True

    async def later(self) -> bool:
        return self.sync()

    def hung(self) -> bool:
        return self.sync() and self.hang.wait()

    async def in_a_thread(self, organization_id: str) -> bool:
        return await asyncio.to_thread(lambda: self.hang.wait() and self.sync())

    async def cancelled(self) -> bool:
        return self.sync() and await self.hang.sleep()

    async def swallowing(self) -> bool:
        return self.sync() and await self.hang.swallow()


MakeHost = Callable[..., Host]


@pytest.fixture
def look() -> Iterator[Look]:
    look = Look()
    yield look
    look.hang.release()


@pytest.fixture
def make_host(
    health: ConnectorHealth, make_app: MakeApp, tmp_path: pathlib.Path, look: Look
) -> Iterator[MakeHost]:
    """Make a host with this probe, its configuration changed by keyword."""
    hosts: list[Host] = []

    def make(
        probe: Callable[..., bool | Awaitable[bool]],
        scope: t.Literal["service", "organization"] = "service",
        **config: t.Any,
    ) -> Host:
        health.add_probe(probe, name="look", scope=scope)
        app = make_app(**{"TTL": 0.0, "DEADLINE": PATIENCE, **config})
        hosts.append(Host(app, tmp_path / "host.sqlite3"))
        look.db = hosts[0].db
        return hosts[0]

    yield make
    for host in hosts:
        host.close()


@pytest.fixture(params=["sync", "later"])
def host(request: pytest.FixtureRequest, look: Look, make_host: MakeHost) -> Host:
    return make_host(getattr(look, request.param))


def test_a_probe_has_a_session_of_its_own(host: Host, look: Look) -> None:
    with host.app.test_request_context():
        own = host.db.session()

        assert host.report().available

    assert look.sessions != [own]
    assert len(look.sessions) == 1


def test_each_run_has_a_session_of_its_own(host: Host, look: Look) -> None:
    for _ in range(3):
        assert host.report().available

    assert len({id(session) for session in look.sessions}) == 3


def test_what_the_request_has_not_committed_is_not_in_the_probes(
    host: Host, look: Look
) -> None:
    with host.app.test_request_context():
        host.db.session.add(Item())
        host.db.session.flush()
        host.db.session.add(Item())

        assert host.report().available

    assert (look.contents, look.counts) == ([], [0])


def test_the_requests_session_outlives_the_run(host: Host) -> None:
    with host.app.test_request_context():
        item = Item()
        host.db.session.add(item)

        host.report()
        host.wait_for_teardown()

        assert item in host.db.session


def test_the_connection_goes_back_to_the_pool_when_the_run_ends(host: Host) -> None:
    host.report()
    host.wait_for_teardown()

    assert host.pool.checkedout() == 0


def test_the_context_is_torn_down_once_per_run_in_its_thread(host: Host, look: Look) -> None:
    for _ in range(3):
        host.report()
        host.wait_for_teardown()

    assert host.teardown_threads == look.threads
    assert len(look.threads) == 3
    assert threading.get_ident() not in look.threads


@pytest.mark.parametrize("kind", ["hung", "swallowing"])
def test_a_hung_run_closes_its_session_when_it_returns(
    look: Look, make_host: MakeHost, kind: str
) -> None:
    host = make_host(getattr(look, kind), TIMEOUT=0.1)
    assert not host.report().available
    assert host.pool.checkedout() == 1

    look.hang.release()
    host.wait_for_teardown()

    assert host.pool.checkedout() == 0
    assert host.teardown_threads == look.threads


def test_a_cancelled_run_closes_its_session_at_its_timeout(
    look: Look, make_host: MakeHost
) -> None:
    host = make_host(look.cancelled, TIMEOUT=0.1)

    assert not host.report().available
    host.wait_for_teardown()

    assert host.pool.checkedout() == 0
    assert host.teardown_threads == look.threads


def test_a_late_thread_of_a_cancelled_run_gives_its_connection_back(
    look: Look, make_host: MakeHost
) -> None:
    host = make_host(look.in_a_thread, "organization", TIMEOUT=0.1)
    late = [in_background(partial(host.report, f"org_{number}")) for number in range(16)]
    assert {report().available for report in late} == {False}

    look.hang.release()
    for _ in late:
        host.wait_for_teardown()

    assert len(look.sessions) == 16
    assert host.pool.checkedout() == 0
    with host.app.test_request_context():  # as a view of the host's
        assert host.db.session.scalars(select(func.count(Item.id))).one() == 0


def test_a_run_has_an_app_context_of_its_own_and_no_request(
    make_app: MakeApp, health: ConnectorHealth
) -> None:
    seen: list[tuple[object, bool, bool, str]] = []
    torn_down: list[str] = []

    @health.probe("drive")
    def drive() -> bool:
        app = current_app._get_current_object()  # type: ignore[attr-defined]
        seen.append((app, has_request_context(), "user" in g, threading.current_thread().name))
        return True

    app = make_app()
    app.teardown_appcontext(lambda error: torn_down.append(threading.current_thread().name))
    with app.test_request_context():
        g.user = "ann"
        report_of(app)

    [(context_app, in_request, has_user, thread)] = seen
    assert (context_app, in_request, has_user) == (app, False, False)
    assert thread == "connector-health drive"
    assert thread in torn_down


def test_a_teardown_that_raises_fails_the_run(
    make_app: MakeApp, health: ConnectorHealth
) -> None:
    app = make_app()

    @app.teardown_appcontext
    def teardown(error: BaseException | None) -> None:
        raise RuntimeError("connection lost")

    assert report_of(app).status is Status.UNAVAILABLE


def test_a_run_leaves_nothing_in_the_context_of_the_next(
    make_monitor: MakeMonitor, gated: Gated
) -> None:
    tenant = contextvars.ContextVar("tenant", default="nobody")
    seen: list[tuple[int, str]] = []

    def call(organization_id: str) -> t.Any:
        seen.append((threading.get_ident(), tenant.get()))
        tenant.set(organization_id)
        return gated()

    monitor = make_monitor(drive(call, scope="organization", slots=1))
    tenant.set("a request's")

    first = in_background(lambda: monitor.report("org_a"))
    gated.wait_for_start()
    second = in_background(lambda: monitor.report("org_b"))
    eventually(lambda: lane_of(monitor)._queue)
    gated.let_through(2)

    assert first().available
    assert second().available
    [thread] = {thread for thread, _ in seen}
    assert seen == [(thread, "nobody")] * 2


class Left(BaseException):
    """Stand in for the end of a process."""


async def come_back_later(fork: Callable[[], bool]) -> bool:
    return fork()


@pytest.mark.parametrize("is_async", [False, True])
def test_a_forked_child_leaves_before_it_touches_what_is_its_parents(
    make_monitor: MakeMonitor, is_async: bool
) -> None:
    left: list[int] = []
    child = pytest.MonkeyPatch()

    def leave(code: int) -> None:
        left.append(code)
        child.undo()
        raise Left

    def fork() -> bool:
        child.setattr(os, "getpid", lambda: -1)
        child.setattr(os, "_exit", leave)
        return True

    call = functools.partial(come_back_later, fork) if is_async else fork
    monitor = make_monitor(drive(call), DEADLINE=PATIENCE)

    monitor.report()

    assert left == [0]
