"""Builds the auth service's adapters and passes them in."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from artdag_common.application import Application
from artdag_common.config import Settings
from artdag_common.eventstore import postgres
from artdag_common.messaging.bus import Bus
from artdag_common.messaging.commands import CommandConsumer
from artdag_common.messaging.relay import Relay
from artdag_common.process import cleanup
from services.auth.handlers import CONSUMER, Tokens


@asynccontextmanager
async def auth(settings: Settings) -> AsyncIterator[None]:
    """The auth service, from connected to closed. Also a candidate for the relay."""
    async with cleanup() as close:
        bus = await Bus.connect(settings.nats_url, "auth")
        close(bus.close)
        pool = await postgres.connect(settings.database_url, size=4)
        close(pool.close)
        store = postgres.PostgresEventStore(pool, bus.committed)
        close(store.close)
        relay = Relay(settings.database_url, bus)
        await relay.start()
        close(relay.stop)
        tokens = Tokens(Application(store))
        await tokens.attach_owner(settings.owner_token_hash)
        commands = CommandConsumer(bus, store, CONSUMER, tokens.handlers())
        await commands.start()
        close(commands.stop)
        await bus.answer_pings("auth")
        yield
