"""Each request as a span of its trace, and as a line of the log."""

from __future__ import annotations

import re
import time

import structlog
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from artdag_common import tracing
from services.gateway.auditing import METHODS, route_of

UNTOLD = ("/health", "/ready", "/metrics")
UNTOLD_BELOW = "/static/"
"""What is asked for all the time by machines, or with each page: no span, and no line."""

ANSWERED = b"trace-id"
RUN_ID = re.compile("[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")

log = structlog.get_logger(__name__)


class Observed:
    """Around the whole application, so that it sees what breaks in it, too.

    Of an address only the template is told, of a body only the size.
    """

    def __init__(self, app: ASGIApp, pretty: bool = False) -> None:
        """``pretty``: the log is for people, who are told of each request only at level ``debug``."""
        self._app = app
        self._pretty = pretty

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["path"] in UNTOLD or scope["path"].startswith(UNTOLD_BELOW):
            await self._app(scope, receive, send)
            return
        method = scope["method"] if scope["method"] in METHODS else "_OTHER"
        told = {"http.request.method": method}
        with tracing.span(method, told, kind="server", above=_came_with(scope), first=True) as span:
            await self._serve(scope, receive, send, span, method)

    async def _serve(self, scope: Scope, receive: Receive, send: Send, span: tracing.Span, method: str) -> None:
        began = time.perf_counter()
        status = size = 0

        async def watched(message: Message) -> None:
            nonlocal status, size
            if message["type"] == "http.response.start":
                status = message["status"]
                message["headers"] = [*message.get("headers", ()), (ANSWERED, tracing.trace_id().encode())]
            elif message["type"] == "http.response.body":
                size += len(message.get("body", b""))
            await send(message)

        try:
            await self._app(scope, receive, watched)
        except Exception as error:
            # It was answered, if it could be; raised any further it would be told of where its trace is not known.
            span.fail(type(error).__name__)
            log.error("request broke", exc_info=error)
        finally:
            route = route_of(scope).partition(" ")[2]
            span.rename(f"{method} {route}".strip())
            answered: dict[str, tracing.Value] = {"http.route": route, "http.response.status_code": status}
            span.set(**answered, **{"http.response.body.size": size})
            if status >= 500:
                span.fail(str(status))
            run_id = str(scope.get("path_params", {}).get("run_id", ""))
            about = {"run_id": run_id} if RUN_ID.fullmatch(run_id) else {}
            span.set(**about)
            tell = log.debug if self._pretty else log.info
            ms = round((time.perf_counter() - began) * 1000, 1)
            tell("request", method=method, route=route, status=status, ms=ms, bytes=size, **about)


def _came_with(scope: Scope) -> str:
    """Return the ``traceparent`` that a client sent; of several, none counts."""
    found = [value for name, value in scope["headers"] if name == b"traceparent"]
    return found[0].decode("latin-1").strip() if len(found) == 1 else ""
