"""What the server must allow. It is looked at when the blueprint is registered."""

from __future__ import annotations

import _thread
import importlib
import inspect
from collections.abc import Iterable
from contextlib import suppress

from .engine.threads import is_eventlet
from .errors import ConfigurationError
from .log import OpenContext, warn
from .probes.spec import Probe


def check(probes: Iterable[Probe], open_context: OpenContext) -> None:
    """Check that this process can run the probes, and warn of those that it cannot run.

    The warning goes to the log, where the failures of these probes will be as well.

    :raises ConfigurationError: if no daemon thread may start in this interpreter.
    """
    if not _may_start_daemons():
        raise ConfigurationError(
            "the app is in an isolated sub-interpreter, where Python starts no daemon threads,"
            " and each probe needs one; under mod_wsgi, set WSGIApplicationGroup %{GLOBAL}; in"
            " any other server, run the app in the main interpreter"
        )
    names = sorted({probe.name for probe in probes if _is_async(probe.call)})
    if names and is_eventlet():
        warn(
            open_context,
            "async probes fail under eventlet, which leaves no thread for their event loops:"
            " write %s sync, or serve the app with threads or gevent",
            ", ".join(map(repr, names)),
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


def _is_async(call: object) -> bool:
    # The second is for an object whose class has an async __call__.
    own = type(call).__call__ if callable(call) else None
    return inspect.iscoroutinefunction(call) or inspect.iscoroutinefunction(own)
