"""``flask --app example_app connector on|off NAME``: break a connector, and mend it."""

from __future__ import annotations

import click
from flask.cli import AppGroup

from .database import query

connector = AppGroup("connector", help="Switch a connector off and on.")


@connector.command()
@click.argument("name")
@click.option("--organization", help="Only this organization's; by default everybody's.")
def off(name: str, organization: str | None) -> None:
    """Switch a connector off."""
    _switch(name, organization, enabled=False)


@connector.command()
@click.argument("name")
@click.option("--organization", help="Only this organization's; by default everybody's.")
def on(name: str, organization: str | None) -> None:
    """Switch a connector on."""
    _switch(name, organization, enabled=True)


def _switch(name: str, organization: str | None, *, enabled: bool) -> None:
    rows = query(
        "UPDATE connector SET enabled = ?"
        " WHERE name = ? AND organization_id = coalesce(?, organization_id)"
        " RETURNING organization_id",
        enabled,
        name,
        organization,
    )
    if not rows:
        raise click.ClickException(f"no such connector: {name}")
    for (owner,) in sorted(rows):
        click.echo(f"{name} of {owner} is {'on' if enabled else 'off'}")
