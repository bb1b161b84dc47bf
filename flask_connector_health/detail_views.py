"""The view functions of details, for callers whom ``AUTHORIZE_DETAILS`` lets see them."""

from __future__ import annotations

import os
import socket
import typing as t

from flask.typing import ResponseReturnValue
from werkzeug.exceptions import HTTPException

from . import query
from .auth import Guard
from .engine.details import Details
from .engine.monitor import Monitor
from .responses import data
from .schemas import DetailsSchema
from .settings import Settings
from .views import View, make_gate, refused


def make_service_details(settings: Settings, monitor: Monitor, guard: Guard) -> View:
    """Make the view of the service's details. It ignores what the host adds to the values."""
    names = {probe.name for probe in monitor.probes}

    def service_details(**_: t.Any) -> ResponseReturnValue:
        """Describe the verdicts of the service's probes, and the organizations that fail."""
        try:
            guard.authorize_details(guard.authenticate(), None)
            name, status = query.probe(names), query.status()
            limit = query.number("limit", least=1, default=query.LIMIT)
            turns = query.number("transitions", least=0, default=0)
        except HTTPException as error:
            return refused(error, settings)
        body = _body(monitor.details(), name)
        body["organizations"] = monitor.overview(status=status, probe=name, limit=limit)
        if turns:
            body["transitions"] = [
                turn for turn in monitor.transitions() if name in (None, turn.probe)
            ][:turns]
        return data(DetailsSchema().dumps(body))

    return service_details


def make_organization_details(settings: Settings, monitor: Monitor, guard: Guard) -> View:
    """Make the view of an organization's details. It ignores what the host adds."""
    admit = make_gate(settings, guard)
    names = {probe.name for probe in monitor.probes if probe.scope == "organization"}

    def organization_details(organization_id: object = None, **_: t.Any) -> ResponseReturnValue:
        """Describe the verdicts of an organization's probes, after authorization."""
        try:
            admitted = admit(organization_id, guard.authorize_details)
            name = query.probe(names)
            turns = query.number("transitions", least=0, default=0)
        except HTTPException as error:
            return refused(error, settings)
        details = monitor.details(admitted)
        body = _body(details, name)
        body["service"] = {"status": details.service, "available": details.service.available}
        if turns:
            body["transitions"] = [
                turn
                for turn in monitor.transitions()
                if turn.organization_id == admitted and name in (None, turn.probe)
            ][:turns]
        return data(DetailsSchema().dumps(body))

    return organization_details


def _body(details: Details, name: str | None) -> dict[str, t.Any]:
    return {
        "status": details.status,
        "available": details.available,
        "probes": [probe for probe in details.probes if name in (None, probe.name)],
        "answered_by": {"host": socket.gethostname(), "pid": os.getpid()},
    }
