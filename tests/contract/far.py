"""Stand-ins for what is between us and far places, and for what answers there as no healthy server does."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

import httpx
from aiohttp import web

TOKEN = "pin-token-of-the-tests"


@contextlib.asynccontextmanager
async def listening(handler: Callable[[web.Request], Any]) -> AsyncIterator[str]:
    """Answer every HTTP request on a port of its own; gives the URL."""
    app = web.Application(client_max_size=2**30)
    app.router.add_route("*", "/{path:.*}", handler)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    assert site._server
    try:
        yield f"http://127.0.0.1:{site._server.sockets[0].getsockname()[1]}"  # type: ignore[attr-defined]
    finally:
        await runner.cleanup()


@contextlib.asynccontextmanager
async def answering(status: int, text: str, kind: str = "application/json") -> AsyncIterator[str]:
    """Answer everything in the same way."""

    async def answer(request: web.Request) -> web.Response:
        await request.read()
        return web.Response(status=status, text=text, content_type=kind)

    async with listening(answer) as url:
        yield url


@contextlib.asynccontextmanager
async def tampering(behind: str, there: tuple[bytes, bytes], back: tuple[bytes, bytes]) -> AsyncIterator[str]:
    """Pass HTTP requests on, with some bytes changed on their way there, and others on their way back."""

    async def pass_on(request: web.Request) -> web.Response:
        body = (await request.read()).replace(*there)
        hop = {"connection", "transfer-encoding", "content-length"}
        headers = {name: value for name, value in request.headers.items() if name.lower() not in hop}
        async with httpx.AsyncClient(trust_env=False) as client:
            answer = await client.request(request.method, behind + request.raw_path, headers=headers, content=body)
        kept = {name: value for name, value in answer.headers.items() if name.lower() not in hop}
        if request.method == "HEAD":
            kept["Content-Length"] = answer.headers.get("Content-Length", "0")
        return web.Response(status=answer.status_code, body=answer.content.replace(*back), headers=kept)

    async with listening(pass_on) as url:
        yield url


@contextlib.asynccontextmanager
async def silence() -> AsyncIterator[str]:
    """Take connections and never answer."""
    writers: list[asyncio.StreamWriter] = []
    server = await asyncio.start_server(lambda _, writer: writers.append(writer), "127.0.0.1", 0)
    try:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    finally:
        server.close()
        for writer in writers:
            writer.close()
        await asyncio.gather(*(writer.wait_closed() for writer in writers), return_exceptions=True)


@contextlib.asynccontextmanager
async def counting(port: int, limit: int, reached: Callable[[], object]) -> AsyncIterator[int]:
    """Pass connections on to a port; call ``reached`` once ``limit`` bytes went there; then stop."""
    done = False

    async def look(sent: int) -> bool:
        nonlocal done
        if sent > limit and not done:
            done = True
            reached()
        return not done

    async with passing(port, look) as way:
        yield way


@dataclass
class Gate:
    """A way that closes once some bytes went through it.

    Attributes:
        reached: it has closed.
        opened: to be set by whoever wants it open again.
    """

    port: int = 0
    reached: asyncio.Event = field(default_factory=asyncio.Event)
    opened: asyncio.Event = field(default_factory=asyncio.Event)


@contextlib.asynccontextmanager
async def gated(port: int, limit: int) -> AsyncIterator[Gate]:
    """Pass connections on to a port; hold what comes after ``limit`` bytes until the gate is opened."""
    gate = Gate()

    async def look(sent: int) -> bool:
        if sent > limit:
            gate.reached.set()
            await gate.opened.wait()
        return True

    async with passing(port, look) as gate.port:
        try:
            yield gate
        finally:
            gate.opened.set()


@contextlib.asynccontextmanager
async def passing(port: int, look: Callable[[int], Awaitable[bool]]) -> AsyncIterator[int]:
    """Pass connections on to a port.

    Args:
        look: is told how many bytes came by now, before the last of them go on; False: they do not.
    """
    sent = 0

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there, back = await asyncio.open_connection("127.0.0.1", port)

        async def onwards() -> None:
            nonlocal sent
            while data := await reader.read(65_536):
                sent += len(data)
                if not await look(sent):
                    return
                back.write(data)
                await back.drain()

        async def backwards() -> None:
            while data := await there.read(65_536):
                writer.write(data)
                await writer.drain()

        tasks = [asyncio.create_task(onwards()), asyncio.create_task(backwards())]
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for each in (writer, back):
            each.close()
            with contextlib.suppress(OSError):
                await each.wait_closed()

    listener = socket.create_server(("127.0.0.1", 0))
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2**18)  # what waits is not to be taken for what came
    server = await asyncio.start_server(serve, sock=listener)
    try:
        yield int(listener.getsockname()[1])
    finally:
        server.close()


class PinningService:
    """A pinning service (https://ipfs.github.io/pinning-services-api-spec/) that keeps content on an IPFS node.

    The node knows no other node: it reaches content only through the origins that the service is told.

    Attributes:
        fetches: while it is not set, what is begun goes no further.
    """

    def __init__(self, node: str) -> None:
        self._node = node
        self._pins: dict[str, dict[str, Any]] = {}
        self._numbers = itertools.count(1)
        self._tasks: set[asyncio.Task[None]] = set()
        self.fetches = asyncio.Event()
        self.fetches.set()

    async def answer(self, request: web.Request) -> web.Response:
        """Answer one request."""
        if request.headers.get("Authorization") != f"Bearer {TOKEN}":
            return self._error(401, "UNAUTHORIZED", f"no access with {request.headers.get('Authorization')}")
        parts = request.path.strip("/").split("/")
        if parts[0] != "pins" or len(parts) > 2:
            return self._error(404, "NOT_FOUND", request.path)
        if len(parts) == 1:
            return await self._begin(request) if request.method == "POST" else self._list(request)
        pin = self._pins.get(parts[1])
        if pin is None:
            return self._error(404, "NOT_FOUND", "no such request")
        if request.method == "DELETE":
            await self._rpc("pin/rm", pin["pin"]["cid"])
            del self._pins[parts[1]]
            return web.Response(status=202)
        return web.json_response(pin)

    async def close(self) -> None:
        """End what is under way."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _begin(self, request: web.Request) -> web.Response:
        asked = await request.json()
        number = f"request-{next(self._numbers)}"
        pin = {
            "requestid": number,
            "status": "queued",
            "created": "2026-01-01T00:00:00Z",
            "pin": asked,
            "delegates": [],
        }
        self._pins[number] = pin
        task = asyncio.create_task(self._keep(pin))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return web.json_response(pin, status=202)

    async def _keep(self, pin: dict[str, Any]) -> None:
        pin["status"] = "pinning"
        await self.fetches.wait()
        for origin in pin["pin"].get("origins", []):
            await self._rpc("swarm/connect", origin)
        pin["status"] = "pinned" if await self._rpc("pin/add", pin["pin"]["cid"], timeout="20s") else "failed"

    def _list(self, request: web.Request) -> web.Response:
        query = request.query
        status = query.get("status", "pinned").split(",")
        found = [
            pin
            for pin in self._pins.values()
            if pin["status"] in status and ("cid" not in query or pin["pin"]["cid"] in query["cid"].split(","))
        ]
        return web.json_response({"count": len(found), "results": found[: int(query.get("limit", "10"))]})

    async def _rpc(self, command: str, argument: str, **more: str) -> bool:
        async with httpx.AsyncClient(trust_env=False, timeout=90) as client:
            answer = await client.post(f"{self._node}/api/v0/{command}", params={"arg": argument, **more})
        return answer.status_code == 200

    @staticmethod
    def _error(status: int, reason: str, details: str) -> web.Response:
        return web.json_response({"error": {"reason": reason, "details": details}}, status=status)
