"""The event store: all or nothing, under the expected version, once; whatever happens to the answer."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace

import asyncpg
import pytest

from artdag_common.errors import ServiceUnavailableError
from artdag_common.eventstore import postgres
from artdag_common.eventstore.port import Append, AppendResult, Call
from artdag_common.eventstore.postgres import PostgresEventStore
from tests.integration.events.appends import PATIENCE, an_append, eventually, write

GATE = 74
"""Advisory lock at which the appends of a test wait inside Postgres."""


def waits_for(cache_id: str | None) -> Call:
    """Return the planner's note that run ``run`` waits for a step; of None it cannot be made."""
    arguments = (("run", "text"), (False, "boolean"), ([cache_id], "text[]"), ([], "text[]"), (False, "boolean"))
    return Call("planner_index", arguments)


AT_GATE = "SELECT pid FROM pg_locks WHERE locktype = 'advisory' AND objid = $1 AND NOT granted"


@asynccontextmanager
async def gate(pool: asyncpg.Pool, table: str = "es_events") -> AsyncIterator[None]:
    """Make every insert into a table wait, after it took place, until the block is left."""
    await pool.execute(
        f"""CREATE FUNCTION wait_at_gate() RETURNS trigger LANGUAGE plpgsql AS
        $$ BEGIN PERFORM pg_advisory_xact_lock_shared({GATE}); RETURN NULL; END $$;
        CREATE TRIGGER gate AFTER INSERT ON {table} FOR EACH ROW EXECUTE FUNCTION wait_at_gate()"""
    )
    keeper = await pool.acquire()
    await keeper.execute("SELECT pg_advisory_lock($1)", GATE)
    try:
        yield
    finally:
        await keeper.execute("SELECT pg_advisory_unlock($1)", GATE)
        await pool.release(keeper)


async def at_gate(pool: asyncpg.Pool, count: int = 1) -> list[int]:
    """Wait until ``count`` backends stand at the gate; return their process ids."""

    async def pids() -> list[int] | None:
        rows = await pool.fetch(AT_GATE, GATE)
        return [row["pid"] for row in rows] if len(rows) >= count else None

    found: list[int] = await eventually(pids, f"{count} backends at the gate")
    return found


async def test_events_come_back_as_they_were_stored(store: PostgresEventStore) -> None:
    append = an_append("run-a", 0, "c", count=3)
    assert await store.append(append) == "appended"
    history = await store.load("run-a")
    assert [(e.version, e.event_id, e.type, e.data) for e in history] == [
        (i, e.event_id, e.type, e.data) for i, e in enumerate(append.events, 1)
    ]


@pytest.mark.parametrize("expected", [0, 1, 3])
async def test_another_version_than_expected_is_a_conflict(store: PostgresEventStore, expected: int) -> None:
    await write(store, "run-a", 2)
    assert await store.append(an_append("run-a", expected, "late")) == "conflict"
    assert len(await store.load("run-a")) == 2


async def test_of_concurrent_writers_one_wins_each_version(database: str) -> None:
    """Eight processes' worth of writers, each deciding on what it last saw: no gap, no double, one winner a version."""
    pools = [await postgres.connect(database, 2) for _ in range(4)]
    stores = [PostgresEventStore(p) for p in pools for _ in range(2)]
    wins: Counter[str] = Counter()

    async def writer(name: int, store: PostgresEventStore) -> None:
        for turn in range(12):
            version = len(await store.load("run-a"))
            wins[await store.append(an_append("run-a", version, f"{name}.{turn}"))] += 1

    async with asyncio.timeout(PATIENCE):
        await asyncio.gather(*(writer(i, s) for i, s in enumerate(stores)))
    history = await stores[0].load("run-a")
    assert [e.version for e in history] == list(range(1, wins["appended"] + 1))
    assert wins["appended"] + wins["conflict"] == 96
    assert wins["conflict"] > 0, "the writers did not meet"
    for store, pool in zip(stores[::2], pools, strict=True):
        await store.close()
        await pool.close()


async def test_two_at_the_same_version_at_the_same_moment(pool: asyncpg.Pool) -> None:
    """Both have read the head before either has written: the loser learns of it, and nothing of it stays."""
    first, second = PostgresEventStore(pool), PostgresEventStore(pool)
    async with gate(pool):
        a = asyncio.create_task(first.append(an_append("run-a", 0, "a", count=2)))
        await at_gate(pool)
        b = asyncio.create_task(second.append(an_append("run-a", 0, "b", count=2, consumer="c", msg_id="b")))

        async def blocked() -> bool:
            return bool(
                await pool.fetchval("SELECT count(*) FROM pg_locks WHERE NOT granted AND locktype <> 'advisory'")
            )

        await eventually(blocked, "the second writer behind the first")
    assert (await a, await b) == ("appended", "conflict")
    assert [e.event_id for e in await first.load("run-a")] == [e.event_id for e in an_append("run-a", 0, "a", 2).events]
    assert await first.outcome("c", "b") is None
    await first.close()
    await second.close()


async def test_appends_gather_in_one_commit(pool: asyncpg.Pool) -> None:
    """While one commit is on its way the next gather: 300 appends take a handful of transactions."""
    store = PostgresEventStore(pool)
    results = await asyncio.gather(*(store.append(an_append(f"step-{i}", 0, "c", 2)) for i in range(300)))
    assert set(results) == {"appended"}
    assert await pool.fetchval("SELECT count(*) FROM es_events") == 600
    assert await pool.fetchval("SELECT count(DISTINCT tx) FROM es_outbox") < 30
    await store.close()


async def test_a_bad_append_does_not_spoil_its_neighbours(pool: asyncpg.Pool, store: PostgresEventStore) -> None:
    bad = [
        an_append("run-\0", 0, "refused by Postgres"),
        an_append("run-b", 2**70, "cannot even be sent"),
    ]
    good = [an_append(f"run-{i}", 0, "c") for i in range(5)]
    async with asyncio.timeout(PATIENCE):
        results = await asyncio.gather(*(store.append(a) for a in (*good, *bad)), return_exceptions=True)
    assert results[:5] == ["appended"] * 5
    assert all(isinstance(r, Exception) for r in results[5:])
    assert await pool.fetchval("SELECT count(*) FROM es_events") == 5


async def test_two_appends_to_one_stream_at_once_are_decided_one_after_the_other(store: PostgresEventStore) -> None:
    results = await asyncio.gather(*(store.append(an_append("run-a", 0, f"c{i}")) for i in range(3)))
    assert sorted(results) == ["appended", "conflict", "conflict"]


async def test_other_statements_commit_with_the_append_or_not_at_all(
    pool: asyncpg.Pool, store: PostgresEventStore
) -> None:
    wait, broken = waits_for("cache"), waits_for(None)
    with pytest.raises(asyncpg.NotNullViolationError):
        await store.append(an_append("run-a", 0, "c", also=broken))
    assert await store.load("run-a") == []
    assert await store.append(an_append("run-a", 0, "c", also=wait)) == "appended"
    assert await store.append(an_append("run-a", 0, "other", also=broken)) == "conflict"
    assert await pool.fetchval("SELECT count(*) FROM planner_waits") == 1


@pytest.mark.parametrize("also", [None, waits_for("cache")])
async def test_a_connection_lost_before_the_commit(pool: asyncpg.Pool, also: Call | None) -> None:
    """The backend dies with the events inserted and not committed: asked again, they are stored once."""
    store = PostgresEventStore(pool)
    append = an_append("run-a", 0, "c", count=2, also=also)
    async with gate(pool):
        task = asyncio.create_task(store.append(append))
        (pid,) = await at_gate(pool)
        await pool.execute("SELECT pg_terminate_backend($1)", pid)
        await at_gate(pool)
    assert await task == "appended"
    assert [e.event_id for e in await store.load("run-a")] == [e.event_id for e in append.events]
    assert await pool.fetchval("SELECT count(*) FROM planner_waits") == bool(also)
    await store.close()


class AnswerLost(PostgresEventStore):
    """A store whose connection breaks after the commit and before the answer, once."""

    lost = 0

    async def _attempt(self, connection: asyncpg.Connection, *rest: object) -> list[AppendResult]:
        results = await super()._attempt(connection, *rest)  # type: ignore[arg-type]
        if not self.lost:
            self.lost = 1
            raise asyncpg.ConnectionDoesNotExistError("connection was closed in the middle of operation")
        return results


@pytest.mark.parametrize("also", [None, waits_for("cache")])
async def test_an_answer_lost_after_the_commit_is_settled_by_asking_again(
    pool: asyncpg.Pool, also: Call | None
) -> None:
    told: list[Append] = []

    async def committed(appends: Sequence[Append]) -> None:
        told.extend(appends)

    store = AnswerLost(pool, committed)
    append = an_append("run-a", 0, "c", count=2, also=also)
    assert await store.append(append) == "replayed"
    assert store.lost
    assert [e.event_id for e in await store.load("run-a")] == [e.event_id for e in append.events]
    assert await pool.fetchval("SELECT count(*) FROM es_outbox") == 2
    assert await pool.fetchval("SELECT count(*) FROM planner_waits") == bool(also)
    assert told == [append], "those who wait for the events are told all the same"
    await store.close()


async def test_a_message_is_handled_once(store: PostgresEventStore) -> None:
    """Its second delivery decides anew, on what the first left behind; the inbox says that it need not have."""
    first = an_append("run-a", 0, "m", consumer="planner", msg_id="m", outcome=b"first")
    assert await store.append(first) == "appended"
    again = replace(first, expected=1, outcome=b"second")
    assert await store.append(again) == "duplicate"
    assert await store.outcome("planner", "m") == b"first"
    assert await store.outcome("cache", "m") is None, "each consumer has its own inbox"
    assert len(await store.load("run-a")) == 1


async def test_the_same_message_at_two_handlers_at_once(pool: asyncpg.Pool) -> None:
    stores = [PostgresEventStore(pool) for _ in range(4)]
    append = an_append("run-a", 0, "m", consumer="planner", msg_id="m")
    results = await asyncio.gather(*(s.append(append) for s in stores))
    assert results.count("appended") == 1
    assert set(results) <= {"appended", "duplicate", "replayed"}
    assert len(await stores[0].load("run-a")) == 1
    for each in stores:
        await each.close()


async def test_a_refused_append_leaves_no_inbox_row(store: PostgresEventStore) -> None:
    await write(store, "run-a", 1)
    assert await store.append(an_append("run-a", 0, "m", consumer="planner", msg_id="m")) == "conflict"
    assert await store.outcome("planner", "m") is None


async def test_a_message_without_events_is_noted_as_handled(store: PostgresEventStore) -> None:
    nothing = Append("recipe-a", 0, [], "m", consumer="planner", msg_id="m", outcome=b"done")
    assert await store.append(nothing) == "appended"
    assert await store.append(nothing) == "duplicate"
    assert await store.outcome("planner", "m") == b"done"


async def test_what_a_message_led_to_is_not_stored_again_at_a_later_version(store: PostgresEventStore) -> None:
    """Without an inbox the event ids tell: the same cause, decided again on a newer state, is no new fact."""
    await store.append(an_append("run-a", 0, "m"))
    assert await store.append(an_append("run-a", 1, "m")) == "duplicate"
    assert len(await store.load("run-a")) == 1


async def test_the_order_of_transactions_is_the_order_of_versions(pool: asyncpg.Pool, database: str) -> None:
    """The relay sorts by transaction; a stream's later version must never lie in an earlier one."""
    stores = [PostgresEventStore(pool) for _ in range(6)]
    streams = [f"run-{i}" for i in range(3)]

    async def writer(name: int, store: PostgresEventStore) -> None:
        for turn in range(20):
            stream = streams[(name + turn) % 3]
            version = len(await store.load(stream))
            cause = f"{name}.{turn}"
            await store.append(an_append(stream, version, cause, consumer="c", msg_id=cause))

    async with asyncio.timeout(PATIENCE):
        await asyncio.gather(*(writer(i, s) for i, s in enumerate(stores)))
    rows = await pool.fetch("SELECT stream, version FROM es_outbox ORDER BY tx, n")
    for stream in streams:
        versions = [row["version"] for row in rows if row["stream"] == stream]
        assert versions == list(range(1, len(versions) + 1))
        assert len(versions) > 6
    for each in stores:
        await each.close()


async def test_heads_are_read_before_the_first_write(pool: asyncpg.Pool) -> None:
    """Who wrote before reading the head would carry version 2 in an older transaction than version 1.

    The append of version 2 comes before version 1 exists and may be held up at its inbox row, its first write.
    """
    early, late = PostgresEventStore(pool), PostgresEventStore(pool)
    async with gate(pool, "es_inbox"):
        second = asyncio.create_task(early.append(an_append("run-a", 1, "2nd", consumer="c", msg_id="2nd")))

        async def stopped() -> bool:
            return second.done() or bool(await pool.fetchval(f"{AT_GATE} LIMIT 1", GATE))

        await eventually(stopped, "decided, or held up")
        assert await late.append(an_append("run-a", 0, "1st")) == "appended"
    assert await second == "conflict"
    await write(late, "run-a", 1, start=1)
    rows = await pool.fetch("SELECT version FROM es_outbox ORDER BY tx, n")
    assert [row["version"] for row in rows] == [1, 2]
    await early.close()
    await late.close()


async def test_other_statements_run_after_the_append_in_its_transaction(
    pool: asyncpg.Pool, store: PostgresEventStore
) -> None:
    await pool.execute(
        """CREATE FUNCTION note() RETURNS bigint LANGUAGE sql AS
        $$ INSERT INTO planner_waits SELECT 'cache', pg_current_xact_id()::text; SELECT count(*) FROM es_outbox $$"""
    )
    await store.append(an_append("run-a", 0, "c", also=Call("note")))
    assert await pool.fetchval("SELECT tx::text FROM es_outbox") == await pool.fetchval(
        "SELECT run_id FROM planner_waits"
    )


async def test_the_last_event_of_many_streams(store: PostgresEventStore) -> None:
    await write(store, "step-a", 3)
    await write(store, "step-b", 1)
    latest = await store.latest(["step-a", "step-b", "step-none"])
    assert {stream: e.version for stream, e in latest.items()} == {"step-a": 3, "step-b": 1}


async def test_a_store_that_is_closed_leaves_nobody_waiting(pool: asyncpg.Pool) -> None:
    store = PostgresEventStore(pool)
    async with gate(pool):
        tasks = [asyncio.create_task(store.append(an_append("run-a", 0, "c")))]
        await at_gate(pool)
        tasks.append(asyncio.create_task(store.append(an_append("run-b", 0, "c"))))
        await asyncio.sleep(0)
        await store.close()
        async with asyncio.timeout(PATIENCE):
            results = await asyncio.gather(*tasks, return_exceptions=True)
    assert [type(r) for r in results] == [asyncio.CancelledError] * 2


async def test_postgres_away_for_longer_than_the_patience(pool: asyncpg.Pool, monkeypatch: pytest.MonkeyPatch) -> None:
    """All who wait are told at once, not one after the other."""
    monkeypatch.setattr(postgres, "PATIENCE", 0.3)
    store = PostgresEventStore(pool)
    attempts = 0

    async def away(*_: object) -> list[AppendResult]:
        nonlocal attempts
        attempts += 1
        raise ConnectionRefusedError("nobody listens")

    monkeypatch.setattr(store, "_attempt", away)
    results = await asyncio.gather(
        *(store.append(an_append(f"run-{i}", 0, "c")) for i in range(50)), return_exceptions=True
    )
    assert all(isinstance(r, ServiceUnavailableError) for r in results)
    assert attempts < 20
    await store.close()
