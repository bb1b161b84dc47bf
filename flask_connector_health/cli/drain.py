"""``flask connector-health drain`` and ``undrain``: make and remove the file that drains."""

from __future__ import annotations

import pathlib
from time import sleep

import click

from .app import Seconds, Unusable, load, options, print_json


@click.command()
@click.option(
    "--wait",
    type=Seconds(),
    default=0.0,
    help="Return so long after the file is there, to give balancers the time to notice.",
)
@options
def drain(wait: float, as_json: bool, name: str | None) -> None:
    """Take the server of this app out of use, with all of its workers, before it ends.

    Makes the file CONNECTOR_HEALTH_DRAIN_FILE. While it exists, each group but "live" is
    unavailable.
    """
    file = _file(name)
    try:
        file.touch()
    except OSError as error:
        raise click.ClickException(
            f"the file {file} cannot be made ({error.strerror}): its folder must exist, and"
            " this user must be allowed to write there; systemd makes one with"
            " RuntimeDirectory="
        ) from error
    sleep(wait)
    _tell(as_json, draining=True, text=f"draining: {file} is there")


@click.command()
@options
def undrain(as_json: bool, name: str | None) -> None:
    """Put a drained server back into use: remove the file CONNECTOR_HEALTH_DRAIN_FILE."""
    file = _file(name)
    text = f"{file} is removed"
    try:
        file.unlink()
    except FileNotFoundError:
        text = f"{file} was not there"
    except OSError as error:
        raise click.ClickException(
            f"the file {file} cannot be removed ({error.strerror}): it must be a file, and this"
            " user must be allowed to write in its folder"
        ) from error
    _tell(as_json, draining=False, text=f"not draining: {text}")


def _file(name: str | None) -> pathlib.Path:
    _, monitor = load(name)
    if monitor.settings.drain_file is None:
        raise Unusable(
            "CONNECTOR_HEALTH_DRAIN_FILE is not set (NoneType): set it to a path that every"
            " worker of this server sees, and no other server, such as '/run/myapp/drain'"
        )
    return pathlib.Path(monitor.settings.drain_file)


def _tell(as_json: bool, *, draining: bool, text: str) -> None:
    if as_json:
        print_json({"draining": draining})
    else:
        click.echo(text)
