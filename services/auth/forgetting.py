"""Handled messages, forgotten once nobody can send them again. The auth service does it for all: it runs the relay too.

The bus keeps a command for 7 days, clients may repeat a request by its key for 8. A row of the inbox that is older says
nothing that anybody will ask for.
"""

from __future__ import annotations

import asyncio

import asyncpg
import structlog

from artdag_common.eventstore.postgres import LOST
from artdag_common.turning import Loop

EVERY_SECONDS = 3600.0
AT_ONCE = 2000
"""Rows in one transaction, so that nobody waits for it."""

log = structlog.get_logger(__name__)


class Forgetting(Loop):
    """Removes old rows of the inbox, of all services."""

    def __init__(self, pool: asyncpg.Pool) -> None:
        self._pool = pool

    async def start(self) -> None:
        """Do it in the background: now, and every hour."""
        self._begin_loop(self._work(), "forget handled messages")

    async def forget(self, at_once: int = AT_ONCE) -> int:
        """Remove all rows that are too old, and return how many they were. Two may do it at once."""
        total = 0
        while count := await self._pool.fetchval("SELECT es_forget_handled($1)", at_once):
            total += count
        return total

    async def _work(self) -> None:
        while True:
            try:
                if count := await self.forget():
                    log.info("handled messages are forgotten", count=count)
            except (asyncpg.PostgresError, *LOST) as error:
                log.warning("handled messages are not forgotten", error=str(error) or type(error).__name__)
            await asyncio.sleep(EVERY_SECONDS)
