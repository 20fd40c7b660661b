"""HEAD where there is GET: the same answer without its body (RFC 9110, section 9.3.2)."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, MutableMapping, Sequence
from typing import Any

from starlette.routing import BaseRoute, Match
from starlette.types import ASGIApp, Receive, Scope, Send


def allowed(methods: set[str]) -> str:
    """Return the value of ``Allow`` for what routes take: HEAD goes with GET, OPTIONS with everything."""
    return ", ".join(sorted(methods | {"OPTIONS"} | ({"HEAD"} if "GET" in methods else set())))


class HeadAsGet:
    """Middleware: has GET's route answer HEAD, where there is none of its own."""

    def __init__(self, app: ASGIApp, routes: Callable[[], Sequence[BaseRoute]]) -> None:
        self._app = app
        self._routes = routes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["method"] != "HEAD" or self._answered(scope):
            await self._app(scope, receive, send)
            return

        asked, told = False, asyncio.Event()
        as_get = {**scope, "method": "GET"}

        async def receive_end() -> MutableMapping[str, Any]:
            """Nobody waits for more than the head, also of what never ends."""
            nonlocal asked
            if not asked:
                asked = True
                return {"type": "http.request", "body": b"", "more_body": False}
            await told.wait()
            return {"type": "http.disconnect"}

        async def send_head(message: MutableMapping[str, Any]) -> None:
            if message["type"] == "http.response.start":
                scope.update({name: as_get[name] for name in ("route",) if name in as_get})  # who counts looks there
                await send(message)
                await send({"type": "http.response.body", "body": b"", "more_body": False})
                told.set()

        await self._app(as_get, receive_end, send_head)

    def _answered(self, scope: Scope) -> bool:
        return any(route.matches(scope)[0] is Match.FULL for route in self._routes())
