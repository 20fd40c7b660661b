"""Servers that webhooks lead to: they check signatures as Standard Webhooks 1.0 says, and answer as a test wants."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web

from tests.integration.federation.registry import Handler, answer

KEY = bytes(range(32))
TEXT = "whsec_" + base64.b64encode(KEY).decode()


@dataclass
class Message:
    """A message that came, signed well."""

    id: str
    seconds: int
    body: bytes

    @property
    def said(self) -> dict[str, Any]:
        return dict(json.loads(self.body))


@dataclass
class Receiver:
    """A webhook's server. Messages whose signature is not that of the specification it answers with 500.

    Attributes:
        key: that they are signed with.
        answers: those to come, before 204s.
        at_once: how many it is answering now.
    """

    key: bytes = KEY
    url: str = ""
    answers: list[Handler] = field(default_factory=list)
    came: list[Message] = field(default_factory=list)
    at_once: int = 0
    most_at_once: int = 0

    async def receive(self, request: web.Request) -> web.StreamResponse:
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        try:
            body, headers = await request.read(), request.headers
            stamp = headers["webhook-timestamp"]
            said = b".".join([headers["webhook-id"].encode(), stamp.encode(), body])
            expected = base64.b64encode(hmac.new(self.key, said, hashlib.sha256).digest()).decode()
            assert headers["webhook-signature"] == f"v1,{expected}"
            assert headers["Content-Type"] == "application/json"
            self.came.append(Message(headers["webhook-id"], int(stamp), body))
            return await (self.answers.pop(0) if self.answers else answer(204, ""))(request)
        finally:
            self.at_once -= 1


async def endless(request: web.Request) -> web.StreamResponse:
    response = web.StreamResponse(status=500)
    await response.prepare(request)
    while True:
        await response.write(b"no " * 10_000)


@asynccontextmanager
async def receiver(host: str = "127.0.0.1") -> AsyncIterator[Receiver]:
    """Give a server that is there while the block runs."""
    it = Receiver()
    application = web.Application()
    application.router.add_post("/{path:.*}", it.receive)
    runner = web.AppRunner(application, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, host, 0).start()
    it.url = f"http://{host}:{runner.addresses[0][1]}/hook/"
    yield it
    await runner.cleanup()
