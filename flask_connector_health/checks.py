"""Checks of single values, shared by settings and probes.

Each check returns the value to use, or raises :exc:`ValueError`. Its message is the second half
of a sentence that begins with the name of the setting or the option. No message repeats a
string value, since that may be a secret in the wrong place.
"""

from __future__ import annotations

import difflib
import inspect
import os
import pkgutil
import re
import typing as t
from collections.abc import Callable, Iterable, Mapping

# A day, in seconds. A larger number is most likely in another unit, and the system cannot wait
# for every length of time.
LONGEST = 86_400

_IMPORT_STRING = re.compile(r"[A-Za-z_][\w.]*:[A-Za-z_][\w.]*")


def seconds(value: object, *, zero: bool) -> float:
    """Check a duration in seconds.

    :param zero: whether 0 is allowed.
    """
    limit = "from 0 to" if zero else "above 0, at most"
    expected = f"must be a number of seconds (int or float), {limit} {LONGEST}"
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ValueError(f"{expected}, not {_type(value)}")
    if not 0 <= value <= LONGEST or (value == 0 and not zero):
        raise ValueError(f"{expected}, not {_number(value)}")
    return float(value)


def whole(value: object, *, least: int, most: int | None = None) -> int:
    """Check a whole number within bounds, both included."""
    limit = f"at least {least}" if most is None else f"from {least} to {most}"
    if isinstance(value, bool) or not isinstance(value, int):
        raise ValueError(f"must be a whole number (int), {limit}, not {_type(value)}")
    if value < least or (most is not None and value > most):
        raise ValueError(f"must be a whole number (int), {limit}, not {_number(value)}")
    return value


def boolean(value: object) -> bool:
    """Check a bool. A string is none, since "off" would be truthy."""
    if not isinstance(value, bool):
        raise ValueError(f"must be True or False (bool), not {_type(value)}")
    return value


def one_of(value: object, *choices: int) -> int:
    """Check that a value is one of those that are allowed."""
    if isinstance(value, bool) or not isinstance(value, int):
        raise ValueError(f"must be {_either(choices)} (int), not {_type(value)}")
    if value not in choices:
        raise ValueError(f"must be {_either(choices)} (int), not {_number(value)}")
    return value


def pattern(value: object) -> re.Pattern[str]:
    """Check and compile a regular expression, with ASCII classes."""
    if not isinstance(value, str):
        raise ValueError(f"must be a regular expression (str), not {_type(value)}")
    try:
        return re.compile(value, re.ASCII)
    except (re.error, ValueError, OverflowError, RecursionError) as error:
        raise ValueError(
            f"must be a regular expression (str) that Python can compile: {error}"
        ) from error


def words(value: object) -> tuple[str, ...]:
    """Check a list or tuple of strings. A string is none, since it would be its letters."""
    if not isinstance(value, list | tuple):
        raise ValueError(f"must be a list of strings, not {_type(value)}")
    for each in value:
        if not isinstance(each, str) or not each:
            found = "an empty one" if each == "" else _type(each)
            raise ValueError(f"must be a list of strings, none of them empty; it has {found}")
    return tuple(value)


def mapping(value: object) -> dict[t.Any, t.Any]:
    """Check a dict, and copy it."""
    if not isinstance(value, Mapping):
        raise ValueError(f"must be a dict, not {_type(value)}")
    return dict(value)


def file(value: object) -> str:
    """Check the path of a file. Nothing looks whether it exists."""
    if not isinstance(value, str | os.PathLike):
        raise ValueError(f"must be the path of a file (str or Path), not {_type(value)}")
    if not os.fspath(value):
        raise ValueError("must be the path of a file (str or Path), not an empty str")
    path = os.fsdecode(value)
    if "\0" in path:
        raise ValueError("must be the path of a file (str or Path), without null characters")
    return path


def resolved(value: object) -> object:
    """Import the object that a string such as ``"myapp.health:verify"`` names.

    Any other value is returned as it is.
    """
    if not isinstance(value, str):
        return value
    if not _IMPORT_STRING.fullmatch(value):
        raise ValueError(
            "must be the object itself or an import string such as 'myapp.health:name';"
            " this str is neither"
        )
    try:
        return pkgutil.resolve_name(value)
    except Exception as error:
        raise ValueError(
            f"is an import string (str) that cannot be imported: {type(error).__name__}:"
            f" {error}; correct it, or pass the object itself"
        ) from error


def callable_with(value: object, *parameters: str) -> Callable[..., t.Any]:
    """Check that a value is callable and takes these positional arguments."""
    form = f"a callable taking ({', '.join(parameters)})"
    if not callable(value):
        raise ValueError(f"must be {form}, not {_type(value)}")
    if not accepts(value, len(parameters)):
        raise ValueError(f"must be {form}; this {_type(value)} takes other arguments")
    return value


def suggestion(name: str, known: Iterable[str]) -> str:
    """Say which of the known names may be meant, or which there are."""
    names = sorted(known)
    nearest = difflib.get_close_matches(name, names, n=1)
    if nearest:
        return f"did you mean {nearest[0]}?"
    return f"there are {', '.join(names) or 'none'}"


def accepts(call: Callable[..., t.Any], count: int) -> bool:
    """Tell whether a call with this many positional arguments fits the signature."""
    try:
        signature = inspect.signature(call)
    except (TypeError, ValueError):  # some builtins have no signature: only a call can tell
        return True
    try:
        signature.bind(*(None,) * count)
    except TypeError:
        return False
    return True


def takes_keywords(call: Callable[..., t.Any]) -> bool:
    """Tell whether a call takes an argument that can be given by keyword alone."""
    kinds = {parameter.kind for parameter in inspect.signature(call).parameters.values()}
    return bool(kinds & {inspect.Parameter.KEYWORD_ONLY, inspect.Parameter.VAR_KEYWORD})


def _number(value: float) -> str:
    try:
        text = str(value)
    except ValueError:  # Python makes no text of an int with more than 4300 digits
        text = "one that large"
    return f"{text} ({_type(value)})"


def _type(value: object) -> str:
    return type(value).__name__


def _either(choices: tuple[int, ...]) -> str:
    return " or ".join(str(choice) for choice in choices)
