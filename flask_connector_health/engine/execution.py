"""One run of a probe: in a context of its own, and as sync or async as the probe is."""

from __future__ import annotations

import contextvars
import importlib
import inspect
import threading
import typing as t
from collections.abc import Awaitable, Callable
from contextlib import AbstractContextManager
from functools import partial

from flask_connector_health import checks
from flask_connector_health.probes.spec import Probe

from .outcome import Outcome, answered, raised
from .policy import Policy

if t.TYPE_CHECKING:
    from .loop import Loops

OpenContext: t.TypeAlias = Callable[[], AbstractContextManager[object]]


def prepare() -> None:
    """Import what async probes need, once an app has probes: asyncio is half of the package.

    Not as late as their first run: a child that is forked in the midst of an import would wait
    for its end for ever.
    """
    importlib.import_module(".loop", __package__)


class Execution:
    """Runs a probe for an organization, or for the service; never raises.

    Each run sees an empty context, with an app context that is torn down where it was opened.

    :param open_context: opens an app context.
    :param clock: monotonic seconds.
    """

    def __init__(
        self,
        probe: Probe,
        policy: Policy,
        *,
        open_context: OpenContext,
        clock: Callable[[], float],
    ) -> None:
        self._probe = probe
        self._policy = policy
        self._open_context = open_context
        self._clock = clock
        self._async = checks.is_async(probe.call)
        self._lock = threading.Lock()
        self._loops: Loops | None = None

    def __call__(self, organization_id: str | None) -> Outcome | None:
        """Run it in this thread, or in its loop; ``None`` if there was no thread for that."""
        call: Callable[..., t.Any] = self._probe.call
        if self._probe.scope == "organization":
            call = partial(call, organization_id)
        if not self._async:
            found = contextvars.Context().run(self._in_thread, call)
            if isinstance(found, Outcome):
                return found
            call = partial(_same, found)  # a plain function that returned an awaitable
        return self._own_loops().run(partial(self._in_loop, call), self._policy.timeout)

    def _own_loops(self) -> Loops:
        with self._lock:
            if self._loops is None:
                from .loop import Loops  # as prepared

                self._loops = Loops(self._policy.slots, self._clock)
            return self._loops

    def _in_thread(self, call: Callable[[], t.Any]) -> Outcome | Awaitable[object]:
        try:
            with self._open_context():
                answer = call()
                return answer if inspect.isawaitable(answer) else answered(answer)
        except BaseException as error:  # noqa: BLE001 - even SystemExit is only the probe's
            return raised(error)

    async def _in_loop(self, call: Callable[[], Awaitable[object]]) -> Outcome:
        try:
            with self._open_context():
                return answered(await call())
        except GeneratorExit:  # the loop is gone: nobody waits for an outcome
            raise
        except BaseException as error:  # noqa: BLE001 - SystemExit would stop the loop
            return raised(error)


def _same(value: Awaitable[object]) -> Awaitable[object]:
    return value
