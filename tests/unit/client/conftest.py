"""A client whose server is a function: the one that waits, and the asynchronous one."""

from __future__ import annotations

import inspect
from collections.abc import AsyncIterator, Callable
from itertools import count
from typing import Any

import httpx
import pytest

from artdag_client import AsyncClient, Client, Patience

Handler = Callable[[httpx.Request], httpx.Response]
Serve = Callable[..., Any]
CLOCKS = [
    f"artdag_client.{kind}.{name}.monotonic" for kind in ("_async", "_sync") for name in ("connection", "content")
]
PATIENCE = Patience(request_seconds=0.05, again_seconds=0.0, losses=3, pending_seconds=0.05)


@pytest.fixture(params=["waiting", "asynchronous"])
async def serve(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Serve]:
    """Return a client of a function; waiting takes no time, and a look at the clock 5 ms, however busy it is here."""
    clients: list[Any] = []
    looks = count()
    for clock in CLOCKS:
        monkeypatch.setattr(clock, lambda: next(looks) / 200)

    def start(handler: Handler, **patience: Any) -> Any:
        transport = httpx.MockTransport(handler)
        monkeypatch.setattr(httpx, "HTTPTransport", lambda **settings: transport)
        monkeypatch.setattr(httpx, "AsyncHTTPTransport", lambda **settings: transport)
        kind = Client if request.param == "waiting" else AsyncClient
        clients.append(kind("http://server/", "secret", **patience or {"patience": PATIENCE}))
        return clients[-1]

    yield start
    for each in clients:
        await done(each.close() if isinstance(each, Client) else each.aclose())


async def done(result: Any) -> Any:
    """Return what a method of either client gives."""
    return await result if inspect.isawaitable(result) else result


async def listed(items: Any) -> list[Any]:
    """Return all that an iterator of either client gives."""
    return [item async for item in items] if hasattr(items, "__aiter__") else list(items)
