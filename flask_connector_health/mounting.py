"""Mounting: the options of a registration, and that each of them has an effect."""

from __future__ import annotations

import re
import typing as t

from flask import Flask
from flask.blueprints import BlueprintSetupState

from .checks import suggestion
from .errors import ConfigurationError

# Those of flask.Blueprint, with name_prefix for nested ones; "host" is ours.
_OPTIONS = frozenset(
    {"name", "url_prefix", "subdomain", "host", "url_defaults", "name_prefix", "cli_group"}
)

# What the host of a request may look like, and what stands for any of it in a rule.
_HOST = re.compile(r"[a-z0-9._:\[\]-]*")
_VARIABLE = re.compile("<[^>]*>")


def check_mounting(state: BlueprintSetupState) -> None:
    """Check the options of a registration.

    Flask ignores options that it does not know, and says nothing of rules that can match no
    request.

    :raises ConfigurationError: if an option does not exist or can have no effect, or if the
        app matches hosts and no host is given. The message has the remedy.
    """
    app, options = t.cast(Flask, state.app), state.options
    for option in options:
        if option not in _OPTIONS:
            raise ConfigurationError(
                f"register_blueprint() has no option {option!r}; {suggestion(option, _OPTIONS)}"
            )
    host = options.get("host")
    if app.url_map.host_matching:
        _check_host(host, state.subdomain)
        _check_spelling("host", host)
    elif host is not None:
        raise ConfigurationError(
            f"the option host ({type(host).__name__}) has no effect in an app that does not"
            " match hosts: make it with Flask(..., host_matching=True, static_host=...), or"
            " remove the option"
        )
    elif state.subdomain and not (app.subdomain_matching and app.config["SERVER_NAME"]):
        raise ConfigurationError(
            f"the subdomain {state.subdomain!r} can never match: make the app with"
            " Flask(..., subdomain_matching=True) and set SERVER_NAME before"
            " app.register_blueprint(health), or remove the option"
        )
    elif state.subdomain:
        _check_spelling("subdomain", state.subdomain)


def _check_host(host: object, subdomain: str | None) -> None:
    if subdomain:
        raise ConfigurationError(
            f"the subdomain {subdomain!r} has no effect in an app that matches hosts: remove"
            " it, and name the whole host, as in host='status.example.org'"
        )
    if not isinstance(host, str) or not host:
        raise ConfigurationError(
            f"the option host is missing ({type(host).__name__}), and without it the routes"
            " answer on no host, since the app matches hosts: write register_blueprint(health,"
            " host='api.example.org'), or host='<host>' for every host; in another blueprint,"
            " write it where health is registered"
        )


def _check_spelling(option: str, name: object) -> None:
    if not _HOST.fullmatch(_VARIABLE.sub("", str(name))):
        raise ConfigurationError(
            f"the {option} {name!r} can never match: write it in lower case and in ASCII,"
            " without a scheme, a path, blanks or '*', as in 'api.example.org' or 'status'"
        )
