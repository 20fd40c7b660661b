"""Effects that users uploaded."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import asyncpg

from artdag_common.domain.effect import Effect
from services.gateway.projections.fact import Fact
from services.gateway.projections.rows import arrays, upsert

KINDS = (Effect.TOPIC,)
TABLES = ("rm_effects",)

DDL = """
CREATE TABLE IF NOT EXISTS rm_effects (
    cid         text PRIMARY KEY,
    position    bigint      NOT NULL,
    name        text        NOT NULL,
    version     text        NOT NULL,
    author      text        NOT NULL,
    description text        NOT NULL,
    kind        text        NOT NULL,
    owner       text        NOT NULL,
    created_at  timestamptz NOT NULL
);
CREATE INDEX IF NOT EXISTS rm_effects_name ON rm_effects (name, position DESC);
CREATE INDEX IF NOT EXISTS rm_effects_position ON rm_effects (position DESC);
"""

COLUMNS = {
    "cid": "text",
    "position": "bigint",
    "name": "text",
    "version": "text",
    "author": "text",
    "description": "text",
    "kind": "text",
    "owner": "text",
    "created_at": "timestamptz",
}
WRITE = upsert("rm_effects", COLUMNS, ("cid",))


@dataclass(slots=True)
class EffectRow:
    """A row of ``rm_effects``. Among equal names the one with the highest position is meant."""

    cid: str
    position: int
    name: str
    version: str
    author: str
    description: str
    kind: str
    owner: str
    created_at: datetime


async def apply(connection: Any, facts: Sequence[Fact]) -> None:
    """Take a batch of events in."""
    rows = {}
    for fact in facts:
        match fact.event:
            case Effect.Registered() as event:
                rows[fact.key] = EffectRow(
                    cid=fact.key,
                    position=fact.position,
                    name=event.name,
                    version=event.effect_version,
                    author=event.author,
                    description=event.description,
                    kind=event.kind,
                    owner=event.owner,
                    created_at=event.timestamp,
                )
    if rows:
        await connection.execute(WRITE, *arrays(rows.values(), COLUMNS))


# --- questions ------------------------------------------------------------------------------------------------------


async def known(pool: asyncpg.Pool, cids: Sequence[str]) -> list[str]:
    """Return those of ``cids`` that are uploaded effects."""
    rows = await pool.fetch("SELECT cid FROM rm_effects WHERE cid = ANY ($1::text[]) ORDER BY cid", cids)
    return [row["cid"] for row in rows]


async def find(pool: asyncpg.Pool, cid: str) -> EffectRow | None:
    """Return an uploaded effect by its CID."""
    row = await pool.fetchrow("SELECT * FROM rm_effects WHERE cid = $1", cid)
    return EffectRow(**row) if row else None


async def find_named(pool: asyncpg.Pool, name: str) -> EffectRow | None:
    """Return the newest uploaded effect of this name."""
    row = await pool.fetchrow("SELECT * FROM rm_effects WHERE name = $1 ORDER BY position DESC LIMIT 1", name)
    return EffectRow(**row) if row else None


async def names(pool: asyncpg.Pool) -> list[str]:
    """Return the names that uploaded effects have."""
    rows = await pool.fetch("SELECT DISTINCT name FROM rm_effects ORDER BY name LIMIT 1000")
    return [row["name"] for row in rows]


async def newest(pool: asyncpg.Pool, limit: int, before: int | None) -> tuple[list[EffectRow], int]:
    """Return up to ``limit`` effects uploaded before position ``before``, newest first, and how many there are."""
    rows = await pool.fetch(
        "SELECT * FROM rm_effects WHERE $2::bigint IS NULL OR position < $2 ORDER BY position DESC LIMIT $1",
        limit,
        before,
    )
    return [EffectRow(**row) for row in rows], int(await pool.fetchval("SELECT count(*) FROM rm_effects"))
