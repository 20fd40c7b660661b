"""A registry for tests that answers what a test tells it to, and notes what it was sent."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from aiohttp import web
from cryptography.hazmat.primitives.asymmetric import rsa

from artdag_common.federation.documents import Documents
from artdag_common.federation.signatures import new_key, private_key, public_pem, sign, verify

L1 = "https://l1.example"
KEY = private_key(new_key())
REGISTRYS = private_key(new_key())
DOCUMENTS = Documents(L1)

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


def answer(status: int = 200, body: Any = None, headers: dict[str, str] | None = None) -> Handler:
    """Return what answers every request alike."""
    text = body if isinstance(body, str) else json.dumps(body)

    async def handle(request: web.Request) -> web.StreamResponse:
        return web.Response(status=status, text=text, headers=headers)

    return handle


async def hang_up(request: web.Request) -> web.StreamResponse:
    """Break the connection."""
    assert request.transport
    request.transport.abort()
    return web.Response()


@dataclass
class Registry:
    """What it answers; ``None``: as a registry does.

    Attributes:
        verify, actor: handlers in place of its own.
        decisions: answers of the inbox to come, before its own: ``(status, body, headers)`` or a handler.
        taken: activities that it took, by id, in order, each once; ``sent``: all that came, signed well.
        asked: how often each path was asked.
    """

    url: str = ""
    key: rsa.RSAPrivateKey = REGISTRYS
    name: str = "main-key"
    verify: Handler | None = None
    actor: Handler | None = None
    decisions: list[Handler] = field(default_factory=list)
    taken: dict[str, dict[str, Any]] = field(default_factory=dict)
    bodies: dict[str, bytes] = field(default_factory=dict)
    sent: list[dict[str, Any]] = field(default_factory=list)
    asked: dict[str, int] = field(default_factory=dict)
    seen: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def key_id(self) -> str:
        return f"{self.url}/actor#{self.name}"

    def document(self) -> dict[str, Any]:
        """Return its actor."""
        key = {"id": self.key_id, "owner": f"{self.url}/actor", "publicKeyPem": public_pem(self.key)}
        return {"id": f"{self.url}/actor", "type": "Service", "inbox": f"{self.url}/inbox", "publicKey": key}

    def signs(self, path: str, body: bytes, now: datetime | None = None) -> dict[str, str]:
        """Return the headers with which it sends something to us."""
        headers = {"Content-Type": "application/activity+json"}
        return sign(self.key, self.key_id, "POST", f"{L1}{path}", headers, body, now or datetime.now(UTC))

    async def handle(self, request: web.Request) -> web.StreamResponse:
        self.asked[request.path] = self.asked.get(request.path, 0) + 1
        if request.path == "/actor":
            return await (self.actor or answer(200, self.document()))(request)
        if request.path == "/auth/verify":
            return await (self.verify or answer(200, {"username": "giles"}))(request)
        if request.path == "/inbox":
            return await self._take(request)
        return web.Response(status=404)

    async def _take(self, request: web.Request) -> web.StreamResponse:
        body = await request.read()
        keys = {DOCUMENTS.key_id: KEY.public_key()}
        lines = [(name, value) for name, value in request.headers.items()]
        verify(keys, "POST", f"{self.url}/inbox", lines, body, datetime.now(UTC))
        activity = json.loads(body)
        self.sent.append(activity)
        self.seen.set()
        if self.decisions:
            return await self.decisions.pop(0)(request)
        return self.take(activity, body)

    def take(self, activity: dict[str, Any], body: bytes) -> web.Response:
        """Take an activity; one that came before has to be the same, and is answered like the first."""
        known = self.bodies.setdefault(activity["id"], body)
        assert known == body, "a repeat says something else"
        self.taken.setdefault(activity["id"], activity)
        return web.json_response({"url": f"{self.url}/assets/{list(self.taken).index(activity['id'])}"}, status=201)


@asynccontextmanager
async def registry() -> AsyncIterator[Registry]:
    """A registry on a free port of this machine."""
    it = Registry()
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", it.handle)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    it.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    try:
        yield it
    finally:
        await runner.cleanup()
