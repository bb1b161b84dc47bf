"""The monitor: a scope's verdict from fresh results, and from runs of what is missing."""

from __future__ import annotations

import os
import random
import threading
import time
from collections.abc import Callable, Iterable
from types import MappingProxyType

from flask_connector_health.model import STATUSES, ProbeResult, Report, Status, weigh, worse
from flask_connector_health.probes.spec import Probe
from flask_connector_health.settings import Settings

from .execution import OpenContext, prepare
from .runtime import Runtime


class Monitor:
    """Answers for the service and for each organization, within the deadline.

    What runs, and what guards it, belongs to one process: a forked child begins anew, with the
    results that its parent had. Nothing is started before the first question.

    :param open_context: opens an app context; each run has its own, in its own thread.
    :param clock: monotonic seconds.
    :param sleep_until: waits until that clock reads a time; by default for real seconds.
    :param jitter: from 0 to 1, anew for each result.
    """

    def __init__(
        self,
        settings: Settings,
        probes: Iterable[Probe],
        *,
        open_context: OpenContext,
        clock: Callable[[], float] = time.monotonic,
        sleep_until: Callable[[float], object] | None = None,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        self._settings = settings
        self._probes = list(probes)
        prepare()
        self._asks_organizations = any(p.scope == "organization" for p in self._probes)
        self._open_context = open_context
        self._clock = clock
        self._sleep_until = sleep_until
        self._jitter = jitter
        self._runtime: Runtime | None = None
        self._making: dict[int, threading.Lock] = {}

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
            status = max(status, weigh(result, critical=lane.probe.critical))
            results[lane.probe.name] = worse(results.get(lane.probe.name, result), result)
        return Report(status, MappingProxyType(results))

    def _current(self) -> Runtime:
        pid, runtime = os.getpid(), self._runtime
        if runtime is not None and runtime.pid == pid:
            return runtime
        # A lock of this process: one that came through a fork may be held for ever.
        lock = self._making.setdefault(pid, threading.Lock())
        with lock:
            if self._runtime is None or self._runtime.pid != pid:
                self._runtime = self._make_runtime(pid, self._runtime)
                self._making = {pid: lock}
            return self._runtime

    def _make_runtime(self, pid: int, parent: Runtime | None) -> Runtime:
        runtime = Runtime(
            pid,
            self._settings,
            self._probes,
            open_context=self._open_context,
            clock=self._clock,
            sleep_until=self._sleep_until,
            jitter=self._jitter,
        )
        if parent is not None:
            runtime.inherit(parent)
        return runtime
