"""Effects that users uploaded, by user: several may have the same one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

import asyncpg

from artdag_common.domain.effect import Effect
from services.gateway.projections.catalogue import Catalogue
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


CATALOGUE = Catalogue("rm_effects", EffectRow)
find = CATALOGUE.find
find_named = CATALOGUE.find_named
names = CATALOGUE.names
newest = CATALOGUE.newest
