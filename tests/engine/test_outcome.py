"""Outcomes: which answers are verdicts, and whose words reach a caller."""

from __future__ import annotations

import asyncio
import copy
import itertools
import json
import operator
import pickle
import typing as t
from collections.abc import Awaitable, Callable, Iterator
from functools import partial
from unittest.mock import Mock

import pytest

from flask_connector_health import (
    ConnectorHealth,
    ProbeDegraded,
    ProbeFailed,
    ProbeResult,
    Status,
)
from flask_connector_health.model import UNKNOWN, StatusLike
from tests.clockwork import engine_threads, eventually, report_of
from tests.clockwork import result_of as result_in
from tests.conftest import MakeApp


@pytest.fixture(autouse=True)
def _no_line_of_the_log_is_left_to_the_next_test() -> Iterator[None]:
    yield
    eventually(lambda: not engine_threads("drive") + engine_threads("availability"))


@pytest.fixture
def result_of(make_app: MakeApp, health: ConnectorHealth) -> Callable[..., ProbeResult]:
    """Run one probe in an app of its own, and return its result."""

    def run(call: t.Any, **settings: t.Any) -> ProbeResult:
        health.add_probe(call, name="drive")
        return result_in(report_of(make_app(**settings)))

    return run


class Promise:
    def __await__(self) -> t.Generator[t.Any, None, bool]:
        yield from ()
        return True


async def soon(answer: bool | Exception = True) -> bool:
    if isinstance(answer, Exception):
        raise answer
    return answer


@pytest.mark.parametrize(
    ("answer", "result"),
    [
        (True, ProbeResult(Status.OK)),
        (False, ProbeResult(Status.UNAVAILABLE)),
        (Status.DEGRADED, ProbeResult(Status.DEGRADED)),
        ("ok", ProbeResult(Status.OK)),
        ("degraded", ProbeResult(Status.DEGRADED)),
        ("unavailable", ProbeResult(Status.UNAVAILABLE)),
        (ProbeResult("degraded", "slow"), ProbeResult(Status.DEGRADED, "slow")),
        (ProbeResult(Status.DEGRADED, "slow"), ProbeResult(Status.DEGRADED, "slow")),
    ],
)
def test_these_answers_are_verdicts(
    result_of: Callable[..., ProbeResult], answer: object, result: ProbeResult
) -> None:
    assert result_of(lambda: answer) == result


class Words(str):
    __slots__ = ()


def raise_degraded(text: str) -> t.NoReturn:
    raise ProbeDegraded(text)


@pytest.mark.parametrize("kind", [str, Words])
@pytest.mark.parametrize("say", [partial(ProbeResult, Status.OK), raise_degraded])
def test_of_a_long_message_the_beginning_is_kept(
    result_of: Callable[..., ProbeResult],
    kind: type[str],
    say: Callable[[str], ProbeResult],
) -> None:
    message = result_of(lambda: say(kind("x" * 100_000))).message

    assert message == "x" * 1_000
    assert type(message) is str


@pytest.mark.parametrize(
    "answer",
    [
        *(None, 1, 0, "OK", "up", "", [], {"status": "ok"}, object(), 1.0),
        pytest.param(Mock(spec=Status.OK), id="a mock of a status"),
        *(Mock(spec=value) for value in (ProbeResult(Status.OK), True)),
    ],
)
def test_any_other_answer_is_a_failure_with_its_remedy_in_the_log(
    result_of: Callable[..., ProbeResult], answer: object, caplog: pytest.LogCaptureFixture
) -> None:
    assert result_of(lambda: answer).status is Status.UNAVAILABLE
    eventually(lambda: caplog.records)
    assert [record.getMessage() for record in caplog.records] == [
        "probe 'drive' fails, so the service is unavailable:"
        f" it returned {repr(answer) if type(answer) is str else type(answer).__name__};"
        " return True, False, 'ok', 'degraded', 'unavailable', a Status, a ProbeResult or"
        " NotApplicable()"
    ]


@pytest.mark.parametrize(
    "call",
    [soon, lambda: soon(), lambda: Promise()],
    ids=["function", "wrapped", "awaitable"],
)
def test_an_async_probe_is_awaited(
    result_of: Callable[..., ProbeResult], call: Callable[[], Awaitable[bool]]
) -> None:
    assert result_of(call) == ProbeResult(Status.OK)


def test_an_async_probe_may_choose_its_words(result_of: Callable[..., ProbeResult]) -> None:
    result = result_of(lambda: soon(ProbeDegraded("quota used up")))

    assert result == ProbeResult(Status.DEGRADED, "quota used up")


@pytest.mark.parametrize(
    ("error", "status"),
    [(ProbeFailed, Status.UNAVAILABLE), (ProbeDegraded, Status.DEGRADED)],
)
def test_a_probe_may_raise_to_choose_its_words(
    result_of: Callable[..., ProbeResult], error: type[Exception], status: Status
) -> None:
    def drive() -> bool:
        raise error("token expired")

    assert result_of(drive) == ProbeResult(status, "token expired")


@pytest.mark.parametrize(
    ("errors", "result"),
    [
        ([ProbeDegraded("slow")], ProbeResult(Status.DEGRADED, "slow")),
        ([ProbeDegraded("slow"), ProbeFailed("gone")], ProbeResult(Status.UNAVAILABLE, "gone")),
        (
            [ExceptionGroup("", [ProbeFailed("gone")]), ProbeDegraded("slow")],
            ProbeResult(Status.UNAVAILABLE, "gone"),
        ),
    ],
)
def test_a_group_of_exceptions_that_all_choose_their_words_is_its_worst(
    result_of: Callable[..., ProbeResult], errors: list[Exception], result: ProbeResult
) -> None:
    def drive() -> bool:
        raise ExceptionGroup("", errors)

    assert result_of(drive) == result


def test_a_child_of_a_task_group_may_choose_its_words(
    result_of: Callable[..., ProbeResult],
) -> None:
    async def drive() -> bool:
        async with asyncio.TaskGroup() as group:
            group.create_task(soon(ProbeDegraded("quota used up")))
        return True

    assert result_of(drive) == ProbeResult(Status.DEGRADED, "quota used up")


def test_one_other_exception_in_a_group_makes_it_a_failure_with_a_traceback(
    result_of: Callable[..., ProbeResult], caplog: pytest.LogCaptureFixture
) -> None:
    def drive() -> bool:
        raise ExceptionGroup("both", [ProbeDegraded("slow"), OSError("s3cret")])

    assert result_of(drive) == ProbeResult(
        Status.UNAVAILABLE, "it raised an exception; see the log"
    )
    eventually(lambda: "it raised ExceptionGroup: both (2 sub-exceptions)" in caplog.text)
    assert "OSError: s3cret" in caplog.text


@pytest.mark.parametrize(
    "error", [RuntimeError("s3cret"), SystemExit("s3cret"), KeyboardInterrupt("s3cret")]
)
def test_any_other_exception_fails_and_goes_to_the_log_alone(
    result_of: Callable[..., ProbeResult],
    error: BaseException,
    caplog: pytest.LogCaptureFixture,
) -> None:
    def drive() -> bool:
        raise error

    result = result_of(drive)

    assert result.status is Status.UNAVAILABLE
    assert "s3cret" not in result.message
    eventually(lambda: caplog.messages)
    [line] = caplog.messages
    assert line == (
        "probe 'drive' fails, so the service is unavailable:"
        f" it raised {type(error).__name__}: s3cret;"
        " mend the probe, or let it raise ProbeFailed if this failure is its answer"
    )
    assert "Traceback" in caplog.text


@pytest.mark.parametrize("base", [ProbeFailed, ProbeDegraded, RuntimeError])
@pytest.mark.parametrize("why", [RuntimeError, KeyboardInterrupt])
def test_an_exception_without_a_readable_text_costs_no_verdict(
    make_app: MakeApp,
    health: ConnectorHealth,
    base: type[Exception],
    why: type[BaseException],
) -> None:
    def no_words(error: Exception) -> str:
        raise why("no words")

    mute = type("Mute", (base,), {"__str__": no_words})

    def drive() -> bool:
        raise mute

    health.add_probe(drive, name="drive", ttl=0)
    app = make_app(SLOTS=1)

    reports = [report_of(app) for _ in range(3)]

    expected = Status.DEGRADED if base is ProbeDegraded else Status.UNAVAILABLE
    assert {report.status for report in reports} == {expected}
    assert UNKNOWN not in [result_in(report) for report in reports]


@pytest.mark.parametrize(
    ("status", "message", "error"),
    [
        ("up", "", "status must be a Status, 'ok', .* not 'up'"),
        (1, "", "status must be a Status, .* not int"),
        (Mock(spec=Status.OK), "", "status must be a Status, .* not Mock"),
        (Status.OK, 7, "message must be a str, not int"),
    ],
    ids=["word", "number", "mock", "message"],
)
def test_a_result_of_wrong_types_is_refused(status: t.Any, message: t.Any, error: str) -> None:
    with pytest.raises(TypeError, match=rf"ProbeResult\.{error}"):
        ProbeResult(status, message)


@pytest.mark.parametrize(
    ("given", "status"),
    [(True, Status.OK), (False, Status.UNAVAILABLE), *((each.value, each) for each in Status)],
)
def test_a_result_understands_what_a_probe_may_answer(
    given: StatusLike, status: Status
) -> None:
    result = ProbeResult(given, "words")

    assert result.status is status
    assert result == ProbeResult(status, "words")
    assert pickle.loads(pickle.dumps(result)) == copy.deepcopy(result) == result  # noqa: S301


def test_statuses_are_ordered_from_best_to_worst() -> None:
    worst_first = [Status.UNAVAILABLE, Status.DEGRADED, Status.OK]

    assert sorted(Status, reverse=True) == worst_first
    assert max(Status) is Status.UNAVAILABLE
    assert [status.available for status in Status] == [True, True, False]


@pytest.mark.parametrize("compare", [operator.lt, operator.le, operator.gt, operator.ge])
def test_all_comparisons_go_by_severity(compare: Callable[[object, object], bool]) -> None:
    for (one, this), (two, that) in itertools.product(enumerate(Status), repeat=2):
        assert compare(this, that) is compare(one, two)


@pytest.mark.parametrize("compare", [operator.lt, operator.le, operator.gt, operator.ge])
@pytest.mark.parametrize("other", ["ok", "degraded", 1, None])
def test_a_status_is_worse_or_better_than_a_status_alone(
    compare: Callable[[object, object], bool], other: object
) -> None:
    with pytest.raises(TypeError, match=r"than a Status alone, not (str|int|NoneType)"):
        compare(Status.OK, other)
    with pytest.raises(TypeError, match="than a Status alone"):
        compare(other, Status.OK)


@pytest.mark.parametrize("status", Status)
def test_a_status_is_its_own_text(status: Status) -> None:
    text: str = status.value

    assert status == text
    assert {status: 1}[text] == 1  # type: ignore[index]
    assert f"{status}" == str(status) == text
    assert json.loads(json.dumps(status)) == text
    assert pickle.loads(pickle.dumps(status)) is copy.deepcopy(status) is status  # noqa: S301
