"""Requests as metrics count them: by the template of their route, never by their address."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from artdag_common import metrics

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

METHODS = frozenset({"GET", "HEAD", "OPTIONS", "POST", "PUT", "PATCH", "DELETE"})
UNROUTED = "none"
BROKEN = "500"
GONE = "gone"
"""In the place of a status: whoever asked went before the answer began, and nobody is to be told of a failure."""


class Measured:
    """Around the whole application: counts its answers, and how long each took to begin."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app
        self._going_on = 0
        self._sent = metrics.HTTP_SENT.of()
        metrics.HTTP_GOING_ON.of().set_function(lambda: float(self._going_on))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer as the application does."""
        if scope["type"] != "http" or not metrics.counting():
            await self._app(scope, receive, send)
            return
        began, begun, gone = time.perf_counter(), False, False

        def count(status: str) -> None:
            nonlocal begun
            begun = True
            method = scope["method"] if scope["method"] in METHODS else metrics.OTHER
            route = getattr(scope.get("route"), "path", "") or UNROUTED
            metrics.HTTP_REQUESTS.of(method, route, GONE if gone else status).inc()
            if not gone:
                metrics.HTTP_SECONDS.of(method, route).observe(time.perf_counter() - began)

        async def heard() -> Message:
            nonlocal gone
            message = await receive()
            gone = gone or message["type"] == "http.disconnect"
            return message

        async def watched(message: Message) -> None:
            if message["type"] == "http.response.start":
                count(str(message["status"]))
            elif message["type"] == "http.response.body":
                self._sent.inc(len(message.get("body", b"")))
            await send(message)

        self._going_on += 1
        try:
            await self._app(scope, heard, watched)
        finally:
            self._going_on -= 1
            if not begun:  # nobody answered: the server says 500, to whoever is still there
                count(BROKEN)
