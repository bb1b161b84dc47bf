"""``drain`` and ``undrain``: the file, and what is said about it."""

from __future__ import annotations

import json
import os
import pathlib
import sys

import pytest
from flask import Flask

from tests.conftest import PUBLIC, MakeApp

from .conftest import Run


@pytest.fixture
def file(tmp_path: pathlib.Path) -> pathlib.Path:
    return tmp_path / "drain"


@pytest.fixture
def app(make_app: MakeApp, file: pathlib.Path) -> Flask:
    return make_app(DRAIN_FILE=file, GROUPS={"live": [], "ready": ["availability"]})


def codes(app: Flask) -> list[int]:
    client = app.test_client()
    return [client.get(f"{PUBLIC}/{group}").status_code for group in ("live", "ready")]


def test_they_take_an_instance_out_of_use_and_back(
    run: Run, app: Flask, file: pathlib.Path
) -> None:
    assert codes(app) == [200, 200]

    assert run(app, "drain").output == f"draining: {file} is there\n"
    assert codes(app) == [200, 503]

    assert run(app, "undrain").output == f"not draining: {file} is removed\n"
    assert codes(app) == [200, 200]


def test_both_may_be_repeated(run: Run, app: Flask, file: pathlib.Path) -> None:
    assert [run(app, "drain").exit_code for _ in range(2)] == [0, 0]
    assert [run(app, "undrain").exit_code for _ in range(2)] == [0, 0]
    assert run(app, "undrain").output == f"not draining: {file} was not there\n"


def test_drain_returns_so_long_after_the_file_is_there(
    run: Run, app: Flask, file: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    waited = []
    module = sys.modules["flask_connector_health.cli.drain"]
    monkeypatch.setattr(
        module, "sleep", lambda seconds: waited.append((seconds, file.exists()))
    )

    run(app, "drain", "--wait", "2.5")

    assert waited == [(2.5, True)]


def test_json_says_whether_it_drains(run: Run, app: Flask) -> None:
    assert json.loads(run(app, "drain", "--json").output) == {"draining": True}
    assert json.loads(run(app, "undrain", "--json").output) == {"draining": False}


@pytest.mark.parametrize("command", ["drain", "undrain"])
def test_without_a_file_they_say_which_key_to_set(
    run: Run, make_app: MakeApp, command: str
) -> None:
    result = run(make_app(), command)

    assert result.exit_code == 2
    assert "CONNECTOR_HEALTH_DRAIN_FILE is not set (NoneType): set it to" in result.output


def test_a_folder_that_is_not_there_is_named(
    run: Run, make_app: MakeApp, tmp_path: pathlib.Path
) -> None:
    file = tmp_path / "run" / "drain"

    app = make_app(DRAIN_FILE=str(file), GROUPS={"ready": ["availability"]})

    result = run(app, "drain")

    assert result.exit_code == 1
    assert f"the file {file} cannot be made (No such file or directory)" in result.output
    assert os.listdir(tmp_path) == []


def test_a_file_that_cannot_be_looked_at_is_named(
    run: Run, make_app: MakeApp, tmp_path: pathlib.Path
) -> None:
    app = make_app(DRAIN_FILE=str(tmp_path / ("d" * 300)), GROUPS={"ready": ["availability"]})

    result = run(app, "undrain")

    assert result.exit_code == 1
    assert "cannot be removed (File name too long)" in result.output


def test_a_file_that_cannot_be_removed_is_named(
    run: Run, app: Flask, file: pathlib.Path
) -> None:
    file.mkdir()

    result = run(app, "undrain")

    assert result.exit_code == 1
    assert f"the file {file} cannot be removed" in result.output
