"""An L2 of a few lines, inside the test: it answers as it is told to."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any

import httpx
from aiohttp import web

from artdag_common.federation import signatures


class Registry:
    """Answers ``/auth/verify``, counts how often it is asked, and signs what it asks itself."""

    def __init__(self) -> None:
        self.url = ""
        self.asked: list[str] = []
        self.people: dict[str, dict[str, Any]] = {}
        self.nonsense: Any = None
        self.open = asyncio.Event()  # cleared: it takes the question, and its answer takes its time
        self.open.set()
        self.key = signatures.private_key(signatures.new_key())

    def signed(
        self, url: str, fields: dict[str, Any], key: Any = None, at: datetime | None = None, name: str = "main-key"
    ) -> httpx.Request:
        """Return a POST of JSON that the registry's actor signs, or somebody else in its name."""
        body = json.dumps(fields).encode()
        headers = {"content-type": "application/json"}
        key_id = f"{self.url}/actor#{name}"
        lines = signatures.sign(key or self.key, key_id, "POST", url, headers, body, at or datetime.now(UTC))
        return httpx.Request("POST", url, headers=lines, content=body)

    async def actor(self, request: web.Request) -> web.Response:
        """Show the public half of the key."""
        actor = f"{self.url}/actor"
        key = {"id": f"{actor}#main-key", "owner": actor, "publicKeyPem": signatures.public_pem(self.key)}
        shown = {"id": actor, "type": "Application", "inbox": f"{self.url}/inbox", "publicKey": key}
        return web.json_response(shown, content_type="application/activity+json")

    def knows(self, token: str, username: str = "giles", **more: Any) -> str:
        """Let a token be somebody's, and return it."""
        self.people[token] = {"username": username, **more}
        return token

    async def verify(self, request: web.Request) -> web.StreamResponse:
        """Say whose a token is."""
        token = (await request.json())["token"]
        self.asked.append(token)
        answer = self.people.get(token)
        await self.open.wait()
        if self.nonsense is not None:
            return web.Response(text=self.nonsense, content_type="application/json")
        if answer is None:
            return web.json_response({"error": "revoked"}, status=401)
        return web.json_response(answer)


@asynccontextmanager
async def running() -> AsyncIterator[Registry]:
    """Serve until the block is left."""
    registry = Registry()
    app = web.Application()
    app.router.add_post("/auth/verify", registry.verify)
    app.router.add_get("/actor", registry.actor)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    assert runner.addresses
    registry.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    try:
        yield registry
    finally:
        registry.open.set()
        await runner.cleanup()
