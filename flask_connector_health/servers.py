"""What the server must allow. It is looked at when the blueprint is registered."""

from __future__ import annotations

import _thread
import importlib
from contextlib import suppress

from .errors import ConfigurationError


def check() -> None:
    """Check that this process can run probes.

    :raises ConfigurationError: if no daemon thread may start in this interpreter.
    """
    if not _may_start_daemons():
        raise ConfigurationError(
            "the app is in an isolated sub-interpreter, where Python starts no daemon threads,"
            " and each probe needs one; under mod_wsgi, set WSGIApplicationGroup %{GLOBAL}; in"
            " any other server, run the app in the main interpreter"
        )


def _may_start_daemons() -> bool:
    return bool(getattr(_thread, "daemon_threads_allowed", _attempt)())


def _attempt() -> bool:
    """Start a thread that ends at once: before Python 3.12, only that tells.

    In the main interpreter, where every Python starts daemon threads, this starts none.
    """
    with suppress(ImportError):
        interpreters = importlib.import_module("_xxsubinterpreters")
        if interpreters.get_current() != interpreters.get_main():
            try:
                _thread.start_new_thread(int, ())
            except RuntimeError:
                return False
    return True
