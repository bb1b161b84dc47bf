"""The monitor: a scope's report from fresh results, and runs of what is missing."""

from __future__ import annotations

import asyncio
import contextvars
import inspect
import logging
import time
import typing as t
from collections.abc import Awaitable, Callable, Iterable
from contextlib import AbstractContextManager, suppress
from types import MappingProxyType

from flask_connector_health.errors import ProbeDegraded, ProbeFailed
from flask_connector_health.model import (
    UNKNOWN,
    ProbeResult,
    Report,
    Status,
    interpret,
    weigh,
    worse,
)
from flask_connector_health.probes.spec import Probe
from flask_connector_health.settings import Settings

from .cache import Cache, Entry
from .lane import Flight, Lane, Outcome, Timing

logger = logging.getLogger(__name__)

# Seconds between two lines of the log on a probe that is too slow for the deadline.
LATE_REMINDER = 60.0

_TOO_SLOW = (
    "it has no result within the request's deadline of {:g} s; make it faster, or raise"
    " CONNECTOR_HEALTH_DEADLINE if the clients wait that long"
)
_NO_CAPACITY = (
    "too many of its runs wait for a thread already; make it faster, or raise its ttl or"
    " CONNECTOR_HEALTH_SLOTS"
)


class Monitor:
    """Answers for the service and for each organization, within the deadline.

    :param open_context: opens an app context; each run has its own, in its own thread.
    :param clock: monotonic seconds.
    """

    def __init__(
        self,
        settings: Settings,
        probes: Iterable[Probe],
        *,
        open_context: Callable[[], AbstractContextManager[object]],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._open_context = open_context
        self._clock = clock
        self._deadline = settings.deadline
        lanes = [self._lane(probe, settings) for probe in probes]
        self._service = [lane for lane in lanes if lane.probe.scope == "service"]
        self._organization = [lane for lane in lanes if lane.probe.scope == "organization"]
        self._cache = Cache(
            len(self._service) + len(self._organization) * settings.max_organizations
        )

    def report(self, organization_id: str | None = None) -> Report:
        """Give the scope's verdict; the service's is part of every organization's.

        Fresh results are used as they are. One past its TTL is used too while a run refreshes
        it, up to ``max_stale``. For what is missing or older, the call waits for a run, at most
        until the deadline; what has no result then is unknown, and counts as unavailable.
        """
        scopes: list[tuple[Lane, str | None]] = [(lane, None) for lane in self._service]
        if organization_id is not None:
            scopes += [(lane, organization_id) for lane in self._organization]
        until = self._clock() + self._deadline
        usable = [(lane, self._usable(lane, scope)) for lane, scope in scopes]
        status = Status.OK
        results: dict[str, ProbeResult] = {}
        for lane, found in usable:
            result = self._landed(lane, found, until) if isinstance(found, Flight) else found
            status = max(status, weigh(result, critical=lane.probe.critical))
            results[lane.probe.name] = worse(results.get(lane.probe.name, result), result)
        return Report(status, MappingProxyType(results))

    def _lane(self, probe: Probe, settings: Settings) -> Lane:
        timing = Timing(
            timeout=settings.timeout if probe.timeout is None else probe.timeout,
            ttl=settings.ttl if probe.ttl is None else probe.ttl,
            max_stale=settings.max_stale,
        )
        return Lane(
            probe,
            timing,
            settings.slots,
            execute=self._execute,
            settle=self._settle,
            clock=self._clock,
        )

    def _usable(self, lane: Lane, organization_id: str | None) -> ProbeResult | Flight:
        key = _key(lane, organization_id)
        while True:
            entry = self._cache.get(key)
            now = self._clock()
            if entry is not None and now < entry.fresh_until:
                return entry.result
            flight = lane.join(organization_id, unless=lambda: self._is_fresh(key))
            if flight is not None:
                return flight if entry is None or now >= entry.stale_until else entry.result

    def _is_fresh(self, key: str) -> bool:
        entry = self._cache.get(key)
        return entry is not None and self._clock() < entry.fresh_until

    def _landed(self, lane: Lane, flight: Flight, until: float) -> ProbeResult:
        lane.wait(flight, until)
        outcome = flight.outcome
        if outcome is not None:
            return outcome.result
        if until - lane.reported_late >= LATE_REMINDER:
            lane.reported_late = until
            reason = _NO_CAPACITY if flight.done.is_set() else _TOO_SLOW.format(self._deadline)
            subject = _subject(lane, flight)
            _log(logging.WARNING, "probe %s counts as unavailable: %s", subject, reason)
        return UNKNOWN

    def _execute(self, probe: Probe, organization_id: str | None) -> Outcome:
        try:
            return Outcome(contextvars.Context().run(self._call, probe, organization_id))
        except ProbeDegraded as error:
            return Outcome(ProbeResult(Status.DEGRADED, _text(error)))
        except ProbeFailed as error:
            return Outcome(ProbeResult(Status.UNAVAILABLE, _text(error)))
        except BaseException as error:  # noqa: BLE001 - even SystemExit is only the probe's
            return Outcome(
                ProbeResult(Status.UNAVAILABLE, "it raised an exception; see the log"),
                error,
            )

    def _call(self, probe: Probe, organization_id: str | None) -> ProbeResult:
        arguments = () if probe.scope == "service" else (organization_id,)
        with self._open_context():
            answer: object = probe.call(*arguments)
            if inspect.isawaitable(answer):
                answer = asyncio.run(_awaited(answer))
            try:
                return interpret(answer)
            except TypeError as error:
                raise ProbeFailed(str(error)) from None

    def _settle(self, lane: Lane, flight: Flight, outcome: Outcome) -> None:
        key = _key(lane, flight.organization_id)
        previous = self._cache.get(key)
        fresh_until = self._clock() + lane.timing.ttl
        stale_until = fresh_until + (lane.timing.max_stale if lane.timing.ttl else 0.0)
        self._cache.put(key, Entry(outcome.result, fresh_until, stale_until))
        before = Status.OK if previous is None else previous.result.status
        if outcome.result.status is not before:
            _log_change(_subject(lane, flight), outcome)


async def _awaited(answer: Awaitable[t.Any]) -> object:
    return await answer


def _key(lane: Lane, organization_id: str | None) -> str:
    if organization_id is None:
        return lane.probe.name
    return f"{lane.probe.name}\x1f{organization_id}"


def _text(error: BaseException) -> str:
    try:
        return str(error)
    except BaseException:  # noqa: BLE001 - an exception that cannot say what it is
        return "(its text cannot be read)"


def _subject(lane: Lane, flight: Flight) -> str:
    if flight.organization_id is None:
        return repr(lane.probe.name)
    return f"{lane.probe.name!r} of organization {flight.organization_id!r}"


def _log_change(subject: str, outcome: Outcome) -> None:
    """Say once that a verdict turned: which, to what, and why."""
    result, cause = outcome
    reason = result.message or "the probe says so"
    if cause is not None:
        reason = (
            f"it raised {type(cause).__name__}: {_text(cause)};"
            " mend it, or raise ProbeFailed where that is an answer"
        )
    level = {Status.OK: logging.INFO, Status.DEGRADED: logging.WARNING}.get(
        result.status, logging.ERROR
    )
    status = result.status.value
    _log(level, "probe %s is %s: %s", subject, status, reason, cause=cause)


def _log(level: int, text: str, *values: str, cause: BaseException | None = None) -> None:
    # A log handler of the host's that raises must cost neither a verdict nor a thread.
    with suppress(Exception):
        logger.log(level, text, *values, exc_info=cause)
