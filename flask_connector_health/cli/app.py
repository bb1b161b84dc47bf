"""What all commands share: how they find the app, and how they print."""

from __future__ import annotations

import contextlib
import json
import os
import sys
import typing as t
from collections.abc import Callable

import click
from flask import Flask
from flask.cli import NoAppException, ScriptInfo

from flask_connector_health import checks
from flask_connector_health.blueprint import monitors_of
from flask_connector_health.engine.monitor import Monitor
from flask_connector_health.lines import printable
from flask_connector_health.model import Status

F = t.TypeVar("F", bound=Callable[..., t.Any])

_COLOURS = {Status.OK: "green", Status.DEGRADED: "yellow", Status.UNAVAILABLE: "red"}


class Unusable(click.ClickException):
    """The app cannot be asked. Like wrong usage, this ends a command with 2."""

    exit_code = 2


class Seconds(click.ParamType):  # type: ignore[type-arg] # generic from Click 8.4 on
    """A number of seconds, from 0 to a day."""

    name = "seconds"

    def convert(self, value: t.Any, param: t.Any, ctx: t.Any) -> float:
        """Read the number."""
        try:
            return checks.seconds(float(value), zero=True)
        except ValueError as error:
            self.fail(str(error), param, ctx)


def options(command: F) -> F:
    """Add the options that every command has."""
    name = click.option(
        "--name", help="Which registration of the blueprint, if the app has several."
    )
    as_json = click.option("--json", "as_json", is_flag=True, help="Print JSON.")
    return name(as_json(command))


def load(name: str | None) -> tuple[Flask, Monitor]:
    """Load the app that ``flask --app`` names, and find its monitor.

    :param name: which registration; it may be left out if there is one alone.
    :raises click.ClickException: if there is no such app or registration. It exits with 2.
    """
    info = click.get_current_context().ensure_object(ScriptInfo)
    try:
        with quiet():
            app = info.load_app()
    except NoAppException as error:
        raise Unusable(_reason(error)) from error
    except (Exception, SystemExit) as error:
        raise Unusable(_failed(error)) from error
    monitors = monitors_of(app)
    if not monitors:
        raise Unusable(
            f"the app {app.name!r} has no ConnectorHealth; register it:"
            " app.register_blueprint(health)"
        )
    known = ", ".join(map(repr, monitors))
    if name is None and len(monitors) > 1:
        raise click.UsageError(f"several are registered: give --name one of {known}")
    chosen = next(iter(monitors)) if name is None else name
    if chosen not in monitors:
        raise click.UsageError(f"none is registered as {chosen!r}; registered are: {known}")
    return app, monitors[chosen]


def quiet() -> contextlib.AbstractContextManager[object]:
    """Send to stderr what is printed: the host's own words are no JSON, and no plugin line."""
    return contextlib.redirect_stdout(sys.stderr)


def check_organization(monitor: Monitor, organization_id: str | None) -> None:
    """Refuse what cannot be an organization's id.

    :raises click.UsageError: if it does not look like one.
    """
    if organization_id is not None:
        try:
            monitor.settings.check_organization(organization_id)
        except ValueError as error:
            raise click.UsageError(str(error)) from error


def print_json(data: object) -> None:
    """Print data as JSON."""
    click.echo(json.dumps(data, indent=2))


def in_colour(status: Status, text: str) -> str:
    """Give a text the colour of a status, which click shows on terminals alone.

    If ``NO_COLOR`` is set, the text stays as it is.
    """
    if os.environ.get("NO_COLOR"):
        return text
    return click.style(text, fg=_COLOURS[status], bold=True)


def _reason(error: NoAppException) -> str:
    """Say why there is no app. If a module lacks another one, Flask says a traceback."""
    cause = error.__context__
    is_traceback = isinstance(cause, ImportError) and "\n" in error.message
    return _failed(cause) if cause and is_traceback else error.format_message()


def _failed(error: BaseException) -> str:
    text = f"the app cannot be loaded: {type(error).__name__}: {error}"
    return printable(text)
