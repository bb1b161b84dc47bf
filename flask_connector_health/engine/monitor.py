"""The monitor: the questions that the engine answers, in whatever process it is asked."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from datetime import datetime
from functools import partial

from flask_connector_health.checks import whole
from flask_connector_health.model import (
    STATUSES,
    ProbeResult,
    Status,
    StatusLike,
    to_status,
    to_words,
)
from flask_connector_health.probes.spec import Probe
from flask_connector_health.report import Report
from flask_connector_health.settings import Settings

from .current import Current
from .details import Details
from .environment import Environment
from .events import Listener, Transition
from .groups import Groups
from .history import History
from .overview import Overview, survey
from .pauses import Pauses
from .process import Process
from .record import all_fresh_until, groups_of, worst_severity_of


class Monitor:
    """Answers for the service and for each organization, within the deadline.

    Lanes, threads and locks belong to one process. A forked child makes its own, with the
    results that its parent had. No thread starts before the first question.

    :param environment: what surrounds the engine, such as the clock.
    :param listeners: hear of every event.
    :param at_first: is called by the first question, before that is answered.
    """

    def __init__(
        self,
        settings: Settings,
        probes: Iterable[Probe],
        environment: Environment,
        listeners: Sequence[Listener] = (),
        at_first: Callable[[], object] = lambda: None,
    ) -> None:
        #: The configuration, as it was at registration.
        self.settings = settings
        #: All probes. The availability callback is one of each scope that it is asked about.
        self.probes = tuple(probes)
        self._groups = Groups(settings, self.probes)
        #: For each group, the names of its probes.
        self.groups: Mapping[str, tuple[str, ...]] = self._groups.members
        self._asks_organizations = any(p.scope == "organization" for p in self.probes)
        self._now = environment.clock.now
        self._pauses = Pauses(self.probes, settings.check_organization, environment.clock)
        self._paused = self._pauses.held
        self._history = History(settings.max_organizations * len(self.probes))
        make = partial(
            Process,
            settings=settings,
            probes=self.probes,
            groups=self.groups,
            environment=environment,
            history=self._history,
            pauses=self._pauses,
        )
        self._current = Current(make, listeners, at_first, self._pauses)
        # Imported now and not at the first async run: a child that is forked in the middle of
        # an import would wait for ever for the end of that import.
        from . import coroutines  # noqa: F401

    def status(self, organization_id: str | None = None, *, group: str | None = None) -> Status:
        """Give the status alone, of the service, of an organization, or of a group.

        If all entries are fresh, this takes no lock and looks at no probe. While the instance
        drains, every group but ``live`` is unavailable.

        :raises LookupError: if there is no such group.
        :raises ValueError: if both an organization and a group are given.
        """
        if group is not None:
            return self._group_status(organization_id, group)
        process = self._current.process  # or its parent's, whose fresh results hold
        if process is not None and not self._is_paused(organization_id):
            now = self._now()
            service = process.service.records.get(None)
            if service is not None and now < all_fresh_until(service):
                if organization_id is None or not self._asks_organizations:
                    return STATUSES[worst_severity_of(service)]
                own = process.organization.records.get(organization_id)
                if own is not None and now < all_fresh_until(own):
                    return STATUSES[max(worst_severity_of(service), worst_severity_of(own))]
        process = self._current()
        return process.status(process.asked(organization_id))

    def report(
        self,
        organization_id: str | None = None,
        *,
        group: str | None = None,
        within: float | None = None,
    ) -> Report:
        """Report on the service, on an organization and the service together, or on a group.

        Fresh results are used as they are. A result past its TTL is used as well while a run
        refreshes it, up to ``max_stale``. If a result is missing or older than that, the call
        waits for a run, at most until the deadline. A probe without a result is unknown then,
        and counts as unavailable.

        :param group: the name of a group, in place of an organization.
        :param within: for how many seconds to wait, in place of ``CONNECTOR_HEALTH_DEADLINE``,
            for the runs that this call begins. The deadline still holds for a run that somebody
            else waits for, and for a run that has to wait for a slot.
        :raises LookupError: if there is no such group.
        :raises ValueError: if both an organization and a group are given.
        """
        if group is not None:
            self._groups.check(organization_id, group)
        process = self._current()
        report = process.report(process.asked(organization_id, group), within)
        if group is not None and group in self._groups.drained():
            return Report(Status.UNAVAILABLE, report.results)
        return report

    def peek(self, organization_id: str | None = None) -> Report:
        """Report what is known at once: this waits for nothing and starts no run.

        A probe is unknown, and counts as unavailable, if this process has no result of it that
        a request would be answered with now.
        """
        process = self._current()
        return process.peek(process.asked(organization_id))

    def details(self, organization_id: str | None = None) -> Details:
        """Describe what is known of the service's probes, or of an organization's.

        This asks as :meth:`report` does.
        """
        return self._current().details(organization_id, self._groups.drained())

    def overview(
        self, *, status: StatusLike | None = None, probe: str | None = None, limit: int = 50
    ) -> Overview:
        """Count the organizations that this process knows, and list those that fail.

        This runs no probe. The list has the worst first, and of those the ones that have failed
        for longest.

        :param status: list only those of this status.
        :param probe: list only those for which this probe fails.
        :param limit: how many to list at most.
        :raises LookupError: if there is no such probe.
        :raises TypeError: if ``status`` is no status.
        :raises ValueError: if ``limit`` is no whole number from 0 on.
        """
        if probe is not None:
            self._pauses.named(probe)
        wanted = None if status is None else to_status(status, "status")
        try:
            limit = whole(limit, least=0)
        except ValueError as error:
            raise ValueError(f"limit {error}") from error
        return survey(self._current().organization, status=wanted, probe=probe, limit=limit)

    def transitions(self) -> tuple[Transition, ...]:
        """Give the last 1,000 turns of verdicts in this process, the newest first."""
        return self._history.turns()

    def forget(self) -> None:
        """Forget all results of this process, so that the next question asks anew.

        Runs that are on their way go on, and their results are kept.
        """
        self._current().forget()

    def heard_by(self, *listeners: Listener) -> AbstractContextManager[None]:
        """Ask anew for a while, without old results, and let these listeners alone hear of it.

        This is for programs that end soon, such as commands, whose failures are no news.
        """
        return self._current.heard_by(*listeners)

    def pause(
        self,
        probe: str,
        organization_id: str | None = None,
        *,
        until: datetime,
        status: StatusLike = Status.DEGRADED,
        reason: str = "planned work",
    ) -> None:
        """Pause a probe in this process: for a while it does not run, and this is its answer.

        The pause ends by itself. A pause of the same probe and organization is replaced.

        :param organization_id: the organization; by default, a probe of organizations is paused
            for all of them. The availability callback is then paused for the service as well.
        :param until: when the pause ends, with a time zone.
        :param status: what it answers. A probe that is not critical degrades at most.
        :param reason: the message of its answer.
        :raises LookupError: if there is no such probe.
        :raises TypeError: if an argument has the wrong type.
        :raises ValueError: if ``until`` has passed or has no time zone, if an organization is
            given for a probe of the service, or if its id is malformed.
        """
        result = ProbeResult(to_status(status, "status"), to_words(reason, "reason"))
        events = self._pauses.begin(probe, organization_id, until, result)
        self._current().announce(events)

    def resume(self, probe: str, organization_id: str | None = None) -> None:
        """End a pause before its time. If there is none, this does nothing.

        :param organization_id: as it was given to :meth:`pause`.
        :raises LookupError: if there is no such probe.
        :raises ValueError: if an organization is given for a probe of the service.
        """
        self._current().announce(self._pauses.end(probe, organization_id))

    def drain(self) -> None:
        """Ask, in this process alone, that the instance be sent no more requests.

        Every group but ``live`` is unavailable from then on. For all workers of a server, make
        the file ``CONNECTOR_HEALTH_DRAIN_FILE``.
        """
        self._groups.drains = True

    def undrain(self) -> None:
        """Take :meth:`drain` back. The file ``CONNECTOR_HEALTH_DRAIN_FILE`` stays."""
        self._groups.drains = False

    def is_draining(self) -> bool:
        """Tell whether this process, or by its file the whole instance, drains."""
        return self._groups.is_draining()

    def _group_status(self, organization_id: str | None, group: str) -> Status:
        self._groups.check(organization_id, group)
        if not self._groups.members[group]:
            return Status.OK
        if self._groups.is_draining():
            return Status.UNAVAILABLE
        process = self._current.process
        if process is not None and not self._is_paused(None):
            record = process.service.records.get(None)
            if record is not None:
                until, severity = groups_of(record)[self._groups.places[group]]
                if self._now() < until:
                    return STATUSES[severity]
        process = self._current()
        return process.status(process.asked(None, group))

    def _is_paused(self, organization_id: str | None) -> bool:
        return bool(self._paused) and self._pauses.concern(organization_id)
