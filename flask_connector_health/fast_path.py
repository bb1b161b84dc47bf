"""The fast path: the public route, answered in WSGI ahead of the app."""

from __future__ import annotations

import typing as t
from collections.abc import Iterable, Mapping

from flask import Flask
from flask.blueprints import BlueprintSetupState

from .engine.monitor import Monitor
from .errors import ConfigurationError
from .model import Status
from .responses import Prebuilt
from .settings import PREFIX
from .views import SERVICE_RULE

if t.TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIEnvironment


def answer_ahead(
    state: BlueprintSetupState, monitor: Monitor, answers: Mapping[Status, Prebuilt]
) -> None:
    """Answer GET and HEAD of the public route in front of everything that the app does.

    Bytes and headers are those of the route. As Werkzeug does, this takes any number of slashes
    at the beginning of a path for one. No such request reaches Flask, even if it has to wait
    for a run. Otherwise the first one might meet a login wall, and no run would begin.

    :raises ConfigurationError: if the path of the route varies, or holds on some hosts alone.
    """
    app, paths = t.cast(Flask, state.app), _paths(state)
    inner = app.wsgi_app

    def wsgi_app(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        path = environ.get("PATH_INFO", "")
        if path in paths or (path[:2] == "//" and f"/{path.lstrip('/')}" in paths):
            method = environ["REQUEST_METHOD"]
            if method == "GET" or method == "HEAD":
                body, status, headers = answers[monitor.status()]
                start_response(status, headers.copy())  # middleware and servers may change them
                return [body] if method == "GET" else []
        return inner(environ, start_response)

    app.wsgi_app = wsgi_app  # type: ignore[method-assign]


def _paths(state: BlueprintSetupState) -> frozenset[str]:
    """Give the paths of the route as WSGI has them, with and without a slash at the end."""
    prefix = (state.url_prefix or "").rstrip("/")
    variable = "<" in prefix and f"the url_prefix {prefix!r} has a variable part"
    own_host = bool(state.subdomain) and f"it has a subdomain ({state.subdomain!r})"
    hosts = t.cast(Flask, state.app).url_map.host_matching and "the app matches hosts"
    if reason := hosts or own_host or variable:
        raise ConfigurationError(
            f"{PREFIX}FAST_PATH (bool) cannot be used for this registration, since {reason},"
            " and the fast path looks at nothing but a fixed path: set it to False, or register"
            " the blueprint without that"
        )
    path = (prefix + SERVICE_RULE).encode().decode("latin-1")  # PEP 3333
    return frozenset({path, f"{path}/"})
