"""Asking apps in process, side by side, and looking at the process itself."""

from __future__ import annotations

import gc
import json
import logging
import multiprocessing
import pathlib
import random
import resource
import statistics
import sys
import time
import typing as t
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from functools import cached_property
from wsgiref.types import WSGIApplication, WSGIEnvironment

from werkzeug.test import create_environ

P = t.ParamSpec("P")
R = t.TypeVar("R")
T = t.TypeVar("T")

WARM_UP = 3


@dataclass(frozen=True)
class Subject:
    """An app that answers a health request.

    :param healthy: what its JSON body holds at least when all is well.
    """

    name: str
    app: WSGIApplication
    path: str
    healthy: Mapping[str, object]
    headers: Mapping[str, str] = field(default_factory=dict)

    @cached_property
    def environ(self) -> WSGIEnvironment:
        """The request as a server would hand it over."""
        return create_environ(self.path, headers=dict(self.headers))

    def ask(self) -> bytes:
        """Send the request, as a server would: read the body, and close it."""
        return ask(self.app, self.environ)

    def timed(self) -> float:
        """Measure the duration of one request, in seconds."""
        begin = time.perf_counter()
        self.ask()
        return time.perf_counter() - begin

    def checked(self) -> t.Self:
        """Return itself after an answer that was right.

        :raises RuntimeError: a wrong answer would make its speed worthless.
        """
        lines: list[str] = []
        body = ask(self.app, self.environ, lambda status, headers: lines.append(status))
        if lines != ["200 OK"] or not self.healthy.items() <= json.loads(body).items():
            raise RuntimeError(f"{self.name} answers {lines} with {body!r}")
        return self


def _ignore(status: str, headers: object, exc_info: object = None) -> None:
    pass


def ask(
    app: WSGIApplication, environ: WSGIEnvironment, start_response: t.Any = _ignore
) -> bytes:
    """Send a request to an app, with a copy of the environ: apps write into theirs."""
    chunks = app(environ.copy(), start_response)
    body = b"".join(chunks)
    close = getattr(chunks, "close", None)
    if close is not None:
        close()
    return body


def interleaved(subjects: Sequence[Subject], *, rounds: int, batch: int) -> list[float]:
    """Measure the median seconds per request of each, in rounds in which each has its turn.

    What slows the machine down for a while slows all of them down, and ratios stay.
    """
    gc.collect()
    times: list[list[float]] = [[] for _ in subjects]
    turns = list(enumerate(subjects))
    for done in range(-WARM_UP, rounds):
        random.shuffle(turns)
        for place, subject in turns:
            begin = time.perf_counter()
            for _ in range(batch):
                subject.ask()
            spent = time.perf_counter() - begin
            if done >= 0:
                times[place].append(spent / batch)
    return [statistics.median(column) for column in times]


def p99(times: Sequence[float]) -> float:
    """Find the duration that one in a hundred exceeds."""
    return statistics.quantiles(times, n=100)[98]


def resident() -> int:
    """Count the bytes of memory that this process holds (Linux alone)."""
    pages = int(pathlib.Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize()


def in_new_process(call: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
    """Call a function of a module in a fresh interpreter.

    What others left behind must not count: memory, threads, log handlers, registries.
    """
    spawn = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, mp_context=spawn, initializer=silence_logs) as executor:
        return executor.submit(call, *args, **kwargs).result()


def in_turn(calls: Sequence[Callable[[T], R]], argument: T) -> list[R]:
    """Make each call with this argument."""
    return [call(argument) for call in calls]


def silence_logs() -> None:
    """Give the root logger a handler that drops everything.

    Hung and slow checks are reported by design, and without any handler Python prints them;
    pyctuator would even install a handler that prints.
    """
    logging.getLogger().addHandler(logging.NullHandler())


def progress(text: str) -> None:
    """Tell whoever waits what is being measured; the tables alone go to stdout."""
    sys.stderr.write(f"{text}\n")
    sys.stderr.flush()
