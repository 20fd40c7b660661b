"""What tests of the auth service share: its parts on real servers, each with a database of its own."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass

import asyncpg
import pytest
import redis.asyncio

from artdag_cli.system import System
from artdag_common.application import Application
from artdag_common.eventstore.postgres import PostgresEventStore
from artdag_common.federation.l2 import L2
from artdag_common.messaging.bus import Bus
from artdag_common.people import People
from services.auth.grants import Grants
from services.auth.handlers import Tokens
from services.auth.revocation import Revocation
from services.auth.verification import Verification
from tests.integration.auth.registry import Registry, running

OWN = "https://l1.example"


@dataclass
class Auth:
    """The parts of one auth service."""

    app: Application
    tokens: Tokens
    verification: Verification
    grants: Grants
    revocation: Revocation
    l2: L2


@pytest.fixture
async def cache(backing: System) -> AsyncIterator[redis.asyncio.Redis]:
    """An empty Redis database that nobody else uses."""
    cache = redis.asyncio.Redis.from_url(
        f"{backing.environment['REDIS_URL'].rpartition('/')[0]}/7", decode_responses=True
    )
    await cache.flushdb()
    yield cache
    await cache.flushdb()
    await cache.aclose()


@pytest.fixture
async def registry() -> AsyncIterator[Registry]:
    """L2."""
    async with running() as it:
        yield it


@pytest.fixture
async def make_auth(
    pool: asyncpg.Pool, store: PostgresEventStore, bus: Bus, cache: redis.asyncio.Redis, registry: Registry
) -> AsyncIterator[Callable[[], Auth]]:
    """Make an auth service; several at once share database and Redis, as replicas do."""
    made: list[Auth] = []

    def make() -> Auth:
        app = Application(store)
        revocation = Revocation(bus, pool, cache)
        tokens = Tokens(app, pool, revocation)
        l2 = L2(registry.url, OWN, "l2.example")
        verification = Verification(app, pool, tokens, People(pool), l2)
        made.append(Auth(app, tokens, verification, Grants(app, pool, tokens), revocation, l2))
        return made[-1]

    yield make
    for each in made:
        await each.revocation.stop()
        await each.l2.close()


@pytest.fixture
def auth(make_auth: Callable[[], Auth]) -> Auth:
    """One auth service."""
    return make_auth()
