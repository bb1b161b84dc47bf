"""The current process: one for each process of the system, and one to ask anew for a while."""

from __future__ import annotations

import typing as t

import pytest

from flask_connector_health import Status
from flask_connector_health.engine.events import Event
from flask_connector_health.engine.process import Process
from tests.clockwork import Told, drive
from tests.conftest import MakeMonitor


def test_who_makes_a_process_too_late_takes_the_one_that_was_made(
    make_monitor: MakeMonitor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monitor = make_monitor(drive(Told()))
    current, first = monitor._current, []
    make = current._make

    def make_late(*arguments: t.Any) -> Process:
        monkeypatch.setattr(current, "_make", make)
        first.append(monitor._current())
        return make(*arguments)

    monkeypatch.setattr(current, "_make", make_late)

    assert [monitor._current(), monitor._current()] == first * 2


def test_for_a_while_others_hear_and_nothing_is_known(make_monitor: MakeMonitor) -> None:
    usual, own = list[Event](), list[Event]()
    told = Told()
    monitor = make_monitor(drive(told), listeners=[usual.append], TTL=300.0)
    monitor.status()
    heard = len(usual)

    with monitor.heard_by(own.append):
        told.answer = False
        assert monitor.status() is Status.UNAVAILABLE

    assert len(usual) == heard
    assert own
    assert monitor.status() is Status.OK
    assert told.runs == 2


def test_afterwards_the_usual_listeners_hear_again(make_monitor: MakeMonitor) -> None:
    usual = list[Event]()
    monitor = make_monitor(drive(Told()), listeners=[usual.append])

    with monitor.heard_by():
        monitor.status()
    assert usual == []
    monitor.status()

    assert usual
