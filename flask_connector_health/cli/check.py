"""``flask connector-health check``: run the probes here, and exit by what they find."""

from __future__ import annotations

import dataclasses
import typing as t
from collections.abc import Callable
from time import monotonic, sleep

import click

from flask_connector_health.engine.events import Event, Settled
from flask_connector_health.engine.monitor import Monitor
from flask_connector_health.lines import printable
from flask_connector_health.model import Scope, Status
from flask_connector_health.probes.groups import LIVE
from flask_connector_health.probes.policy import Policy
from flask_connector_health.report import Report, ReportedResult

from . import nagios
from .app import Seconds, check_organization, in_colour, load, options, print_json

# Seconds on top of the longest timeout, in which its failure is noted.
SPARE = 1.0

# What other programs get in place of the text of an exception, which no log has.
ELSEWHERE = "it raised an exception, which check shows without --json and --nagios"

# Seconds between two tries.
PAUSE = 1.0


class Raised:
    """Knows what the last run of each probe has raised, which goes to people alone."""

    def __init__(self) -> None:
        self._texts: dict[tuple[str, Scope], str] = {}

    def hear(self, event: Event) -> None:
        """Listen to the engine."""
        if isinstance(event, Settled):
            scope: Scope = "service" if event.organization_id is None else "organization"
            self._texts[event.probe, scope] = event.outcome.text

    def words(self, result: ReportedResult) -> str:
        """Say why a probe has its status: by what it raised, or else by its message."""
        text = self._text(result)
        return f"it raised {text}" if text else result.message

    def kept_from(self, report: Report) -> Report:
        """Say in a report for other programs where people see what was raised."""
        results = [
            dataclasses.replace(result, message=ELSEWHERE) if self._text(result) else result
            for result in report.results
        ]
        return dataclasses.replace(report, results=tuple(results))

    def _text(self, result: ReportedResult) -> str | None:
        return self._texts.get((result.name, result.scope))


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
    raised, began = Raised(), monotonic()
    with monitor.heard_by(raised.hear):
        ask = _question(monitor, organization, group)
        report = ask()
        while report.status > worst_allowed and (left := began + wait - monotonic()) > 0:
            sleep(min(PAUSE, left))
            monitor.forget()
            report = ask()
    draining = group not in (None, LIVE) and monitor.is_draining()
    if as_plugin:
        nagios.exit_with(raised.kept_from(report), monotonic() - began, draining=draining)
    elif as_json:
        print_json(raised.kept_from(report).to_dict() | {"draining": draining})
    else:
        subject = printable(organization or (f"group {group}" if group else "the service"))
        _show(report, subject + (" (the instance drains)" if draining else ""), raised)
    click.get_current_context().exit(int(report.status > worst_allowed))


def _question(
    monitor: Monitor, organization_id: str | None, group: str | None
) -> Callable[[], Report]:
    names = monitor.groups.get(group) if group is not None else None
    asked = [
        probe
        for probe in monitor.probes
        if (probe.scope == "service" or organization_id is not None)
        and (names is None or probe.name in names)
    ]
    timeouts = (Policy.of(probe, monitor.settings).timeout for probe in asked)
    within = max(timeouts, default=0.0) + SPARE

    def ask() -> Report:
        try:
            return monitor.report(organization_id, group=group, within=within)
        except (LookupError, ValueError) as error:
            raise click.UsageError(str(error)) from error

    return ask


def _show(report: Report, subject: str, raised: Raised) -> None:
    click.echo(f"{in_colour(report.status, report.status)}: {subject}")
    for result in report.results:
        click.echo(f"  {_described(result, raised.words(result))}")


def _described(result: ReportedResult, words: str) -> str:
    word = result.status.value if result.applicable else "not applicable"
    scope = f"({result.scope}{'' if result.critical else ', not critical'})"
    reason = f": {printable(words)}" if words else ""
    return f"{in_colour(result.status, f'{word:14}')} {result.name} {scope}{reason}"
