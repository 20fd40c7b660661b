"""The relay: gives every committed event its position, chains it, and publishes it to JetStream, position = sequence.

It runs in every process of the auth service, under accounts of its own, and makes the streams. An advisory lock held by
the connection that sequences makes one the leader, and the expected last sequence of each published batch fences
whoever does not know yet that it lost the lead.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID, uuid4

import asyncpg
import nats
import orjson
import structlog
from nats.js.errors import APIError, NotFoundError

from artdag_common import metrics
from artdag_common.errors import ConfigurationError
from artdag_common.eventstore.chain import GENESIS, link
from artdag_common.eventstore.postgres import ITS_EVENT, LOST
from artdag_common.messaging import subjects
from artdag_common.messaging.bus import STREAMS, Bus
from artdag_common.messaging.client import header_lines, message
from artdag_common.turning import Loop, Turns

LEADER_LOCK = 74_120_001
POLL = 0.05
PACE = 0.01
STANDBY = 0.5
CHUNK = 500
BATCH = 500
BATCH_BYTES = 4_000_000
HEADER_BYTES = 500
RECHECK = 2.0

LEAD_SECONDS = 20
"""After how long without a word from the leader Postgres closes its connection, and another may lead. Of a machine that
is gone nobody closes it otherwise for two hours, and a process that is paused keeps it for as long."""

SETTINGS = {
    "idle_session_timeout": f"{LEAD_SECONDS}s",
    "idle_in_transaction_session_timeout": f"{LEAD_SECONDS}s",
    "tcp_user_timeout": f"{LEAD_SECONDS * 1000}",
    "tcp_keepalives_idle": "5",
    "tcp_keepalives_interval": "5",
    "tcp_keepalives_count": "3",
}

SET = """SELECT set_config(name, value, false)
FROM unnest($1::text[], $2::text[]) AS wanted (name, value) JOIN pg_settings USING (name)"""
"""Sets what this version of Postgres knows."""

SEQUENCE = f"""SELECT o.tx::text, o.n, o.stream, o.version, e.event_id, e.type, e.data, e.recorded_at
FROM (
    SELECT tx, n, stream, version FROM es_outbox
    WHERE tx < pg_snapshot_xmin(pg_current_snapshot()) ORDER BY tx, n LIMIT $1
) o {ITS_EVENT.format("o")} ORDER BY o.tx, o.n"""

SEQUENCED = "DELETE FROM es_outbox WHERE (tx, n) <= ($1::text::xid8, $2)"
"""Takes away what was sequenced: nothing can have come before its last row since, for all older transactions ended."""

UNPUBLISHED = f"""SELECT l.position, l.stream, l.version, l.hash, e.event_id, e.type, e.data, e.recorded_at
FROM (SELECT * FROM es_log WHERE position > $1 ORDER BY position LIMIT $2) l
{ITS_EVENT.format("l")} ORDER BY l.position"""

HORIZON_AGE = f"""SELECT coalesce(extract(epoch FROM clock_timestamp() - min(e.recorded_at)), 0)::float8
FROM (
    SELECT stream, version FROM es_outbox
    WHERE tx >= pg_snapshot_xmin(pg_current_snapshot()) ORDER BY tx, n LIMIT 1
) o {ITS_EVENT.format("o")}"""

FAILURES = ("refused", "away", "postgres")

NOTE_MADE = """WITH added AS (
    INSERT INTO planner_repairs (at, planner, run_id, cache_id, what, detail)
    SELECT now(), 'relay on ' || $2, '', '', 'stream-made-again', stream FROM unnest($1::text[]) stream RETURNING what
)
INSERT INTO planner_repaired AS known (what, count) SELECT what, count(*) FROM added GROUP BY what
ON CONFLICT (what) DO UPDATE SET count = known.count + EXCLUDED.count"""

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Positioned:
    """An event with its place in the log."""

    position: int
    stream: str
    version: int
    hash: bytes
    event_id: UUID
    type: str
    data: bytes
    recorded_at: datetime

    def headers(self) -> dict[str, str]:
        """Return its CloudEvents attributes as NATS headers."""
        return {
            "ce-specversion": "1.0",
            "ce-id": str(self.event_id),
            "ce-source": "/artdag",
            "ce-type": f"artdag.v1.{self.type}",
            "ce-subject": self.stream,
            "ce-time": self.recorded_at.isoformat(),
            "ce-datacontenttype": "application/protobuf",
            "Es-Position": str(self.position),
            "Es-Version": str(self.version),
            "Es-Hash": self.hash.hex(),
        }


class Relay(Loop):
    """One candidate for the lead."""

    def __init__(self, database_url: str, bus: Bus) -> None:
        self._database_url = database_url
        self._bus = bus
        self._wake = asyncio.Event()
        self._fresh: list[Positioned] = []  # just sequenced, not published yet
        self._published: int | None = None  # last sequence of the stream, None: ask
        self._asked = 0.0
        self._made: list[str] = []  # streams made again that were lost
        self._turns = Turns()
        self._looked = 0.0  # at the horizon
        self._horizon_seconds = 0.0
        self._sequenced_count = metrics.RELAY_SEQUENCED.of()
        self._published_count = metrics.RELAY_PUBLISHED.of()
        self._publish_seconds = metrics.RELAY_PUBLISH_SECONDS.of()
        for why in FAILURES:
            metrics.RELAY_FAILURES.of(why)
        metrics.RELAY_LEADS.of().set_function(lambda: float(self.leading))
        # Who lost the lead knows no more of it, and would tell its last figure for ever.
        metrics.RELAY_HORIZON.of().set_function(lambda: self._horizon_seconds if self.leading else 0.0)
        self.leading = False

    async def start(self) -> None:
        """Run in the background until :meth:`stop`."""

        async def woken(_: Any) -> None:
            self._wake.set()

        await self._bus.nc.subscribe(subjects.WAKE_RELAY, cb=woken)
        self._bus.on_reconnect(self._look_again)
        self._begin_loop(self._run(), "relay")
        self._begin_loop(self._keep_streams(), "keep streams")

    @property
    def turning(self) -> bool:
        """Whether it still leads, or waits to, and is not at one thing for too long."""
        return super().turning and not self._turns.stuck

    async def _keep_streams(self) -> None:
        """Make streams again that were lost while the server was there. Nobody tells of it: they are looked at.

        One that is kept on other than so many servers, since some were missing, is looked after here too.
        """
        while True:
            await asyncio.sleep(STANDBY)
            try:
                for config in STREAMS:
                    if config.name == subjects.EVENTS:
                        continue
                    try:
                        await self._bus.replicate(await self._bus.js.stream_info(str(config.name)))
                    except NotFoundError:
                        log.error("stream was lost; it is made again", stream=config.name)
                        await self._bus.ensure_stream(config)
                        self._made.append(str(config.name))
                        self._wake.set()
            except (nats.errors.Error, ConfigurationError, TimeoutError) as error:
                log.warning("streams cannot be checked", error=str(error) or type(error).__name__)

    async def _note_made(self, connection: Any) -> None:
        """Put the streams that were made again among what the reconciler did."""
        made, self._made = self._made, []
        await connection.execute(NOTE_MADE, made, socket.gethostname())

    async def _look_again(self) -> None:
        """The server was away: what it holds of the stream may be less than it acknowledged, or nothing."""
        self._published = None
        self._wake.set()

    async def _run(self) -> None:
        while True:
            try:
                connection = await asyncpg.connect(self._database_url, timeout=10, command_timeout=10)
            except (*LOST, asyncpg.PostgresError) as error:
                metrics.RELAY_FAILURES.of("postgres").inc()
                log.warning("relay cannot reach Postgres", error=str(error))
                await asyncio.sleep(STANDBY)
                continue
            try:
                await self._lead(connection)
            except (*LOST, asyncpg.PostgresError) as error:
                metrics.RELAY_FAILURES.of("postgres").inc()
                log.warning("relay begins again", error=str(error))
                await asyncio.sleep(POLL)
            except Exception as error:  # whatever it is: without a relay the whole system stands still
                log.error("relay begins again", exc_info=error)
                await asyncio.sleep(STANDBY)
            finally:
                self.leading = False
                connection.terminate()

    async def _lead(self, connection: Any) -> None:
        await connection.execute(SET, list(SETTINGS), list(SETTINGS.values()))
        while not await connection.fetchval("SELECT pg_try_advisory_lock($1)", LEADER_LOCK):
            if self._made:  # who leads does not know of it
                await self._note_made(connection)
            await asyncio.sleep(STANDBY)
        log.info("relay leads")
        self._horizon_seconds = 0.0
        self.leading = True
        self._published = None
        loop = asyncio.get_running_loop()
        while True:
            self._wake.clear()
            began = loop.time()
            if self._made:
                await self._note_made(connection)
            with self._turns.turn():
                moved = await self.sequence(connection)
                moved += await self._publish_safely(connection)
                await self._look_at_horizon(connection)
            if not moved:
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(self._wake.wait(), POLL)
            elif moved < CHUNK:  # let more gather: whoever is in a hurry has the hint
                await asyncio.sleep(max(0.0, began + PACE - loop.time()))

    async def sequence(self, connection: Any) -> int:
        """Give positions to committed events that have none, in the order of their transactions."""
        async with connection.transaction():
            rows = await connection.fetch(SEQUENCE, CHUNK)
            if not rows:
                return 0
            last = await connection.fetchrow("SELECT position, hash FROM es_log ORDER BY position DESC LIMIT 1")
            position, previous = (last["position"], last["hash"]) if last else (0, GENESIS)
            positioned = []
            for row in rows:
                position += 1
                event = (row["event_id"], row["type"], row["data"])
                previous = link(previous, position, row["stream"], row["version"], *event)
                positioned.append(
                    Positioned(position, row["stream"], row["version"], previous, *event, row["recorded_at"])
                )
            await connection.copy_records_to_table(
                "es_log",
                records=[(p.position, p.stream, p.version, p.hash) for p in positioned],
                columns=("position", "stream", "version", "hash"),
            )
            await connection.execute(SEQUENCED, rows[-1]["tx"], rows[-1]["n"])
        self._fresh = positioned
        self._sequenced_count.inc(len(rows))
        return len(rows)

    async def _look_at_horizon(self, connection: Any) -> None:
        """Show now and then, to metrics, for how long committed events have waited for older transactions."""
        now = asyncio.get_running_loop().time()
        if metrics.counting() and now > self._looked + RECHECK:
            self._looked = now
            self._horizon_seconds = await connection.fetchval(HORIZON_AGE)

    async def _publish_safely(self, connection: Any) -> int:
        try:
            return await self.publish(connection)
        except (nats.errors.Error, APIError, TimeoutError) as error:
            metrics.RELAY_FAILURES.of("away").inc()
            log.warning("relay cannot publish", error=str(error) or type(error).__name__)
            self._published = None
            await asyncio.sleep(POLL)
            return 0

    async def publish(self, connection: Any) -> int:
        """Publish the next batch of positioned events, atomically and only right behind the last one."""
        if self._published is None:
            self._published = await self._last_sequence(connection)
        events = await self._due(connection, self._published)
        if not events:
            if asyncio.get_running_loop().time() > self._asked + RECHECK:
                self._published = None  # nobody tells us that the stream was lost: ask now and then
            return 0
        batch_id, began = uuid4().hex, asyncio.get_running_loop().time()
        messages = []
        for place, event in enumerate(events, 1):
            headers = event.headers() | {"Nats-Batch-Id": batch_id, "Nats-Batch-Sequence": str(place)}
            if place == 1:
                headers["Nats-Expected-Last-Sequence"] = str(event.position - 1)
            subject = subjects.event(event.stream, event.type)
            if place < len(events):
                messages.append(message(subject, event.data, header_lines(headers)))
            else:
                headers["Nats-Batch-Commit"] = "1"
                await self._bus.nc.send(messages)
                reply = await self._bus.nc.request(subject, event.data, headers=headers, timeout=self._bus.patience)
        answer = orjson.loads(reply.data)
        if "error" in answer:
            metrics.RELAY_FAILURES.of("refused").inc()
            log.warning("relay was refused", error=answer["error"].get("description"))
            self._published = None
            return 0
        self._publish_seconds.observe(asyncio.get_running_loop().time() - began)
        self._published_count.inc(len(events))
        self._published = int(answer["seq"])
        return len(events)

    async def _due(self, connection: Any, published: int) -> list[Positioned]:
        """Return the next events to publish: those just sequenced, or from Postgres where others come before them."""
        events, self._fresh = self._fresh, []
        if not events or events[0].position != published + 1:
            events = [Positioned(*row) for row in await connection.fetch(UNPUBLISHED, published, BATCH)]
        size = 0
        for count, event in enumerate(events):
            size += len(event.data) + HEADER_BYTES
            if size > BATCH_BYTES and count:
                return events[:count]
        return events

    async def _last_sequence(self, connection: Any) -> int:
        config = next(c for c in STREAMS if c.name == subjects.EVENTS)
        self._asked = asyncio.get_running_loop().time()
        try:
            info = await self._bus.replicate(await self._bus.js.stream_info(subjects.EVENTS))
        except NotFoundError:  # new, or lost: published again from position 1, so that position stays = sequence
            info = await self._bus.ensure_stream(config)
            if await connection.fetchval("SELECT EXISTS (SELECT FROM es_log)"):
                self._made.append(subjects.EVENTS)
        known = await connection.fetchval("SELECT coalesce(max(position), 0) FROM es_log")
        if info.state.last_seq > known:
            log.error(
                "EVENTS holds more than the event store: it belongs to another database; point NATS_URL elsewhere, or"
                " delete the stream and it is made again",
                stream=info.state.last_seq,
                store=known,
            )
        return info.state.last_seq
