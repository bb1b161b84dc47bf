"""The routes of a registration: which view answers at which rule."""

from __future__ import annotations

import typing as t
from functools import partial

from flask import Flask
from flask.blueprints import BlueprintSetupState

from .auth import Guard
from .detail_views import make_organization_details, make_service_details
from .engine.monitor import Monitor
from .fast_path import Route, answer_ahead
from .responses import PUBLIC, prebuilt
from .settings import Settings
from .views import View, make_group, make_organization, make_service

SERVICE = "/knowledge/connectors/health"
ORGANIZATION = "/organizations/<organization_id>/knowledge/connectors/health"
DETAILS = "/details"


def add_routes(state: BlueprintSetupState, settings: Settings, monitor: Monitor) -> None:
    """Add a registration's routes to its app.

    :raises ConfigurationError: if a callable of the settings cannot be used, or the fast path.
    """
    guard = Guard(t.cast(Flask, state.app), settings)
    public = _public(settings, monitor)
    views = {rule: view for rule, (view, _) in public.items()}
    views[ORGANIZATION] = make_organization(settings, monitor, guard)
    if settings.authorize_details is not None:
        views[SERVICE + DETAILS] = make_service_details(settings, monitor, guard)
        views[ORGANIZATION + DETAILS] = make_organization_details(settings, monitor, guard)
    for rule, view in views.items():
        # Slashes must never cause a redirect, which some health checks take for healthy.
        options = {"strict_slashes": False, "merge_slashes": False}
        host = state.options.get("host")
        state.add_url_rule(rule, view.__name__, view, host=host, **options)
    if settings.fast_path:
        answer_ahead(state, {rule: route for rule, (_, route) in public.items()})


def _public(settings: Settings, monitor: Monitor) -> dict[str, tuple[View, Route]]:
    """Make the routes that everybody may ask: the service's, and those of the groups."""
    code, retry_after = settings.unavailable_status_code, settings.retry_after
    answers = prebuilt(PUBLIC, unavailable=code, retry_after=retry_after)
    routes: dict[str, tuple[View, Route]] = {}
    routes[SERVICE] = make_service(monitor, answers), (monitor.status, answers)
    # Whoever asks about a group reads the code alone, so that of "unavailable" is no choice.
    answers = prebuilt(PUBLIC, unavailable=503, retry_after=retry_after)
    for name in monitor.groups:
        ask = partial(monitor.status, group=name)
        routes[f"{SERVICE}/{name}"] = make_group(name, ask, answers), (ask, answers)
    return routes
