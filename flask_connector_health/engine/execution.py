"""One run of a probe: in a context of its own, and as sync or async as the probe is."""

from __future__ import annotations

import contextvars
import inspect
import typing as t
from collections.abc import Callable
from contextlib import AbstractContextManager

from flask_connector_health.probes.spec import Probe

from .outcome import Outcome, Report, answered, raised
from .process import leave_child_of, this_process
from .threads import Threads

OpenContext: t.TypeAlias = Callable[[], AbstractContextManager[object]]


def run(
    open_context: OpenContext,
    pool: Threads,
    probe: Probe,
    timeout: float,
    organization_id: str | None,
    report: Report,
) -> None:
    """Run a probe, and report what came of it; return when all that it started has ended.

    It sees an empty context, with an app context that is torn down where it was opened, after
    all that it has started. Whatever it raises is an outcome.

    :param open_context: opens an app context.
    :param pool: threads for the calls of an async probe.
    :param report: takes the outcome, or a text that says why it could not be run; at the end,
        ``None`` says that it had that before.
    """
    call: Callable[..., t.Any] = probe.call
    arguments = [organization_id] if probe.scope == "organization" else []

    def made() -> Outcome | str | None:
        process = this_process()
        try:
            with open_context():
                try:
                    answer = call(*arguments)
                finally:
                    leave_child_of(process)
                if not inspect.isawaitable(answer):
                    return answered(answer)
                from .coroutines import drive  # not with the package: it needs asyncio

                return drive(answer, timeout, pool, report)
        except BaseException as error:  # noqa: BLE001 - even SystemExit is only the probe's
            return raised(error)

    # No local variable: with the frames of its exception an outcome would be a cycle.
    report(contextvars.Context().run(made))
