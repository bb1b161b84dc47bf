"""Other health libraries for Flask, each with the same checks, as their READMEs set them up."""

from __future__ import annotations

import importlib
import typing as t
from collections.abc import Callable, Sequence
from importlib import metadata

from flask import Flask

from .measure import Subject
from .subjects import Build, Check, hand_written

REMEDY = '.venv/bin/pip install -U "pip>=25.1" && .venv/bin/pip install --group benchmarks'


def py_healthcheck(checks: Sequence[Check]) -> Subject:
    """Leave its cache as it is: 27 s for a success."""
    # Imported by name: the type checker runs where these libraries are not installed.
    health = importlib.import_module("healthcheck").HealthCheck()
    for number, check in enumerate(checks):
        health.add_check(_with_output(check, f"check_{number}"))
    app = Flask("py_healthcheck")
    app.add_url_rule("/healthcheck", "healthcheck", view_func=lambda: health.run())
    return Subject("py-healthcheck", app, "/healthcheck", {"status": "success"})


def flask_healthz(checks: Sequence[Check]) -> Subject:
    """Let the one check that it has for a path run all of them."""
    library = importlib.import_module("flask_healthz")

    def ready() -> None:
        for check in checks:
            if not check():
                raise library.HealthError("not ready")

    app = Flask("flask_healthz")
    app.config["HEALTHZ"] = {"ready": ready}
    app.register_blueprint(library.healthz, url_prefix="/healthz")
    return Subject("flask-healthz", app, "/healthz/ready", {"title": "OK"})


def dockerflow(checks: Sequence[Check]) -> Subject:
    """Empty its registry first: there is one for the whole process."""
    registry = importlib.import_module("dockerflow.checks")
    registry.clear_checks()
    for number, check in enumerate(checks):
        registry.register(_with_messages(check, registry.Error), name=f"check_{number}")
    app = Flask("dockerflow")
    importlib.import_module("dockerflow.flask").Dockerflow(app)
    return Subject("dockerflow", app, "/__heartbeat__", {"status": "ok"})


def pyctuator(checks: Sequence[Check]) -> Subject:
    """Tell it of no admin server, which it would call from a thread of its own."""
    library = importlib.import_module("pyctuator.pyctuator")
    app = Flask("pyctuator")
    url = "http://127.0.0.1/pyctuator"
    actuator = library.Pyctuator(app, "host", url, url, registration_url=None)
    for number, check in enumerate(checks):
        actuator.register_health_provider(_Provider(check, f"check_{number}"))
    return Subject("pyctuator", app, "/pyctuator/health", {"status": "UP"})


class _Provider:
    """A pyctuator health provider, by shape."""

    def __init__(self, check: Check, name: str) -> None:
        self._check = check
        self._name = name
        self._model = importlib.import_module("pyctuator.health.health_provider")

    def is_supported(self) -> bool:
        return True

    def get_name(self) -> str:
        return self._name

    def get_health(self) -> object:
        model = self._model
        status = model.Status.UP if self._check() else model.Status.DOWN
        return model.HealthStatus(status, model.HealthDetails())


PEERS: dict[str, Build] = {
    "py-healthcheck": py_healthcheck,
    "flask-healthz": flask_healthz,
    "dockerflow": dockerflow,
    "pyctuator": pyctuator,
}


def versions() -> dict[str, str | None]:
    """Name every peer with its version; ``None`` where it is not installed."""
    found: dict[str, str | None] = {}
    for name in PEERS:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            found[name] = None
    return found


def others() -> list[Build]:
    """Give what is there to be measured beside this library's routes."""
    return [hand_written] + [
        PEERS[name] for name, version in versions().items() if version is not None
    ]


def _with_output(check: Check, name: str) -> Callable[[], tuple[bool, str]]:
    def run() -> tuple[bool, str]:
        return check(), "checked"

    run.__name__ = name
    return run


def _with_messages(check: Check, error: t.Any) -> Callable[[], list[t.Any]]:
    def run() -> list[t.Any]:
        return [] if check() else [error("it failed", id="check.E001")]

    return run
