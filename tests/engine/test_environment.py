"""The environment: which process this is, and which clock and chance it has."""

from __future__ import annotations

import contextlib
import random
import time

import pytest

from flask_connector_health.engine import environment
from flask_connector_health.engine.environment import Environment


def test_a_process_that_has_forked_from_another_is_not_that_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(environment, "_forks", environment._forks)
    before = environment.this_process()

    environment._count_fork()

    assert environment.this_process() != before
    assert environment.this_process()[0] == before[0]


def test_time_is_monotonic_and_chance_is_from_0_to_1() -> None:
    defaults = Environment(contextlib.nullcontext)

    assert defaults.clock.now is time.monotonic
    assert defaults.jitter is random.random
