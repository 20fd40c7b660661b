"""The event store on Postgres: group commit, no global lock, lost answers settled by asking again."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Sequence
from contextvars import Context
from typing import Any

import asyncpg
import orjson
import structlog

from artdag_common import metrics
from artdag_common.errors import AppendRefusedError, ServiceUnavailableError
from artdag_common.eventstore.port import Append, AppendResult, Call, Recorded
from artdag_common.eventstore.schema import settle
from artdag_common.tasks import end

LOST = (
    OSError,
    asyncpg.PostgresConnectionError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,  # asked on a connection that is just going down
    asyncpg.CannotConnectNowError,
    asyncpg.AdminShutdownError,
    asyncpg.CrashShutdownError,
    asyncpg.TooManyConnectionsError,
)
"""Errors that say nothing about whether the statement took effect."""

RACED = (asyncpg.UniqueViolationError, asyncpg.SerializationError, asyncpg.DeadlockDetectedError)
"""Errors of two writers at once: asked again, the loser sees what the winner stored."""

APPEND = "es_append($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)"
EVENT_IDS_UNIQUE = "es_events_event_id_key"
RECORDED = """SELECT e.stream, e.version, e.event_id, e.type, e.data, coalesce(l.position, 0) AS position, e.recorded_at
FROM es_events e LEFT JOIN es_log l USING (stream, version)"""
ITS_EVENT = """CROSS JOIN LATERAL (
    SELECT * FROM es_events WHERE stream = {0}.stream AND version = {0}.version OFFSET 0
) e"""
"""Joins the few rows of a limited query to their events one by one: a hash join would read every event there is, and
without statistics the planner takes it for the cheaper one."""

GATEWAY_SCHEMA = "gateway"
OWN_SCHEMA = f"""SELECT set_config('search_path', '{GATEWAY_SCHEMA}, ' || current_setting('search_path'), true)
WHERE to_regnamespace('{GATEWAY_SCHEMA}') IS NOT NULL"""
"""Makes tables in the schema of the gateway, where there is one (see roles.py), until the end of the transaction."""

REFUSALS = {"AD001": "gone", "AD002": "quota", "AD003": "changed", "AD004": "queue"}
"""Errors by which a function of the schema refuses what it was called for, and with it the whole append."""

SINCE = f"""SELECT e.stream, e.version, e.event_id, e.type, e.data, l.position, e.recorded_at
FROM (
    SELECT * FROM es_log WHERE stream = ANY ($1::text[]) AND position > $2 ORDER BY position LIMIT 1000
) l {ITS_EVENT.format("l")} ORDER BY l.position"""
BATCH = 500
PATIENCE = 30.0

log = structlog.get_logger(__name__)


async def connect(url: str, size: int = 8) -> asyncpg.Pool:
    """Open a pool, and bring the schema up to date where the tables are ours.

    Raises:
        SchemaVersionError: this version cannot work with the database.
        ServiceUnavailableError: Postgres cannot be reached.
    """
    try:
        pool = await asyncpg.create_pool(url, min_size=2, max_size=size, command_timeout=60, reset=_leave)
        try:
            async with pool.acquire() as connection:
                await settle(connection)
        except BaseException:
            pool.terminate()
            raise
    except LOST as error:
        raise ServiceUnavailableError(f"Postgres cannot be reached: {error}") from error
    metrics.POSTGRES_MOST.of().set(pool.get_max_size())
    metrics.POSTGRES_OPEN.of().set_function(pool.get_size)
    metrics.POSTGRES_BUSY.of().set_function(lambda: pool.get_size() - pool.get_idle_size())
    return pool


async def _leave(_: object) -> None:
    """Leave a connection as it is when it goes back to the pool: nothing here outlives its transaction."""


def _recorded(row: asyncpg.Record) -> Recorded:
    return Recorded(*row)


def refusal(error: asyncpg.PostgresError) -> AppendRefusedError | None:
    """Return what a function of the schema says by an error, or None where the error is another."""
    rule = REFUSALS.get(error.sqlstate or "")
    if rule is None:
        return None
    return AppendRefusedError(str(error), rule=rule, **orjson.loads(getattr(error, "detail", None) or "{}"))


def _columns(batch: Sequence[Append]) -> list[list[Any]]:
    columns: list[list[Any]] = [[] for _ in range(11)]
    streams, expected, consumers, messages, outcomes, places, versions, ids, types, datas, causes = columns
    for place, append in enumerate(batch, 1):
        streams.append(append.stream)
        expected.append(append.expected)
        consumers.append(append.consumer)
        messages.append(append.msg_id)
        outcomes.append(append.outcome)
        for offset, event in enumerate(append.events, 1):
            places.append(place)
            versions.append(append.expected + offset)
            ids.append(event.event_id)
            types.append(event.type)
            datas.append(event.data)
            causes.append(append.cause)
    return columns


def _count(batch: Sequence[Append], results: Sequence[AppendResult]) -> None:
    """Count what came of appends, and the events that are new."""
    if not metrics.counting():
        return
    for result, times in Counter(results).items():
        metrics.APPENDS.of(result).inc(times)
    new = (append.events for append, result in zip(batch, results, strict=True) if result == "appended")
    for kind, times in Counter(event.type for events in new for event in events).items():
        metrics.EVENTS.of(kind).inc(times)


def _append_and(also: Call) -> str:
    """Return the statement that appends and then, if that was done, makes the call: one round trip, one transaction."""
    arguments = ", ".join(f"${place}::{sql_type}" for place, (_, sql_type) in enumerate(also.args, 12))
    call = f"{also.function}({arguments})::text"
    # MATERIALIZED, and the call's condition: the append comes first.
    return f"""WITH done AS MATERIALIZED (SELECT {APPEND} AS results)
        SELECT results FROM done WHERE CASE WHEN results = ARRAY['appended'] THEN {call} IS NOT NULL ELSE true END"""


class PostgresEventStore:
    """Appends of one process share commits: while one is on its way to disk, the next gather."""

    def __init__(self, pool: asyncpg.Pool, committed: Callable[[Sequence[Append]], Any] | None = None) -> None:
        """``committed`` is called with the appends of each commit, right after it."""
        self._pool = pool
        self._committed = committed
        self._waiting: list[tuple[Append, asyncio.Future[AppendResult]]] = []
        self._wake = asyncio.Event()
        self._writer: asyncio.Task[None] | None = None
        self._going: list[tuple[Append, asyncio.Future[AppendResult]]] = []
        self._commit_seconds = metrics.COMMIT_SECONDS.of()
        for why in ("lost", "raced"):
            metrics.COMMIT_RETRIES.of(why)

    async def append(self, append: Append) -> AppendResult:
        """See :class:`EventStore`."""
        if append.also:
            (result,) = await self._commit([append])
            return result
        return await self._enqueue(append)

    async def append_all(self, appends: Sequence[Append]) -> list[AppendResult]:
        """See :class:`EventStore`."""
        return list(await asyncio.gather(*(self._enqueue(append) for append in appends)))

    def _enqueue(self, append: Append) -> asyncio.Future[AppendResult]:
        assert not append.also
        if self._writer is None or self._writer.done():
            # Of all who append, and so in nobody's trace, though somebody's append begins it.
            self._writer = asyncio.create_task(self._write(), name="group commit", context=Context())
        future: asyncio.Future[AppendResult] = asyncio.get_running_loop().create_future()
        self._waiting.append((append, future))
        self._wake.set()
        return future

    async def close(self) -> None:
        """Stop the writer. Appends still waiting are dropped with an error."""
        await end(self._writer)
        for _, future in (*self._going, *self._waiting):
            future.cancel()

    async def _write(self) -> None:
        while True:
            await self._wake.wait()
            self._wake.clear()
            while self._waiting:
                batch: list[tuple[Append, asyncio.Future[AppendResult]]] = []
                later: list[tuple[Append, asyncio.Future[AppendResult]]] = []
                streams: set[str] = set()
                for item in self._waiting:
                    if len(batch) < BATCH and item[0].stream not in streams:
                        streams.add(item[0].stream)
                        batch.append(item)
                    else:
                        later.append(item)
                self._waiting, self._going = later, batch
                await self._settle(batch)
                self._going = []

    async def _settle(self, batch: list[tuple[Append, asyncio.Future[AppendResult]]]) -> None:
        try:
            results = await self._commit([append for append, _ in batch])
        except Exception as error:
            if len(batch) > 1 and not isinstance(error, ServiceUnavailableError):
                for item in batch:  # one bad append must not spoil its neighbours
                    await self._settle([item])
                return
            for _, future in batch:
                if not future.done():
                    future.set_exception(error)
            return
        for (_, future), result in zip(batch, results, strict=True):
            if not future.done():
                future.set_result(result)

    async def _commit(self, batch: Sequence[Append]) -> list[AppendResult]:
        """Run one append statement until its outcome is known."""
        columns = _columns(batch)
        deadline = asyncio.get_running_loop().time() + PATIENCE
        races = 0
        results: list[AppendResult]
        while True:
            try:
                async with self._pool.acquire() as connection:
                    began = time.perf_counter()
                    results = await self._attempt(connection, batch, columns)
                    self._commit_seconds.observe(time.perf_counter() - began)
                break
            except RACED as error:
                races += 1
                metrics.COMMIT_RETRIES.of("raced").inc()
                if len(batch) == 1 and races > 1 and getattr(error, "constraint_name", "") == EVENT_IDS_UNIQUE:
                    # Not a race: events with these ids are stored at other versions, so the message was handled.
                    results = ["duplicate"]
                    break
                if len(batch) > 1 or races > 5:
                    raise
            except LOST as error:
                if asyncio.get_running_loop().time() > deadline:
                    raise ServiceUnavailableError(f"Postgres does not answer: {error}") from error
                metrics.COMMIT_RETRIES.of("lost").inc()
                log.warning("append is asked again", error=str(error))
                await asyncio.sleep(0.1)
            except asyncpg.PostgresError as error:
                raise refusal(error) or error from None
        _count(batch, results)
        done = [a for a, result in zip(batch, results, strict=True) if result in ("appended", "replayed") and a.events]
        if done and self._committed is not None:
            await self._committed(done)
        return results

    async def _attempt(self, connection: Any, batch: Sequence[Append], columns: list[list[Any]]) -> list[AppendResult]:
        also = batch[0].also
        if also is None:
            results: list[AppendResult] = await connection.fetchval(f"SELECT {APPEND}", *columns)
        else:
            results = await connection.fetchval(_append_and(also), *columns, *(value for value, _ in also.args))
        return results

    async def _fetch(self, sql: str, *arguments: Any) -> list[asyncpg.Record]:
        """Run what may run twice; a lost connection is tried again."""
        deadline = asyncio.get_running_loop().time() + PATIENCE
        while True:
            try:
                rows: list[asyncpg.Record] = await self._pool.fetch(sql, *arguments)
                return rows
            except LOST as error:
                if asyncio.get_running_loop().time() > deadline:
                    raise ServiceUnavailableError(f"Postgres does not answer: {error}") from error
                await asyncio.sleep(0.1)

    async def load(self, stream: str, upto: int | None = None) -> list[Recorded]:
        """See :class:`EventStore`."""
        sql = f"{RECORDED} WHERE e.stream = $1"
        if upto is None:
            rows = await self._fetch(f"{sql} ORDER BY e.version", stream)
        else:
            rows = await self._fetch(f"{sql} AND l.position <= $2 ORDER BY e.version", stream, upto)
        return [_recorded(row) for row in rows]

    async def latest(self, streams: Sequence[str]) -> dict[str, Recorded]:
        """See :class:`EventStore`."""
        rows = await self._fetch(
            """SELECT e.stream, e.version, e.event_id, e.type, e.data, 0::bigint, e.recorded_at
            FROM unnest($1::text[]) AS s (stream) CROSS JOIN LATERAL
              (SELECT * FROM es_events e WHERE e.stream = s.stream ORDER BY e.version DESC LIMIT 1) e""",
            list(streams),
        )
        return {row[0]: _recorded(row) for row in rows}

    async def since(self, streams: Sequence[str], position: int) -> AsyncIterator[Recorded]:
        """See :class:`EventStore`."""
        while True:
            rows = await self._fetch(
                SINCE,
                list(streams),
                position,
            )
            for row in rows:
                yield _recorded(row)
            if len(rows) < 1000:
                return
            position = rows[-1]["position"]

    async def keep_outcome(self, consumer: str, msg_id: str, outcome: bytes) -> None:
        """See :class:`EventStore`."""
        await self._fetch("SELECT es_keep_outcome($1, $2, $3)", consumer, msg_id, outcome)

    async def outcome(self, consumer: str, msg_id: str) -> bytes | None:
        """See :class:`EventStore`."""
        rows = await self._fetch("SELECT outcome FROM es_inbox WHERE consumer = $1 AND msg_id = $2", consumer, msg_id)
        return bytes(rows[0]["outcome"]) if rows else None
