"""How probes are added, what their answers mean, and what the log says of them."""

from __future__ import annotations

import asyncio
import dataclasses
import logging
import threading
import time
import typing as t
from collections.abc import Awaitable, Callable, Iterator
from functools import partial
from unittest.mock import Mock

import pytest
from flask import Flask, current_app, g, has_request_context

from flask_connector_health import (
    ConfigurationError,
    ConnectorHealth,
    ProbeDegraded,
    ProbeFailed,
    ProbeResult,
    Report,
    Status,
)
from flask_connector_health.model import UNKNOWN
from flask_connector_health.probes.policy import Policy
from flask_connector_health.settings import Settings

from .clockwork import Told, drive, engine_of, engine_threads, eventually
from .conftest import CONFIG, PUBLIC, MakeApp


def report_of(app: Flask, organization_id: str | None = None) -> Report:
    return engine_of(app).report(organization_id)


@pytest.fixture(autouse=True)
def _no_line_of_the_log_is_left_to_the_next_test() -> Iterator[None]:
    yield
    eventually(lambda: not engine_threads("drive") + engine_threads("availability"))


@pytest.fixture
def result_of(make_app: MakeApp, health: ConnectorHealth) -> Callable[..., ProbeResult]:
    """Run one probe in an app of its own, and return its result."""

    def run(call: t.Any, **settings: t.Any) -> ProbeResult:
        health.add_probe(call, name="drive")
        return report_of(make_app(**settings)).results["drive"]

    return run


# Adding


def test_the_decorator_leaves_the_function_as_it_is(health: ConnectorHealth) -> None:
    def drive() -> bool:
        return True

    assert health.probe("drive")(drive) is drive


def test_a_callable_with_a_name_needs_no_other(
    make_app: MakeApp, health: ConnectorHealth
) -> None:
    class Drive:
        name = "drive"

        def __call__(self) -> bool:
            return True

    health.add_probe(Drive())

    assert report_of(make_app()).results["drive"] == ProbeResult(Status.OK)


@pytest.mark.parametrize("name", ["", "a b", "-a", "x" * 65, "ä", "a/b", None, 1])
def test_an_unfit_name_is_refused(health: ConnectorHealth, name: t.Any) -> None:
    with pytest.raises(ConfigurationError, match="name must be 1 to 64 letters"):
        health.add_probe(lambda: True, name=name)


def test_a_decorator_without_a_name_says_how_to_write_it(health: ConnectorHealth) -> None:
    def drive() -> bool:
        return True

    with pytest.raises(ConfigurationError, match=r'not function; write @health.probe\("'):
        health.probe(t.cast(str, drive))


def test_a_name_is_unique(health: ConnectorHealth) -> None:
    health.add_probe(lambda: True, name="drive")

    with pytest.raises(ConfigurationError, match="'drive' exists already; choose another"):
        health.add_probe(lambda: True, name="drive")


def test_the_availability_callbacks_name_is_taken(health: ConnectorHealth) -> None:
    with pytest.raises(ConfigurationError, match="is the availability callback's; choose"):
        health.add_probe(lambda: True, name="availability")


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"scope": "org"}, "scope must be 'service' or 'organization', not 'org'"),
        ({"scope": ["service"]}, "scope must be 'service' or 'organization'"),
        ({"scope": "organization"}, r"call must be a callable taking \(organization_id\);"),
        ({"critical": 1}, "critical must be True or False, not int"),
        (
            {"timeout": 0},
            "timeout must be a number of seconds .* above 0, at most 86400, not 0",
        ),
        ({"timeout": "5"}, "timeout must be .* not str"),
        ({"ttl": -1}, "ttl must be a number of seconds .* from 0 to 86400, not -1"),
        ({"failure_ttl": "1"}, "failure_ttl must be .* not str"),
        ({"max_stale": 86_401}, "max_stale must be .* not 86401"),
        ({"failure_threshold": 0}, "failure_threshold must be .* at least 1, not 0"),
        ({"recovery_threshold": 1.0}, "recovery_threshold must be .* not float"),
        ({"slots": True}, "slots must be a whole number .* not bool"),
    ],
)
def test_an_unusable_option_names_the_probe_and_the_remedy(
    health: ConnectorHealth, options: t.Any, text: str
) -> None:
    with pytest.raises(ConfigurationError, match=f"^probe 'drive': {text}"):
        health.add_probe(lambda: True, name="drive", **options)


OPTIONS: list[tuple[str, t.Any]] = [
    *(("timeout", 0.5), ("ttl", 0), ("failure_ttl", 0), ("max_stale", 0)),
    *(("failure_threshold", 2), ("recovery_threshold", 3), ("slots", 1)),
]


@pytest.mark.parametrize(("option", "value"), OPTIONS)
def test_a_probes_own_option_goes_before_the_setting(option: str, value: t.Any) -> None:
    settings = Settings.from_config(CONFIG)

    own = Policy.of(drive(Told(), **{option: value}), settings)
    others = Policy.of(drive(Told()), settings)

    assert getattr(own, option) == value
    assert getattr(others, option) == getattr(settings, option)
    assert others == dataclasses.replace(own, **{option: getattr(settings, option)})


@pytest.mark.parametrize("call", [7, "myapp:drive", lambda needed: True])
def test_something_that_cannot_be_called_is_refused(
    health: ConnectorHealth, call: t.Any
) -> None:
    with pytest.raises(ConfigurationError, match=r"call must be a callable taking \(\)"):
        health.add_probe(call, name="drive")


# Answers


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
        *(None, 1, 0, "ok", "", [], {"status": "ok"}, object(), 1.0),
        *(Mock(spec=value) for value in (Status.OK, ProbeResult(Status.OK), True)),
    ],
)
def test_any_other_answer_is_a_failure_with_its_remedy_in_the_log(
    result_of: Callable[..., ProbeResult], answer: object, caplog: pytest.LogCaptureFixture
) -> None:
    assert result_of(lambda: answer).status is Status.UNAVAILABLE
    eventually(lambda: caplog.records)
    assert [record.getMessage() for record in caplog.records] == [
        f"probe 'drive' is unavailable: it returned {type(answer).__name__};"
        " return True, False, a Status or a ProbeResult"
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
        f"probe 'drive' is unavailable: it raised {type(error).__name__}: s3cret;"
        " mend the probe, or let it raise ProbeFailed if that is its answer"
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
    assert UNKNOWN not in [report.results["drive"] for report in reports]


@pytest.mark.parametrize(
    ("status", "message", "name"), [("ok", "", "status"), (Status.OK, 7, "message")]
)
def test_a_result_of_wrong_types_is_refused(status: t.Any, message: t.Any, name: str) -> None:
    with pytest.raises(TypeError, match=rf"ProbeResult\.{name} must be a \w+, not \w+"):
        ProbeResult(status, message)


def test_statuses_are_ordered_from_best_to_worst() -> None:
    assert sorted(Status, reverse=True) == [Status.UNAVAILABLE, Status.DEGRADED, Status.OK]
    assert [status.available for status in Status] == [True, True, False]


def test_a_status_compares_with_statuses_alone() -> None:
    with pytest.raises(TypeError, match="'<' not supported"):
        sorted([Status.OK, t.cast(t.Any, "ok")])


# Context


def test_a_run_has_an_app_context_of_its_own_and_no_request(
    make_app: MakeApp, health: ConnectorHealth
) -> None:
    seen: list[tuple[object, bool, bool, str]] = []
    torn_down: list[str] = []

    @health.probe("drive")
    def drive() -> bool:
        app = current_app._get_current_object()  # type: ignore[attr-defined]
        seen.append((app, has_request_context(), "user" in g, threading.current_thread().name))
        return True

    app = make_app()
    app.teardown_appcontext(lambda error: torn_down.append(threading.current_thread().name))
    with app.test_request_context():
        g.user = "ann"
        report_of(app)

    [(context_app, in_request, has_user, thread)] = seen
    assert (context_app, in_request, has_user) == (app, False, False)
    assert thread == "connector-health drive"
    assert thread in torn_down


def test_a_teardown_that_raises_fails_the_run(
    make_app: MakeApp, health: ConnectorHealth
) -> None:
    app = make_app()

    @app.teardown_appcontext
    def teardown(error: BaseException | None) -> None:
        raise RuntimeError("connection lost")

    assert report_of(app).status is Status.UNAVAILABLE


# The log


def test_the_log_speaks_when_a_verdict_turns_and_not_per_request(
    make_app: MakeApp, health: ConnectorHealth, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    told = Told()
    health.add_probe(told, name="drive", ttl=0)
    client = make_app().test_client()

    boom = RuntimeError("boom")
    for answer, lines in ((True, 0), (boom, 1), (boom, 1), (Status.DEGRADED, 2), (True, 3)):
        told.answer = answer
        for _ in range(3):
            client.get(PUBLIC)
        eventually(lambda lines=lines: len(caplog.records) >= lines)  # type: ignore[misc]

    raised = (
        "probe 'drive' is unavailable: it raised RuntimeError: boom;"
        " mend the probe, or let it raise ProbeFailed if that is its answer"
    )
    assert told.runs == 15
    assert [(record.levelname, record.getMessage()) for record in caplog.records] == [
        ("ERROR", raised),
        ("WARNING", "probe 'drive' is degraded: the probe says so"),
        ("INFO", "probe 'drive' is ok: the probe says so"),
    ]


def test_the_log_names_the_organization(
    make_app: MakeApp, health: ConnectorHealth, caplog: pytest.LogCaptureFixture
) -> None:
    health.add_probe(
        lambda organization_id: ProbeResult(Status.UNAVAILABLE, "token expired"),
        name="drive",
        scope="organization",
    )

    report_of(make_app(), "org_xyz789")

    expected = "probe 'drive' of organization 'org_xyz789' is unavailable: token expired"
    eventually(lambda: expected in caplog.messages)


def test_a_log_handler_that_raises_costs_no_verdict(
    make_app: MakeApp, health: ConnectorHealth
) -> None:
    class Broken(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            raise OSError("disk full")

    health.add_probe(lambda: Status.DEGRADED, name="drive")
    broken = Broken()
    package = logging.getLogger("flask_connector_health")
    package.addHandler(broken)
    try:
        assert report_of(make_app()).status is Status.DEGRADED
    finally:
        package.removeHandler(broken)


def test_a_hung_probe_is_unavailable_within_the_deadline_and_named_once(
    make_app: MakeApp, health: ConnectorHealth, caplog: pytest.LogCaptureFixture
) -> None:
    release = threading.Event()
    health.add_probe(release.wait, name="drive")
    client = make_app(DEADLINE=0.25, TTL=0).test_client()

    started = time.monotonic()
    responses = [client.get(PUBLIC) for _ in range(3)]
    elapsed = time.monotonic() - started
    release.set()

    assert [response.status_code for response in responses] == [503] * 3
    assert responses[0].data == b'{"status": "unavailable", "available": false}'
    assert elapsed < 2  # three deadlines at most, and far below the probe's timeout of 5 s
    eventually(lambda: caplog.messages)
    [message] = caplog.messages
    assert message.startswith("probe 'drive' counts as unavailable: it has no result within")
    assert "make it faster, or raise CONNECTOR_HEALTH_DEADLINE" in message
