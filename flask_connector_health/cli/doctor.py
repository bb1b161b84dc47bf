"""``flask connector-health doctor``: compare the configuration with reality."""

from __future__ import annotations

import os
from contextlib import suppress

import click
from flask import Flask

from flask_connector_health.blueprint import monitors_of
from flask_connector_health.engine.details import ProbeDetail
from flask_connector_health.engine.monitor import Monitor
from flask_connector_health.lines import printable
from flask_connector_health.probes.policy import Policy

from .app import Seconds, check_organization, load, options, print_json
from .check import SPARE
from .findings import examine
from .scene import Scene


@click.command()
@click.option(
    "--organization", metavar="ID", help="Also run the probes of organizations, for this one."
)
@click.option(
    "--organizations",
    type=click.IntRange(min=1),
    metavar="NUMBER",
    help="How many organizations are asked about. Needs --organization.",
)
@click.option(
    "--every",
    type=Seconds(),
    help="The pause between two requests about the same organization, or about the service.",
)
@click.option(
    "--workers", type=click.IntRange(min=1), help="How many processes the server has."
)
@options
def doctor(
    organization: str | None,
    organizations: int | None,
    every: float | None,
    workers: int | None,
    as_json: bool,
    name: str | None,
) -> None:
    """Compare the configuration with reality, and say what to change.

    It runs the probes of the service, and measures that. Exits with 1 if it finds something,
    and with 2 if it cannot look.
    """
    if organizations is not None and organization is None:
        raise click.UsageError(
            "--organizations needs --organization, whose probes are measured"
        )
    app, monitor = load(name)
    check_organization(monitor, organization)
    with monitor.heard_by():
        scene = Scene(
            settings=monitor.settings,
            probes=monitor.probes,
            groups=monitor.groups,
            details=_measured(monitor, organization),
            code=None if monitor.settings.fast_path else _code(app, monitor),
            details_open=_lets_strangers_in(app, monitor, organization),
            every=every,
            organizations=organizations,
            workers=workers,
            environment=os.environ,
        )
    findings = examine(scene)
    if as_json:
        print_json([finding._asdict() for finding in findings])
    elif not findings:
        click.echo("nothing found")
    for finding in findings if not as_json else ():
        click.echo(f"{click.style(finding.name, bold=True)}: {printable(finding.text)}")
        click.echo(f"  remedy: {finding.remedy}")
    click.get_current_context().exit(int(bool(findings)))


def _measured(monitor: Monitor, organization_id: str | None) -> tuple[ProbeDetail, ...]:
    """Run the service's probes, and an organization's, and say how long each run took."""
    policies = [Policy.of(probe, monitor.settings) for probe in monitor.probes]
    within = max(policy.timeout for policy in policies) + SPARE
    monitor.report(organization_id, within=within)
    own = () if organization_id is None else monitor.details(organization_id).probes
    return monitor.details().probes + own


def _code(app: Flask, monitor: Monitor) -> int | None:
    """Give the code of the public route's answer to a prober that asks by an IP address."""
    [name] = [name for name, each in monitors_of(app).items() if each is monitor]
    [rule] = app.url_map.iter_rules(f"{name}.service")
    if app.url_map.host_matching or rule.arguments or rule.subdomain:
        return None
    try:
        return app.test_client().get(rule.rule, base_url="http://127.0.0.1:8000").status_code
    except Exception:  # noqa: BLE001 - a hook of the host's may raise, as in tests and debug mode
        return None


def _lets_strangers_in(app: Flask, monitor: Monitor, organization_id: str | None) -> bool:
    """Ask the authorizer of the details about a principal that it cannot know."""
    authorize = monitor.settings.authorize_details
    if authorize is None:
        return False
    for asked in {None, organization_id}:
        # It may not know what to do with a stranger.
        with suppress(Exception), app.test_request_context():
            if app.ensure_sync(authorize)(object(), asked):
                return True
    return False
