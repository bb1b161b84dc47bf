"""The fast path: the public routes, answered in WSGI ahead of the app."""

from __future__ import annotations

import typing as t
from collections.abc import Callable, Iterable, Mapping

from flask import Flask
from flask.blueprints import BlueprintSetupState

from .errors import ConfigurationError
from .model import Status
from .responses import Answers
from .settings import PREFIX

if t.TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIEnvironment


# What is asked at a route, and what it answers.
Route: t.TypeAlias = tuple[Callable[[], Status], Answers]


def answer_ahead(state: BlueprintSetupState, routes: Mapping[str, Route]) -> None:
    """Answer GET and HEAD of public routes in front of everything that the app does.

    Bytes and headers are those of the route. As Werkzeug does, this takes any number of slashes
    at the beginning of a path for one. No such request reaches Flask, even if it has to wait
    for a run. Otherwise the first one might meet a login wall, and no run would begin.

    :param routes: by rule, without variable parts.
    :raises ConfigurationError: if the paths of the routes vary, or hold on some hosts alone.
    """
    app, prefix = t.cast(Flask, state.app), _prefix(state)
    paths = {}
    for rule, route in routes.items():
        path = (prefix + rule).encode().decode("latin-1")  # PEP 3333
        paths[path] = paths[f"{path}/"] = route
    inner = app.wsgi_app

    def wsgi_app(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        path = environ.get("PATH_INFO", "")
        route = paths.get(path if path[:2] != "//" else f"/{path.lstrip('/')}")
        if route is not None:
            method = environ["REQUEST_METHOD"]
            if method == "GET" or method == "HEAD":
                status, answers = route
                body, line, headers = answers[status()]
                start_response(line, headers.copy())  # middleware and servers may change them
                return [body] if method == "GET" else []
        return inner(environ, start_response)

    app.wsgi_app = wsgi_app  # type: ignore[method-assign]


def _prefix(state: BlueprintSetupState) -> str:
    """Give what stands before each rule, if it is the same for every request."""
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
    return prefix
