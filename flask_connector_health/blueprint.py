"""The blueprint: it takes probes, and its registration wires everything together."""

from __future__ import annotations

import typing as t
from collections.abc import Callable
from functools import partial

from flask import Blueprint, Flask
from flask.blueprints import BlueprintSetupState

from . import checks
from .auth import Guard
from .engine.environment import Environment
from .engine.monitor import Monitor
from .log import line_of
from .probes.spec import (
    AVAILABILITY,
    Probe,
    ProbeCall,
    ProbeOptions,
    ProbeRegistry,
    check_name,
)
from .settings import Settings
from .views import ORGANIZATION_RULE, SERVICE_RULE, Views

F = t.TypeVar("F", bound=ProbeCall)


class ConnectorHealth(Blueprint):
    """The two health routes, as a blueprint.

    Its registration reads the app's ``CONNECTOR_HEALTH_`` configuration once, and puts a
    :class:`~.engine.monitor.Monitor` at
    ``app.extensions["connector_health"][<registered name>]``. The blueprint can be registered
    under several names and in several apps. They share nothing but the probes' functions.

    :param name: the blueprint's name, as in ``url_for("connector_health.service")``.
    :param url_prefix: the part of the path before both routes.
    """

    def __init__(
        self, name: str = "connector_health", *, url_prefix: str | None = "/v1"
    ) -> None:
        super().__init__(name, __name__, url_prefix=url_prefix)
        self._probes = ProbeRegistry()
        self.record(self._set_up)

    def probe(self, name: str, **options: t.Unpack[ProbeOptions]) -> Callable[[F], F]:
        """Add the decorated function as a probe, and leave the function as it is.

        It may be sync or async. It answers ``True``, ``False``, a :class:`Status` or a
        :class:`ProbeResult`. If it raises or answers anything else, it has failed.

        :param name: a name of its own among this blueprint's probes.
        :param scope: ``"service"`` (the default) calls it without arguments;
            ``"organization"`` calls it with an organization's id.
        :param critical: whether its failure means unavailable (``True``, the default) or
            degraded.
        :param timeout: a run's limit in seconds, from its start. The default of this option and
            of those below is the setting of the same name, such as
            ``CONNECTOR_HEALTH_TIMEOUT``.
        :param ttl: how long a result is fresh, in seconds. 0 turns caching off.
        :param failure_ttl: how long the result of a failed run is fresh, in seconds, if that is
            shorter.
        :param max_stale: how long past its TTL a result may be served while a run refreshes it,
            in seconds.
        :param failure_threshold: how many results in a row that are at least that bad turn the
            verdict worse.
        :param recovery_threshold: how many results in a row that are at least that good turn
            the verdict better.
        :param slots: how many runs of the probe may go on at once, each in a thread. As many
            more may hang.
        :raises ConfigurationError: if an option is unusable, the name is taken, or the
            blueprint is registered already.
        """
        check_name(name)  # here, since a bare @health.probe would never call add()

        def add(call: F) -> F:
            self.add_probe(call, name=name, **options)
            return call

        return add

    def add_probe(
        self,
        call: ProbeCall,
        *,
        name: str | None = None,
        **options: t.Unpack[ProbeOptions],
    ) -> None:
        """Add a callable as a probe; see :meth:`probe` for the options.

        :param name: by default the callable's own ``name`` attribute.
        """
        if name is None:
            name = getattr(call, "name", None)
        self._probes.add(Probe(name=t.cast(str, name), call=call, **options))

    def _set_up(self, state: BlueprintSetupState) -> None:
        app = t.cast(Flask, state.app)
        settings = Settings.from_config(app.config)
        guard = Guard(app, settings)
        probes = [*_availability(settings), *self._probes]
        monitor = Monitor(settings, probes, Environment(app.app_context), [line_of])
        views = Views(settings, monitor, guard)
        name = f"{state.name_prefix}.{state.name}".lstrip(".")
        app.extensions.setdefault("connector_health", {})[name] = monitor
        for rule, endpoint, view in (
            (SERVICE_RULE, "service", views.service),
            (ORGANIZATION_RULE, "organization", views.organization),
        ):
            # Slashes must never cause a redirect, which some health checks take for healthy.
            state.add_url_rule(rule, endpoint, view, strict_slashes=False, merge_slashes=False)
        self._probes.seal()


def _availability(settings: Settings) -> list[Probe]:
    """Make the callback a critical probe of both scopes.

    A callback without arguments is a probe of the service alone.
    """
    call = settings.availability
    if not checks.accepts(call, 1):
        return [Probe(name=AVAILABILITY, call=call)]
    return [
        Probe(name=AVAILABILITY, call=partial(call, None)),
        Probe(name=AVAILABILITY, call=call, scope="organization"),
    ]
