"""Tells the planners that this executor is there, and what it works on: others get it as soon as we are gone."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterator
from contextlib import contextmanager

import nats
from nats.aio.msg import Msg

from artdag_common.messaging import subjects
from artdag_common.messaging.bus import Bus
from artdag_common.messaging.presence import token
from artdag_common.pb.commands_pb2 import ExecutorPresence, HeldWork
from artdag_common.turning import Loop

EVERY_SECONDS = 1.0
LEAST_SECONDS = 0.02
"""Between two messages, however often it changes."""


class Presence(Loop):
    """What an executor has taken from the work queue, told each second and when it changes."""

    def __init__(self, bus: Bus, executor: str) -> None:
        self._bus = bus
        self._name = token(executor)
        self._held: dict[int, str] = {}  # sequence on the stream → subject
        self._changed = asyncio.Event()

    async def start(self) -> None:
        """Begin."""
        await self._bus.nc.subscribe(subjects.ask_if_here(self._name), cb=self._answer)
        self._begin_loop(self._tell(), "tell of presence")

    async def stop(self) -> None:
        """Say good-bye."""
        await super().stop()
        await self._say(leaving=True)

    @contextmanager
    def holding(self, message: Msg) -> Iterator[None]:
        """Work on a message in the block."""
        sequence = message.metadata.sequence.stream
        self._held[sequence] = message.subject
        self._changed.set()
        try:
            yield
        finally:
            self._held.pop(sequence, None)
            self._changed.set()

    async def _answer(self, message: Msg) -> None:
        with contextlib.suppress(nats.errors.Error):
            await message.respond(b"")

    async def _tell(self) -> None:
        while True:
            self._changed.clear()
            await self._say()
            await asyncio.sleep(LEAST_SECONDS)
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._changed.wait(), EVERY_SECONDS)

    async def _say(self, leaving: bool = False) -> None:
        held = [HeldWork(subject=subject, sequence=sequence) for sequence, subject in self._held.items()]
        message = ExecutorPresence(executor=self._name, held=held, leaving=leaving)
        with contextlib.suppress(nats.errors.Error):  # the bus is away, and with it whoever would act on it
            await self._bus.nc.publish(subjects.here(self._name), message.SerializeToString())
