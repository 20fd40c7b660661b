"""People of the running system, signed in without a registry."""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from uuid import uuid4

import httpx

from artdag_common.commands import AttachToken
from artdag_common.messaging.bus import Bus


@dataclass
class Person:
    """Somebody who is signed in."""

    user: str
    token: str
    client: httpx.AsyncClient

    @property
    def token_hash(self) -> str:
        """What the token is known by."""
        return hashlib.sha256(self.token.encode()).hexdigest()


SignIn = Callable[..., Awaitable[Person]]


@asynccontextmanager
async def signing_in(url: str, bus: Bus) -> AsyncIterator[SignIn]:
    """Give a function that signs somebody in whom nobody else knows, or somebody known with another token."""
    clients: list[httpx.AsyncClient] = []

    async def sign_in(user: str = "") -> Person:
        user = user or f"u-{uuid4().hex[:26]}"
        token = uuid4().hex
        outcome = await bus.request(AttachToken(hashlib.sha256(token.encode()).hexdigest(), user), uuid4().hex, 60)
        assert outcome is not None
        assert outcome.accepted, outcome
        client = httpx.AsyncClient(base_url=url, headers={"Authorization": f"Bearer {token}"}, timeout=60)
        clients.append(client)
        return Person(user, token, client)

    try:
        yield sign_in
    finally:
        for client in clients:
            await client.aclose()
