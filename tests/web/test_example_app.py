"""The example app, in process: its state is real, and its answers follow it."""

from __future__ import annotations

import pathlib
import sqlite3
import threading
from contextlib import closing

import pytest
from flask import Flask
from werkzeug.test import TestResponse

from example_app import create_app
from tests.clockwork import eventually
from tests.conftest import PUBLIC, SCOPED

XYZ = SCOPED
ABC = SCOPED.replace("xyz789", "abc123")


@pytest.fixture
def database(tmp_path: pathlib.Path) -> pathlib.Path:
    return tmp_path / "new" / "folder" / "example.sqlite3"


@pytest.fixture
def app(database: pathlib.Path) -> Flask:
    return make(database)


def make(database: pathlib.Path) -> Flask:
    return create_app({"DATABASE": database})


def ask(app: Flask, path: str = PUBLIC, token: str | None = None) -> TestResponse:
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    return app.test_client().get(path, headers=headers)


def status(app: Flask, path: str = PUBLIC, token: str | None = None) -> str:
    return str(ask(app, path, token).get_json()["status"])


def switch(app: Flask, *arguments: str) -> str:
    result = app.test_cli_runner().invoke(args=["connector", *arguments])
    return str(result.output)


def test_it_is_available_as_seeded(app: Flask) -> None:
    assert status(app) == status(app, XYZ, "xyz-token") == "ok"


def test_an_organization_that_waits_for_its_first_sync_is_degraded(app: Flask) -> None:
    assert status(app, ABC, "abc-token") == "degraded"


def test_an_api_key_does_as_well(app: Flask) -> None:
    response = app.test_client().get(XYZ, headers={"X-API-Key": "xyz-key"})

    assert response.status_code == 200


@pytest.mark.parametrize("token", [None, "wrong", "xyz-key", "abc-key"])
def test_anything_else_is_refused(app: Flask, token: str | None) -> None:
    assert ask(app, XYZ, token).status_code == 401


def test_organizations_see_themselves_alone(app: Flask) -> None:
    assert ask(app, ABC, "xyz-token").status_code == 403


def test_a_connector_off_for_one_organization_degrades_that_one(app: Flask) -> None:
    assert switch(app, "off", "notion", "--organization", "org_xyz789") == (
        "notion of org_xyz789 is off\n"
    )

    assert status(app, XYZ, "xyz-token") == "degraded"
    assert status(app) == "ok"


def test_a_connector_off_for_everybody_degrades_the_service(app: Flask) -> None:
    switch(app, "off", "notion")

    assert status(app) == "degraded"


def test_an_organization_without_a_connector_is_unavailable(app: Flask) -> None:
    switch(app, "off", "google-drive")
    switch(app, "off", "notion", "--organization", "org_xyz789")

    assert ask(app, XYZ, "xyz-token").status_code == 503
    assert status(app, ABC, "abc-token") == "degraded"


def test_a_service_without_a_connector_is_unavailable_for_everybody(app: Flask) -> None:
    for name in ("google-drive", "notion", "postgres"):
        switch(app, "off", name)

    assert ask(app).status_code == 503
    assert ask(app, ABC, "abc-token").status_code == 503


def test_switching_on_again_mends_it(app: Flask) -> None:
    switch(app, "off", "notion")

    assert switch(app, "on", "notion") == (
        "notion of org_abc123 is on\nnotion of org_xyz789 is on\n"
    )
    assert status(app) == "ok"


def test_an_unknown_connector_cannot_be_switched(app: Flask) -> None:
    assert switch(app, "off", "junk") == "Error: no such connector: junk\n"


def test_a_second_start_keeps_the_state(app: Flask, database: pathlib.Path) -> None:
    switch(app, "off", "notion")

    assert status(make(database)) == "degraded"


def test_a_second_start_brings_nothing_back(app: Flask, database: pathlib.Path) -> None:
    with closing(sqlite3.connect(database)) as connection, connection:
        connection.execute("DELETE FROM credential")

    assert ask(make(database), XYZ, "xyz-token").status_code == 401


def test_workers_may_start_at_once(database: pathlib.Path) -> None:
    starts = [threading.Thread(target=make, args=[database]) for _ in range(8)]
    for start in starts:
        start.start()
    for start in starts:
        start.join()

    assert status(make(database)) == "ok"


def test_a_lost_database_is_unavailable_and_no_secret(
    app: Flask, database: pathlib.Path, caplog: pytest.LogCaptureFixture
) -> None:
    with closing(sqlite3.connect(database)) as connection:
        connection.execute("DROP TABLE connector")

    response = ask(app)

    assert response.data == b'{"status": "unavailable", "available": false}'
    eventually(lambda: "no such table: connector" in caplog.text)


def test_credentials_are_kept_as_digests_alone(app: Flask, database: pathlib.Path) -> None:
    content = database.read_bytes()

    assert b"xyz-token" not in content
    assert b"abc-key" not in content


def test_the_environment_configures_it(
    database: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FLASK_CONNECTOR_HEALTH_UNAVAILABLE_STATUS_CODE", "200")
    app = make(database)
    for name in ("google-drive", "notion", "postgres"):
        switch(app, "off", name)

    assert ask(app).status_code == 200


def test_the_environment_says_where_the_database_is(
    database: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FLASK_DATABASE", str(database))

    create_app()

    assert database.exists()


def test_the_database_lives_in_the_instance_folder(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Flask, "auto_find_instance_path", lambda app: str(tmp_path / "own"))

    create_app()

    assert (tmp_path / "own" / "example.sqlite3").exists()
