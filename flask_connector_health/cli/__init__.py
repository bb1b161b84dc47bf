"""``flask connector-health``: ask, list, examine and drain from a shell.

The commands come by an entry point and not by the app, so that they have their own words and
exit codes if the app cannot be loaded.
"""

from __future__ import annotations

import click

from .check import check
from .doctor import doctor
from .drain import drain, undrain
from .probes import probes


@click.group()
def commands() -> None:
    """Ask about the health of connectors, and prepare a server for its end.

    These commands load the app in a process of their own. They know nothing of the results that
    a running server has.
    """


for command in (check, probes, doctor, drain, undrain):
    commands.add_command(command)
