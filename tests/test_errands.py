"""Errands: in order, bounded, and never lost on account of another."""

from __future__ import annotations

import functools
import threading
import time

import pytest

from flask_connector_health.engine import errands as errands_module
from flask_connector_health.engine.errands import CALLS, Errands

from .clockwork import (
    PATIENCE,
    engine_threads,
    eventually,
    refusing,
)


def test_calls_behind_one_that_blocks_are_bounded() -> None:
    made: list[int] = []
    release = threading.Event()
    errands = Errands("errands")
    errands.do(lambda: release.wait(PATIENCE))
    eventually(lambda: not errands._calls)

    for number in range(CALLS + 10):
        errands.do(functools.partial(made.append, number))
    release.set()
    eventually(lambda: not engine_threads("errands"))

    assert made == list(range(10, CALLS + 10))


def test_a_call_that_raises_costs_no_other() -> None:
    made: list[int] = []
    errands = Errands("errands")

    errands.do(lambda: 1 / 0)
    errands.do(lambda: made.append(1))

    eventually(lambda: made == [1])


def test_a_call_wakes_the_thread_that_waits_for_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(errands_module, "IDLE", 0.5)
    errands = Errands("errands")
    began = time.monotonic()

    for number in range(10):
        made: list[int] = []
        errands.do(functools.partial(made.append, number))
        eventually(lambda made=made: made)  # type: ignore[misc]

    assert time.monotonic() - began < 2.5


def test_a_call_that_found_no_thread_is_made_with_the_next(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    made: list[str] = []
    errands = Errands("errands")
    with monkeypatch.context() as patch:
        patch.setattr(
            threading.Thread, "start", refusing("connector-health errands", threading.Event())
        )
        errands.do(lambda: made.append("first"))

    errands.do(lambda: made.append("second"))

    eventually(lambda: made == ["first", "second"])
