"""The environment: which process this is, and which clock and chance it has."""

from __future__ import annotations

import contextlib
import time

import pytest

from flask_connector_health.engine import environment
from flask_connector_health.engine.environment import Clock, Environment


def test_a_process_that_has_forked_from_another_is_not_that_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(environment, "_forks", environment._forks)
    before = environment.this_process()

    environment._count_fork()

    assert environment.this_process() != before
    assert environment.this_process()[0] == before[0]


def test_the_clock_is_monotonic() -> None:
    assert Clock().now is time.monotonic


def test_chance_is_from_0_to_1() -> None:
    jitter = Environment(contextlib.nullcontext).jitter

    found = [jitter() for _ in range(100)]

    assert len(set(found)) > 1
    assert 0.0 <= min(found) <= max(found) <= 1.0
