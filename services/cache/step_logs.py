"""Logs of steps that nobody will read any more."""

from __future__ import annotations

import asyncio

import asyncpg
import structlog

from artdag_common.turning import Loop

EVERY_SECONDS = 3600.0

log = structlog.get_logger(__name__)


class OldStepLogs(Loop):
    """Removes what attempts said that ended long ago."""

    def __init__(self, pool: asyncpg.Pool, retention_s: float) -> None:
        """``retention_s``: seconds that they are kept; 0: for ever."""
        self._pool = pool
        self._retention_s = retention_s

    async def start(self) -> None:
        """Run in the background, now and every hour."""
        if self._retention_s:
            self._begin_loop(self._work(), "old step logs")

    @property
    def turning(self) -> bool:
        """Whether they are still removed, where they are not kept for ever."""
        return not self._retention_s or super().turning

    async def remove(self) -> int:
        """Remove them; return how many there were."""
        done: str = await self._pool.execute(
            "DELETE FROM step_logs WHERE ended_at < now() - make_interval(secs => $1)", self._retention_s
        )
        return int(done.rpartition(" ")[2])

    async def _work(self) -> None:
        while True:
            try:
                if count := await self.remove():
                    log.info("old logs of steps were removed", count=count)
            except Exception as error:
                log.warning("old logs of steps are removed later", error=repr(error))
            await asyncio.sleep(EVERY_SECONDS)
