"""``flask connector-health probes``: what is registered, and where it comes from."""

from __future__ import annotations

import dataclasses
import functools
import inspect
import os
import typing as t

import click

from flask_connector_health.engine.monitor import Monitor
from flask_connector_health.probes.policy import Policy
from flask_connector_health.probes.spec import Probe

from .app import load, options, print_json


@click.command()
@options
def probes(as_json: bool, name: str | None) -> None:
    """List the probes: their scope, where they are defined, their options and their groups."""
    _, monitor = load(name)
    listed = [_described(monitor, probe) for probe in monitor.probes]
    if as_json:
        print_json(listed)
        return
    rows = [
        (
            each["name"],
            each["scope"],
            "critical" if each["critical"] else "not critical",
            f"timeout {each['timeout']:g} s, ttl {each['ttl']:g} s",
            ", ".join([*each["groups"], *(f"tag:{tag}" for tag in each["tags"])]) or "-",
            each["defined_in"],
        )
        for each in listed
    ]
    heads = ("PROBE", "SCOPE", "CRITICAL", "TIMES", "GROUPS AND TAGS", "DEFINED IN")
    widths = [max(map(len, column)) for column in zip(heads, *rows, strict=True)]
    for row in (heads, *rows):
        cells = (cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        click.echo("  ".join(cells).rstrip())


def _described(monitor: Monitor, probe: Probe) -> dict[str, t.Any]:
    in_groups = probe.scope == "service"
    return {
        "name": probe.name,
        "scope": probe.scope,
        "critical": probe.critical,
        "tags": [*probe.tags],
        "groups": [
            group
            for group, names in monitor.groups.items()
            if in_groups and probe.name in names
        ],
        "defined_in": _place(probe.call),
        **dataclasses.asdict(Policy.of(probe, monitor.settings)),
    }


def _place(call: t.Any) -> str:
    """Say in which file and line a callable is defined, or at least what it is called."""
    while isinstance(call, functools.partial):
        call = call.func
    call = inspect.unwrap(call)  # a decorator is not where a probe is defined
    function = call if hasattr(call, "__code__") else type(call).__call__
    code = getattr(function, "__code__", None)
    if code is None:
        return f"{getattr(call, '__module__', '?')}:{getattr(call, '__qualname__', '?')}"
    path = os.path.relpath(code.co_filename)
    return f"{code.co_filename if path.startswith('..') else path}:{code.co_firstlineno}"
