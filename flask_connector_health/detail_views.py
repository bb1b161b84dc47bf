"""The view functions of details, for callers whom ``AUTHORIZE_DETAILS`` lets see them."""

from __future__ import annotations

import os
import socket
import typing as t
from collections.abc import Iterable

from flask.typing import ResponseReturnValue
from werkzeug.exceptions import HTTPException

from . import query
from .auth import Guard
from .engine.details import Details
from .engine.events import Transition
from .engine.monitor import Monitor
from .responses import OF_ORGANIZATION, OF_SERVICE, scoped
from .schemas import DetailsSchema
from .settings import Settings
from .views import View, make_gate, refused


def make_service_details(settings: Settings, monitor: Monitor, guard: Guard) -> View:
    """Make the view of the service's details. It ignores what the host adds to the values."""
    schema, host = DetailsSchema(), socket.gethostname()
    names = {probe.name for probe in monitor.probes}

    def service_details(**_: t.Any) -> ResponseReturnValue:
        """Describe the verdicts of the service's probes, and the organizations that fail."""
        try:
            guard.authorize_details(guard.authenticate(), None)
            name, status = query.probe(names), query.status()
            limit, count = query.limit(), query.transitions()
        except HTTPException as error:
            return refused(error, OF_SERVICE, settings)
        details = monitor.details()
        body = _body(details, name, host)
        if details.groups:
            body["groups"], body["draining"] = details.groups, details.draining
        body["organizations"] = monitor.overview(status=status, probe=name, limit=limit)
        if count:
            body["transitions"] = _of_probe(name, monitor.transitions())[:count]
        return scoped(schema.dumps(body))

    return service_details


def make_organization_details(settings: Settings, monitor: Monitor, guard: Guard) -> View:
    """Make the view of an organization's details. It ignores what the host adds."""
    schema, host, admit = DetailsSchema(), socket.gethostname(), make_gate(settings, guard)
    names = {probe.name for probe in monitor.probes if probe.scope == "organization"}

    def organization_details(organization_id: object = None, **_: t.Any) -> ResponseReturnValue:
        """Describe the verdicts of an organization's probes, after authorization."""
        try:
            admitted = admit(organization_id, guard.authorize_details)
            name, count = query.probe(names), query.transitions()
            query.status(), query.limit()  # which no list of an organization needs
        except HTTPException as error:
            return refused(error, OF_ORGANIZATION, settings)
        details = monitor.details(admitted)
        body = _body(details, name, host)
        body["service"] = {"status": details.service, "available": details.service.available}
        if count:
            turns = [turn for turn in monitor.transitions() if turn.organization_id == admitted]
            body["transitions"] = _of_probe(name, turns)[:count]
        return scoped(schema.dumps(body))

    return organization_details


def _body(details: Details, name: str | None, host: str) -> dict[str, t.Any]:
    # The host's name is read once. gethostname() lets go of the interpreter's lock so briefly
    # that a loop of requests would keep other threads waiting for the lock for seconds.
    return {
        "status": details.status,
        "available": details.available,
        "probes": [probe for probe in details.probes if name in (None, probe.name)],
        "answered_by": {"host": host, "pid": os.getpid()},
    }


def _of_probe(name: str | None, turns: Iterable[Transition]) -> list[Transition]:
    return [turn for turn in turns if name in (None, turn.probe)]
