"""Servers that die in the middle: nothing lost, nothing doubled, nothing in another order."""

from __future__ import annotations

import asyncio
import signal

import asyncpg
import pytest

from artdag_common.eventstore import postgres
from artdag_common.eventstore.chain import verify_chain
from artdag_common.eventstore.postgres import PostgresEventStore
from artdag_common.messaging.bus import Bus
from tests.integration.events.appends import PATIENCE, an_append, assert_orderly, log_of, published, relaying
from tests.integration.events.servers import Server

STREAMS = 6
EVENTS = 60


async def keep_writing(store: PostgresEventStore, stream: str, half_way: asyncio.Event) -> None:
    """Append one by one; only 'appended' and 'replayed' may come back, whatever happens to the servers."""
    for version in range(EVENTS):
        result = await store.append(an_append(stream, version, f"w{version}"))
        assert result in ("appended", "replayed")
        if version >= EVENTS // 4:
            half_way.set()


async def write_through(
    pool: asyncpg.Pool, bus: Bus, disturb: asyncio.Task[None] | None, half_way: asyncio.Event
) -> None:
    store = PostgresEventStore(pool, bus.committed)
    async with asyncio.timeout(PATIENCE):
        await asyncio.gather(*(keep_writing(store, f"run-{i}", half_way) for i in range(STREAMS)))
        if disturb:
            await disturb
    await store.close()


async def assert_all_there(pool: asyncpg.Pool, bus: Bus) -> None:
    total = STREAMS * EVENTS
    messages = await published(bus, total)
    expected = {f"run-{i}": EVENTS for i in range(STREAMS)}
    assert_orderly([m[:3] for m in messages], expected)
    assert [m[:3] for m in messages] == await log_of(pool)
    assert all(data == f"{stream}@{version}".encode() for _, stream, version, data in messages)
    assert (await verify_chain(pool)).length == total


async def test_nats_is_killed_while_events_are_appended(
    database: str, pool: asyncpg.Pool, own_nats: Server, bus: Bus
) -> None:
    half_way = asyncio.Event()

    async def kill() -> None:
        await half_way.wait()
        for _ in range(2):
            restarts = own_nats.child.restarts
            own_nats.kill()
            await own_nats.back(restarts + 1)

    async with relaying(database, bus):
        await write_through(pool, bus, asyncio.create_task(kill()), half_way)
        await assert_all_there(pool, bus)


async def test_nats_comes_back_with_an_empty_disk(
    database: str, pool: asyncpg.Pool, own_nats: Server, bus: Bus
) -> None:
    """The stream is a copy: it is made again from Postgres, with the same sequences."""
    async with relaying(database, bus):
        await write_through(pool, bus, None, asyncio.Event())
        before = await published(bus, STREAMS * EVENTS)
        for each in own_nats.launch.log.parents[1].glob("nats/jetstream"):
            each.rename(each.with_name("lost"))
        restarts = own_nats.child.restarts
        own_nats.kill()
        await own_nats.back(restarts + 1)
        assert await published(bus, STREAMS * EVENTS) == before


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGQUIT])
async def test_postgres_goes_down_while_events_are_appended(
    mortal_database: str, own_postgres: Server, bus: Bus, how: signal.Signals
) -> None:
    """Its fast shutdown (SIGINT) and its immediate one (SIGQUIT), after which it recovers from its log."""
    pool = await postgres.connect(mortal_database)
    half_way = asyncio.Event()
    restarts = own_postgres.child.restarts

    async def kill() -> None:
        await half_way.wait()
        own_postgres.kill(how)
        await own_postgres.back(restarts + 1)

    async with relaying(mortal_database, bus):
        await write_through(pool, bus, asyncio.create_task(kill()), half_way)
        await assert_all_there(pool, bus)
    await pool.close()
