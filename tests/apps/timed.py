"""Say with each answer how long it took: a client's own clock counts its queueing, too."""

from __future__ import annotations

import time
import typing as t

if t.TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

HEADER = "X-Seconds"


def timed(app: WSGIApplication) -> WSGIApplication:
    """Wrap a WSGI app whose answers are complete when they start, as Flask's are."""

    def measure(environ: WSGIEnvironment, start_response: StartResponse) -> t.Iterable[bytes]:
        began = time.perf_counter()

        def start(
            status: str, headers: list[tuple[str, str]], exc_info: t.Any = None
        ) -> t.Callable[[bytes], object]:
            seconds = time.perf_counter() - began
            return start_response(
                status, [*headers, (HEADER, f"{seconds:.6f}")], *filter(None, [exc_info])
            )

        return app(environ, start)

    return measure
