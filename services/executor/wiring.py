"""Builds the executor's adapters and passes them in."""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

from nats.aio.msg import Msg
from nats.js.api import AckPolicy, ConsumerConfig

from artdag_common.application import Application
from artdag_common.blobs.local import LocalBlobStore
from artdag_common.config import Settings
from artdag_common.eventstore import postgres
from artdag_common.messaging import subjects
from artdag_common.messaging.bus import Bus
from artdag_common.messaging.consumer import StandingPull
from artdag_common.process import cleanup
from services.executor.handlers import StepHandler
from services.executor.pool import MediaPool

ACK_WAIT = 9.0
INLINE_AT_ONCE = 200


class Background:
    """Handles each message in a task of its own."""

    def __init__(self, handle: Callable[[Msg], Awaitable[None]]) -> None:
        self._handle = handle
        self._tasks: set[asyncio.Task[None]] = set()

    async def receive(self, message: Msg) -> None:
        """Begin to handle a message."""
        task = asyncio.create_task(self._run(message))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _run(self, message: Msg) -> None:
        await self._handle(message)

    async def finish(self) -> None:
        """Wait until what was begun is through: ended, or handed back."""
        await asyncio.gather(*self._tasks, return_exceptions=True)


@asynccontextmanager
async def executor(settings: Settings) -> AsyncIterator[None]:
    """The executor, from connected to closed."""
    async with cleanup() as close:
        blobs = LocalBlobStore(settings.cache_dir)
        bus = await Bus.connect(settings.nats_url, "executor")
        close(bus.close)
        pool = await postgres.connect(settings.database_url)
        close(pool.close)
        store = postgres.PostgresEventStore(pool, bus.committed)
        close(store.close)
        media = MediaPool(settings.slots, settings.step_timeout)
        name = f"{socket.gethostname()}-{os.getpid()}"
        handler = StepHandler(name, bus, Application(store), blobs, media, ACK_WAIT / 3)
        background = Background(handler.execute)
        close(background.finish)  # before the connections close, or what is handed back would not get there
        close(media.close)
        for work_class, at_once in (("inline", INLINE_AT_ONCE), ("cpu", settings.slots)):
            config = ConsumerConfig(
                durable_name=f"executor-{work_class}",
                filter_subject=subjects.work(work_class, "*"),
                ack_policy=AckPolicy.EXPLICIT,
                ack_wait=ACK_WAIT,
                max_ack_pending=2 * at_once,
            )
            pull = StandingPull(bus, subjects.WORK, config, background.receive, batch=at_once)
            await pull.start()
            close(pull.stop)
        await bus.answer_pings("executor")
        yield
