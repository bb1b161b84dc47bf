"""``flask connector-health check``: run the probes here, and exit by what they find."""

from __future__ import annotations

import dataclasses
import typing as t
from time import monotonic, sleep

import click

from flask_connector_health.engine.monitor import Monitor
from flask_connector_health.lines import printable
from flask_connector_health.model import Status
from flask_connector_health.probes.groups import LIVE
from flask_connector_health.report import Report, ReportedResult

from . import nagios
from .app import Seconds, check_organization, in_colour, load, options, print_json, quiet
from .heard import Heard, patience

# Seconds between two tries.
INTERVAL = 1.0


class CheckCommand(click.Command):
    """Prints one line for Nagios, and exits with 3, if nothing can be asked."""

    def make_context(
        self, info_name: str | None, args: list[str], *others: t.Any, **extra: t.Any
    ) -> click.Context:
        """Read the arguments."""
        given = [*args]  # reading uses them up
        try:
            return super().make_context(info_name, args, *others, **extra)
        except click.UsageError as error:
            if nagios.OPTION in given:
                nagios.exit_unknown(error)
            raise

    def invoke(self, ctx: click.Context) -> t.Any:
        """Run the command."""
        try:
            return super().invoke(ctx)
        except click.ClickException as error:
            if ctx.params["as_plugin"]:
                nagios.exit_unknown(error)
            raise


@click.command(cls=CheckCommand)
@click.option("--organization", metavar="ID", help="Ask about this organization.")
@click.option("--group", help="Ask about this group of the service's probes.")
@click.option(
    "--wait",
    type=Seconds(),
    default=0.0,
    help="Ask again until the exit code would be 0, and begin no try after so long.",
)
@click.option(
    "--fail-on",
    type=click.Choice([Status.DEGRADED.value, Status.UNAVAILABLE.value]),
    default=Status.UNAVAILABLE.value,
    show_default=True,
    help="From which status on to exit with 1.",
)
@click.option(
    nagios.OPTION,
    "as_plugin",
    is_flag=True,
    help="Print one line with performance data. Exit with 0 (ok), 1 (degraded), 2 (unavailable)"
    " or 3 (nothing could be asked).",
)
@options
def check(
    organization: str | None,
    group: str | None,
    wait: float,
    fail_on: str,
    as_plugin: bool,
    as_json: bool,
    name: str | None,
) -> None:
    """Run the probes in this process, and exit with 0 if all is available.

    Exits with 1 if it is not, and with 2 if nothing could be asked. It waits for the timeouts
    of the probes and not for the deadline of requests, since it always starts without results.

    It does not ask the running worker. For that, ask the route of the details:
    /v1/knowledge/connectors/health/details.

    The app's log and signals hear nothing of this command. What a probe raises is in the lines
    for people alone, and not in JSON or in the line for Nagios.
    """
    if as_plugin and as_json:
        raise click.UsageError("--nagios and --json exclude each other")
    _, monitor = load(name)
    check_organization(monitor, organization)
    worst_allowed = Status.OK if as_plugin or fail_on == Status.DEGRADED else Status.DEGRADED
    heard = Heard(for_people=not (as_plugin or as_json))
    until = monotonic() + wait
    with quiet(), monitor.heard_by(heard.hear):
        while True:
            began = monotonic()
            report = _ask(monitor, organization, group)
            took = monotonic() - began
            if report.status <= worst_allowed or (left := until - monotonic()) <= 0:
                break
            sleep(min(INTERVAL, left))
            monitor.forget()
    report = _worded(report, heard)
    draining = group not in (None, LIVE) and monitor.is_draining()
    if as_plugin:
        nagios.exit_with(report, took, draining=draining)
    elif as_json:
        print_json(report.to_dict() | {"draining": draining})
    else:
        subject = printable(organization or (f"group {group}" if group else "the service"))
        _show(report, subject + (" (the instance drains)" if draining else ""))
    click.get_current_context().exit(int(report.status > worst_allowed))


def _ask(monitor: Monitor, organization_id: str | None, group: str | None) -> Report:
    try:
        return monitor.report(organization_id, group=group, within=patience(monitor))
    except (LookupError, ValueError) as error:
        raise click.UsageError(str(error)) from error


def _worded(report: Report, heard: Heard) -> Report:
    """Say in a report what the probes raised, or where people see it."""
    results = [
        dataclasses.replace(each, message=heard.words(each.name, each.scope, each.message))
        for each in report.results
    ]
    return dataclasses.replace(report, results=tuple(results))


def _show(report: Report, subject: str) -> None:
    click.echo(f"{in_colour(report.status, report.status)}: {subject}")
    for result in report.results:
        click.echo(f"  {_described(result)}")


def _described(result: ReportedResult) -> str:
    word = result.status.value if result.applicable else "not applicable"
    scope = f"({result.scope}{'' if result.critical else ', not critical'})"
    reason = f": {printable(result.message)}" if result.message else ""
    return f"{in_colour(result.status, f'{word:14}')} {result.name} {scope}{reason}"
