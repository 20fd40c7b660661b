"""What several users may have the same of, under names of their own: recipes and effects, found and listed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Generic, TypeVar

import asyncpg

from services.gateway import visibility

Row = TypeVar("Row")

CHOSEN = "($2::text IS NULL OR t.owner = $2) AND ($3::text IS NULL OR strpos(lower(t.name), lower($3)) > 0)"
ONCE = """NOT EXISTS (
    SELECT FROM {table} o WHERE o.cid = t.cid AND o.owner <> t.owner AND NOT o.deleted
    AND (o.owner = $1 OR (o.published AND o.position < t.position)))"""
"""What several have is on a list once."""

MOST_NAMES = 1000


class Catalogue(Generic[Row]):
    """The questions about a table of such things; its primary key is CID and owner, see :func:`visibility.page`."""

    def __init__(self, table: str, row: Callable[..., Row]) -> None:
        """``row``: makes one of what the columns hold, by their names."""
        self._table = table
        self._row = row
        once = ONCE.format(table=table)
        self._page = visibility.page(table, CHOSEN, once, 2)
        self._count = visibility.count(table, CHOSEN, once)

    async def find(self, pool: asyncpg.Pool, viewer: str, cid: str) -> Row | None:
        """Return what a viewer sees under a CID: the viewer's own before what others published."""
        return await self._first(pool, "cid", viewer, cid, "position")

    async def find_named(self, pool: asyncpg.Pool, viewer: str, name: str) -> Row | None:
        """Return the newest of this name that a viewer sees: the viewer's own before what others published."""
        return await self._first(pool, "name", viewer, name, "position DESC")

    async def _first(self, pool: asyncpg.Pool, column: str, viewer: str, value: str, order: str) -> Row | None:
        row = await pool.fetchrow(
            f"""SELECT * FROM {self._table} t WHERE {visibility.SEEN} AND {column} = $2
            ORDER BY {visibility.OWN_FIRST}, {order} LIMIT 1""",
            viewer,
            value,
        )
        return self._row(**row) if row else None

    async def names(self, pool: asyncpg.Pool, viewer: str) -> list[str]:
        """Return the names that a viewer sees, a thousand at most."""
        rows = await pool.fetch(
            f"SELECT DISTINCT name FROM {self._table} t WHERE {visibility.SEEN} ORDER BY name LIMIT {MOST_NAMES}",
            viewer,
        )
        return [row["name"] for row in rows]

    async def newest(
        self,
        pool: asyncpg.Pool,
        viewer: str,
        limit: int,
        before: int | None,
        owner: str | None = None,
        name: str | None = None,
    ) -> tuple[list[Row], int]:
        """Return up to ``limit`` that a viewer sees, and how many those are.

        Args:
            before: only those uploaded before this position; newest first.
            owner: only those of this user.
            name: only those in whose name this stands, however it is capitalised.
        """
        rows = await pool.fetch(self._page, viewer, owner, name or None, limit, before)
        total = await pool.fetchval(self._count, viewer, owner, name or None)
        return [self._row(**row) for row in rows], int(total)
