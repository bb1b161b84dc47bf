"""Outcomes: which answers are verdicts, and whose words reach a caller."""

from __future__ import annotations

import asyncio
import copy
import itertools
import json
import operator
import pickle
import re
import typing as t
from collections.abc import Awaitable, Callable, Iterator
from functools import partial
from unittest.mock import Mock

import pytest

from flask_connector_health import (
    ConnectorHealth,
    NotApplicable,
    ProbeDegraded,
    ProbeFailed,
    ProbeResult,
    Status,
)
from flask_connector_health.model import UNKNOWN, StatusLike
from flask_connector_health.probes.spec import Probe
from tests.clockwork import Clock, Told, drive, engine_threads, eventually, report_of
from tests.clockwork import result_of as result_in
from tests.conftest import MakeApp, MakeMonitor


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
    """A string with a method that must not be called."""

    __slots__ = ()

    def __getitem__(self, key: t.SupportsIndex | slice) -> t.NoReturn:
        raise RuntimeError("s3cret")


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
        pytest.param(Mock(spec=NotApplicable()), id="a mock of one that does not apply"),
        *(ProbeResult, NotApplicable),  # the bare classes
    ],
)
def test_any_other_answer_is_a_failure_with_its_remedy_in_the_log(
    result_of: Callable[..., ProbeResult], answer: object, caplog: pytest.LogCaptureFixture
) -> None:
    assert result_of(lambda: answer).status is Status.UNAVAILABLE
    eventually(lambda: caplog.records)
    assert [record.getMessage() for record in caplog.records] == [
        "probe 'drive' fails, so the service is unavailable:"
        f" it returned {type(answer).__name__};"
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
        ("up", "", "status must be a Status, 'ok', .* not str"),
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


# Subclasses of results


class Quota(ProbeResult):
    """A result with more to it."""

    __slots__ = ("left",)

    def __init__(self, left: int) -> None:
        super().__init__("ok" if left else "degraded", f"{left} calls left")
        object.__setattr__(self, "left", left)


class Unchecked(ProbeResult):
    """A result that has not checked what it was given."""

    def __init__(self, status: object, message: object = "") -> None:
        object.__setattr__(self, "status", status)
        object.__setattr__(self, "message", message)


class Raising(ProbeResult):
    """A result that cannot be read."""

    def __init__(self, error: Exception) -> None:
        self.__dict__["error"] = error

    @property
    def status(self) -> t.NoReturn:
        raise self.__dict__["error"]


@pytest.mark.parametrize(
    ("answer", "result"),
    [
        (Quota(0), ProbeResult(Status.DEGRADED, "0 calls left")),
        (Unchecked("degraded", "slow"), ProbeResult(Status.DEGRADED, "slow")),
        (Unchecked(True), ProbeResult(Status.OK)),
    ],
    ids=["checked", "word", "bool"],
)
def test_a_subclass_of_a_result_is_taken_as_a_result(
    result_of: Callable[..., ProbeResult], answer: ProbeResult, result: ProbeResult
) -> None:
    assert result_of(lambda: answer) == result


@pytest.mark.parametrize(
    ("answer", "text"),
    [
        (Unchecked("up"), "ProbeResult.status must be a Status, .* not str"),
        (Unchecked(None), "ProbeResult.status must be a Status, .* not NoneType"),
        (Unchecked(Status.OK, 7), "ProbeResult.message must be a str, not int"),
    ],
    ids=["word", "nothing", "message"],
)
def test_a_subclass_with_values_that_are_none_is_a_failure(
    result_of: Callable[..., ProbeResult], answer: ProbeResult, text: str
) -> None:
    result = result_of(lambda: answer)

    assert result.status is Status.UNAVAILABLE
    assert re.fullmatch(text, result.message)


@pytest.mark.parametrize("error", [RuntimeError("s3cret"), TypeError("s3cret")])
def test_the_exception_of_a_subclass_goes_to_the_log_alone(
    result_of: Callable[..., ProbeResult],
    error: Exception,
    caplog: pytest.LogCaptureFixture,
) -> None:
    assert result_of(lambda: Raising(error)) == ProbeResult(
        Status.UNAVAILABLE, "it raised an exception; see the log"
    )
    eventually(lambda: f"it raised {type(error).__name__}: s3cret" in caplog.text)


# Answers that count for nothing


class NoDrive(NotApplicable):
    """A host's own word for it."""

    __slots__ = ()

    def __init__(self) -> None:
        super().__init__("no Drive connected")


@pytest.mark.parametrize("answer", [NotApplicable("no Drive connected"), NoDrive()])
def test_an_answer_that_does_not_apply_is_ok_and_says_so(
    make_app: MakeApp, health: ConnectorHealth, answer: NotApplicable
) -> None:
    health.add_probe(lambda organization_id: answer, name="drive", scope="organization")

    report = report_of(make_app(), "org_xyz789")

    assert report.status is Status.OK
    assert [(each.name, each.applicable) for each in report.results] == [
        ("availability", True),
        ("drive", False),
    ]
    assert result_in(report) == ProbeResult(Status.OK, "no Drive connected")
    assert report.to_dict()["results"][1]["applicable"] is False


def test_a_long_message_makes_no_answer_apply(
    make_app: MakeApp, health: ConnectorHealth
) -> None:
    health.add_probe(lambda: NotApplicable(Words("x" * 100_000)), name="drive")

    result = report_of(make_app()).results[-1]

    assert (result.message, result.applicable) == ("x" * 1_000, False)
    assert type(result.message) is str


@pytest.mark.parametrize(
    ("answers", "status"),
    [
        ([NotApplicable(), NotApplicable()], Status.OK),
        ([NotApplicable(), True], Status.OK),
        ([NotApplicable(), Status.DEGRADED], Status.DEGRADED),
        ([Status.DEGRADED, NotApplicable()], Status.DEGRADED),
        ([False, NotApplicable()], Status.UNAVAILABLE),
    ],
)
def test_what_does_not_apply_counts_for_nothing_beside_other_answers(
    make_monitor: MakeMonitor, answers: list[object], status: Status
) -> None:
    monitor = make_monitor(
        drive(Told()),
        *(
            Probe(name=f"own-{number}", call=Told(answer), scope="organization")
            for number, answer in enumerate(answers)
        ),
    )

    assert monitor.report("org_a").status is status
    assert monitor.status("org_a") is monitor.peek("org_a").status is status


def test_an_answer_that_does_not_apply_is_kept_like_any_other(
    make_monitor: MakeMonitor, clock: Clock
) -> None:
    told = Told(NotApplicable("no Drive connected"))
    monitor = make_monitor(drive(told, max_stale=0.0), TTL=5.0, FAILURE_TTL=1.0)
    monitor.report()
    clock.advance(4.9)

    for report in (monitor.report(), monitor.peek()):
        assert [result.applicable for result in report.results] == [False]
    assert told.runs == 1
    clock.advance(0.1)
    monitor.report()

    assert told.runs == 2


def test_a_message_of_what_does_not_apply_must_be_a_string() -> None:
    with pytest.raises(TypeError, match="message must be a str, not int"):
        NotApplicable(7)  # type: ignore[arg-type]


def test_what_does_not_apply_is_no_result_that_applies() -> None:
    result = NotApplicable("no Drive connected")

    assert result == NotApplicable("no Drive connected")
    assert result != ProbeResult(Status.OK, "no Drive connected")
    assert pickle.loads(pickle.dumps(result)) == copy.deepcopy(result) == result  # noqa: S301
