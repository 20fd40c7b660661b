"""What the system works on, for whom, and what failed last: read for the operator, from the read models."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import asyncpg
import structlog

from artdag_common.application import decode
from artdag_common.domain.run import FINISHED
from artdag_common.domain.step import Step
from artdag_common.errors import ArtdagError
from artdag_common.eventstore.postgres import LOST
from services.gateway.parts import Gateway

ANSWER_SECONDS = 2.0
RUNS, USERS, FAILURES = 20, 20, 10
LOOKED_BACK = 200
"""Of the runs that were asked for last and failed, those among which the last failures are."""

GOING = "NOT deleted AND status NOT IN ('completed', 'failed', 'cancelled')"
"""Runs that go on; there is an index of them."""

STEPS = """SELECT DISTINCT ON (s.cache_id) s.cache_id, s.run_id, s.step, s.node, s.type, s.status, s.started_at,
    s.attempt, r.owner, r.published, count(*) OVER (PARTITION BY s.cache_id) AS runs
FROM unnest($1::text[]) AS wanted (cache_id)
CROSS JOIN LATERAL (SELECT * FROM rm_run_steps s WHERE s.cache_id = wanted.cache_id OFFSET 0) s
JOIN rm_runs r USING (run_id) WHERE NOT r.deleted AND r.status <> ALL ($2::text[])
ORDER BY s.cache_id, r.position"""

ALL_USERS = f"""SELECT count(*) AS runs, count(DISTINCT owner) AS users,
    coalesce(sum(total - cached - completed), 0)::bigint AS steps_left FROM rm_runs WHERE {GOING}"""

EACH_USER = f"""SELECT owner, count(*) AS runs, count(*) FILTER (WHERE status IN ('paused', 'planned')) AS held,
    coalesce(sum(total), 0)::bigint AS total, coalesce(sum(cached + completed), 0)::bigint AS done,
    min(created_at) AS since
FROM rm_runs WHERE {GOING} GROUP BY owner ORDER BY runs DESC, owner LIMIT $1"""

NEWEST = f"""SELECT run_id, owner, published, recipe_name, output_name, status, total, cached, completed, created_at
FROM rm_runs WHERE {GOING} ORDER BY position DESC LIMIT $1"""

FAILED = """SELECT f.*, s.type FROM (
    SELECT run_id, owner, published, recipe_name, output_name, error_code, error, error_step, error_node, updated_at
    FROM rm_runs WHERE NOT deleted AND status = 'failed' ORDER BY position DESC LIMIT $2) f
LEFT JOIN rm_run_steps s ON s.run_id = f.run_id AND s.step = f.error_step
ORDER BY f.updated_at DESC LIMIT $1"""

ALL_FAILED = "SELECT count(*) FROM rm_runs WHERE NOT deleted AND status = 'failed'"

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Place:
    """A step that executors work on, and where it is wanted.

    Attributes:
        run_id: of the run that wanted it first; empty: of none, as parts of long films.
        runs: how many want it.
        owner, published: of that run.
        since: when the attempt began; None: it has not yet, as far as is known.
    """

    type: str
    node: str
    since: datetime | None
    attempt: int
    run_id: str = ""
    step: int = -1
    runs: int = 0
    owner: str = ""
    published: bool = False


@dataclass(slots=True)
class Work:
    """What was found. ``known``: False: Postgres does not answer, and nothing was."""

    known: bool = True
    places: Mapping[str, Place] = field(default_factory=dict)
    run_count: int = 0
    user_count: int = 0
    steps_left: int = 0
    users: Sequence[Mapping[str, Any]] = ()
    runs: Sequence[Mapping[str, Any]] = ()
    failures: Sequence[Mapping[str, Any]] = ()
    failed_count: int = 0
    handles: Mapping[str, str] = field(default_factory=dict)


async def work(parts: Gateway, cache_ids: Collection[str]) -> Work:
    """Return what goes on.

    Args:
        cache_ids: of the steps that executors say they work on.
    """
    found = Work()
    try:
        async with asyncio.timeout(ANSWER_SECONDS):
            await _read(parts, found, cache_ids)
    except (ArtdagError, asyncpg.PostgresError, TimeoutError, *LOST) as error:
        log.warning("what goes on is not known", error=str(error) or type(error).__name__)
        return Work(known=False)
    return found


async def _read(parts: Gateway, found: Work, cache_ids: Collection[str]) -> None:
    pool = parts.pool
    (all_users,) = await pool.fetch(ALL_USERS)
    found.run_count, found.user_count, found.steps_left = all_users
    if found.run_count:
        found.users = [dict(row) for row in await pool.fetch(EACH_USER, USERS)]
        found.runs = [dict(row) for row in await pool.fetch(NEWEST, RUNS)]
    found.failures = [dict(row) for row in await pool.fetch(FAILED, FAILURES, LOOKED_BACK)]
    found.failed_count = await pool.fetchval(ALL_FAILED)
    if cache_ids:
        found.places = await _places(parts, cache_ids)
    owners = {row["owner"] for row in (*found.users, *found.runs, *found.failures)}
    found.handles = await parts.people.handles(owners | {place.owner for place in found.places.values() if place.owner})


async def _places(parts: Gateway, cache_ids: Collection[str]) -> dict[str, Place]:
    """Return what is known of steps: of which run they are, or else what their own events say."""
    rows = await parts.pool.fetch(STEPS, list(cache_ids), list(FINISHED))
    found = {
        row["cache_id"]: Place(
            type=row["type"],
            node=row["node"],
            since=row["started_at"] if row["status"] == "running" else None,
            attempt=row["attempt"],
            run_id=row["run_id"],
            step=row["step"],
            runs=row["runs"],
            owner=row["owner"],
            published=row["published"],
        )
        for row in rows
    }
    return found | await _of_no_run(parts, set(cache_ids) - found.keys())


async def _of_no_run(parts: Gateway, cache_ids: Iterable[str]) -> dict[str, Place]:
    """Return what the events of steps say that no run has in its plan: parts of long films."""
    latest = await parts.store.latest([Step.stream(each) for each in cache_ids])
    found = {}
    for stream, recorded in latest.items():
        event = decode(recorded)
        if isinstance(event, Step.Started):
            found[stream.partition("-")[2]] = Place(event.step_type, event.label, event.timestamp, event.attempt)
    return found
