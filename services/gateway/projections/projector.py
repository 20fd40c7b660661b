"""Follows all events and keeps the read models: rows and position commit together.

Every gateway process hears all events, as the relay publishes them, since each has live clients to tell. The rows
belong to whichever process comes first: the row of ``rm_position`` is locked, what it covers is skipped. That row, and
no consumer of the stream, remembers how far things are, so nothing is acknowledged, and where an event was not heard,
Postgres is read instead.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime
from types import ModuleType
from typing import Any, Protocol, TypeVar
from uuid import UUID

import asyncpg
import nats
import structlog
from nats.aio.msg import Msg
from nats.aio.subscription import Subscription

from artdag_common import metrics, tracing
from artdag_common.domain.run import Run
from artdag_common.errors import ArtdagError, SchemaVersionError
from artdag_common.eventstore import schema
from artdag_common.eventstore.port import Recorded
from artdag_common.eventstore.postgres import GATEWAY_SCHEMA, ITS_EVENT, LOST, OWN_SCHEMA
from artdag_common.messaging import subjects
from artdag_common.messaging.bus import Bus
from artdag_common.turning import Loop, Turns
from artdag_common.version import VERSION
from services.gateway.projections import (
    audit,
    effects,
    ends,
    objects,
    publications,
    recipes,
    runs,
    storage,
    tokens,
    webhooks,
)
from services.gateway.projections.fact import Fact, fact

NAME = "gateway"
SHAPE = 4
"""Raised when a table or its meaning changes: the read models are then made anew from the events."""

PROJECTIONS: tuple[ModuleType, ...] = (
    audit,
    runs,
    recipes,
    effects,
    objects,
    publications,
    storage,
    tokens,
    webhooks,
    ends,
)
AT_ONCE = 2000
IDLE = 0.5
RETRY = 0.2
PACE = 0.015
TELL_SECONDS = 0.1
"""Between two batches that are told of in traces."""

MOST_LINKS = 32

POSITION = """CREATE TABLE IF NOT EXISTS rm_position (
    name     text    PRIMARY KEY,
    position bigint  NOT NULL,
    shape    integer NOT NULL
)"""

DDL = "\n".join(projection.DDL for projection in PROJECTIONS)

READ = f"""SELECT e.stream, e.version, e.event_id, e.type, e.data, l.position, e.recorded_at
FROM (SELECT * FROM es_log WHERE position > $1 ORDER BY position LIMIT $2) l
{ITS_EVENT.format("l")} ORDER BY l.position"""


class Versioned(Protocol):
    """A row that knows the version of its stream."""

    version: int


T = TypeVar("T")
V = TypeVar("V", bound=Versioned)
Listener = Callable[[Sequence[Fact]], Awaitable[None]]

log = structlog.get_logger(__name__)


def tables() -> list[str]:
    """Return the names of all tables that are made from events here."""
    return [table for projection in PROJECTIONS for table in projection.TABLES]


async def prepare(pool: asyncpg.Pool) -> int:
    """Make the tables, anew where they are of an older shape, and return the position they stand at.

    Raises:
        SchemaVersionError: they are of a newer shape: a gateway of that version shows them now.
    """
    async with pool.acquire() as connection, schema.alone(connection):
        await schema.make(connection, POSITION, OWN_SCHEMA, GATEWAY_SCHEMA)
        shape = await connection.fetchval("SELECT shape FROM rm_position WHERE name = $1", NAME)
        if shape is not None and shape > SHAPE:
            raise SchemaVersionError(
                f"the read models are of shape {shape}, and this gateway, {VERSION}, keeps those of shape {SHAPE}:"
                " upgrade it. The way back to it: stop the gateways of the other version, DELETE FROM rm_position",
                database=shape,
                code=SHAPE,
            )
        if shape != SHAPE:
            gone = [OWN_SCHEMA, f"DROP TABLE IF EXISTS {', '.join(tables())}"]
            await schema.briefly(connection, [*gone, f"DELETE FROM rm_position WHERE name = '{NAME}'"], "rm_position")
        await schema.make(connection, DDL, OWN_SCHEMA, GATEWAY_SCHEMA)
        await connection.execute("INSERT INTO rm_position VALUES ($1, 0, $2) ON CONFLICT DO NOTHING", NAME, SHAPE)
        return int(await connection.fetchval("SELECT position FROM rm_position WHERE name = $1", NAME))


async def read(pool: asyncpg.Pool, after: int, limit: int = AT_ONCE) -> list[Fact]:
    """Return the next events after a position, from the event store."""
    return [fact(Recorded(*row)) for row in await pool.fetch(READ, after, limit)]


async def commit(pool: asyncpg.Pool, facts: Sequence[Fact]) -> int:
    """Apply consecutive events that are not applied yet; rows and position commit together.

    Returns:
        The position that the read models stand at. Where it is lower than the last event's, events before the first
        one are missing and nothing was applied.

    Raises:
        SchemaVersionError: the read models are another version's by now.
    """
    async with pool.acquire() as connection, connection.transaction():
        # Rows and position are lost together if Postgres dies now, and made again from the events.
        await connection.execute("SET LOCAL synchronous_commit = off")
        standing = await connection.fetchrow("SELECT position, shape FROM rm_position WHERE name = $1 FOR UPDATE", NAME)
        if standing is None or standing["shape"] != SHAPE:
            raise SchemaVersionError("a gateway of another version makes the read models now; this one has to end")
        position = int(standing["position"])
        if position >= facts[-1].position or position + 1 < facts[0].position:
            return position
        new = [each for each in facts if each.position > position]
        for projection in PROJECTIONS:
            if mine := concerning(projection, new):
                await projection.apply(connection, mine)
        position = new[-1].position
        await connection.execute("UPDATE rm_position SET position = $2 WHERE name = $1", NAME, position)
        return position


def concerning(projection: ModuleType, facts: Sequence[Fact]) -> list[Fact]:
    """Return the facts that a projection is about, and that this version can read."""
    return [each for each in facts if each.kind in projection.KINDS and each.event]


async def rebuild(pool: asyncpg.Pool) -> int:
    """Empty the read models, make them again from all events, and return the position reached."""
    async with pool.acquire() as connection, connection.transaction():
        await connection.fetchval("SELECT position FROM rm_position WHERE name = $1 FOR UPDATE", NAME)
        await connection.execute(f"TRUNCATE {', '.join(tables())}")
        await connection.execute("UPDATE rm_position SET position = 0 WHERE name = $1", NAME)
    position = 0
    while facts := await read(pool, position):
        position = await commit(pool, facts)
    return position


class Projector(Loop):
    """Keeps the read models up to date, and tells listeners what they already show."""

    def __init__(self, bus: Bus, pool: asyncpg.Pool, listeners: Sequence[Listener] = ()) -> None:
        """``listeners`` are called with each batch after its commit, in order, every event once."""
        self._bus = bus
        self._pool = pool
        self._listeners = tuple(listeners)
        self._waiting: asyncio.Queue[Msg] = asyncio.Queue()
        self._advanced = asyncio.Event()
        self._events: Subscription | None = None
        self.position = 0
        self.passed_over: Counter[str] = Counter()
        """Events that this version does not know, by type, since it began: the read models lack what they tell."""
        self.steady = False
        self._took_at = 0.0
        self._turns = Turns()
        self._projected = metrics.PROJECTED.of()
        self._seconds = metrics.PROJECTOR_SECONDS.of()
        self._delay = metrics.PROJECTOR_DELAY.of()
        metrics.PROJECTOR_RUNNING.of().set_function(lambda: float(self.running))
        metrics.PROJECTOR_WAITING.of().set_function(lambda: float(self._waiting.qsize()))
        self._told_at = 0.0

    @property
    def turning(self) -> bool:
        """False: a new start is needed."""
        return super().turning and not self._turns.stuck

    @property
    def running(self) -> bool:
        """True while events reach the read models."""
        return self.steady and super().turning

    async def start(self) -> None:
        """Make the tables and run in the background."""
        self.position = await prepare(self._pool)
        # Events are heard as the relay publishes them, and nothing is asked of the stream: what was missed is read from
        # Postgres. So a gateway needs no right on it, and a consumer of its own there could be any name's.
        self._events = await self._bus.nc.listen(subjects.EVERY_EVENT, self._waiting.put_nowait)
        self._begin_loop(self._work(), "projector")

    async def stop(self) -> None:
        """Stop; the next one goes on where this one was."""
        if self._events:
            self._bus.nc.forget(self._events)
            with contextlib.suppress(nats.errors.Error):
                await self._events.unsubscribe()
        await super().stop()

    async def until(self, check: Callable[[], Awaitable[T]], timeout: float) -> T:
        """Return the first answer of ``check`` that is true, asked now and after every batch; its last one at the end.

        Args:
            timeout: seconds.
        """
        loop = asyncio.get_running_loop()
        deadline = loop.time() + timeout
        while True:
            advanced = self._advanced
            found = await check()
            if found:
                return found
            try:
                await asyncio.wait_for(advanced.wait(), deadline - loop.time())
            except TimeoutError:
                return await check()

    async def reached(self, find: Callable[[], Awaitable[V | None]], version: int, timeout: float) -> V | None:
        """Return a row as soon as it shows a version of its stream, or a later one; None: it did not in time."""

        async def check() -> V | None:
            row = await find()
            return row if row and row.version >= version else None

        return await self.until(check, timeout)

    async def _work(self) -> None:
        while True:
            try:
                facts = await self._next()
                if facts and facts[0].position == self.position + 1:
                    await self._take(facts)
                else:  # nothing came for a while, or something before it is missing
                    await self._catch_up()
                self.steady = True
            except (ArtdagError, asyncpg.PostgresError, *LOST) as error:
                self.steady = False
                log.warning("read models wait", error=str(error) or type(error).__name__)
                await asyncio.sleep(RETRY)
            except Exception as error:  # an event that cannot be applied: readiness shows it until it is repaired
                self.steady = False
                log.error("read models stand still", after=self.position, exc_info=error)
                await asyncio.sleep(10 * RETRY)

    async def _next(self) -> list[Fact]:
        """Return the next consecutive events that were heard; none after :data:`IDLE` seconds."""
        try:
            messages = [await asyncio.wait_for(self._waiting.get(), IDLE if self.steady else 0.001)]
        except TimeoutError:
            return []
        # When events come one upon the other, let some gather: a transaction for each would be most of the work.
        await asyncio.sleep(max(0.0, self._took_at + PACE - asyncio.get_running_loop().time()))
        while not self._waiting.empty() and len(messages) < AT_ONCE:
            messages.append(self._waiting.get_nowait())
        facts: list[Fact] = []
        expected = 0
        for message in messages:
            if "Es-Position" not in (message.headers or {}):
                continue  # of a relay of an older version
            recorded = recorded_of(message)
            if recorded.position <= self.position or (expected and recorded.position < expected):
                continue
            if expected and recorded.position > expected:
                break  # what follows is read from Postgres
            expected = recorded.position + 1
            facts.append(fact(recorded))
        return facts

    async def _catch_up(self) -> None:
        while facts := await read(self._pool, self.position):
            await self._take(facts)

    async def _take(self, facts: Sequence[Fact]) -> None:
        """Apply events and tell of them, after any that the read models lack before these."""
        traces = self._traces(facts) if tracing.recording() else []
        if traces:
            with tracing.span("read models", {"events": len(facts)}, above=traces[0], links=traces[1:]):
                await self._apply(facts)
        else:
            await self._apply(facts)

    def _traces(self, facts: Sequence[Fact]) -> list[str]:
        """Return the traces of the runs that begin among these events: of a few batches, not of each."""
        now = asyncio.get_running_loop().time()
        if now < self._told_at + TELL_SECONDS:
            return []
        begun = [each.event.traceparent for each in facts if isinstance(each.event, Run.Requested)]
        traces = [each for each in dict.fromkeys(begun) if each][:MOST_LINKS]
        if traces:
            self._told_at = now
        return traces

    async def _apply(self, facts: Sequence[Fact]) -> None:
        began = time.perf_counter()
        with self._turns.turn():
            await self._commit(facts)
        self._seconds.observe(time.perf_counter() - began)
        self._projected.inc(len(facts))
        # The last one's alone: of a batch most would tell the same.
        self._delay.observe(max(0.0, time.time() - facts[-1].recorded.recorded_at.timestamp()))
        self.position = facts[-1].position
        self.passed_over.update(each.recorded.type for each in facts if each.event is None)
        for listener in self._listeners:
            await listener(facts)
        self._took_at = asyncio.get_running_loop().time()
        advanced, self._advanced = self._advanced, asyncio.Event()
        advanced.set()

    async def _commit(self, facts: Sequence[Fact]) -> None:
        while True:
            position = await commit(self._pool, facts)
            if position >= facts[-1].position:
                return
            missing = await read(self._pool, position, min(AT_ONCE, facts[0].position - position - 1))
            await commit(self._pool, missing)


def recorded_of(message: Msg) -> Recorded:
    """Return the stored event that a message of the relay's carries."""
    headers: dict[str, Any] = message.headers or {}
    return Recorded(
        stream=headers["ce-subject"],
        version=int(headers["Es-Version"]),
        event_id=UUID(headers["ce-id"]),
        type=message.subject.rpartition(".")[2],
        data=message.data,
        position=int(headers["Es-Position"]),
        recorded_at=datetime.fromisoformat(headers["ce-time"]),
    )
