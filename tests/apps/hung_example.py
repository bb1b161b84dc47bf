"""The example app as it is, with a probe that hangs from its first run on."""

from __future__ import annotations

from flask import Flask

import example_app
from example_app.health import health

from .hangs import Hang
from .timed import timed

# Not critical: believed healthy it would read "ok", and others hurt "unavailable".
health.add_probe(Hang().wait, name="hung", critical=False)


def create_app() -> Flask:
    app = example_app.create_app()
    app.wsgi_app = timed(app.wsgi_app)  # type: ignore[assignment]
    return app
