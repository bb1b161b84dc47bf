"""Findings: what in a configuration does not fit reality, and what to do about it."""

from __future__ import annotations

import math
import os
import re
from collections.abc import Callable, Iterator

from flask_connector_health.probes.policy import Policy
from flask_connector_health.probes.spec import AVAILABILITY

from .scene import Finding, Scene

# How long balancers and kubelets wait by default, in seconds.
PROBER = 1.0

# What part of its timeout a run may usually take.
USUAL = 0.8

# A probe with this tag depends on somebody else's servers.
THIRD_PARTY = "third-party"

# Seconds after which a probe is taken for one that does.
FAR = 0.1

# Whose name begins so, as in "ready" and "readiness", takes an instance out of use.
_READY = re.compile("read[iy]")

_WORKERS = re.compile(r"(?:^|\s)(?:-w|--workers)[\s=]*(\d+)")


def deadline(scene: Scene) -> Iterator[Finding]:
    """Compare the deadline with the patience of probers."""
    limit = scene.settings.deadline
    if limit >= PROBER:
        yield Finding(
            "deadline-above-prober",
            f"CONNECTOR_HEALTH_DEADLINE is {limit:g} s, but many probers wait {PROBER:g} s, and"
            " take no answer for a failure",
            "set it below 1.0, or raise the prober's own timeout above it",
        )


def durations(scene: Scene) -> Iterator[Finding]:
    """Compare how long the probes took with their timeouts and with the deadline."""
    for run in scene.telling:
        probe, policy, took = run.probe, run.policy, run.seconds
        if took > policy.timeout * USUAL:
            yield Finding(
                "timeout-too-short",
                f"probe {probe.name!r} took {took:.2g} s here, and its timeout is"
                f" {policy.timeout:g} s",
                "raise its timeout, or make it faster",
            )
        if probe.critical and took > scene.settings.deadline:
            yield Finding(
                "critical-probe-too-slow",
                f"probe {probe.name!r} is critical and took {took:.2g} s here, and a request"
                f" waits {scene.settings.deadline:g} s at most: without a result, the answer is"
                " 503",
                "make it faster, make it not critical, or raise CONNECTOR_HEALTH_DEADLINE if"
                " the clients wait that long",
            )


def failures(scene: Scene) -> Iterator[Finding]:
    """Look for probes that fail here."""
    for run in scene.runs:
        if not run.status.available:
            yield Finding(
                "probe-fails",
                f"probe {run.probe.name!r} failed here: {run.words or 'it says so'}",
                "mend it, or run doctor where the probe can reach what it looks at",
            )


def polling(scene: Scene) -> Iterator[Finding]:
    """Compare how long results last with the pause between two requests."""
    if scene.every is None:
        return
    policies = [(probe.name, Policy.of(probe, scene.settings)) for probe in scene.probes]
    lasting = {name: policy.usable_until(policy.ttl) for name, policy in policies if policy.ttl}
    short = [f"{name!r} {each:g} s" for name, each in lasting.items() if each < scene.every]
    if short:
        yield Finding(
            "polled-too-rarely",
            f"somebody asks every {scene.every:g} s, and results that last less (ttl and"
            f" max_stale) make each request wait for a run: {', '.join(short)}",
            f"raise max_stale until both together are above {scene.every:g}, or ask more often",
        )


def cache(scene: Scene) -> Iterator[Finding]:
    """Compare how many organizations are asked about with how many are kept."""
    bound = scene.settings.max_organizations
    if scene.organizations is not None and scene.organizations > bound:
        yield Finding(
            "too-many-organizations",
            f"{scene.organizations} organizations are asked about, and"
            f" CONNECTOR_HEALTH_MAX_ORGANIZATIONS keeps the results of {bound}: the others wait"
            " for a run each time",
            "raise it, at about 600 bytes for each organization and probe",
        )


def slots(scene: Scene) -> Iterator[Finding]:
    """Compare the slots with the runs that so many organizations need."""
    for run in scene.telling:
        probe, policy, took = run.probe, run.policy, run.seconds
        period = max(policy.ttl, scene.every or 0.0)
        if probe.scope == "service" or scene.organizations is None or not period:
            continue
        needed = scene.organizations * took / period
        if needed > policy.slots:
            yield Finding(
                "slots-too-few",
                f"probe {probe.name!r} took {took:.2g} s here, and has {policy.slots} slots:"
                f" {scene.organizations} organizations, each asked every {period:g} s, need"
                f" {math.ceil(needed)}",
                "raise its slots or its ttl, or make it faster",
            )


def public_route(scene: Scene) -> Iterator[Finding]:
    """Look at what a prober gets that asks by an IP address, without the fast path."""
    code, way = scene.code, "set CONNECTOR_HEALTH_FAST_PATH to True"
    if code == 400:
        yield Finding(
            "trusted-hosts",
            "a prober that asks by an IP address gets a 400, since TRUSTED_HOSTS lacks it",
            f"{way}, add the address, or let the prober send a trusted name",
        )
    elif code is not None and 300 <= code < 400:
        yield Finding(
            "redirected",
            f"a prober that asks by http gets a redirect ({code}), such as one to https or to a"
            " login, which some take for healthy and others for a failure",
            f"{way}, or exempt the route",
        )
    elif code not in (None, 200, 401, 403, 429, 503):
        yield Finding(
            "public-route-broken",
            f"a prober gets a {code} from the public route",
            "look in the log for what raised it, or at what the app does before its views",
        )
    elif code in (401, 403, 429):
        yield Finding(
            "public-route-refused",
            f"a prober without a credential gets a {code} from the public route",
            f"{way}, or exempt the route from what refuses the request",
        )


def open_details(scene: Scene) -> Iterator[Finding]:
    """Say so if somebody whom nobody knows may see the details."""
    if scene.details_open:
        yield Finding(
            "details-open",
            "CONNECTOR_HEALTH_AUTHORIZE_DETAILS lets in a principal that it cannot know: every"
            " caller with a credential may read which organization has which trouble",
            "let it return True for operators alone, and for the caller's own organization",
        )


def readiness(scene: Scene) -> Iterator[Finding]:
    """Look for what is no matter of a single instance in a group for its readiness."""
    took = {
        run.probe.name: run.seconds for run in scene.telling if run.probe.scope == "service"
    }
    tagged = {probe.name for probe in scene.probes if THIRD_PARTY in probe.tags}
    groups = {name: members for name, members in scene.groups.items() if _READY.match(name)}
    for group, names in groups.items():
        for name in names:
            reason = None
            if name == AVAILABILITY:
                reason = "says how the business is"
            elif name in tagged:
                reason = f"has the tag {THIRD_PARTY!r}"
            elif took.get(name, 0.0) > FAR:
                reason = f"took {took[name]:.2g} s here, as if it asked a server far away"
            if reason is not None:
                yield Finding(
                    "shared-failure-in-group",
                    f"the group {group!r} has the probe {name!r}, which {reason}: if it fails,"
                    " all instances are taken out of use at once",
                    "take it out of the groups that a balancer or an orchestrator asks",
                )


def several_workers(scene: Scene) -> Iterator[Finding]:
    """Look for several processes, which have results of their own."""
    found = _WORKERS.search(scene.environment.get("GUNICORN_CMD_ARGS", ""))
    given = scene.environment.get("WEB_CONCURRENCY", "")
    number = scene.workers or int(found[1] if found else given if given.isdecimal() else 1)
    if number > 1:
        yield Finding(
            "several-workers",
            f"{number} workers have results of their own: each runs the probes, and for a while"
            " after a change they answer differently",
            "expect that, or serve with one worker that has more threads",
        )


def drain_file(scene: Scene) -> Iterator[Finding]:
    """Look whether the file that drains can be made, and whether it is there."""
    file = scene.settings.drain_file
    if file is None:
        return
    folder = os.path.dirname(file)
    if os.path.isdir(file):
        yield Finding(
            "drain-file-is-a-folder",
            f"CONNECTOR_HEALTH_DRAIN_FILE is the folder {file}, which is always there",
            "name a file in it",
        )
    elif os.path.exists(file):
        yield Finding(
            "draining",
            f"{file} is there, so that each group but 'live' is unavailable",
            "run flask connector-health undrain, unless the server is about to end",
        )
    elif not os.path.isdir(folder):
        yield Finding(
            "drain-folder-missing",
            f"the folder {folder} of CONNECTOR_HEALTH_DRAIN_FILE is not there",
            "make it before the server starts, as RuntimeDirectory= of systemd does",
        )
    elif not os.access(folder, os.W_OK | os.X_OK):
        yield Finding(
            "drain-folder-read-only",
            f"this user may not write in the folder {folder} of CONNECTOR_HEALTH_DRAIN_FILE",
            "let the user who drains own the folder",
        )


EXAMINE: tuple[Callable[[Scene], Iterator[Finding]], ...] = (
    deadline,
    durations,
    failures,
    polling,
    cache,
    slots,
    public_route,
    open_details,
    readiness,
    several_workers,
    drain_file,
)


def examine(scene: Scene) -> list[Finding]:
    """Give all findings."""
    return [finding for look in EXAMINE for finding in look(scene)]
