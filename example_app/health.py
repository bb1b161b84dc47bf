"""What this service tells flask_connector_health: who calls, who may see what, what works."""

from __future__ import annotations

import asyncio

from flask_connector_health import ConnectorHealth, ProbeDegraded

from .database import digest, query

health = ConnectorHealth()


def verify_token(token: str) -> str | None:
    """Return the organization that a Bearer token belongs to: our principal."""
    return _owner("token", token)


def verify_api_key(key: str) -> str | None:
    """Return the organization that an API key belongs to."""
    return _owner("api_key", key)


def may_see(principal: str, organization_id: str) -> bool:
    """Let every organization see itself alone."""
    return principal == organization_id


def connectors_available(organization_id: str | None) -> bool:
    """Tell whether any connector is on: of this organization, or of the whole service."""
    rows = query(
        "SELECT 1 FROM connector"
        " WHERE enabled AND organization_id = coalesce(?, organization_id)",
        organization_id,
    )
    return bool(rows)


@health.probe("integrations", critical=False)
def integrations() -> bool:
    """Degrade the service where a connector is off for everybody who has it."""
    off = query(
        "SELECT name FROM connector GROUP BY name HAVING NOT max(enabled) ORDER BY name"
    )
    return _none(off, "off for every organization")


@health.probe("connectors", scope="organization", critical=False)
def connectors(organization_id: str) -> bool:
    """Degrade an organization that has a connector switched off."""
    off = query(
        "SELECT name FROM connector WHERE organization_id = ? AND NOT enabled ORDER BY name",
        organization_id,
    )
    return _none(off, "switched off")


@health.probe("first-sync", scope="organization", critical=False)
async def first_sync(organization_id: str) -> bool:
    """Degrade an organization that waits for a connector's first sync."""
    waiting = await asyncio.to_thread(
        query,
        "SELECT name FROM connector WHERE organization_id = ? AND last_sync IS NULL",
        organization_id,
    )
    return _none(waiting, "not synced yet")


def _owner(kind: str, secret: str) -> str | None:
    # A look-up by digest leaks nothing of the credential through its timing.
    rows = query(
        "SELECT organization_id FROM credential WHERE digest = ? AND kind = ?",
        digest(secret),
        kind,
    )
    return rows[0][0] if rows else None


def _none(rows: list[tuple[str]], state: str) -> bool:
    if rows:
        raise ProbeDegraded(f"{', '.join(name for (name,) in rows)}: {state}")
    return True
