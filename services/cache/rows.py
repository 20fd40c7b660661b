"""Tables of the cache service's own, asked for rows."""

from __future__ import annotations

from typing import Any

import asyncpg

from artdag_common.errors import ServiceUnavailableError
from artdag_common.eventstore.postgres import LOST


class Rows:
    """Statements on a pool of connections."""

    def __init__(self, pool: asyncpg.Pool) -> None:
        self._pool = pool

    async def _run(self, sql: str, *arguments: Any) -> list[asyncpg.Record]:
        """Return what a statement gives.

        Raises:
            ServiceUnavailableError: Postgres does not answer.
        """
        try:
            rows: list[asyncpg.Record] = await self._pool.fetch(sql, *arguments)
        except LOST as error:
            raise ServiceUnavailableError(f"Postgres does not answer: {error}") from error
        return rows
