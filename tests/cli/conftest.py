"""Run commands on an app in this process."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from click.testing import Result
from flask import Flask

from flask_connector_health.cli import commands

Run = Callable[..., Result]


@pytest.fixture
def run() -> Run:
    """Run a command as ``flask connector-health`` does, with the app that is given."""

    def invoke(app: Flask, *arguments: str) -> Result:
        return app.test_cli_runner().invoke(commands, arguments)

    return invoke
