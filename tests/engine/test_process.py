"""The part of a process: a child makes its own. Real forks are in servers/test_processes.py."""

from __future__ import annotations

import os

import pytest

from flask_connector_health.probes.spec import Probe
from tests.clockwork import Told, drive
from tests.conftest import MakeMonitor


def test_another_process_begins_anew_with_the_results_of_its_parent(
    make_monitor: MakeMonitor, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A forked child makes threads and locks of its own, and takes the results over."""
    service, own = Told(), Told()
    monitor = make_monitor(drive(service), Probe(name="own", call=own, scope="organization"))
    monitor.report("org_a")
    parent = monitor._current()

    monkeypatch.setattr(os, "getpid", lambda: -1)

    assert monitor.report("org_a").available
    assert monitor._current() is not parent
    assert (service.runs, own.runs) == (1, 1)
