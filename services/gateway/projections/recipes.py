"""Recipes that can be run, by user: several may have the same one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from artdag_common.domain.recipe import Recipe
from services.gateway.projections.catalogue import Catalogue
from services.gateway.projections.fact import Fact
from services.gateway.projections.rows import arrays, upsert

KINDS = (Recipe.TOPIC,)
TABLES = ("rm_recipes",)

DDL = """
CREATE TABLE IF NOT EXISTS rm_recipes (
    cid         text        NOT NULL,
    owner       text        NOT NULL,
    position    bigint      NOT NULL,
    name        text        NOT NULL,
    version     text        NOT NULL,
    description text        NOT NULL,
    source_cid  text        NOT NULL,
    created_at  timestamptz NOT NULL,
    deleted     boolean     NOT NULL,
    published   boolean     NOT NULL,
    PRIMARY KEY (cid, owner)
);
CREATE INDEX IF NOT EXISTS rm_recipes_own ON rm_recipes (owner, position DESC) WHERE NOT deleted;
CREATE INDEX IF NOT EXISTS rm_recipes_own_name ON rm_recipes (owner, name, position DESC) WHERE NOT deleted;
CREATE INDEX IF NOT EXISTS rm_recipes_published ON rm_recipes (position DESC) WHERE published AND NOT deleted;
CREATE INDEX IF NOT EXISTS rm_recipes_published_name ON rm_recipes (name) WHERE published AND NOT deleted;
CREATE INDEX IF NOT EXISTS rm_recipes_source ON rm_recipes (source_cid);
"""

COLUMNS = {
    "cid": "text",
    "owner": "text",
    "position": "bigint",
    "name": "text",
    "version": "text",
    "description": "text",
    "source_cid": "text",
    "created_at": "timestamptz",
    "deleted": "boolean",
    "published": "boolean",
}
WRITE = upsert("rm_recipes", COLUMNS, ("cid", "owner"))


@dataclass(slots=True)
class RecipeRow:
    """A row of ``rm_recipes``: a recipe as one of those who have it wrote it.

    Attributes:
        position: of the last upload: among equal names the newest is meant.
        published: everybody sees it; kept by the projection of content.
    """

    cid: str
    owner: str
    position: int
    name: str
    version: str
    description: str
    source_cid: str
    created_at: datetime
    deleted: bool = False
    published: bool = False


async def apply(connection: Any, facts: Sequence[Fact]) -> None:
    """Take a batch of events in. Equal events give equal rows, however they are cut into batches."""
    mine = [fact for fact in facts if isinstance(fact.event, Recipe.Event)]
    if not mine:
        return
    known = await connection.fetch(
        "SELECT * FROM rm_recipes WHERE cid = ANY ($1::text[])", list({fact.key for fact in mine})
    )
    rows = {(row["cid"], row["owner"]): RecipeRow(**row) for row in known}
    for fact in mine:
        cid = fact.key
        match fact.event:
            case Recipe.Registered() as event:
                rows[cid, event.owner] = RecipeRow(
                    cid=cid,
                    owner=event.owner,
                    position=fact.position,
                    name=event.name,
                    version=event.recipe_version,
                    description=event.description,
                    source_cid=event.source_cid,
                    created_at=event.timestamp,
                )
            case Recipe.Claimed() | Recipe.Restored() as event:
                first = min((row for (each, _), row in rows.items() if each == cid), key=lambda row: row.created_at)
                rows[cid, event.owner] = replace(
                    first,
                    owner=event.owner,
                    position=fact.position,
                    source_cid=event.source_cid or first.source_cid,
                    created_at=event.timestamp,
                    deleted=False,
                    published=False,
                )
            case Recipe.Disowned() as event:
                rows[cid, event.owner].deleted = True
            case Recipe.Deleted():
                for (each, _), row in rows.items():
                    row.deleted = row.deleted or each == cid
    await connection.execute(WRITE, *arrays(rows.values(), COLUMNS))


# --- questions ------------------------------------------------------------------------------------------------------


CATALOGUE = Catalogue("rm_recipes", RecipeRow)
find = CATALOGUE.find
find_named = CATALOGUE.find_named
names = CATALOGUE.names
newest = CATALOGUE.newest
