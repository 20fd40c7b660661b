"""Builds the executor's adapters and passes them in."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import structlog
from nats.aio.msg import Msg
from nats.js.api import AckPolicy, ConsumerConfig

from artdag_common.application import Application
from artdag_common.blobs.local import stored_in
from artdag_common.blobs.wiring import layered_blobs
from artdag_common.config import Settings
from artdag_common.effects import uploaded
from artdag_common.eventstore import postgres
from artdag_common.media import kernel
from artdag_common.messaging import subjects
from artdag_common.messaging.bus import Bus
from artdag_common.messaging.consumer import StandingPull
from artdag_common.messaging.presence import Announcement, own_name
from artdag_common.probing import Parts, backing
from artdag_common.process import cleanup
from artdag_common.turning import all_turn
from services.executor.division import Division
from services.executor.handlers import StepHandler
from services.executor.pool import MediaPool
from services.executor.presence import Presence

ACK_WAIT = 9.0
"""Seconds without a sign of life after which a step is given to another executor, if presence did not tell before."""

INLINE = "inline"
INLINE_ACK_WAIT = 2.5
"""The same for what takes no time, and is told by nobody's presence."""

INLINE_AT_ONCE = 200
PENDING = 10_000


log = structlog.get_logger(__name__)


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


def consumer(work_class: str, ack_wait: float) -> ConsumerConfig:
    """Return the consumer of a class of work, shared by all executors."""
    return ConsumerConfig(
        durable_name=subjects.workers(work_class),
        filter_subject=subjects.work(work_class, "*"),
        ack_policy=AckPolicy.EXPLICIT,
        ack_wait=ack_wait,
        max_ack_pending=PENDING,
    )


def tell_how_frames_are_converted() -> None:
    """Say it once where that takes long; in the workers it would be in the log of each step."""
    if kernel.load() is None:
        log.warning("no compiled library for RGB: NumPy converts, slowly", wanted=str(kernel.place(sys.prefix)))


@asynccontextmanager
async def executor(settings: Settings) -> AsyncIterator[Parts]:
    """The executor, from connected to closed."""
    tell_how_frames_are_converted()
    async with cleanup() as close:
        bus = await Bus.connect(settings.nats_url, "executor", settings.nats_seed)
        close(bus.close)
        blobs = await layered_blobs(settings, bus, close)
        uploaded.look_in(stored_in(blobs.folder))
        pool = await postgres.connect(settings.database_url)
        close(pool.close)
        store = postgres.PostgresEventStore(pool, bus.committed)
        close(store.close)
        hands = settings.hands
        media = MediaPool(sum(hands.values()), settings.step_timeout)
        name = own_name()
        app = Application(store)
        division = Division(bus, app, blobs)
        presence = Presence(bus, name)
        handler = StepHandler(name, bus, app, blobs, media, division, min(ACK_WAIT, INLINE_ACK_WAIT) / 3, presence)
        background = Background(handler.execute)
        # A slot asks for one step and for the next when that is through, so that a step waits on the queue, where any
        # executor can take it, and not here.
        at_once = consumer(INLINE, min(ACK_WAIT, INLINE_ACK_WAIT))
        pulls = [StandingPull(bus, subjects.WORK, at_once, background.receive, batch=INLINE_AT_ONCE)]
        for work_class, count in hands.items():
            config = consumer(work_class, ACK_WAIT)
            pulls += [StandingPull(bus, subjects.WORK, config, handler.take, batch=1) for _ in range(count)]

        async def stop() -> None:
            """Hand back what is not through, before the connections close."""
            handler.close()
            await media.close()
            await division.close()
            await asyncio.gather(*(pull.stop() for pull in pulls))
            await background.finish()
            await handler.finish()
            await presence.stop()

        close(stop)
        await bus.nc.subscribe(subjects.stop("*"), cb=handler.stop)
        await bus.nc.subscribe(subjects.ask_for_log("*"), cb=handler.answer_for_log)
        await presence.start()
        await asyncio.gather(*(pull.start() for pull in pulls))
        here = Announcement(bus, "executor", folder=blobs.folder, hands=hands)
        await here.start()
        close(here.stop)
        await bus.answer_pings("executor")
        yield Parts(
            ready={**backing(bus, pool), "work": lambda: all(pull.pulling for pull in pulls)},
            live={"work": all_turn(*pulls), "presence": all_turn(presence)},
        )
