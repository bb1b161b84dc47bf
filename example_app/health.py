"""What this service tells flask_connector_health: who calls, who may see what, what works."""

from __future__ import annotations

import asyncio

from flask_connector_health import ConnectorHealth, NotApplicable, ProbeDegraded

from .database import digest, query

health = ConnectorHealth()

# The principal of those who look after the whole service.
OPERATOR = "operator"


def verify_token(token: str) -> str | None:
    """Return whom a Bearer token belongs to: an organization, or an operator."""
    return _owner("token", token)


def verify_api_key(key: str) -> str | None:
    """Return whom an API key belongs to."""
    return _owner("api_key", key)


def may_see(principal: str, organization_id: str | None) -> bool:
    """Let every organization see itself alone, and let operators see everything.

    Details of the whole service, for which the id is ``None``, are for operators alone.
    """
    return principal in (organization_id, OPERATOR)


def connectors_available(organization_id: str | None) -> bool:
    """Tell whether any connector is on: of this organization, or of the whole service."""
    rows = query(
        "SELECT 1 FROM connector"
        " WHERE enabled AND organization_id = coalesce(?, organization_id)",
        organization_id,
    )
    return bool(rows)


@health.probe("database", timeout=1.0, tags=["own"])
def database() -> bool:
    """Tell whether this instance can use its database."""
    return query("SELECT 1") == [(1,)]


@health.probe("integrations", critical=False)
def integrations() -> bool:
    """Degrade the service where a connector is off for everybody who has it."""
    off = query(
        "SELECT name FROM connector GROUP BY name HAVING NOT max(enabled) ORDER BY name"
    )
    return _none(off, "off for every organization")


class Connector:
    """Degrade an organization whose connector of this name is off."""

    def __init__(self, name: str) -> None:
        self.name = name

    def __call__(self, organization_id: str) -> bool | NotApplicable:
        """Look at the organization's own connector, if it has one."""
        rows = query(
            "SELECT enabled FROM connector WHERE organization_id = ? AND name = ?",
            organization_id,
            self.name,
        )
        if not rows:
            return NotApplicable(f"no {self.name} connected")
        if rows != [(1,)]:
            raise ProbeDegraded("it is switched off")
        return True


for name in ("google-drive", "notion", "postgres"):
    health.add_probe(Connector(name), scope="organization", critical=False)


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
    return (rows[0][0] or OPERATOR) if rows else None


def _none(rows: list[tuple[str]], state: str) -> bool:
    if rows:
        raise ProbeDegraded(f"{', '.join(name for (name,) in rows)}: {state}")
    return True
