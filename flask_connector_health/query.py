"""The query of a request for details: which parts of them it asks for."""

from __future__ import annotations

import re
from collections.abc import Collection

from flask import request

from .checks import suggestion
from .model import Status
from .responses import BadQuery

# The default length of the list of failing organizations, and the longest list of all.
LIMIT = 50
LONGEST = 1_000

# int() also reads signs, blanks, underscores, digits of other scripts, and any length.
_NUMBER = re.compile("[0-9]{1,4}")

_FAILING = {status.value: status for status in Status if status is not Status.OK}


def probe(known: Collection[str]) -> str | None:
    """Read which probe alone the lists are about.

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


def limit() -> int:
    """Read how many failing organizations to list at most.

    :raises BadQuery: if it is no number, or too small or too large.
    """
    return _number("limit", least=1, default=LIMIT)


def transitions() -> int:
    """Read how many turns of verdicts to list at most. By default, none.

    :raises BadQuery: if it is no number, or too large.
    """
    return _number("transitions", least=0, default=0)


def _number(name: str, *, least: int, default: int) -> int:
    text = request.args.get(name)
    if text is None:
        return default
    if not _NUMBER.fullmatch(text) or not least <= int(text) <= LONGEST:
        raise BadQuery(f"{name} must be a whole number from {least} to {LONGEST}")
    return int(text)
