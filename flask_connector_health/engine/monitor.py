"""The monitor: the questions that the engine answers, in whatever process it is asked."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from functools import partial

from flask_connector_health.model import STATUSES, Report, Status
from flask_connector_health.probes.spec import Probe
from flask_connector_health.settings import Settings

from .environment import Environment, ProcessId, this_process
from .events import Listener
from .process import Process
from .record import all_fresh_until, severity_of


class Monitor:
    """Answers for the service and for each organization, within the deadline.

    Lanes, threads and locks belong to one process. A forked child makes its own, with the
    results that its parent had. No thread starts before the first question.

    :param environment: what surrounds the engine, such as the clock.
    :param listeners: hear of every event.
    :param at_first: is called once, by the first question, before that is answered.
    """

    def __init__(
        self,
        settings: Settings,
        probes: Iterable[Probe],
        environment: Environment,
        listeners: Sequence[Listener] = (),
        at_first: Callable[[], object] = lambda: None,
    ) -> None:
        probes = list(probes)
        self._asks_organizations = any(p.scope == "organization" for p in probes)
        self._now = environment.clock.now
        self._make_process = partial(
            Process,
            settings=settings,
            probes=probes,
            environment=environment,
            listeners=listeners,
        )
        self._at_first = at_first
        self._process: Process | None = None
        self._processes: dict[ProcessId, Process] = {}
        # Imported now and not at the first async run: a child that is forked in the middle of
        # an import would wait for ever for the end of that import.
        from . import coroutines  # noqa: F401

    def status(self, organization_id: str | None = None) -> Status:
        """Give the status alone, of the service or of an organization.

        If all entries are fresh, this takes no lock and looks at no probe.
        """
        process = self._process  # a child may find its parent's, whose fresh results hold
        if process is not None:
            now = self._now()
            service = process.service.records.get(None)
            if service is not None and now < all_fresh_until(service):
                if organization_id is None or not self._asks_organizations:
                    return STATUSES[severity_of(service)]
                own = process.organization.records.get(organization_id)
                if own is not None and now < all_fresh_until(own):
                    return STATUSES[max(severity_of(service), severity_of(own))]
        return self._current().status(organization_id)

    def report(self, organization_id: str | None = None) -> Report:
        """Report on the service, or on an organization and the service together.

        Fresh results are used as they are. A result past its TTL is used as well while a run
        refreshes it, up to ``max_stale``. If a result is missing or older than that, the call
        waits for a run, at most until the deadline. A probe without a result is unknown then,
        and counts as unavailable.
        """
        return self._current().report(organization_id)

    def peek(self, organization_id: str | None = None) -> Report:
        """Report what is known at once: this waits for nothing and starts no run.

        A probe is unknown, and counts as unavailable, if this process has no result of it that
        a request would be answered with now.
        """
        return self._current().peek(organization_id)

    def _current(self) -> Process:
        identity, process = this_process(), self._process
        if process is None:
            self._at_first()
        if process is None or process.identity != identity:
            # No lock: a child might inherit it locked, for ever. If several threads come here
            # at once, all of them take the object that was registered first.
            made = self._make_process(identity, process)
            process = self._processes.setdefault(identity, made)
            self._process, self._processes = process, {identity: process}
        return process
