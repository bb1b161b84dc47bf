"""Entries: which verdict follows from another one, by example and against a model."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flask_connector_health import NotApplicable, ProbeResult, Status
from flask_connector_health.engine.entry import (
    Ended,
    Entry,
    checked,
    checked_at,
    duration_of,
    failures_of,
    last_ok_at,
    result_of,
    since_at,
    since_of,
    status_of,
    succeed,
)
from flask_connector_health.engine.outcome import Outcome
from flask_connector_health.model import STATUSES, judge
from flask_connector_health.probes.policy import MEMORY, Policy

OK, DEGRADED, UNAVAILABLE = STATUSES


def policy(
    failure_threshold: int = 1, recovery_threshold: int = 1, max_stale: float = 15.0
) -> Policy:
    return Policy(
        timeout=5.0,
        ttl=5.0,
        failure_ttl=1.0,
        max_stale=max_stale,
        failure_threshold=failure_threshold,
        recovery_threshold=recovery_threshold,
        slots=4,
    )


def ended(at: float) -> Ended:
    return Ended(at, 1e9 + at, 0.5)


def verdicts(results: list[Status], failure: int, recovery: int) -> list[Status]:
    """Run results through the engine's own bookkeeping, a second apart."""
    entry: Entry | None = None
    found = []
    for number, result in enumerate(results):
        outcome = Outcome(ProbeResult(result))
        rule = policy(failure, recovery)
        entry = succeed(entry, outcome, rule, ended(float(number)), jitter=0.0)
        found.append(result_of(entry).status)
    return found


def model(results: list[Status], failure: int, recovery: int) -> list[Status]:
    """Say the same of the whole history: which levels hold, each by its own run of results."""
    found = []
    for end in range(1, len(results) + 1):
        held = [level for level in STATUSES if holds(level, results[:end], failure, recovery)]
        found.append(max(held))
    return found


def holds(level: Status, results: list[Status], failure: int, recovery: int) -> bool:
    """Look back for the last time that enough results in a row agreed about this level."""
    for end in range(len(results), 1, -1):
        if end >= failure + 1 and all(r >= level for r in results[end - failure : end]):
            return True
        if end >= recovery + 1 and all(r < level for r in results[end - recovery : end]):
            return False
    return results[0] >= level


@given(
    st.lists(st.sampled_from(STATUSES), min_size=1, max_size=40),
    st.integers(1, 5),
    st.integers(1, 5),
)
def test_verdicts_are_those_of_the_model(
    results: list[Status], failure: int, recovery: int
) -> None:
    assert verdicts(results, failure, recovery) == model(results, failure, recovery)


@given(st.lists(st.sampled_from(STATUSES), min_size=1))
def test_with_thresholds_of_one_the_verdict_is_the_result(results: list[Status]) -> None:
    assert verdicts(results, 1, 1) == results


@given(st.sampled_from(STATUSES), st.sampled_from(STATUSES), st.integers(1, 9))
def test_a_result_that_agrees_with_the_verdict_starts_the_count_anew(
    verdict: Status, status: Status, threshold: int
) -> None:
    _, streaks = judge(
        verdict,
        verdict,
        (threshold - 1, threshold - 1),
        failure_threshold=threshold,
        recovery_threshold=threshold,
    )

    assert streaks == (0, 0)


@pytest.mark.parametrize(
    ("results", "expected"),
    [
        ([UNAVAILABLE], UNAVAILABLE),  # nothing to hold on to
        ([OK, UNAVAILABLE, UNAVAILABLE], OK),
        ([OK, UNAVAILABLE, UNAVAILABLE, UNAVAILABLE], UNAVAILABLE),
        ([OK, UNAVAILABLE, UNAVAILABLE, OK, UNAVAILABLE, UNAVAILABLE], OK),
        ([OK, DEGRADED, UNAVAILABLE, UNAVAILABLE], DEGRADED),  # as bad as that three times
        ([OK, DEGRADED, UNAVAILABLE, UNAVAILABLE, UNAVAILABLE], UNAVAILABLE),
        ([UNAVAILABLE, OK], UNAVAILABLE),
        ([UNAVAILABLE, OK, OK], OK),
        ([UNAVAILABLE, DEGRADED, OK], DEGRADED),  # twice better, but only once as good
        ([UNAVAILABLE, OK, UNAVAILABLE, OK], UNAVAILABLE),
    ],
)
def test_three_to_fail_and_two_to_recover(results: list[Status], expected: Status) -> None:
    assert verdicts(results, 3, 2)[-1] is expected


@pytest.mark.parametrize(
    ("max_stale", "gap", "expected"),
    [
        (15.0, MEMORY - 1.0, OK),
        (0.0, MEMORY - 1.0, OK),
        (15.0, MEMORY, UNAVAILABLE),
        (90.0, 89.0, OK),
        (90.0, 90.0, UNAVAILABLE),
    ],
)
def test_results_too_far_apart_are_not_consecutive(
    max_stale: float, gap: float, expected: Status
) -> None:
    rule = policy(failure_threshold=3, max_stale=max_stale)
    fine, bad = Outcome(ProbeResult(OK)), Outcome(ProbeResult(UNAVAILABLE))
    first = succeed(None, fine, rule, ended(0.0), jitter=0.0)

    then = succeed(first, bad, rule, ended(rule.ttl + gap), jitter=0.0)

    assert result_of(then).status is expected


@pytest.mark.parametrize(
    ("results", "since"),
    [
        ([OK], 0.0),
        ([OK, OK, OK], 0.0),
        ([OK, UNAVAILABLE, UNAVAILABLE], 1.0),
        ([OK, UNAVAILABLE, OK], 2.0),
        ([DEGRADED, UNAVAILABLE], 1.0),
    ],
)
def test_a_status_holds_since_the_result_that_brought_it(
    results: list[Status], since: float
) -> None:
    entry: Entry | None = None
    for at, result in enumerate(results):
        outcome = Outcome(ProbeResult(result, f"at {at}"))
        entry = succeed(entry, outcome, policy(), ended(float(at)), jitter=0.0)

    assert entry is not None
    assert since_of(entry) == since


@pytest.mark.parametrize(("then", "since"), [(OK, 0.0), (UNAVAILABLE, 1_000.0)])
def test_a_status_holds_on_after_a_result_that_is_too_old_to_count(
    then: Status, since: float
) -> None:
    first = succeed(None, Outcome(ProbeResult(OK)), policy(), ended(0.0), jitter=0.0)

    entry = succeed(first, Outcome(ProbeResult(then)), policy(3, 3), ended(1_000.0), jitter=0.0)

    assert (result_of(entry).status, since_of(entry)) == (then, since)


@pytest.mark.parametrize(
    ("results", "message"),
    [
        ([(OK, "fine"), (UNAVAILABLE, "refused")], "fine"),
        ([(OK, "fine"), (UNAVAILABLE, "refused"), (UNAVAILABLE, "gone")], "gone"),
        ([(OK, "fine"), (OK, "better")], "better"),
        ([(OK, "fine"), (DEGRADED, "slow"), (UNAVAILABLE, "gone")], ""),
    ],
)
def test_the_words_belong_to_the_verdict(
    results: list[tuple[Status, str]], message: str
) -> None:
    """A message is kept only if it explains the verdict, and not a contradicting result."""
    entry: Entry | None = None
    for at, (status, words) in enumerate(results):
        outcome = Outcome(ProbeResult(status, words))
        entry = succeed(entry, outcome, policy(2, 2), ended(float(at)), jitter=0.0)

    assert entry is not None
    assert result_of(entry).message == message


# What is kept for people

ABSENT = NotApplicable("no Drive connected")


def followed(
    results: Sequence[Status | ProbeResult],
    rule: Policy | None = None,
    days: Sequence[float] = (),
) -> Entry:
    """Give the entry after these results, a second apart.

    :param days: the time of day at the end of each run; by default, it goes on as it should.
    """
    entry: Entry | None = None
    for number, each in enumerate(results):
        result = each if isinstance(each, ProbeResult) else ProbeResult(each)
        end = ended(float(number))
        if days:
            end = end._replace(time_of_day=days[number])
        entry = succeed(entry, Outcome(result), rule or policy(), end, jitter=0.0)
    assert entry is not None
    return entry


def test_the_last_run_is_the_one_that_is_described() -> None:
    first = succeed(None, Outcome(ProbeResult(OK)), policy(), Ended(1.0, 50.0, 0.5), jitter=0.0)

    then = succeed(first, Outcome(ProbeResult(OK)), policy(), Ended(3.0, 60.0, 0.25), jitter=0)

    assert (checked(first), checked_at(first), duration_of(first)) == (1.0, 50.0, 0.5)
    assert (checked(then), checked_at(then), duration_of(then)) == (3.0, 60.0, 0.25)


@pytest.mark.parametrize(
    ("results", "failures"),
    [
        ([OK], 0),
        ([DEGRADED], 1),
        ([OK, UNAVAILABLE, DEGRADED, UNAVAILABLE], 3),
        ([UNAVAILABLE, UNAVAILABLE, OK], 0),
        ([UNAVAILABLE, OK, UNAVAILABLE], 1),
        ([UNAVAILABLE, ABSENT], 0),
        ([UNAVAILABLE, ABSENT, UNAVAILABLE], 1),
    ],
)
@pytest.mark.parametrize("threshold", [1, 9])
def test_runs_that_were_not_ok_are_counted_since_the_last_that_was(
    results: list[Status | ProbeResult], failures: int, threshold: int
) -> None:
    """Thresholds change a verdict, and not what the runs have found."""
    assert failures_of(followed(results, policy(threshold, threshold))) == failures


@pytest.mark.parametrize(
    ("results", "last"),
    [
        ([OK], 0.0),
        ([UNAVAILABLE], None),
        ([OK, UNAVAILABLE, DEGRADED], 0.0),
        ([OK, UNAVAILABLE, OK], 2.0),
        ([ABSENT], None),
        ([OK, ABSENT], 0.0),
    ],
)
@pytest.mark.parametrize("threshold", [1, 9])
def test_a_run_that_was_ok_is_remembered(
    results: list[Status | ProbeResult], last: float | None, threshold: int
) -> None:
    expected = None if last is None else 1e9 + last

    assert last_ok_at(followed(results, policy(threshold, threshold))) == expected


def test_a_step_of_the_time_of_day_leaves_what_was_noted() -> None:
    entry = followed([OK, UNAVAILABLE, UNAVAILABLE], days=[100.0, 5_000.0, 7.0])

    assert (last_ok_at(entry), since_at(entry), checked_at(entry)) == (100.0, 5_000.0, 7.0)


@pytest.mark.parametrize("days", [[1e9, 2e9, 3e9], [1e9, 0.0, 0.0]])
def test_a_step_of_the_time_of_day_makes_no_results_less_consecutive(days: list[float]) -> None:
    entry = followed([OK, UNAVAILABLE, UNAVAILABLE], policy(2, 2), days)

    assert result_of(entry).status is UNAVAILABLE
    assert since_of(entry) == 2.0


# Answers that count for nothing


@pytest.mark.parametrize("before", STATUSES)
def test_an_answer_that_does_not_apply_is_the_verdict_at_once(before: Status) -> None:
    entry = followed([before, ABSENT], policy(9, 9))

    assert result_of(entry) == ABSENT
    assert status_of(entry) is None
    assert since_of(entry) == 1.0


@pytest.mark.parametrize("then", STATUSES)
def test_the_result_after_one_that_does_not_apply_is_like_a_first_one(then: Status) -> None:
    entry = followed([OK, UNAVAILABLE, ABSENT, then], policy(9, 9))

    assert result_of(entry) == ProbeResult(then)
    assert since_of(entry) == 3.0


def test_an_answer_that_does_not_apply_ends_a_streak() -> None:
    results: list[Status | ProbeResult] = [OK, UNAVAILABLE, ABSENT, OK, UNAVAILABLE]

    assert result_of(followed(results, policy(2, 2))).status is OK


def test_an_answer_that_does_not_apply_holds_as_long_as_it_is_the_same() -> None:
    entry = followed([OK, ABSENT, NotApplicable("no Drive any more")])

    assert result_of(entry) == NotApplicable("no Drive any more")
    assert since_of(entry) == 1.0
