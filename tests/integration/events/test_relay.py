"""The relay: one order of all events, gapless and chained, position = sequence of the EVENTS stream."""

from __future__ import annotations

import asyncio

import asyncpg
import pytest

from artdag_common.eventstore.chain import verify_chain
from artdag_common.eventstore.postgres import PostgresEventStore
from artdag_common.messaging import relay as relay_module
from artdag_common.messaging import subjects
from artdag_common.messaging.bus import STREAMS, Bus
from artdag_common.messaging.relay import Relay
from artdag_common.tasks import end
from tests.integration.events.appends import (
    PATIENCE,
    an_append,
    assert_orderly,
    eventually,
    log_of,
    published,
    relaying,
    sequenced,
    write,
)
from tests.integration.events.servers import Server


async def test_position_is_sequence_and_streams_keep_their_order(
    database: str, pool: asyncpg.Pool, store: PostgresEventStore, bus: Bus
) -> None:
    async with relaying(database, bus):
        await asyncio.gather(*(write(store, f"run-{i}", 20) for i in range(8)))
        messages = await published(bus, 160)
    log = await log_of(pool)
    assert_orderly(log, {f"run-{i}": 20 for i in range(8)})
    assert [m[:3] for m in messages] == log
    assert all(data == f"{stream}@{version}".encode() for _, stream, version, data in messages)
    assert await pool.fetchval("SELECT count(*) FROM es_outbox") == 0


async def test_what_was_stored_before_the_relay_began_is_published_in_chunks(
    database: str, pool: asyncpg.Pool, store: PostgresEventStore, bus: Bus, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(relay_module, "CHUNK", 30)
    monkeypatch.setattr(relay_module, "BATCH", 25)
    await asyncio.gather(*(write(store, f"run-{i}", 13) for i in range(8)))
    async with relaying(database, bus):
        messages = await published(bus, 104)
    assert [m[:3] for m in messages] == await log_of(pool)
    assert_orderly([m[:3] for m in messages], {f"run-{i}": 13 for i in range(8)})


async def test_a_batch_stays_below_its_size(
    database: str, store: PostgresEventStore, bus: Bus, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Even an event larger than the limit goes, alone."""
    monkeypatch.setattr(relay_module, "BATCH_BYTES", 1100)
    await write(store, "run-a", 7)
    async with relaying(database, bus):
        assert [m[2] for m in await published(bus, 7)] == list(range(1, 8))
        monkeypatch.setattr(relay_module, "BATCH_BYTES", 10)
        await write(store, "run-a", 2, start=7)
        assert [m[2] for m in await published(bus, 9)] == list(range(1, 10))


async def test_events_carry_their_attributes(
    database: str, pool: asyncpg.Pool, store: PostgresEventStore, bus: Bus
) -> None:
    async with relaying(database, bus):
        await write(store, "run-a", 1)
        await published(bus, 1)
    message = await bus.js.get_msg(subjects.EVENTS, 1)
    (event,) = await store.load("run-a")
    head = await pool.fetchval("SELECT hash FROM es_log WHERE position = 1")
    assert message.subject == "evt.run.a.RunReleased"
    headers = message.headers or {}
    assert headers["ce-id"] == str(event.event_id)
    assert headers["ce-type"] == "artdag.v1.RunReleased"
    assert headers["ce-subject"] == "run-a"
    assert headers["ce-time"] == event.recorded_at.isoformat()
    assert headers["Es-Version"] == "1"
    assert headers["Es-Hash"] == head.hex()


@pytest.mark.parametrize(
    ("damage", "broken_at"),
    [
        ("UPDATE es_events SET data = 'x' WHERE version = 3", 3),
        ("UPDATE es_events SET type = 'RunDeleted' WHERE version = 4", 4),
        ("UPDATE es_events SET event_id = gen_random_uuid() WHERE version = 1", 1),
        ("UPDATE es_log SET hash = sha256(hash) WHERE position = 5", 5),
        ("DELETE FROM es_events WHERE version = 2", 2),
        ("DELETE FROM es_log WHERE position = 4", 4),
        ("UPDATE es_log SET stream = 'run-b' WHERE position = 5", 5),
    ],
)
async def test_the_chain_shows_what_was_tampered_with(
    database: str, pool: asyncpg.Pool, store: PostgresEventStore, bus: Bus, damage: str, broken_at: int
) -> None:
    await write(store, "run-a", 5)
    async with relaying(database, bus):
        await sequenced(pool, 5)
    intact = await verify_chain(pool)
    assert intact.intact
    assert (intact.length, intact.head) == (5, await pool.fetchval("SELECT hash FROM es_log WHERE position = 5"))
    await pool.execute(damage)
    found = await verify_chain(pool)
    assert (found.length, found.broken_at) == (broken_at - 1, broken_at)
    assert found.reason
    assert (await verify_chain(pool, upto=broken_at - 1)).intact


async def test_an_older_transaction_that_is_still_open_holds_back_the_younger(
    database: str, pool: asyncpg.Pool, store: PostgresEventStore, bus: Bus
) -> None:
    """Else its events would come behind others that were positioned already, or be passed over for ever."""
    slow = await asyncpg.connect(database)
    transaction = slow.transaction()
    await transaction.start()
    await slow.execute("SELECT pg_current_xact_id()")  # the transaction gets its id before all others
    async with relaying(database, bus):
        await write(store, "run-young", 5)
        await _several_turns(database)
        assert await log_of(pool) == []
        await slow.execute(
            "INSERT INTO es_events (stream, version, event_id, type, data) "
            "VALUES ('run-old', 1, gen_random_uuid(), 'RunReleased', '')"
        )
        await slow.execute("INSERT INTO es_outbox (stream, version) VALUES ('run-old', 1)")
        await transaction.commit()
        messages = await published(bus, 6)
    assert [(stream, version) for _, stream, version, _ in messages] == [
        ("run-old", 1),
        *(("run-young", v) for v in range(1, 6)),
    ]
    await slow.close()


async def _several_turns(database: str) -> None:
    """Let a sequencer of our own look at the outbox, as often as the relay would, with nothing to find."""
    connection = await asyncpg.connect(database)
    for _ in range(20):
        assert await connection.fetch(relay_module.SEQUENCE, 100) == []
        await asyncio.sleep(relay_module.POLL / 10)
    await connection.close()


async def test_two_relays_never_double(
    database: str, pool: asyncpg.Pool, store: PostgresEventStore, bus: Bus, own_nats: Server
) -> None:
    """One leads; when its connection to Postgres is cut, the other may, and the first finds out by being refused."""
    second = await Bus.connect(own_nats.url, "second")
    async with relaying(database, bus), relaying(database, second):
        for turn in range(4):
            await asyncio.gather(*(write(store, f"run-{i}", 10, start=turn * 10) for i in range(5)))
            await pool.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_locks WHERE locktype = 'advisory' AND objid = $1",
                relay_module.LEADER_LOCK,
            )
        messages = await published(bus, 200)
    assert_orderly([m[:3] for m in messages], {f"run-{i}": 40 for i in range(5)})
    assert (await verify_chain(pool)).length == 200
    await second.close()


async def test_one_that_lost_the_lead_without_knowing_is_refused(
    database: str, pool: asyncpg.Pool, store: PostgresEventStore, bus: Bus, own_nats: Server
) -> None:
    """A paused leader wakes up and publishes what its successor has published: the stream takes it once."""
    connection = await asyncpg.connect(database)
    await write(store, "run-a", 6)
    zombie, successor = Relay(database, bus), Relay(database, await Bus.connect(own_nats.url, "successor"))
    count = 0
    async with asyncio.timeout(PATIENCE):
        while count < 6:  # a transaction of autovacuum's may hold some back
            count += await zombie.sequence(connection)
    zombie._published = await zombie._last_sequence(connection)
    assert await successor.publish(connection) == 6
    assert await zombie.publish(connection) == 0
    assert zombie._published is None, "it has to read the stream again"
    assert await zombie.publish(connection) == 0
    assert (await bus.js.stream_info(subjects.EVENTS)).state.messages == 6
    await successor._bus.close()
    await connection.close()


async def test_a_leader_of_whom_nothing_is_heard_is_replaced(
    database: str, store: PostgresEventStore, bus: Bus, own_nats: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its process is paused, or its machine is gone: nobody closes its connection to Postgres, and with it the lead."""
    monkeypatch.setitem(relay_module.SETTINGS, "idle_session_timeout", "1s")
    paused, publish = asyncio.Event(), Relay.publish

    async def hang(self: Relay, connection: asyncpg.Connection) -> int:
        if self is not first:
            return await publish(self, connection)
        paused.set()
        await asyncio.Event().wait()
        raise AssertionError

    monkeypatch.setattr(Relay, "publish", hang)
    first, second = Relay(database, bus), await Bus.connect(own_nats.url, "second")
    await first.start()
    await paused.wait()
    async with relaying(database, second):
        await write(store, "run-a", 3)
        assert len(await published(bus, 3)) == 3
    await first.stop()
    await second.close()


async def test_postgres_looks_whether_a_silent_relay_is_still_there(database: str) -> None:
    connection = await asyncpg.connect(database)
    await connection.execute(relay_module.SET, list(relay_module.SETTINGS), list(relay_module.SETTINGS.values()))
    assert {name: await connection.fetchval(f"SHOW {name}") for name in relay_module.SETTINGS} == relay_module.SETTINGS
    await connection.close()


async def test_a_stream_that_was_lost_is_told_of_whoever_made_it_again(
    database: str, pool: asyncpg.Pool, bus: Bus, own_nats: Server
) -> None:
    """All relays look after the streams; only one leads."""
    second = await Bus.connect(own_nats.url, "second")
    async with relaying(database, bus) as leader:

        async def leads() -> bool:
            return leader.leading

        await eventually(leads, "the first one leads")
        (keeping,) = [task for task in asyncio.all_tasks() if task.get_name() == "keep streams"]
        await end(keeping)
        async with relaying(database, second):
            await bus.js.delete_stream(subjects.WORK)

            async def noted() -> bool:
                query = "SELECT detail FROM planner_repairs WHERE what = 'stream-made-again'"
                return [row["detail"] for row in await pool.fetch(query)] == [subjects.WORK]

            await eventually(noted, "who follows has told of it")
    await second.close()


async def test_a_relay_that_died_between_sequencing_and_publishing(
    database: str, pool: asyncpg.Pool, store: PostgresEventStore, bus: Bus
) -> None:
    connection = await asyncpg.connect(database)
    await write(store, "run-a", 6)
    await Relay(database, bus).sequence(connection)
    await connection.close()
    async with relaying(database, bus):
        await write(store, "run-a", 2, start=6)
        messages = await published(bus, 8)
    assert_orderly([m[:3] for m in messages], {"run-a": 8})


async def test_a_relay_that_died_in_the_middle_of_a_batch(database: str, store: PostgresEventStore, bus: Bus) -> None:
    """What it had sent of an atomic batch without the commit never becomes part of the stream."""
    config = next(c for c in STREAMS if c.name == subjects.EVENTS)
    await bus.js.add_stream(config)
    for place in (1, 2):
        headers = {"Nats-Batch-Id": "unfinished", "Nats-Batch-Sequence": str(place)}
        if place == 1:
            headers["Nats-Expected-Last-Sequence"] = "0"
        await bus.nc.publish("evt.run.a.RunReleased", b"of the dead", headers=headers)
    await bus.nc.flush()
    await write(store, "run-a", 3)
    async with relaying(database, bus):
        messages = await published(bus, 3)
    assert [m[3] for m in messages] == [b"run-a@1", b"run-a@2", b"run-a@3"]


async def test_a_lost_stream_is_rebuilt_with_the_same_sequences(
    database: str, store: PostgresEventStore, bus: Bus
) -> None:
    """Nothing new has to happen for it."""
    async with relaying(database, bus):
        await asyncio.gather(*(write(store, f"run-{i}", 15) for i in range(4)))
        before = await published(bus, 60)
        await bus.js.delete_stream(subjects.EVENTS)
        assert await published(bus, 60) == before
        await write(store, "run-0", 1, start=15)
        assert (await published(bus, 61))[-1][:3] == (61, "run-0", 16)


async def test_the_relay_is_woken_and_does_not_wait_for_its_poll(
    database: str, pool: asyncpg.Pool, own_nats: Server, bus: Bus, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(relay_module, "POLL", 3600.0)
    store = PostgresEventStore(pool, bus.committed)

    async def again() -> None:
        """Another session's transaction, as autovacuum's, may hold an event back when the relay is woken for it."""
        while True:
            await asyncio.sleep(2)
            await bus.committed([])

    waking = asyncio.create_task(again())
    async with relaying(database, bus):
        for version in range(5):
            await store.append(an_append("run-a", version, f"c{version}"))
            await published(bus, version + 1)
    await end(waking)
    await store.close()


async def test_a_relay_whose_database_cannot_be_reached_goes_on_trying(
    database: str, pool: asyncpg.Pool, store: PostgresEventStore, bus: Bus
) -> None:
    name = database.rpartition("/")[2]
    admin = await asyncpg.connect(database.replace(name, "postgres"))
    await write(store, "run-a", 1)
    await admin.execute(f"ALTER DATABASE {name} ALLOW_CONNECTIONS false")
    async with relaying(database, bus) as relay:
        async with asyncio.timeout(PATIENCE):
            with pytest.raises(asyncpg.PostgresError):
                await asyncpg.connect(database)
        await asyncio.sleep(0)
        await admin.execute(f"ALTER DATABASE {name} ALLOW_CONNECTIONS true")
        assert len(await published(bus, 1)) == 1
        assert relay.turning
    await admin.close()


async def test_a_relay_goes_on_whatever_breaks(
    database: str, store: PostgresEventStore, bus: Bus, monkeypatch: pytest.MonkeyPatch
) -> None:
    """asyncpg raises errors of no common kind where a statement meets a connection that is going down."""
    breaking = [asyncpg.InternalClientError("cannot switch to state 15"), RuntimeError("nobody thought of it")]
    sequence = Relay.sequence

    async def breaks(self: Relay, connection: asyncpg.Connection) -> int:
        if breaking:
            raise breaking.pop()
        return await sequence(self, connection)

    monkeypatch.setattr(Relay, "sequence", breaks)
    async with relaying(database, bus):
        await write(store, "run-a", 3)
        assert len(await published(bus, 3)) == 3
    assert not breaking


async def test_positions_show_in_what_is_loaded(
    database: str, pool: asyncpg.Pool, store: PostgresEventStore, bus: Bus
) -> None:
    await write(store, "run-a", 3)
    assert [e.position for e in await store.load("run-a")] == [0, 0, 0]
    async with relaying(database, bus):
        await sequenced(pool, 3)
    await write(store, "run-b", 2)
    async with relaying(database, bus):
        await sequenced(pool, 5)
    assert [e.position for e in await store.load("run-a")] == [1, 2, 3]
    assert [e.version for e in await store.load("run-a", upto=2)] == [1, 2]
    assert [(e.position, e.stream) async for e in store.since(["run-a", "run-b"], 2)] == [
        (3, "run-a"),
        (4, "run-b"),
        (5, "run-b"),
    ]

    async def nothing() -> bool:
        return not [e async for e in store.since(["run-a"], 3)]

    await eventually(nothing, "nothing after the last")
