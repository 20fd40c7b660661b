"""Rows of read models, written set by set: one statement for a whole batch, its columns as arrays."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import asyncpg

UNLISTED = "derived"
"""Owner of the runs and recipes that make pictures of content: nobody asked for them by themselves."""


def insert(table: str, columns: Mapping[str, str]) -> str:
    """Return the statement that inserts rows; its arguments are one array per column, name → Postgres type."""
    return f"INSERT INTO {table} ({', '.join(columns)}) SELECT * FROM {_arrays(columns)}"


def upsert(table: str, columns: Mapping[str, str], key: Sequence[str]) -> str:
    """Return the statement that inserts or replaces rows; its arguments are one array per column.

    Args:
        columns: name → Postgres type, in the order of the arguments.
        key: the primary key's columns.
    """
    changes = ", ".join(f"{name} = EXCLUDED.{name}" for name in columns if name not in key)
    return f"{insert(table, columns)} ON CONFLICT ({', '.join(key)}) DO UPDATE SET {changes}"


def update(table: str, columns: Mapping[str, str], key: Sequence[str]) -> str:
    """Return the statement that changes existing rows; its arguments are one array per column."""
    changes = ", ".join(f"{name} = new.{name}" for name in columns if name not in key)
    same = " AND ".join(f"old.{name} = new.{name}" for name in key)
    return f"UPDATE {table} old SET {changes} FROM {_arrays(columns)} AS new ({', '.join(columns)}) WHERE {same}"


async def newest(
    pool: asyncpg.Pool, table: str, column: str, value: str, limit: int, before: int | None
) -> tuple[list[asyncpg.Record], int]:
    """Return up to ``limit`` rows with a value, of events before position ``before``, newest first; and how many."""
    rows = await pool.fetch(
        f"""SELECT * FROM {table} WHERE {column} = $1 AND ($3::bigint IS NULL OR position < $3)
        ORDER BY position DESC LIMIT $2""",
        value,
        limit,
        before,
    )
    return rows, int(await pool.fetchval(f"SELECT count(*) FROM {table} WHERE {column} = $1", value))


def arrays(rows: Iterable[Any], columns: Iterable[str]) -> list[list[Any]]:
    """Return the attributes of ``rows`` as one list per column."""
    kept = list(rows)
    return [[getattr(row, name) for row in kept] for name in columns]


def _arrays(columns: Mapping[str, str]) -> str:
    return f"unnest({', '.join(f'${i}::{kind}[]' for i, kind in enumerate(columns.values(), 1))})"
