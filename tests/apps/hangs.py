"""The ways in which a probe can hang, until it is let go: most of these never are."""

from __future__ import annotations

import asyncio
import contextlib
import os
import threading
from collections.abc import Awaitable, Callable


class Hang:
    """Runs that come to no end before :meth:`release`."""

    def __init__(self) -> None:
        self.started = threading.Event()
        self._released = threading.Event()
        self._pipe, self._end = os.pipe()

    def wait(self) -> bool:
        """Wait as a client without a timeout does."""
        self.started.set()
        self._released.wait()
        return True

    async def sleep(self) -> bool:
        """Await what never comes; whoever cancels this is obeyed."""
        self.started.set()
        while not self._released.is_set():
            await asyncio.sleep(0.05)
        return True

    async def block(self) -> bool:
        """Block the loop, in a call that gevent does not know either."""
        self.started.set()
        os.read(self._pipe, 1)
        return True

    async def swallow(self) -> bool:
        """Await what never comes, and obey nobody."""
        self.started.set()
        while not self._released.is_set():
            with contextlib.suppress(asyncio.CancelledError):
                await asyncio.sleep(0.05)
        return True

    def release(self) -> None:
        """Let all runs return, those to come included."""
        self._released.set()
        with contextlib.suppress(OSError):
            os.close(self._end)  # the end of the file, for everybody who reads


def kinds(hang: Hang) -> dict[str, Callable[[], bool | Awaitable[bool]]]:
    """Name the ways to hang."""
    return {
        "wait": hang.wait,
        "sleep": hang.sleep,
        "block": hang.block,
        "swallow": hang.swallow,
    }
