"""Whether what asks a stream for messages tells the truth: of a consumer that is gone, of commands that take long."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest
from nats.aio.msg import Msg
from nats.js.api import AckPolicy, ConsumerConfig

from artdag_common.commands import CancelRun
from artdag_common.domain.aggregate import DomainEvent
from artdag_common.eventstore.postgres import PostgresEventStore
from artdag_common.messaging import commands, subjects
from artdag_common.messaging.bus import STREAMS, Bus, Outcome
from artdag_common.messaging.commands import CommandConsumer
from artdag_common.messaging.consumer import StandingPull
from artdag_common.messaging.follower import Follower
from artdag_common.tasks import end
from tests.integration.events.appends import eventually

SIGNS = 5
"""Signs of life of a command, three of which make up the time after which the stream gives it out again."""


async def test_who_cannot_pull_since_the_stream_is_gone_says_so(bus: Bus) -> None:
    async def take(message: Msg) -> None:
        await message.ack()

    async def pulling() -> bool:
        return pull.pulling

    async def idle() -> bool:
        return not pull.pulling

    config = ConsumerConfig(durable_name="executor-cpu", filter_subject="work.cpu.*", ack_policy=AckPolicy.EXPLICIT)
    pull = StandingPull(bus, subjects.WORK, config, take, batch=1)
    await pull.start()
    try:
        assert await pulling()
        await bus.js.delete_stream(subjects.WORK)
        await eventually(idle, "it does not pull")
        assert pull.turning, "no new start brings the stream back"
        await bus.ensure_streams()
        await eventually(pulling, "it pulls again")
    finally:
        await pull.stop()


async def test_a_follower_whose_pull_is_no_longer_looked_after_is_told_of(bus: Bus) -> None:
    async def handle(events: Sequence[DomainEvent]) -> None: ...

    async def pulling() -> bool:
        return follower.pulling

    follower = Follower(bus, "cache-copies", ["evt.object.>"], handle)
    await follower.start()
    try:
        assert follower.turning, "it waits for the stream, which its owner has not made yet"
        await bus.ensure_stream(next(config for config in STREAMS if config.name == subjects.EVENTS))
        await eventually(pulling, "it pulls")
        assert follower.turning
        (looking,) = [task for task in asyncio.all_tasks() if task.get_name() == "pull cache-copies"]
        await end(looking)
        assert not follower.turning
    finally:
        await follower.stop()


async def test_a_command_that_takes_long_is_handled_once(
    bus: Bus, store: PostgresEventStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(commands, "ACK_WAIT", 3.0)
    handled: list[str] = []
    alive: list[bytes] = []
    through = asyncio.Event()

    async def handle(command: CancelRun, command_id: str) -> Outcome:
        handled.append(command_id)
        await through.wait()
        return Outcome.of()

    async def hear(message: Msg) -> None:
        alive.append(message.data)

    async def late() -> bool:
        return len(handled) > 1 or len(alive) >= SIGNS

    await bus.nc.subscribe("$JS.ACK.>", cb=hear)
    consumer = CommandConsumer(bus, store, "planner", {CancelRun: handle})
    await consumer.start()
    asking = asyncio.create_task(bus.request(CancelRun("r-1"), "command-1", timeout=60))
    try:
        await eventually(late, "it would have been given out again")
        assert handled == ["command-1"]
        assert set(alive) == {b"+WPI"}
    finally:
        through.set()
        await asking
        await consumer.stop()
