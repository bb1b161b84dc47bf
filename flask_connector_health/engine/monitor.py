"""The monitor: a scope's verdict from fresh results, and from runs of what is missing."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterable
from functools import partial
from types import MappingProxyType

from flask_connector_health.model import STATUSES, ProbeResult, Report, Status, weigh, worse
from flask_connector_health.probes.spec import Probe
from flask_connector_health.settings import Settings

from .background import sleep_until
from .execution import OpenContext
from .process import Process, this_process
from .runtime import Runtime


class Monitor:
    """Answers for the service and for each organization, within the deadline.

    What runs, and what guards it, belongs to one process: a forked child begins anew, with the
    results that its parent had. Nothing is started before the first question.

    :param open_context: opens an app context; each run has its own, in its own thread.
    :param clock: monotonic seconds.
    :param sleep_until: waits until that clock reads a time.
    :param jitter: from 0 to 1, anew for each result.
    """

    def __init__(
        self,
        settings: Settings,
        probes: Iterable[Probe],
        *,
        open_context: OpenContext,
        clock: Callable[[], float] = time.monotonic,
        sleep_until: Callable[[float], object] = sleep_until,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        probes = list(probes)
        self._asks_organizations = any(p.scope == "organization" for p in probes)
        self._clock = clock
        self._make_runtime = partial(
            Runtime,
            settings=settings,
            probes=probes,
            open_context=open_context,
            clock=clock,
            sleep_until=sleep_until,
            jitter=jitter,
        )
        self._runtime: Runtime | None = None
        self._runtimes: dict[Process, Runtime] = {}
        # Not as late as the first async run: a child that is forked in the midst of an import
        # waits for its end for ever.
        from . import coroutines  # noqa: F401

    def status(self, organization_id: str | None = None) -> Status:
        """Give the status alone: of a fresh scope, without a lock or a look at a probe."""
        runtime = self._runtime  # a parent's, in a forked child: what is fresh there is so here
        if runtime is not None:
            now = self._clock()
            service = runtime.service.records.get(None)
            if service is not None and now < service[0]:
                if organization_id is None or not self._asks_organizations:
                    return STATUSES[service[1]]
                own = runtime.organization.records.get(organization_id)
                if own is not None and now < own[0]:
                    return STATUSES[max(service[1], own[1])]
        return self.report(organization_id).status

    def report(self, organization_id: str | None = None) -> Report:
        """Give the scope's verdict; the service's is part of every organization's.

        Fresh results are used as they are. One past its TTL is used too while a run refreshes
        it, up to ``max_stale``. For what is missing or older, the call waits for a run, at most
        until the deadline; what has no result then is unknown, and counts as unavailable.
        """
        status = Status.OK
        results: dict[str, ProbeResult] = {}
        for lane, result in self._current().results(organization_id):
            status = max(status, weigh(result.status, critical=lane.probe.critical))
            results[lane.probe.name] = worse(results.get(lane.probe.name, result), result)
        return Report(status, MappingProxyType(results))

    def _current(self) -> Runtime:
        process, runtime = this_process(), self._runtime
        if runtime is None or runtime.process != process:
            # No lock: one that came through a fork may be held for ever. Of those who come
            # here at once, all take the one that was first.
            made = self._make_runtime(process, runtime)
            runtime = self._runtimes.setdefault(process, made)
            self._runtime, self._runtimes = runtime, {process: runtime}
        return runtime
