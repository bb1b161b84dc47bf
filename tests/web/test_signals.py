"""What the signals tell receivers, how receivers are called, and that none can do harm."""

from __future__ import annotations

import logging
import threading
import typing as t
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from datetime import UTC, datetime
from functools import partial

import pytest
from blinker import NamedSignal
from flask import Flask, current_app, g, has_request_context

from flask_connector_health import (
    ConnectorHealth,
    NotApplicable,
    ProbeDegraded,
    ProbeFailed,
    ProbeFinished,
    Status,
    Transition,
    get_monitor,
    probe_finished,
    verdict_turned,
)
from flask_connector_health.engine.events import NoVerdict, Settled
from flask_connector_health.engine.monitor import Monitor
from flask_connector_health.engine.outcome import Outcome
from flask_connector_health.log import LOGGER
from flask_connector_health.model import ProbeResult
from flask_connector_health.signals import REMINDER, Signals
from tests.clockwork import (
    PATIENCE,
    Clock,
    Gated,
    Told,
    drive,
    engine_of,
    eventually,
    hang,
    is_told,
    report_of,
)
from tests.conftest import PUBLIC, MakeApp, MakeMonitor

OK, DEGRADED, UNAVAILABLE = Status

Receiver = Callable[..., t.Any]
Connect = Callable[..., None]
MakeSender = Callable[..., Monitor]


@pytest.fixture
def connect() -> Iterator[Connect]:
    """Connect a receiver to a signal, until the test is over."""
    with ExitStack() as stack:

        def connect(signal: NamedSignal, receiver: Receiver, **options: Flask) -> None:
            stack.enter_context(signal.connected_to(receiver, **options))

        yield connect


class Hearing:
    """A receiver that keeps what it hears."""

    def __init__(self) -> None:
        self.senders: list[Flask] = []
        self.events: list[t.Any] = []

    def __call__(self, sender: Flask, event: object) -> None:
        self.senders.append(sender)
        self.events.append(event)


@pytest.fixture
def turns(connect: Connect) -> list[Transition]:
    hearing = Hearing()
    connect(verdict_turned, hearing)
    return hearing.events


@pytest.fixture
def runs(connect: Connect) -> list[ProbeFinished]:
    hearing = Hearing()
    connect(probe_finished, hearing)
    return hearing.events


@pytest.fixture
def make_sender(make_monitor: MakeMonitor) -> MakeSender:
    """Make a monitor of a probe "drive" that sends signals, on a clock that the test moves."""

    def make(call: Callable[..., t.Any], **options: t.Any) -> Monitor:
        listeners = [Signals(Flask("host"))]
        probe = drive(call, **{"ttl": 0, **options})
        return make_monitor(probe, listeners=listeners, DEADLINE=PATIENCE)

    return make


def ask(monitor: Monitor, told: Told, *answers: object, key: str | None = None) -> None:
    """Let the probe answer these, and wait until all receivers have heard of it."""
    for answer in answers:
        told.answer = answer
        monitor.report(key)
    is_told(monitor)


# What is sent


def test_a_turn_of_a_verdict_is_sent(
    make_sender: MakeSender, clock: Clock, turns: list[Transition]
) -> None:
    told = Told()
    monitor = make_sender(told, scope="organization", critical=False)

    ask(monitor, told, True, True, ProbeFailed("gone"), False, key="org_a")

    at = datetime.fromtimestamp(clock.time_of_day(), UTC)
    assert turns == [Transition(at, "org_a", "drive", False, OK, UNAVAILABLE, "gone")]


def test_every_run_is_sent_with_its_facts(
    make_sender: MakeSender, clock: Clock, runs: list[ProbeFinished]
) -> None:
    def slow(organization_id: str) -> t.NoReturn:
        clock.advance(0.25)
        raise ProbeDegraded("95 % of the quota used")

    monitor = make_sender(slow, scope="organization", critical=False)
    monitor.report("org_a")
    is_told(monitor)

    assert runs == [
        ProbeFinished(
            at=datetime.fromtimestamp(clock.time_of_day(), UTC),
            organization_id="org_a",
            probe="drive",
            critical=False,
            status=DEGRADED,
            verdict=DEGRADED,
            applicable=True,
            message="95 % of the quota used",
            duration=0.25,
            error=None,
        )
    ]


def test_a_run_is_sent_with_its_own_status_and_with_the_verdict(
    make_sender: MakeSender, runs: list[ProbeFinished], turns: list[Transition]
) -> None:
    told = Told()
    monitor = make_sender(told, failure_threshold=2)

    ask(monitor, told, True, False)

    assert [(run.status, run.verdict) for run in runs] == [(OK, OK), (UNAVAILABLE, OK)]
    assert turns == []


def test_an_exception_is_sent_beside_words_that_callers_may_see(
    make_sender: MakeSender, runs: list[ProbeFinished]
) -> None:
    error = OSError("s3cret")
    told = Told()

    ask(make_sender(told), told, error)

    [run] = runs
    assert run.error is error
    assert run.message == "it raised an exception; search the log for \"probe 'drive'\""


def test_an_answer_that_does_not_apply_is_sent_as_a_run_that_does_not_count(
    make_sender: MakeSender, runs: list[ProbeFinished], turns: list[Transition]
) -> None:
    told = Told()
    monitor = make_sender(told, scope="organization")

    ask(monitor, told, NotApplicable("no Drive connected"), True, key="org_a")

    assert [(run.applicable, run.status, run.verdict, run.message) for run in runs] == [
        (False, OK, OK, "no Drive connected"),
        (True, OK, OK, ""),
    ]
    assert turns == []


def test_an_overdue_run_is_sent_once_with_its_timeout(
    make_sender: MakeSender, clock: Clock, gated: Gated, runs: list[ProbeFinished]
) -> None:
    monitor = make_sender(gated, timeout=5.0)

    hang(monitor, gated, clock)
    gated.let_through()
    is_told(monitor)

    assert [(run.status, run.duration) for run in runs] == [(UNAVAILABLE, 5.0)]


def test_a_run_is_sent_before_the_turn_that_it_made(
    make_sender: MakeSender, connect: Connect
) -> None:
    hearing, told = Hearing(), Told()
    connect(probe_finished, hearing)
    connect(verdict_turned, hearing)

    ask(make_sender(told), told, False)

    assert list(map(type, hearing.events)) == [ProbeFinished, Transition]


# Who hears it


def test_the_sender_is_the_app(make_app: MakeApp, connect: Connect) -> None:
    app, hearing = make_app(), Hearing()
    connect(probe_finished, hearing)

    report_of(app)
    is_told(engine_of(app))

    [sender] = hearing.senders
    assert sender is app


def test_a_receiver_of_one_app_hears_nothing_of_another(
    make_app: MakeApp, connect: Connect
) -> None:
    app, other, hearing = make_app(), make_app(), Hearing()
    connect(probe_finished, hearing, sender=app)

    for each in (other, app):
        report_of(each)
        is_told(engine_of(each))

    assert [sender is app for sender in hearing.senders] == [True]


def test_each_registration_in_an_app_sends_its_own(
    make_app: MakeApp, health: ConnectorHealth, runs: list[ProbeFinished]
) -> None:
    app = make_app()
    app.register_blueprint(health, name="internal", url_prefix="/internal")

    for name in ("connector_health", "internal"):
        get_monitor(app, name).report()
        is_told(get_monitor(app, name))

    assert [run.probe for run in runs] == ["availability"] * 2


def settled(status: Status = UNAVAILABLE) -> Settled:
    ended = {"at": 1_000.0, "time_of_day": 1e9, "duration": 0.1}
    return Settled("drive", None, True, OK, 5.0, status, Outcome(ProbeResult(status)), **ended)


TURN = Transition(datetime.now(UTC), None, "drive", True, OK, UNAVAILABLE, "gone")


@pytest.mark.parametrize("event", [settled(), TURN, NoVerdict("drive", None, True, "busy")])
def test_without_a_receiver_there_is_nothing_to_do(
    connect: Connect, event: Settled | Transition | NoVerdict
) -> None:
    assert Signals(Flask("host"))(event) is None

    other = Flask("other")
    connect(probe_finished, Hearing(), sender=other)
    connect(verdict_turned, Hearing(), sender=other)

    assert Signals(Flask("host"))(event) is None


def test_a_muted_signal_is_not_sent(turns: list[Transition]) -> None:
    with verdict_turned.muted():
        assert Signals(Flask("host"))(TURN) is None


def test_a_receiver_hears_what_happens_while_it_is_connected() -> None:
    """A test of the host's may disconnect it before the background has called it."""
    signals, hearing = Signals(Flask("host")), Hearing()

    with verdict_turned.connected_to(hearing):
        send = signals(TURN)

    assert send is not None
    send()
    assert hearing.events == [TURN]


# How it is called


def test_each_receiver_has_an_app_context_of_its_own_and_no_request(
    make_app: MakeApp, connect: Connect
) -> None:
    seen: list[tuple[Flask, bool, bool]] = []

    def receiver(sender: Flask, event: object) -> None:
        app = t.cast(t.Any, current_app)._get_current_object()
        seen.append((app, has_request_context(), "heard" in g))
        g.heard = True

    def other(sender: Flask, event: object) -> None:
        receiver(sender, event)

    app = make_app()
    connect(probe_finished, receiver)
    connect(probe_finished, other)

    app.test_client().get(PUBLIC)
    is_told(engine_of(app))

    assert seen == [(app, False, False)] * 2


def test_an_async_receiver_is_awaited(make_app: MakeApp, connect: Connect) -> None:
    heard: list[object] = []

    async def receiver(sender: Flask, event: ProbeFinished) -> None:
        heard.append((sender.name, current_app.name, event.probe))

    app = make_app()
    connect(probe_finished, receiver)

    report_of(app)
    is_told(engine_of(app))

    assert heard == [("host", "host", "availability")]


def test_a_receiver_that_blocks_holds_up_neither_answers_nor_the_log(
    make_app: MakeApp,
    health: ConnectorHealth,
    connect: Connect,
    caplog: pytest.LogCaptureFixture,
) -> None:
    blocked, release, ended = threading.Event(), threading.Event(), threading.Event()

    def receiver(sender: Flask, event: object) -> None:
        blocked.set()
        release.wait(PATIENCE)
        ended.set()

    health.add_probe(lambda: False, name="drive")
    app = make_app()
    connect(verdict_turned, receiver)

    assert app.test_client().get(PUBLIC).status_code == 503
    assert blocked.wait(PATIENCE)
    eventually(lambda: caplog.messages)
    assert not ended.is_set()
    release.set()


# If it raises


def raising(sender: Flask, event: object) -> t.NoReturn:
    raise OSError("refused")


def leaving(sender: Flask, event: object) -> t.NoReturn:
    raise SystemExit("refused")


async def dropping(sender: Flask, event: object) -> t.NoReturn:
    raise OSError("refused")


@pytest.mark.parametrize("broken", [raising, leaving, dropping])
def test_a_receiver_that_raises_is_logged_and_harms_nothing(
    make_app: MakeApp,
    connect: Connect,
    caplog: pytest.LogCaptureFixture,
    runs: list[ProbeFinished],
    broken: Receiver,
) -> None:
    """The other receivers hear, whether blinker calls them before this one or after it."""
    others = [Hearing() for _ in range(8)]
    connect(probe_finished, broken)
    for other in others:
        connect(probe_finished, other)
    app = make_app()

    assert report_of(app).status is OK
    is_told(engine_of(app))

    assert [len(each.events) for each in others] == [1] * 8
    [record] = caplog.records
    assert record.name == LOGGER
    assert record.exc_info is not None
    assert str(record.exc_info[1]) == "refused"


def said(caplog: pytest.LogCaptureFixture, receiver: Receiver, event: Transition) -> str:
    """Send an event to a receiver that raises, and give the line about that."""
    with verdict_turned.connected_to(receiver):
        send = Signals(Flask("host"))(event)
    assert send is not None
    send()
    [line] = caplog.messages
    return line


def test_the_line_names_the_signal_the_probe_and_the_receiver(
    caplog: pytest.LogCaptureFixture,
) -> None:
    turn = Transition(TURN.at, "org_a", "drive", True, OK, UNAVAILABLE, "gone")

    assert said(caplog, raising, turn) == (
        "the signal verdict_turned of probe 'drive' of organization 'org_a' was not handled:"
        f" the receiver {__name__}.raising raised OSError: refused"
    )
    [record] = caplog.records
    facts = vars(record)
    assert record.levelno == logging.ERROR
    assert (facts["probe"], facts["organization"]) == ("drive", "org_a")
    assert (facts["status"], facts["reason"]) == (None, "it raised OSError: refused")


class Chat:
    def __call__(self, sender: Flask, event: object) -> t.NoReturn:
        raise OSError("no\nERROR probe 'billing' fails\x1b[31m")

    def tell(self, sender: Flask, event: object) -> t.NoReturn:
        self(sender, event)


@pytest.mark.parametrize(
    ("receiver", "name"),
    [
        (Chat(), "Chat"),
        (Chat().tell, "Chat.tell"),
        (raising, "raising"),
        (partial(partial(raising)), "raising"),
    ],
)
def test_a_receiver_is_named_by_its_module_and_its_own_name(
    caplog: pytest.LogCaptureFixture, receiver: Receiver, name: str
) -> None:
    assert f"the receiver {__name__}.{name} raised OSError" in said(caplog, receiver, TURN)


def test_a_coroutine_that_would_never_run_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    """Flask takes only a function for async, and neither an object nor a wrapper of it."""

    def wrapper(sender: Flask, event: object) -> t.Any:
        return dropping(sender, event)

    assert said(caplog, wrapper, TURN).endswith(
        "wrapper raised TypeError: it returned a coroutine, which is never awaited; connect an"
        " async def function, or let the receiver await it"
    )


def test_the_words_of_a_receiver_are_one_line_of_the_log(
    caplog: pytest.LogCaptureFixture,
) -> None:
    line = said(caplog, Chat(), TURN)

    assert line.endswith("raised OSError: no\\nERROR probe 'billing' fails\\x1b[31m")


def test_an_app_context_that_raises_is_logged_and_harms_no_other_receiver(
    make_app: MakeApp, connect: Connect, caplog: pytest.LogCaptureFixture
) -> None:
    hearings = [Hearing(), Hearing()]
    for hearing in hearings:
        connect(verdict_turned, hearing)
    app = make_app()

    @app.teardown_appcontext
    def tear_down(error: BaseException | None) -> t.NoReturn:
        raise RuntimeError("it cannot be closed")

    send = Signals(app)(TURN)
    assert send is not None
    send()

    assert [len(hearing.events) for hearing in hearings] == [1, 1]
    assert [line.partition(": the ")[2] for line in caplog.messages] == [
        f"receiver {__name__}.Hearing raised RuntimeError: it cannot be closed"
    ] * 2


def test_a_receiver_that_goes_on_raising_is_logged_once_a_minute(
    connect: Connect, caplog: pytest.LogCaptureFixture, clock: Clock
) -> None:
    signals, lines = Signals(Flask("host"), clock.now), []
    connect(probe_finished, raising)
    connect(probe_finished, leaving)

    for seconds in (0.0, REMINDER - 1.0, 1.0, REMINDER):
        clock.advance(seconds)
        send = signals(settled())
        assert send is not None
        send()
        lines.append(len(caplog.records))

    assert lines == [2, 2, 4, 6]  # of two receivers


class Alerts:
    def send(self, sender: object, event: object) -> None:
        raise RuntimeError("it cannot be reached")


def test_of_two_receivers_with_one_name_each_is_logged(
    connect: Connect, caplog: pytest.LogCaptureFixture, clock: Clock
) -> None:
    """An alert that nobody hears of is what the line is for."""
    signals, chat, pager = Signals(Flask("host"), clock.now), Alerts(), Alerts()
    connect(probe_finished, chat.send)
    connect(probe_finished, pager.send)

    for _ in range(2):
        send = signals(settled())
        assert send is not None
        send()

    assert len(caplog.records) == 2
