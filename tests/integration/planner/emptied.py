"""A bus whose streams are new and empty."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import nats
import pytest
from nats.js.errors import ServerError

from artdag_common.messaging.bus import Bus
from tests.integration.events.servers import Server


@pytest.fixture
async def bus(own_nats: Server) -> AsyncIterator[Bus]:
    """A connection to a server that a test has for itself."""
    async with await nats.connect(own_nats.url) as connection:
        stream_manager = connection.jetstream()
        for info in await stream_manager.streams_info():
            assert info.config.name
            await stream_manager.delete_stream(info.config.name)
    async with asyncio.timeout(15):
        bus: Bus | None = None
        while bus is None:
            try:
                bus = await Bus.connect(own_nats.url, "test")
            except ServerError:  # 10049: the server still removes the files of the stream of that name
                await asyncio.sleep(0.05)
    yield bus
    await bus.close()
