"""The service's state, in SQLite: organizations, their credentials, and their connectors."""

from __future__ import annotations

import hashlib
import pathlib
import sqlite3
import typing as t
from contextlib import closing

from flask import current_app

TABLES = [
    "CREATE TABLE organization (id TEXT PRIMARY KEY)",
    """CREATE TABLE credential (
        digest TEXT PRIMARY KEY,
        kind TEXT NOT NULL CHECK (kind IN ('token', 'api_key')),
        organization_id TEXT REFERENCES organization -- NULL: an operator of this service
    )""",
    """CREATE TABLE connector (
        organization_id TEXT NOT NULL REFERENCES organization,
        name TEXT NOT NULL,
        enabled INTEGER NOT NULL DEFAULT 1,
        last_sync TEXT,
        PRIMARY KEY (organization_id, name)
    )""",
]

# Made up, and the same for everybody who tries this example. Real ones come from
# secrets.token_urlsafe(), are shown once, and are kept as digests only, as here.
CREDENTIALS = [
    ("xyz-token", "token", "org_xyz789"),
    ("xyz-key", "api_key", "org_xyz789"),
    ("abc-token", "token", "org_abc123"),
    ("abc-key", "api_key", "org_abc123"),
    ("ops-token", "token", None),
]
CONNECTORS = [
    ("org_xyz789", "google-drive", "2026-01-01T09:00:00Z"),
    ("org_xyz789", "notion", "2026-01-01T09:05:00Z"),
    ("org_abc123", "notion", "2026-01-01T09:10:00Z"),
    ("org_abc123", "postgres", None),  # its first sync has not finished
]


def create(path: pathlib.Path | str) -> None:
    """Make and fill the database where there is none; several workers may start at once."""
    pathlib.Path(path).parent.mkdir(parents=True, exist_ok=True)
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("BEGIN IMMEDIATE")  # one worker at a time, and all of it or nothing
        if connection.execute("SELECT 1 FROM sqlite_master").fetchone() is None:
            _fill(connection)
        connection.execute("COMMIT")


def digest(secret: str) -> str:
    """Hash a credential. It is long and random, so a fast hash is safe, and no salt needed."""
    return hashlib.sha256(secret.encode()).hexdigest()


def query(sql: str, *values: object) -> list[tuple[t.Any, ...]]:
    """Run one statement in a transaction of its own, and return its rows."""
    # The timeout ends a wait for another process's lock well before a probe's own limit.
    path = current_app.config["DATABASE"]
    with closing(sqlite3.connect(path, timeout=0.5)) as connection, connection:
        return connection.execute(sql, values).fetchall()


def _fill(connection: sqlite3.Connection) -> None:
    for table in TABLES:
        connection.execute(table)
    connection.executemany(
        "INSERT INTO organization VALUES (?)",
        {(organization_id,) for organization_id, _, _ in CONNECTORS},
    )
    connection.executemany(
        "INSERT INTO credential VALUES (?, ?, ?)",
        [(digest(secret), kind, owner) for secret, kind, owner in CREDENTIALS],
    )
    connection.executemany(
        "INSERT INTO connector (organization_id, name, last_sync) VALUES (?, ?, ?)", CONNECTORS
    )
