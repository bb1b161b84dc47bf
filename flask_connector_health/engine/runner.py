"""The runner: how one run of a probe is made, whether the probe is sync or async."""

from __future__ import annotations

import contextvars
import inspect
import typing as t
from collections.abc import Callable

from flask_connector_health.probes.policy import Policy
from flask_connector_health.probes.spec import Probe

from .environment import Environment, leave_child_of, this_process
from .outcome import Deliver, Outcome, answered, raised
from .threads import Threads


class Runner:
    """Makes the runs of one probe, each in the thread that calls :meth:`run`.

    :param pool: threads for what an async probe calls with ``asyncio.to_thread``.
    """

    def __init__(
        self, probe: Probe, policy: Policy, environment: Environment, pool: Threads
    ) -> None:
        self.probe = probe
        self.policy = policy
        self._environment = environment
        self._pool = pool

    def run(self, organization_id: str | None, deliver: Deliver) -> None:
        """Run the probe, deliver the outcome, and return when the run has ended.

        A run sees an empty context, and in it an app context that is torn down in the same
        thread. An async run ends once its tasks have ended, the last of them cancelled, and its
        calls in ``asyncio.to_thread``. Whatever the probe raises is an outcome.

        :param deliver: is called with the outcome, or with a text that says why the probe could
            not be run. After an early outcome, it is called a second time, with ``None``.
        """
        # The outcome is in no variable: its exception's traceback refers to this frame, which
        # would make a cycle.
        deliver(contextvars.Context().run(self._made, organization_id, deliver))

    def _made(self, organization_id: str | None, deliver: Deliver) -> Outcome | str | None:
        call: Callable[..., t.Any] = self.probe.call
        arguments = [organization_id] if self.probe.scope == "organization" else []
        process = this_process()
        try:
            with self._environment.open_context():
                try:
                    answer = call(*arguments)
                finally:
                    leave_child_of(process)
                if not inspect.isawaitable(answer):
                    return answered(answer)
                from .coroutines import drive  # which the monitor has imported before

                return drive(answer, self.policy.timeout, self._pool, deliver)
        except BaseException as error:  # noqa: BLE001 - even SystemExit ends this run alone
            return raised(error)
