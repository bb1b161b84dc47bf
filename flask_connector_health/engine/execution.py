"""One run of a probe: in a context of its own, and as sync or async as the probe is."""

from __future__ import annotations

import contextvars
import importlib
import inspect
import os
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

# Seconds in which a coroutine that was cancelled has ended, or will not.
GRACE = 0.25


def prepare() -> None:
    """Import what async probes need, and any callable may turn out to be one.

    Not with the package, since asyncio is half of what that takes; and not as late as their
    first run: a child that is forked in the midst of an import would wait for its end for ever.
    """
    importlib.import_module(".loop", __package__)


class Execution:
    """Runs a probe for an organization, or for the service; whatever it raises is an outcome.

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
        self.grace = GRACE if self._async else 0.0
        self._pid = os.getpid()
        self._lock = threading.Lock()
        self._loops: Loops | None = None

    def __call__(self, organization_id: str | None) -> Outcome | str:
        """Run it in this thread, or in its loop; a text says why it could not be run."""
        call: Callable[..., t.Any] = self._probe.call
        if self._probe.scope == "organization":
            call = partial(call, organization_id)
        if self._async:
            return self._in_its_loop(call)
        return contextvars.Context().run(self._in_this_thread, call)

    def _in_this_thread(self, call: Callable[[], t.Any]) -> Outcome | str:
        try:
            with self._open_context():
                try:
                    answer = call()
                finally:
                    self._leave_a_forked_child()
                if not inspect.isawaitable(answer):
                    return answered(answer)
        except BaseException as error:  # noqa: BLE001 - even SystemExit is only the probe's
            return raised(error)
        outcome = self._in_its_loop(lambda: answer, again=False)
        if isinstance(outcome, str) and inspect.iscoroutine(answer):
            answer.close()
        return outcome

    def _in_its_loop(
        self, call: Callable[[], Awaitable[object]], *, again: bool = True
    ) -> Outcome | str:
        with self._lock:
            if self._loops is None:
                from .loop import Loops

                self._loops = Loops(self._policy.slots, self._clock)
        job = partial(self._awaited, call)
        return self._loops.run(job, self._policy.timeout, again=again)

    async def _awaited(self, call: Callable[[], Awaitable[object]]) -> Outcome:
        try:
            with self._open_context():
                try:
                    return answered(await call())
                finally:
                    self._leave_a_forked_child()
        except GeneratorExit:  # the loop is gone: nobody waits for an outcome
            raise
        except BaseException as error:  # noqa: BLE001 - SystemExit would stop the loop
            return raised(error)

    def _leave_a_forked_child(self) -> None:
        # The probe forked, and this is its child, which would take its parent's place at
        # sockets, pipes and database connections that the two of them share.
        if os.getpid() != self._pid:
            os._exit(0)
