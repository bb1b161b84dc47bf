"""What the query of a request for details asks for."""

from __future__ import annotations

from collections.abc import Collection

from flask import request
from werkzeug.exceptions import UnprocessableEntity

from .auth import Words
from .checks import suggestion
from .model import Status

# The default length of the list of failing organizations, and the longest.
LIMIT = 50
LONGEST = 1_000

_FAILING = {status.value: status for status in Status if status is not Status.OK}


class BadQuery(UnprocessableEntity):
    """A parameter of the query cannot be used.

    :param message: which one, and what it may be.
    """

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.words: Words = ("VALIDATION_ERROR", message, "Validation error")


def probe(known: Collection[str]) -> str | None:
    """Read which probe alone to tell of.

    :param known: the names that it may be.
    :raises BadQuery: if it is no such name.
    """
    name = request.args.get("probe")
    if name is not None and name not in known:
        raise BadQuery(f"probe: there is no such probe here; {suggestion(name, known)}")
    return name


def status() -> Status | None:
    """Read which failing organizations alone to list.

    :raises BadQuery: if it is not the status of a failing organization.
    """
    text = request.args.get("status")
    if text is not None and text not in _FAILING:
        raise BadQuery(f"status must be {' or '.join(_FAILING)}")
    return None if text is None else _FAILING[text]


def number(name: str, *, least: int, default: int) -> int:
    """Read how long a list may be.

    :raises BadQuery: if it is no number, or too small or too large.
    """
    text = request.args.get(name)
    if text is None:
        return default
    is_short = text.isascii() and text.isdigit() and len(text) <= len(str(LONGEST))
    if not is_short or not least <= int(text) <= LONGEST:
        raise BadQuery(f"{name} must be a whole number from {least} to {LONGEST}")
    return int(text)
