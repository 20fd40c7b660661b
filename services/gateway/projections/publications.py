"""What was said in public of content: activities, under which words, and what the registry made of each.

Content is public in somebody's name as long as there is a Create of theirs that no Delete has withdrawn.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import asyncpg

from artdag_common.domain.content import Object
from services.gateway.projections.fact import Fact
from services.gateway.projections.rows import arrays, upsert

KINDS = (Object.TOPIC,)
TABLES = ("rm_activities",)

DDL = """
CREATE TABLE IF NOT EXISTS rm_activities (
    activity_id    text PRIMARY KEY,
    position       bigint      NOT NULL,
    type           text        NOT NULL,
    object_id      text        NOT NULL,
    cid            text        NOT NULL,
    owner          text        NOT NULL,
    name           text        NOT NULL,
    description    text        NOT NULL,
    run_id         text        NOT NULL,
    recipe_cid     text        NOT NULL,
    provenance_cid text        NOT NULL,
    published_at   timestamptz NOT NULL,
    state          text        NOT NULL,
    attempts       bigint      NOT NULL,
    words          text        NOT NULL,
    withdrawn_by   text        NOT NULL,
    withdrawn_at   timestamptz
);
CREATE INDEX IF NOT EXISTS rm_activities_shown ON rm_activities (position DESC) WHERE withdrawn_at IS NULL;
CREATE INDEX IF NOT EXISTS rm_activities_content ON rm_activities (cid, owner, position DESC);
CREATE INDEX IF NOT EXISTS rm_activities_run ON rm_activities (run_id) WHERE run_id <> '';
"""

ACTIVITY_COLUMNS = {
    "activity_id": "text",
    "position": "bigint",
    "type": "text",
    "object_id": "text",
    "cid": "text",
    "owner": "text",
    "name": "text",
    "description": "text",
    "run_id": "text",
    "recipe_cid": "text",
    "provenance_cid": "text",
    "published_at": "timestamptz",
    "state": "text",
    "attempts": "bigint",
    "words": "text",
    "withdrawn_by": "text",
    "withdrawn_at": "timestamptz",
}
WRITE_ACTIVITIES = upsert("rm_activities", ACTIVITY_COLUMNS, ("activity_id",))


@dataclass(slots=True)
class ActivityRow:
    """A row of ``rm_activities``.

    Attributes:
        type: Create or Delete.
        object_id: the activity that made the object; that of a Create is its own.
        state: local, pending, delivered or refused.
        words: the registry's, once it has decided: a link or nothing, or a reason.
        withdrawn_by: of a Create whose object is gone, the Delete.
    """

    activity_id: str
    position: int
    type: str
    object_id: str
    cid: str
    owner: str
    name: str
    description: str
    run_id: str
    recipe_cid: str
    provenance_cid: str
    published_at: datetime
    state: str
    attempts: int = 0
    words: str = ""
    withdrawn_by: str = ""
    withdrawn_at: datetime | None = None


@dataclass(slots=True)
class _Batch:
    """The rows that a batch of events makes or changes."""

    activities: dict[str, ActivityRow] = field(default_factory=dict)

    def take(self, fact: Fact) -> None:
        """Take an event in."""
        cid = fact.key
        match fact.event:
            case Object.Published() as event:
                words = (event.name, event.description, event.run_id, event.recipe_cid, event.provenance_cid)
                at, id_ = event.timestamp, event.activity_id
                self.activities[id_] = ActivityRow(
                    id_, fact.position, "Create", id_, cid, event.owner, *words, at, _first_state(event.deliver)
                )
            case Object.Unpublished() as event:
                at, id_, of = event.timestamp, event.activity_id, event.object_id
                state = _first_state(event.deliver)
                self.activities[id_] = ActivityRow(
                    id_, fact.position, "Delete", of, cid, event.owner, "", "", "", "", "", at, state
                )
                if made := self.activities.get(of):
                    made.withdrawn_by, made.withdrawn_at = id_, at
            case Object.Delivered() as event:
                self._settle(event.activity_id, "delivered", event.url, event.attempts)
            case Object.Refused() as event:
                self._settle(event.activity_id, "refused", event.reason, event.attempts)

    def _settle(self, activity_id: str, state: str, words: str, attempts: int) -> None:
        if row := self.activities.get(activity_id):
            row.state, row.words, row.attempts = state, words, attempts


def _first_state(deliver: bool) -> str:
    return "pending" if deliver else "local"


async def apply(connection: Any, facts: Sequence[Fact]) -> None:
    """Take a batch of events in. Equal events give equal rows, however they are cut into batches."""
    batch = _Batch()
    changed = []
    for fact in facts:
        match fact.event:
            case Object.Unpublished() as event:
                changed.append(event.object_id)
            case Object.Delivered() | Object.Refused() as event:
                changed.append(event.activity_id)
    if changed:
        known = await connection.fetch("SELECT * FROM rm_activities WHERE activity_id = ANY ($1::text[])", changed)
        batch.activities = {row["activity_id"]: ActivityRow(**row) for row in known}
    for fact in facts:
        batch.take(fact)
    if batch.activities:
        await connection.execute(WRITE_ACTIVITIES, *arrays(batch.activities.values(), ACTIVITY_COLUMNS))


# --- questions ------------------------------------------------------------------------------------------------------


PUBLIC = "type = 'Create' AND withdrawn_at IS NULL"


async def publications_of(pool: asyncpg.Pool, cids: Sequence[str]) -> dict[str, list[ActivityRow]]:
    """Return by which activities content is public, by CID: the earliest first."""
    rows = await pool.fetch(
        f"SELECT * FROM rm_activities WHERE cid = ANY ($1::text[]) AND {PUBLIC} ORDER BY published_at, owner",
        list(cids),
    )
    found: dict[str, list[ActivityRow]] = {}
    for row in rows:
        found.setdefault(row["cid"], []).append(ActivityRow(**row))
    return found


async def of_run(pool: asyncpg.Pool, run_id: str, owner: str) -> ActivityRow | None:
    """Return by which activity its owner made public what a run gave, or None."""
    row = await pool.fetchrow(
        f"SELECT * FROM rm_activities WHERE run_id = $1 AND owner = $2 AND {PUBLIC} ORDER BY position DESC LIMIT 1",
        run_id,
        owner,
    )
    return ActivityRow(**row) if row else None


@dataclass(frozen=True, slots=True)
class Attempts:
    """How it stands with an activity that the registry has not decided on.

    Attributes:
        attempts: how often it was asked.
        next_at: when it is asked again.
    """

    attempts: int
    last_error: str
    next_at: datetime


async def attempts_at(pool: asyncpg.Pool, activity_ids: Iterable[str]) -> dict[str, Attempts]:
    """Return how it stands with activities that wait in the cache service's queue, by id."""
    rows = await pool.fetch(
        """SELECT activity_id, attempt, last_error, due_at FROM deliveries WHERE activity_id = ANY ($1::text[])""",
        list(activity_ids),
    )
    return {row["activity_id"]: Attempts(row["attempt"], row["last_error"], row["due_at"]) for row in rows}


async def activity(pool: asyncpg.Pool, activity_id: str) -> ActivityRow | None:
    """Return an activity."""
    row = await pool.fetchrow("SELECT * FROM rm_activities WHERE activity_id = $1", activity_id)
    return ActivityRow(**row) if row else None


async def activities_of(pool: asyncpg.Pool, cid: str, owner: str, limit: int) -> list[ActivityRow]:
    """Return an owner's activities about content, newest first."""
    rows = await pool.fetch(
        "SELECT * FROM rm_activities WHERE cid = $1 AND owner = $2 ORDER BY position DESC, type LIMIT $3",
        cid,
        owner,
        limit,
    )
    return [ActivityRow(**row) for row in rows]


async def last_of_content(pool: asyncpg.Pool, cid: str) -> ActivityRow | None:
    """Return how content was published last: the earliest that still is, else the latest that was; None: never."""
    row = await pool.fetchrow(
        """SELECT * FROM rm_activities WHERE cid = $1 AND type = 'Create'
        ORDER BY withdrawn_at DESC NULLS FIRST, position LIMIT 1""",
        cid,
    )
    return ActivityRow(**row) if row else None


async def shown(pool: asyncpg.Pool, limit: int, before: int | None) -> list[ActivityRow]:
    """Return activities that count, newest first; ``before``: only those before this position."""
    rows = await pool.fetch(
        """SELECT * FROM rm_activities WHERE withdrawn_at IS NULL AND ($2::bigint IS NULL OR position < $2)
        ORDER BY position DESC LIMIT $1""",
        limit,
        before,
    )
    return [ActivityRow(**row) for row in rows]


async def counts(pool: asyncpg.Pool) -> tuple[int, int]:
    """Return how many activities count, and how much is public."""
    row = await pool.fetchrow(
        f"""SELECT count(*) AS activities, count(*) FILTER (WHERE {PUBLIC}) AS published
        FROM rm_activities WHERE withdrawn_at IS NULL"""
    )
    assert row
    return int(row["activities"]), int(row["published"])


async def version_of(pool: asyncpg.Pool, cid: str) -> int:
    """Return the version of content's stream that the read models show; 0: they do not know it."""
    return int(await pool.fetchval("SELECT version FROM rm_objects WHERE cid = $1", cid) or 0)


async def media_type_of(pool: asyncpg.Pool, cid: str) -> str:
    """Return the media type of content, also of what is no more; empty: it is not known."""
    return str(await pool.fetchval("SELECT media_type FROM rm_objects WHERE cid = $1", cid) or "")


async def public_key(pool: asyncpg.Pool) -> str:
    """Return the PEM of the key that this server signs with: the newest that was announced; empty: none was."""
    return str(await pool.fetchval("SELECT pem FROM actor_keys ORDER BY announced_at DESC LIMIT 1") or "")
