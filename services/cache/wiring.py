"""Builds the cache service's adapters and passes them in."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from artdag_common.application import Application
from artdag_common.blobs.local import LocalBlobStore
from artdag_common.config import Settings
from artdag_common.eventstore import postgres
from artdag_common.messaging.bus import Bus
from artdag_common.messaging.commands import CommandConsumer
from artdag_common.messaging.follower import Follower
from artdag_common.messaging.relay import Relay
from artdag_common.process import cleanup
from services.cache.handlers import CONSUMER, FOLLOWED, Books


@asynccontextmanager
async def cache(settings: Settings) -> AsyncIterator[None]:
    """The cache service, from connected to closed. Also a candidate for the relay."""
    async with cleanup() as close:
        blobs = LocalBlobStore(settings.cache_dir)
        bus = await Bus.connect(settings.nats_url, "cache")
        close(bus.close)
        pool = await postgres.connect(settings.database_url)
        close(pool.close)
        store = postgres.PostgresEventStore(pool, bus.committed)
        close(store.close)
        relay = Relay(settings.database_url, bus)
        await relay.start()
        close(relay.stop)
        books = Books(Application(store), blobs)
        follower = Follower(bus, CONSUMER, FOLLOWED, books.note_arrivals)
        await follower.start()
        close(follower.stop)
        commands = CommandConsumer(bus, store, CONSUMER, books.handlers())
        await commands.start()
        close(commands.stop)
        await bus.answer_pings("cache")
        yield
