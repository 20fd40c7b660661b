"""The standing pull: everything comes, once acknowledged it stays away, and no more is asked for than there is room."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from functools import partial
from typing import Any

import pytest
from nats.aio.msg import Msg
from nats.js.api import AckPolicy, ConsumerConfig
from nats.js.errors import ServerError

from artdag_common.messaging import consumer as consumer_module
from artdag_common.messaging import subjects
from artdag_common.messaging.bus import Bus
from artdag_common.messaging.consumer import QuickPull, StandingPull
from artdag_common.tasks import end
from tests.integration.events.appends import PATIENCE, eventually
from tests.integration.events.servers import Server

Pulling = Callable[..., AbstractAsyncContextManager[StandingPull]]

SUBJECT = subjects.command("cache", "ImportObject", "x")


def durable(**more: Any) -> ConsumerConfig:
    return ConsumerConfig(
        durable_name="test",
        ack_policy=AckPolicy.EXPLICIT,
        **{"filter_subject": "cmd.cache.>", "ack_wait": 30, **more},
    )


class Received:
    """What came, in order."""

    def __init__(self) -> None:
        self.data: list[bytes] = []

    async def take(self, message: Msg) -> None:
        self.data.append(message.data)
        await message.ack()

    async def count(self, count: int) -> None:
        async def enough() -> bool:
            return len(self.data) >= count

        await eventually(enough, f"{count} messages")


class QueuedPull(QuickPull):
    """The quick pull as it is used: what it puts somewhere is taken from there by a task."""

    def __init__(
        self, bus: Bus, stream: str, config: ConsumerConfig, take: Callable[[Msg], Awaitable[None]], batch: int
    ) -> None:
        self.queue: asyncio.Queue[Msg] = asyncio.Queue()
        self.take = take
        super().__init__(bus, stream, config, self.queue.put_nowait, batch)
        self.worker = asyncio.create_task(self.work())

    async def work(self) -> None:
        while True:
            await self.take(await self.queue.get())

    async def stop(self) -> None:
        await super().stop()
        await end(self.worker)


@pytest.fixture(params=[StandingPull, QueuedPull])
def pull_class(request: pytest.FixtureRequest) -> type[Any]:
    """Both are asked in the same way, and are handed what comes in two."""
    return request.param  # type: ignore[no-any-return]


@pytest.fixture
def pulling(pull_class: type[Any]) -> Pulling:
    return partial(pulling_with, pull_class)


@asynccontextmanager
async def pulling_with(
    pull_class: type[Any],
    bus: Bus,
    take: Callable[[Msg], Awaitable[None]],
    batch: int = 16,
    stream: str = subjects.COMMANDS,
    **more: Any,
) -> AsyncIterator[StandingPull]:
    pull = pull_class(bus, stream, durable(**more), take, batch)
    await pull.start()
    try:
        yield pull
    finally:
        await pull.stop()


async def send(bus: Bus, first: int, count: int) -> None:
    for i in range(first, first + count):
        await bus.js.publish(SUBJECT, b"%d" % i)


async def waiting_requests(bus: Bus) -> int:
    return (await bus.js.consumer_info(subjects.COMMANDS, "test")).num_waiting or 0


@pytest.mark.parametrize("batch", [1, 2, 7, 64])
async def test_a_half_full_batch_does_not_stall(bus: Bus, batch: int, pulling: Pulling) -> None:
    """Messages that come one by one are delivered one by one, however many were asked for."""
    received = Received()
    async with pulling(bus, received.take, batch):
        for i in range(40):
            await send(bus, i, 1)
            await received.count(i + 1)
    assert received.data == [b"%d" % i for i in range(40)]


async def test_everything_comes_in_order_and_is_gone_once_acknowledged(bus: Bus, pulling: Pulling) -> None:
    await send(bus, 0, 200)
    received = Received()
    async with pulling(bus, received.take):
        await received.count(200)
    assert received.data == [b"%d" % i for i in range(200)]

    async def empty() -> bool:
        return (await bus.js.stream_info(subjects.COMMANDS)).state.messages == 0

    await eventually(empty, "an empty work queue")


async def test_everything_comes_across_restarts_of_the_server(own_nats: Server, bus: Bus, pulling: Pulling) -> None:
    received = Received()
    restarts = own_nats.child.restarts
    async with pulling(bus, received.take):
        await send(bus, 0, 50)
        await received.count(20)
        own_nats.kill()
        await own_nats.back(restarts + 1)
        async with asyncio.timeout(PATIENCE):
            while not bus.nc.is_connected:
                await asyncio.sleep(0.01)
        await send(bus, 50, 50)

        async def all_there() -> bool:
            return len(set(received.data)) == 100

        await eventually(all_there, "all of them")


async def test_what_was_not_acknowledged_comes_again(bus: Bus, pulling: Pulling) -> None:
    await send(bus, 0, 3)
    deliveries: list[tuple[bytes, int]] = []
    again = asyncio.Event()

    async def take(message: Msg) -> None:
        deliveries.append((message.data, message.metadata.num_delivered))
        if message.data != b"1" or message.metadata.num_delivered > 1:
            await message.ack()
        if message.data == b"1" and message.metadata.num_delivered > 1:
            again.set()

    async with pulling(bus, take, ack_wait=0.5), asyncio.timeout(PATIENCE):
        await again.wait()
    assert [data for data, times in deliveries if times == 1] == [b"0", b"1", b"2"]
    assert (b"1", 2) in deliveries


@pytest.mark.parametrize("pull_class", [StandingPull], indirect=True)
async def test_a_callback_that_raises_stops_nothing(bus: Bus, pulling: Pulling) -> None:
    received = Received()

    async def take(message: Msg) -> None:
        if int(message.data) % 2:
            raise ValueError("a bug in a handler")
        await received.take(message)

    await send(bus, 0, 80)
    async with pulling(bus, take, batch=4):
        await received.count(40)
    assert received.data == [b"%d" % i for i in range(0, 80, 2)]


async def test_requests_do_not_pile_up(bus: Bus, monkeypatch: pytest.MonkeyPatch, pulling: Pulling) -> None:
    """Each time of work followed by a time of rest leaves one request or two waiting at the server, not twice as many.

    At 512 the server refuses, and a client that asks again at once would ask for ever.
    """
    monkeypatch.setattr(consumer_module, "EXPIRES", 0.15)
    received = Received()
    async with pulling(bus, received.take, batch=8) as pull:
        for turn in range(4):
            await send(bus, turn * 21, 21)
            await received.count((turn + 1) * 21)
            await asyncio.sleep(0.35)  # every request expires at least once
            assert await waiting_requests(bus) <= 2
            assert pull._left <= 8

            async def asks(pull: StandingPull = pull) -> bool:
                return pull._left > 0

            await eventually(asks, "it asks for more")


async def make_streams(bus: Bus) -> None:
    async with asyncio.timeout(PATIENCE):
        while True:
            try:
                return await bus.ensure_streams()
            except ServerError:  # 10049: the server still removes the files of the stream of that name
                await asyncio.sleep(0.05)


async def test_a_stream_that_is_not_there_yet_is_waited_for(bus: Bus, pull_class: type[Any]) -> None:
    received = Received()
    await bus.js.delete_stream(subjects.COMMANDS)
    pull = pull_class(bus, subjects.COMMANDS, durable(), received.take, 4)
    starting = asyncio.create_task(pull.start())
    await make_streams(bus)
    await send(bus, 0, 5)
    await received.count(5)
    await starting
    await pull.stop()


async def test_a_stream_that_is_deleted_and_made_again(bus: Bus, pulling: Pulling) -> None:
    """The consumer goes with the stream; nobody reconnects."""
    received = Received()
    async with pulling(bus, received.take):
        await send(bus, 0, 5)
        await received.count(5)
        await bus.js.delete_stream(subjects.COMMANDS)
        await make_streams(bus)
        await send(bus, 5, 5)
        await received.count(10)


async def test_a_pull_that_has_stopped_takes_nothing(bus: Bus, pulling: Pulling) -> None:
    received, successor = Received(), Received()
    async with pulling(bus, received.take):
        await send(bus, 0, 3)
        await received.count(3)
    await send(bus, 3, 3)
    async with pulling(bus, successor.take):
        await successor.count(3)
    assert received.data == [b"0", b"1", b"2"]
    assert successor.data == [b"3", b"4", b"5"]


async def test_who_is_refused_for_want_of_room_asks_again_and_makes_nothing_anew(
    own_nats: Server, bus: Bus, monkeypatch: pytest.MonkeyPatch, pulling: Pulling
) -> None:
    """Of a thousand executors' requests a server keeps 512 waiting. The others must not keep it from its work."""
    monkeypatch.setattr(consumer_module, "CROWDED_SECONDS", 0.02)
    crowded = await Bus.connect(own_nats.url, "crowded")
    looked: list[str] = []
    asked = 0

    def counted(name: str) -> Callable[..., Awaitable[Any]]:
        work = getattr(crowded.js, name)

        async def call(*args: Any, **more: Any) -> Any:
            looked.append(name)
            return await work(*args, **more)

        return call

    for name in ("add_consumer", "consumer_info"):
        monkeypatch.setattr(crowded.js, name, counted(name))

    async def count_asked(_: Msg) -> None:
        nonlocal asked
        asked += 1

    busy, done = asyncio.Event(), asyncio.Event()

    async def work(message: Msg) -> None:
        busy.set()
        await done.wait()
        await message.ack()

    received = Received()
    async with pulling_with(StandingPull, bus, work, batch=1, max_waiting=1):
        await bus.nc.subscribe("$JS.API.CONSUMER.MSG.NEXT.>", cb=count_asked)
        await bus.nc.flush()
        async with pulling(crowded, received.take, batch=1, max_waiting=1):

            async def refused() -> bool:
                return asked >= 5

            await eventually(refused, "it asks again")
            assert looked == ["add_consumer"], "at its start"
            await send(bus, 0, 1)
            await busy.wait()
            await send(bus, 1, 2)  # now there is room
            await received.count(2)
            assert received.data == [b"1", b"2"]
            done.set()
    await crowded.close()


async def test_who_only_lost_its_connection_leaves_a_consumer_as_a_newer_version_made_it(
    own_nats: Server, bus: Bus, pull_class: type[Any]
) -> None:
    """Else the newer one would never hear again of what only it follows: what was passed over does not come back."""
    newer = await Bus.connect(own_nats.url, "newer")
    received, known = Received(), Received()
    old = pull_class(bus, subjects.COMMANDS, durable(), known.take, 4)
    await old.start()
    config = durable(filter_subject=None, filter_subjects=["cmd.cache.>", "cmd.auth.>"])
    new = pull_class(newer, subjects.COMMANDS, config, received.take, 4)
    await new.start()
    await bus._reconnected()
    info = await bus.js.consumer_info(subjects.COMMANDS, "test")
    assert info.config.filter_subjects == ["cmd.cache.>", "cmd.auth.>"]
    await old.stop()
    await bus.js.publish(subjects.command("auth", "RevokeToken", "x"), b"new")
    await received.count(1)
    await new.stop()
    await newer.close()


async def test_two_who_renew_at_once_ask_for_one_batch(
    bus: Bus, pulling: Pulling, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A reconnection renews, and whoever misses heartbeats does too."""
    received = Received()
    letting_go, go = asyncio.Event(), asyncio.Event()
    async with pulling(bus, received.take, batch=8) as pull:
        await pull._renew()
        oldest = pull._subscriptions[0]
        unsubscribe = oldest.unsubscribe

        async def wait() -> None:
            letting_go.set()
            await go.wait()
            await unsubscribe()

        monkeypatch.setattr(oldest, "unsubscribe", wait)
        first = asyncio.create_task(pull._renew())
        await letting_go.wait()
        await pull._renew()
        go.set()
        await first
        assert pull._left == 8
        await send(bus, 0, 5)
        await received.count(5)
        assert 0 < pull._left <= 8
