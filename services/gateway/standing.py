"""How the system stands: what doctor and metrics look at, read once for all of them."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from urllib.parse import urlsplit

import asyncpg
import redis.asyncio
import structlog
from redis.exceptions import RedisError, ResponseError

from artdag_common.config import Settings
from artdag_common.errors import ArtdagError
from artdag_common.eventstore.postgres import LOST
from artdag_common.messaging import servers
from services.gateway.parts import Gateway
from services.gateway.presence import Instance

SERVICES = ("planner", "executor", "cache", "auth")
ANSWER_SECONDS = 2.0
STILL_SECONDS = 60.0
"""How long nothing has happened to a run before it is told of."""

MOST_RUNS = 20
LAST_REPAIRS = 20
TRIED = "artdag:standing"
"""What is written to Redis for a second, to see whether that can be done."""

GOING_ON = """SELECT status, count(*) AS count FROM rm_runs
WHERE NOT deleted AND status NOT IN ('completed', 'failed', 'cancelled') GROUP BY status ORDER BY status"""

STILL = """SELECT r.run_id, r.owner, r.status, r.updated_at, r.completed, r.total,
    count(*) FILTER (WHERE s.status = 'scheduled') AS scheduled,
    count(*) FILTER (WHERE s.status = 'running') AS running,
    count(*) FILTER (WHERE s.status = 'waiting') AS waiting
FROM rm_runs r LEFT JOIN rm_run_steps s USING (run_id)
WHERE NOT r.deleted AND r.status NOT IN ('completed', 'failed', 'cancelled')
AND r.updated_at < now() - make_interval(secs => $1)
AND NOT EXISTS (SELECT FROM rm_run_steps t WHERE t.run_id = r.run_id AND t.status = 'running')
GROUP BY r.run_id ORDER BY r.updated_at LIMIT $2"""

RELAYING = """SELECT (SELECT count(*) FROM (SELECT FROM es_outbox LIMIT 100000) o) AS waiting,
    (SELECT coalesce(extract(epoch FROM now() - min(e.recorded_at)), 0)::float8 FROM
        (SELECT stream, version FROM es_outbox ORDER BY tx, n LIMIT 1) o
        JOIN es_events e USING (stream, version)) AS seconds,
    (SELECT coalesce(max(position), 0) FROM es_log) AS last,
    (SELECT position FROM rm_position WHERE name = 'gateway') AS shown"""

OLDEST = """SELECT extract(epoch FROM now() - e.recorded_at)::float8 FROM es_log l
JOIN es_events e USING (stream, version) WHERE l.position = $1"""

WRITTEN = "SELECT pg_is_in_recovery() AS standby, current_setting('transaction_read_only') = 'on' AS guarded"

REPAIRS = "SELECT what, count FROM planner_repaired ORDER BY what"
RECENT = "SELECT what, count(*) AS count, max(at) AS last FROM planner_repairs GROUP BY what ORDER BY what"
LAST = "SELECT at, planner, run_id, cache_id, what, detail FROM planner_repairs ORDER BY n DESC LIMIT $1"

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Relaying:
    """How far events are on their way.

    Attributes:
        waiting: events that are committed and have no place in the order yet; ``seconds``: for how long the oldest.
        unpublished: events that have their place and are not in the stream yet; None: unknown.
        unpublished_seconds: how long ago the first of them was recorded.
        unshown: events that the read models lack.
    """

    waiting: int
    seconds: float
    unpublished: int | None
    unshown: int
    unpublished_seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class Still:
    """A run to which nothing has happened for a while."""

    run_id: str
    owner: str
    status: str
    since: datetime
    completed: int
    total: int
    scheduled: int
    waiting: int


@dataclass(slots=True)
class Standing:
    """What was found.

    Attributes:
        answering: services, and whether they answer.
        postgres: whether it does; where not, what stands in it is empty.
        nats, redis: whether they do; where NATS does not, nobody can ask the services.
        places: where these servers are, as people may be shown it, by their names here.
        refuses: why nothing can be written to one that answers, by its name here; others are not in it.
        bus: the answer of the auth service: ``letters`` by service, ``streams``, ``consumers``, ``depth``; None: none.
        running: whether events reach the read models.
        passed_over: events that this gateway's version does not know, by type.
        instances: processes of services, as they tell of themselves.
        runs: how many go on, by status.
        repaired: how often the reconciler ever put something back, by what it was.
        recent: the same for the last days: what, how often, when last.
    """

    answering: Mapping[str, bool] = field(default_factory=dict)
    postgres: bool = False
    nats: bool = False
    redis: bool = False
    places: Mapping[str, str] = field(default_factory=dict)
    refuses: dict[str, str] = field(default_factory=dict)
    bus: Mapping[str, Any] | None = None
    running: bool = False
    passed_over: Mapping[str, int] = field(default_factory=dict)
    relaying: Relaying | None = None
    instances: Sequence[Instance] = ()
    runs: Mapping[str, int] = field(default_factory=dict)
    still: Sequence[Still] = ()
    repaired: Mapping[str, int] = field(default_factory=dict)
    recent: Sequence[Mapping[str, Any]] = ()
    last: Sequence[Mapping[str, Any]] = ()


async def look(parts: Gateway, closely: bool = True) -> Standing:
    """Return how the system stands. Whatever does not answer in time is missing in it, and nothing is raised.

    Args:
        closely: also at single runs and repairs.
    """
    found = Standing(
        running=parts.projector.running,
        passed_over=dict(parts.projector.passed_over),
        instances=parts.presence.instances(),
        places=places(parts.settings),
    )
    pings = asyncio.gather(*(parts.bus.ping(service, ANSWER_SECONDS) for service in SERVICES))
    answers, found.nats, found.bus, _ = await asyncio.gather(
        pings, parts.bus.nc.answers(ANSWER_SECONDS), _bus(parts), try_redis(parts.cache, found)
    )
    found.answering = dict(zip(SERVICES, answers, strict=True))
    try:
        async with asyncio.timeout(ANSWER_SECONDS):
            await read_postgres(parts.pool, found, closely)
    except (asyncpg.PostgresError, TimeoutError, *LOST) as error:
        log.warning("postgres is not looked at", error=str(error) or type(error).__name__)
    return found


def places(settings: Settings) -> dict[str, str]:
    """Return where the servers are that services stand on, without accounts, by their names in :class:`Standing`."""
    postgres, cache = urlsplit(settings.database_url), urlsplit(settings.redis_url)
    return {
        "postgres": postgres.netloc.rpartition("@")[2] + postgres.path,
        "nats": servers.named(settings.nats_url),
        "redis": cache.netloc.rpartition("@")[2],
    }


async def try_redis(cache: redis.asyncio.Redis, found: Standing) -> None:
    """Note whether Redis answers, and why it takes no writes if it does not."""
    try:
        await cache.set(TRIED, "", px=1000)
    except ResponseError as error:
        found.refuses["redis"] = " ".join(str(error).split())[:300]
    except (RedisError, OSError):
        return
    found.redis = True


async def _bus(parts: Gateway) -> dict[str, Any] | None:
    try:
        async with asyncio.timeout(ANSWER_SECONDS):
            return await parts.auth.standing()
    except (ArtdagError, TimeoutError) as error:
        log.info("streams are not looked at", error=str(error) or type(error).__name__)
        return None


async def read_postgres(pool: asyncpg.Pool, found: Standing, closely: bool) -> None:
    """Note what stands in Postgres, and whether it can be written to. ``found.bus`` has to be known before."""
    (written,) = await pool.fetch(WRITTEN)
    (row,) = await pool.fetch(RELAYING)
    stream = (found.bus or {}).get("streams", {}).get("EVENTS")
    unpublished = max(0, row["last"] - stream["last"]) if stream else None
    found.relaying = Relaying(
        waiting=row["waiting"],
        seconds=row["seconds"] or 0.0,
        unpublished=unpublished,
        unshown=max(0, row["last"] - (row["shown"] or 0)),
        unpublished_seconds=(await pool.fetchval(OLDEST, stream["last"] + 1) or 0.0) if unpublished else 0.0,
    )
    found.runs = {each["status"]: each["count"] for each in await pool.fetch(GOING_ON)}
    found.repaired = {each["what"]: each["count"] for each in await pool.fetch(REPAIRS)}
    if closely:
        found.still = [
            Still(
                run_id=each["run_id"],
                owner=each["owner"],
                status=each["status"],
                since=each["updated_at"],
                completed=each["completed"],
                total=each["total"],
                scheduled=each["scheduled"],
                waiting=each["waiting"],
            )
            for each in await pool.fetch(STILL, STILL_SECONDS, MOST_RUNS)
        ]
        found.recent = [dict(each) for each in await pool.fetch(RECENT)]
        found.last = [dict(each) for each in await pool.fetch(LAST, LAST_REPAIRS)]
    if written["guarded"]:
        found.refuses["postgres"] = "it is a standby" if written["standby"] else "default_transaction_read_only is on"
    found.postgres = True
