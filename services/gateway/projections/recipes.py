"""Recipes that can be run."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import asyncpg

from artdag_common.domain.recipe import Recipe
from services.gateway.projections.fact import Fact
from services.gateway.projections.rows import UNLISTED, arrays, upsert

KINDS = (Recipe.TOPIC,)
TABLES = ("rm_recipes",)

DDL = """
CREATE TABLE IF NOT EXISTS rm_recipes (
    cid         text PRIMARY KEY,
    position    bigint      NOT NULL,
    name        text        NOT NULL,
    version     text        NOT NULL,
    description text        NOT NULL,
    owner       text        NOT NULL,
    source_cid  text        NOT NULL,
    created_at  timestamptz NOT NULL,
    deleted     boolean     NOT NULL
);
CREATE INDEX IF NOT EXISTS rm_recipes_name ON rm_recipes (name, position DESC) WHERE NOT deleted;
"""

COLUMNS = {
    "cid": "text",
    "position": "bigint",
    "name": "text",
    "version": "text",
    "description": "text",
    "owner": "text",
    "source_cid": "text",
    "created_at": "timestamptz",
    "deleted": "boolean",
}
WRITE = upsert("rm_recipes", COLUMNS, ("cid",))


@dataclass(slots=True)
class RecipeRow:
    """A row of ``rm_recipes``. ``position`` is that of the last upload: among equal names the newest is meant."""

    cid: str
    position: int
    name: str
    version: str
    description: str
    owner: str
    source_cid: str
    created_at: datetime
    deleted: bool = False


async def apply(connection: Any, facts: Sequence[Fact]) -> None:
    """Take a batch of events in."""
    mine = [fact for fact in facts if isinstance(fact.event, Recipe.Event)]
    if not mine:
        return
    known = await connection.fetch(
        "SELECT * FROM rm_recipes WHERE cid = ANY ($1::text[])", list({fact.key for fact in mine})
    )
    rows = {row["cid"]: RecipeRow(**row) for row in known}
    for fact in mine:
        match fact.event:
            case Recipe.Registered() as event:
                rows[fact.key] = RecipeRow(
                    cid=fact.key,
                    position=fact.position,
                    name=event.name,
                    version=event.recipe_version,
                    description=event.description,
                    owner=event.owner,
                    source_cid=event.source_cid,
                    created_at=event.timestamp,
                )
            case Recipe.Restored() as event:
                row = rows[fact.key]
                row.deleted, row.owner, row.position = False, event.owner, fact.position
            case Recipe.Deleted():
                rows[fact.key].deleted = True
    await connection.execute(WRITE, *arrays(rows.values(), COLUMNS))


# --- questions ------------------------------------------------------------------------------------------------------


async def find(pool: asyncpg.Pool, cid: str) -> RecipeRow | None:
    """Return a recipe that is not deleted, by its id."""
    row = await pool.fetchrow("SELECT * FROM rm_recipes WHERE cid = $1 AND NOT deleted", cid)
    return RecipeRow(**row) if row else None


async def find_named(pool: asyncpg.Pool, name: str) -> RecipeRow | None:
    """Return the newest recipe of this name."""
    row = await pool.fetchrow(
        "SELECT * FROM rm_recipes WHERE name = $1 AND owner <> $2 AND NOT deleted ORDER BY position DESC LIMIT 1",
        name,
        UNLISTED,
    )
    return RecipeRow(**row) if row else None


async def names(pool: asyncpg.Pool) -> list[str]:
    """Return the names that recipes have."""
    rows = await pool.fetch(
        "SELECT DISTINCT name FROM rm_recipes WHERE NOT deleted AND owner <> $1 ORDER BY name LIMIT 1000", UNLISTED
    )
    return [row["name"] for row in rows]


async def newest(pool: asyncpg.Pool, limit: int, before: int | None) -> tuple[list[RecipeRow], int]:
    """Return up to ``limit`` recipes uploaded before position ``before``, newest first, and how many there are."""
    rows = await pool.fetch(
        """SELECT * FROM rm_recipes WHERE NOT deleted AND owner <> $3 AND ($2::bigint IS NULL OR position < $2)
        ORDER BY position DESC LIMIT $1""",
        limit,
        before,
        UNLISTED,
    )
    total = await pool.fetchval("SELECT count(*) FROM rm_recipes WHERE NOT deleted AND owner <> $1", UNLISTED)
    return [RecipeRow(**row) for row in rows], int(total)
