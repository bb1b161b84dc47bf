"""``flask connector-health doctor``: compare the configuration with reality."""

from __future__ import annotations

import os
from contextlib import suppress

import click
from flask import Flask

from flask_connector_health.auth import Guard
from flask_connector_health.blueprint import monitors_of
from flask_connector_health.engine.monitor import Monitor
from flask_connector_health.engine.outcome import overdue
from flask_connector_health.lines import printable
from flask_connector_health.probes.policy import Policy
from flask_connector_health.settings import Settings

from .app import Seconds, check_organization, load, options, print_json, quiet
from .findings import examine
from .heard import Heard, patience
from .scene import Run, Scene

# An organization of which the authorizer should know nothing.
SOMEBODY = "org_doctor"


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

    It runs the probes of the service twice, and measures the second run. Exits with 1 if it
    finds something, and with 2 if it cannot look.
    """
    if organizations is not None and organization is None:
        raise click.UsageError(
            "--organizations needs --organization, whose probes are measured"
        )
    app, monitor = load(name)
    check_organization(monitor, organization)
    heard = Heard(for_people=not as_json)
    with quiet(), monitor.heard_by(heard.hear):
        for _ in range(2):  # the first run of a probe may open its connection
            monitor.forget()
            monitor.report(organization, within=patience(monitor))
        scene = Scene(
            settings=monitor.settings,
            probes=monitor.probes,
            groups=monitor.groups,
            runs=_measured(monitor, heard),
            code=None if monitor.settings.fast_path else _code(app, monitor),
            details_open=_lets_strangers_in(app, monitor.settings, organization),
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


def _measured(monitor: Monitor, heard: Heard) -> list[Run]:
    """Say of each probe that has run what its run has found, and how long that took."""
    runs = []
    for probe in monitor.probes:
        event = heard.runs.get((probe.name, probe.scope))
        if event is not None:
            result = event.outcome.result
            words = heard.words(probe.name, probe.scope, result.message)
            policy = Policy.of(probe, monitor.settings)
            late = event.outcome == overdue(policy.timeout)
            runs.append(Run(probe, policy, result.status, words, event.duration, late))
    return runs


def _code(app: Flask, monitor: Monitor) -> int | None:
    """Give the code of the public route's answer to a prober that asks by an IP address."""
    [name] = [name for name, each in monitors_of(app).items() if each is monitor]
    [rule] = app.url_map.iter_rules(f"{name}.service")
    if app.url_map.host_matching or rule.arguments or rule.subdomain:
        return None
    try:
        return app.test_client().get(rule.rule, base_url="http://127.0.0.1:8000").status_code
    except Exception:  # noqa: BLE001 - Flask lets it out in tests and in debug mode
        return 500


def _lets_strangers_in(app: Flask, settings: Settings, organization_id: str | None) -> bool:
    """Ask the authorizer of the details about a principal that it cannot know."""
    if settings.authorize_details is None:
        return False
    guard = Guard(app, settings)
    made_up = SOMEBODY if settings.is_organization(SOMEBODY) else None
    for asked in {None, organization_id or made_up}:
        # It refuses by an exception, and may not know what to do with a stranger.
        with suppress(Exception), app.test_request_context():
            guard.authorize_details(object(), asked)
            return True
    return False
