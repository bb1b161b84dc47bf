"""The blueprint: it takes probes, and its registration wires everything together."""

from __future__ import annotations

import typing as t
from collections.abc import Callable, Mapping
from contextlib import suppress
from functools import partial

from flask import Blueprint, Flask, current_app
from flask.blueprints import BlueprintSetupState
from werkzeug.exceptions import InternalServerError

from . import checks, servers
from .engine.environment import Environment
from .engine.monitor import Monitor
from .errors import ConfigurationError
from .log import Log, warn
from .mounting import check_mounting
from .probes.spec import (
    AVAILABILITY,
    Probe,
    ProbeCall,
    ProbeOptions,
    ProbeRegistry,
    check_options,
    name_of,
)
from .responses import internal_server_error
from .routes import add_routes
from .settings import Settings, own_keys
from .signals import Signals

F = t.TypeVar("F", bound=ProbeCall)

# Where an app keeps its monitors, and the configuration that its last registration has read.
_EXTENSION = "connector_health"
_CONFIG = "connector_health.configuration"

_REGISTER = "register it: app.register_blueprint(health)"


class ConnectorHealth(Blueprint):
    """The health routes, as a blueprint: two always, and those that the configuration adds.

    ``app.register_blueprint(health)`` reads the app's ``CONNECTOR_HEALTH_`` configuration once,
    and makes a :class:`Monitor`, which :func:`get_monitor` finds. The blueprint can be
    registered under several names and in several apps. They share nothing but the probes'
    functions.

    Beside the options of every blueprint, a registration takes ``host`` in an app that matches
    hosts.

    :param name: the blueprint's name, as in ``url_for("connector_health.service")``.
    :param url_prefix: the part of the path before all routes.
    :raises ConfigurationError: for a positional argument. The blueprint takes neither an app
        nor the name of a module.
    """

    def __init__(
        self,
        *misplaced: t.Never,
        name: str = "connector_health",
        url_prefix: str | None = "/v1",
    ) -> None:
        if misplaced:
            raise ConfigurationError(
                f"ConnectorHealth takes no {type(misplaced[0]).__name__} by position: write"
                f" health = ConnectorHealth(); {_REGISTER}; the keyword name= gives the"
                " blueprint another name"
            )
        super().__init__(name, __name__, url_prefix=url_prefix)
        self._probes = ProbeRegistry()
        self.register_error_handler(InternalServerError, internal_server_error)
        self.record(self._set_up)

    def init_app(self, *_: object, **__: object) -> t.NoReturn:
        """Refuse to set an app up: a blueprint is registered.

        :raises ConfigurationError: always.
        """
        raise ConfigurationError(
            f"ConnectorHealth is a blueprint and has no set-up: {_REGISTER}"
        )

    @t.overload
    def probe(self, name: F, /) -> F: ...
    @t.overload
    def probe(
        self, name: str | None = None, **options: t.Unpack[ProbeOptions]
    ) -> Callable[[F], F]: ...
    def probe(
        self, name: str | F | None = None, **options: t.Unpack[ProbeOptions]
    ) -> F | Callable[[F], F]:
        """Add the decorated function as a probe, and leave the function as it is.

        It may be sync or async. It answers ``True``, ``False``, a :class:`Status` or its text,
        a :class:`ProbeResult`, or :class:`NotApplicable`. If it raises or answers anything
        else, it has failed.

        :param name: a name of its own among this blueprint's probes. By default it is the
            function's. ``@health.probe`` may stand without parentheses as well.
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
        :param tags: words by which the groups of ``CONNECTOR_HEALTH_GROUPS`` choose the probe.
        :raises ConfigurationError: if an option is unusable or does not exist, the name is
            taken, or the blueprint is registered already.
        """
        if callable(name):
            return self.probe(**options)(name)
        given = name

        def add(call: F) -> F:
            self.add_probe(call, name=given, **options)
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

        :param name: by default the callable's own ``name`` attribute, else its ``__name__``.
        """
        name = name_of(call) if name is None else name
        check_options(name, options)
        self._probes.add(Probe(name=name, call=call, **options))

    def _set_up(self, state: BlueprintSetupState) -> None:
        app = t.cast(Flask, state.app)
        check_mounting(state)
        settings = Settings.from_config(app.config).below(app.instance_path)
        probes = [*_availability(settings), *self._probes]
        servers.check(probes, app.app_context)
        monitor = Monitor(
            settings,
            probes,
            Environment(app.app_context),
            [Log(app.app_context, settings, len(probes)), Signals(app)],
            partial(_warn_of_changes, app),
        )
        add_routes(state, settings, monitor)
        name = f"{state.name_prefix}.{state.name}".lstrip(".")
        app.extensions.setdefault(_EXTENSION, {})[name] = monitor
        app.extensions[_CONFIG] = own_keys(app.config)
        self._probes.seal()


def get_monitor(app: Flask | None = None, name: str = "connector_health") -> Monitor:
    """Give the monitor of a registration.

    :param app: the app that the blueprint is registered in; by default the current one.
    :param name: the name that the blueprint is registered under. It has dots if the blueprint
        is nested, as in ``"api.connector_health"``.
    :raises LookupError: if no such blueprint is registered. The message has the names that are.
    :raises RuntimeError: if no app is given, and there is no app context.
    """
    monitors = monitors_of(app or current_app)
    if name not in monitors:
        raise LookupError(
            f"no ConnectorHealth is registered as {name!r} in this app; registered are:"
            f" {', '.join(map(repr, monitors)) or 'none'}"
        )
    return monitors[name]


def monitors_of(app: Flask) -> Mapping[str, Monitor]:
    """Give the monitors of all registrations in an app, by their names."""
    monitors: Mapping[str, Monitor] = app.extensions.get(_EXTENSION, {})
    return monitors


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


def _warn_of_changes(app: Flask) -> None:
    """Warn of keys that were changed since the app's last registration, once for each app."""
    before = app.extensions.pop(_CONFIG, None)
    if before is None:  # another registration's monitor has looked
        return
    changed, now = [], own_keys(app.config)
    with suppress(Exception):  # a value of the host's may raise as it is compared
        # In a list, an object is equal to itself, whatever it says.
        changed = [
            key for key in {**before, **now} if [before.get(key, now)] != [now.get(key, before)]
        ]
    if changed:
        warn(
            app.app_context,
            "%s changed after the blueprint was registered, which has no effect; set"
            " configuration before app.register_blueprint(health)",
            " and ".join(changed),
        )
