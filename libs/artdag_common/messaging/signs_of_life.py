"""Signs of life of a message that is being handled: without one in time its stream gives it out again."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import nats
from nats.aio.msg import Msg


@contextmanager
def kept_alive(message: Msg, every_seconds: float) -> Iterator[None]:
    """Tell the stream in the block that a message is being handled: else another gets it too.

    Args:
        every_seconds: between two signs, the first after as long; well below its consumer's ``ack_wait``.
    """
    loop, telling = asyncio.get_running_loop(), set[asyncio.Task[None]]()
    timer: asyncio.TimerHandle  # no task: nearly all messages are through long before

    async def tell() -> None:
        with suppress(nats.errors.Error):  # the bus may be back before it is given to another
            await message.in_progress()

    def due() -> None:
        nonlocal timer
        task = asyncio.create_task(tell())
        telling.add(task)
        task.add_done_callback(telling.discard)
        timer = loop.call_later(every_seconds, due)

    timer = loop.call_later(every_seconds, due)
    try:
        yield
    finally:
        timer.cancel()
        for task in telling:
            task.cancel()
