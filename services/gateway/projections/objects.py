"""Stored content, and the names that owners gave it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import asyncpg

from artdag_common.domain.content import Object
from services.gateway.projections.fact import Fact
from services.gateway.projections.rows import arrays, upsert

KINDS = (Object.TOPIC,)
TABLES = ("rm_objects", "rm_object_names")

DDL = """
CREATE TABLE IF NOT EXISTS rm_objects (
    cid        text PRIMARY KEY,
    size_bytes bigint      NOT NULL,
    media_type text        NOT NULL,
    origin     text        NOT NULL,
    stored_at  timestamptz NOT NULL
);
CREATE TABLE IF NOT EXISTS rm_object_names (
    cid      text   NOT NULL,
    owner    text   NOT NULL,
    name     text   NOT NULL,
    position bigint NOT NULL,
    PRIMARY KEY (cid, owner)
);
CREATE INDEX IF NOT EXISTS rm_object_names_name ON rm_object_names (owner, name, position DESC);
"""

OBJECT_COLUMNS = {
    "cid": "text",
    "size_bytes": "bigint",
    "media_type": "text",
    "origin": "text",
    "stored_at": "timestamptz",
}
NAME_COLUMNS = {"cid": "text", "owner": "text", "name": "text", "position": "bigint"}
WRITE_OBJECTS = upsert("rm_objects", OBJECT_COLUMNS, ("cid",))
WRITE_NAMES = upsert("rm_object_names", NAME_COLUMNS, ("cid", "owner"))


@dataclass(slots=True)
class ObjectRow:
    """A row of ``rm_objects``."""

    cid: str
    size_bytes: int
    media_type: str
    origin: str
    stored_at: datetime


@dataclass(slots=True)
class NameRow:
    """A row of ``rm_object_names``. Among equal names of an owner the one with the highest position is meant."""

    cid: str
    owner: str
    name: str
    position: int


async def apply(connection: Any, facts: Sequence[Fact]) -> None:
    """Take a batch of events in."""
    stored: dict[str, ObjectRow] = {}
    named: dict[tuple[str, str], NameRow] = {}
    for fact in facts:
        match fact.event:
            case Object.Stored() as event:
                stored[fact.key] = ObjectRow(
                    fact.key, event.size_bytes, event.media_type, event.origin, event.timestamp
                )
            case Object.Named() as event:
                named[fact.key, event.owner] = NameRow(fact.key, event.owner, event.name, fact.position)
    if stored:
        await connection.execute(WRITE_OBJECTS, *arrays(stored.values(), OBJECT_COLUMNS))
    if named:
        await connection.execute(WRITE_NAMES, *arrays(named.values(), NAME_COLUMNS))


# --- questions ------------------------------------------------------------------------------------------------------


async def find(pool: asyncpg.Pool, cid: str) -> ObjectRow | None:
    """Return what the books say of content."""
    row = await pool.fetchrow("SELECT * FROM rm_objects WHERE cid = $1", cid)
    return ObjectRow(**row) if row else None


async def names_of(pool: asyncpg.Pool, cid: str) -> list[dict[str, str]]:
    """Return the names of content, by owner."""
    rows = await pool.fetch("SELECT owner, name FROM rm_object_names WHERE cid = $1 ORDER BY owner", cid)
    return [dict(row) for row in rows]


async def has_name(pool: asyncpg.Pool, cid: str, owner: str, name: str) -> bool:
    """Return whether the owner calls this content so."""
    return bool(
        await pool.fetchval(
            "SELECT 1 FROM rm_object_names WHERE cid = $1 AND owner = $2 AND name = $3", cid, owner, name
        )
    )


async def find_named(pool: asyncpg.Pool, owner: str, name: str) -> str | None:
    """Return the CID that an owner last gave this name to."""
    cid: str | None = await pool.fetchval(
        "SELECT cid FROM rm_object_names WHERE owner = $1 AND name = $2 ORDER BY position DESC LIMIT 1", owner, name
    )
    return cid


async def names(pool: asyncpg.Pool, owner: str) -> list[str]:
    """Return the names an owner gave."""
    rows = await pool.fetch(
        "SELECT DISTINCT name FROM rm_object_names WHERE owner = $1 ORDER BY name LIMIT 1000", owner
    )
    return [row["name"] for row in rows]


async def by_name(pool: asyncpg.Pool, owner: str, limit: int = 10_000) -> dict[str, str]:
    """Return what an owner's names stand for: name → CID."""
    rows = await pool.fetch(
        """SELECT DISTINCT ON (name) name, cid FROM rm_object_names WHERE owner = $1
        ORDER BY name, position DESC LIMIT $2""",
        owner,
        limit,
    )
    return {row["name"]: row["cid"] for row in rows}


async def named(pool: asyncpg.Pool, limit: int, before: int | None) -> tuple[list[asyncpg.Record], int]:
    """Return up to ``limit`` named objects, named last first, before position ``before``; and how many there are."""
    rows = await pool.fetch(
        """SELECT n.name, n.owner, n.position, n.cid, o.size_bytes, o.media_type, o.origin, o.stored_at
        FROM rm_object_names n JOIN rm_objects o USING (cid)
        WHERE $2::bigint IS NULL OR n.position < $2 ORDER BY n.position DESC LIMIT $1""",
        limit,
        before,
    )
    return rows, int(await pool.fetchval("SELECT count(*) FROM rm_object_names"))
