"""What is done in the background: in order, bounded, and never lost on account of another."""

from __future__ import annotations

import contextvars
import functools
import threading

import pytest

from flask_connector_health.engine.background import Background
from flask_connector_health.engine.threads import Threads

from .clockwork import PATIENCE, engine_threads, eventually, refusing

CALLS = 1_000


@pytest.fixture
def background() -> Background:
    return Background("background", Threads(), CALLS)


def test_calls_behind_one_that_blocks_are_bounded(background: Background) -> None:
    made: list[int] = []
    release = threading.Event()
    background.do(lambda: release.wait(PATIENCE))
    eventually(lambda: not background._calls)

    for number in range(CALLS + 10):
        background.do(functools.partial(made.append, number))
    release.set()
    eventually(lambda: not engine_threads("background"))

    assert made == list(range(10, CALLS + 10))


def test_calls_are_made_in_their_order(background: Background) -> None:
    made: list[int] = []

    for number in range(CALLS):
        background.do(functools.partial(made.append, number))

    eventually(lambda: len(made) == CALLS)
    assert made == list(range(CALLS))


def test_a_call_that_raises_costs_no_other(background: Background) -> None:
    made: list[int] = []

    background.do(lambda: 1 / 0)
    background.do(lambda: made.append(1))

    eventually(lambda: made == [1])


def test_without_a_thread_it_says_so_and_its_caller_may_do_the_work(
    background: Background, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[str] = []
    monkeypatch.setattr(threading.Thread, "start", refusing(threading.Event()))

    assert not background.do(lambda: made.append(threading.current_thread().name))
    background.work()

    assert made == [threading.current_thread().name]


def test_a_call_sees_nothing_of_its_callers_context_or_the_call_before(
    background: Background,
) -> None:
    request = contextvars.ContextVar("request", default="none")
    seen: list[str] = []
    request.set("a request")

    def call() -> None:
        seen.append(request.get())
        request.set("a call's")

    background.do(call)
    background.do(call)

    eventually(lambda: seen == ["none", "none"])
