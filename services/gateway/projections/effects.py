"""Effects that users uploaded, by user: several may have the same one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

import asyncpg

from artdag_common.domain.effect import Effect
from services.gateway import visibility
from services.gateway.projections.fact import Fact
from services.gateway.projections.rows import arrays, upsert

KINDS = (Effect.TOPIC,)
TABLES = ("rm_effects",)

DDL = """
CREATE TABLE IF NOT EXISTS rm_effects (
    cid         text        NOT NULL,
    owner       text        NOT NULL,
    position    bigint      NOT NULL,
    name        text        NOT NULL,
    version     text        NOT NULL,
    author      text        NOT NULL,
    description text        NOT NULL,
    kind        text        NOT NULL,
    created_at  timestamptz NOT NULL,
    deleted     boolean     NOT NULL,
    published   boolean     NOT NULL,
    PRIMARY KEY (cid, owner)
);
CREATE INDEX IF NOT EXISTS rm_effects_own ON rm_effects (owner, position DESC) WHERE NOT deleted;
CREATE INDEX IF NOT EXISTS rm_effects_own_name ON rm_effects (owner, name, position DESC) WHERE NOT deleted;
CREATE INDEX IF NOT EXISTS rm_effects_published ON rm_effects (position DESC) WHERE published AND NOT deleted;
CREATE INDEX IF NOT EXISTS rm_effects_published_name ON rm_effects (name) WHERE published AND NOT deleted;
"""

COLUMNS = {
    "cid": "text",
    "owner": "text",
    "position": "bigint",
    "name": "text",
    "version": "text",
    "author": "text",
    "description": "text",
    "kind": "text",
    "created_at": "timestamptz",
    "deleted": "boolean",
    "published": "boolean",
}
WRITE = upsert("rm_effects", COLUMNS, ("cid", "owner"))
CHOSEN = "($2::text IS NULL OR t.owner = $2)"
ONCE = """NOT EXISTS (
    SELECT FROM rm_effects o WHERE o.cid = t.cid AND o.owner <> t.owner AND NOT o.deleted
    AND (o.owner = $1 OR (o.published AND o.position < t.position)))"""
"""An effect that several have is on a list once."""


@dataclass(slots=True)
class EffectRow:
    """A row of ``rm_effects``: an effect that one of those who have it uploaded.

    Attributes:
        position: of the last upload: among equal names the newest is meant.
        published: everybody sees it; kept by the projection of content.
    """

    cid: str
    owner: str
    position: int
    name: str
    version: str
    author: str
    description: str
    kind: str
    created_at: datetime
    deleted: bool = False
    published: bool = False


async def apply(connection: Any, facts: Sequence[Fact]) -> None:
    """Take a batch of events in. Equal events give equal rows, however they are cut into batches."""
    mine = [fact for fact in facts if isinstance(fact.event, Effect.Event)]
    if not mine:
        return
    known = await connection.fetch(
        "SELECT * FROM rm_effects WHERE cid = ANY ($1::text[])", list({fact.key for fact in mine})
    )
    rows = {(row["cid"], row["owner"]): EffectRow(**row) for row in known}
    for fact in mine:
        cid = fact.key
        match fact.event:
            case Effect.Registered() as event:
                rows[cid, event.owner] = EffectRow(
                    cid=cid,
                    owner=event.owner,
                    position=fact.position,
                    name=event.name,
                    version=event.effect_version,
                    author=event.author,
                    description=event.description,
                    kind=event.kind,
                    created_at=event.timestamp,
                )
            case Effect.Claimed() as event:
                other = next(row for (each, _), row in rows.items() if each == cid)
                rows[cid, event.owner] = replace(
                    other,
                    owner=event.owner,
                    position=fact.position,
                    created_at=event.timestamp,
                    deleted=False,
                    published=False,
                )
            case Effect.Disowned() as event:
                rows[cid, event.owner].deleted = True
    await connection.execute(WRITE, *arrays(rows.values(), COLUMNS))


# --- questions ------------------------------------------------------------------------------------------------------


async def known(pool: asyncpg.Pool, cids: Sequence[str]) -> list[str]:
    """Return those of ``cids`` that are uploaded effects, whoever has them."""
    rows = await pool.fetch("SELECT DISTINCT cid FROM rm_effects WHERE cid = ANY ($1::text[]) ORDER BY cid", cids)
    return [row["cid"] for row in rows]


async def find(pool: asyncpg.Pool, viewer: str, cid: str) -> EffectRow | None:
    """Return an uploaded effect that a viewer sees, by its CID: the viewer's own before what others published."""
    row = await pool.fetchrow(
        f"SELECT * FROM rm_effects t WHERE {visibility.SEEN} AND cid = $2 ORDER BY {visibility.OWN_FIRST}, position",
        viewer,
        cid,
    )
    return EffectRow(**row) if row else None


async def find_named(pool: asyncpg.Pool, viewer: str, name: str) -> EffectRow | None:
    """Return the newest uploaded effect of this name that a viewer sees: one's own before what others published."""
    row = await pool.fetchrow(
        f"""SELECT * FROM rm_effects t WHERE {visibility.SEEN} AND name = $2
        ORDER BY {visibility.OWN_FIRST}, position DESC LIMIT 1""",
        viewer,
        name,
    )
    return EffectRow(**row) if row else None


async def names(pool: asyncpg.Pool, viewer: str) -> list[str]:
    """Return the names of the uploaded effects that a viewer sees."""
    rows = await pool.fetch(
        f"SELECT DISTINCT name FROM rm_effects t WHERE {visibility.SEEN} ORDER BY name LIMIT 1000", viewer
    )
    return [row["name"] for row in rows]


async def newest(
    pool: asyncpg.Pool, viewer: str, limit: int, before: int | None, owner: str | None = None
) -> tuple[list[EffectRow], int]:
    """Return up to ``limit`` effects that a viewer sees, and how many those are.

    Args:
        before: only those uploaded before this position; newest first.
        owner: only those of this user.
    """
    rows = await pool.fetch(visibility.page("rm_effects", CHOSEN, ONCE, 1), viewer, owner, limit, before)
    total = await pool.fetchval(visibility.count("rm_effects", CHOSEN, ONCE), viewer, owner)
    return [EffectRow(**row) for row in rows], int(total)
