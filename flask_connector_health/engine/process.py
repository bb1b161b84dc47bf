"""Which process this is: the number of one that has ended comes again."""

from __future__ import annotations

import os
import typing as t
from contextlib import suppress

Process: t.TypeAlias = tuple[int, int]

_forks = 0


def this_process() -> Process:
    """Name this process: by its number, and by how often its forebears have forked."""
    return os.getpid(), _forks


def leave_child_of(process: Process) -> None:
    """End this process if a probe forked it: it shares its parent's sockets and pipes."""
    if this_process() != process:
        os._exit(0)


def _count() -> None:
    global _forks  # of the process, and of no app in it
    _forks += 1


with suppress(AttributeError):  # on Windows, which has no fork
    os.register_at_fork(after_in_child=_count)
