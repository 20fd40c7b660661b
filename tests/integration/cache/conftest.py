"""What the tests of the cache service share: the service's parts on one database and one folder, without a bus."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from uuid import uuid4

import asyncpg
import pytest

from artdag_common.application import Application
from artdag_common.blobs.local import LocalBlobStore
from artdag_common.cid import cid_of
from artdag_common.commands import DeleteObject, ImportObject, PublishObject
from artdag_common.domain.content import Object
from artdag_common.eventstore.holds import Holds
from artdag_common.eventstore.postgres import PostgresEventStore
from artdag_common.messaging.bus import Outcome
from services.cache.deletion import Deletion
from services.cache.garbage import Garbage
from services.cache.handlers import Books
from tests.integration.events.test_planner import Planner, World

THING = b"a thing that somebody uploaded"


@dataclass
class Cache:
    """One cache service, and what people do with it."""

    pool: asyncpg.Pool
    blobs: LocalBlobStore
    quota_bytes: int = 0
    store: PostgresEventStore = field(init=False)
    app: Application = field(init=False)
    holds: Holds = field(init=False)

    def __post_init__(self) -> None:
        self.store = PostgresEventStore(self.pool)
        self.app = Application(self.store)
        self.holds = Holds(self.pool)

    @property
    def books(self) -> Books:
        return Books(self.app, self.blobs, self.holds, self.quota_bytes)

    @property
    def deletion(self) -> Deletion:
        return Deletion(self.app, self.blobs, self.holds, self.books.alone)

    @property
    def garbage(self) -> Garbage:
        return Garbage(self.app, self.blobs, self.holds, 0, self.blobs)

    async def upload(self, data: bytes = THING, owner: str = "me", name: str = "", command: str = "") -> str:
        """Store bytes and take them into the books."""
        blob = await self.blobs.put(data)
        await self.enter(blob.cid, len(data), owner, name, command)
        return blob.cid

    async def enter(self, cid: str, size: int, owner: str = "me", name: str = "", command: str = "") -> Outcome:
        """Take bytes that are stored into the books."""
        wanted = ImportObject(cid, size, "text/plain", "upload", owner, name)
        return await self.books.import_object(wanted, command or f"import-{uuid4()}")

    async def publish(self, cid: str, owner: str = "me") -> None:
        await self.books.publish_object(PublishObject(cid, owner, "n", "", "", "", ""), f"publish-{uuid4()}")

    async def delete(self, cid: str, by: str = "me", operator: bool = False, command: str = "") -> Outcome:
        return await self.deletion.delete(DeleteObject(cid, by, operator), command or f"delete-{uuid4()}")

    async def here(self, data: bytes = THING) -> bool:
        """Return whether the bytes are here, and whole."""
        cid = cid_of(data)
        if not await self.blobs.present([cid]):
            return False
        assert await self.blobs.read(cid) == data
        return True

    async def object(self, cid: str) -> Object:
        found = await self.app.find(Object, cid)
        assert found
        return found

    async def kinds(self, cid: str) -> list[str]:
        """Return as what content is needed, and by whom."""
        return sorted(f"{hold.kind} {hold.holder}" for hold in (await self.holds.of([cid]))[cid])


@pytest.fixture
def world(pool: asyncpg.Pool, tmp_path: Path) -> World:
    """Planners on the same database and folder."""
    return World(pool, tmp_path / "cache")


@pytest.fixture
def planner(world: World) -> Planner:
    """One of them."""
    return world.planner()


@pytest.fixture
async def cache(pool: asyncpg.Pool, world: World) -> AsyncIterator[Cache]:
    """A cache service."""
    it = Cache(pool, world.blobs)
    yield it
    await it.store.close()
