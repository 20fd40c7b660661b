"""What metrics show of the books and the queues: read when somebody asks for it, who never waits long."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

import asyncpg
import structlog

from artdag_common import metrics
from artdag_common.eventstore.postgres import LOST
from artdag_common.tasks import end
from artdag_common.turning import runs

MOST = 100_000
WAITING = f"""SELECT (SELECT count(*) FROM (SELECT FROM webhook_notices LIMIT {MOST}) w) AS webhooks,
    (SELECT count(*) FROM (SELECT FROM deliveries LIMIT {MOST}) d) AS registry,
    (SELECT count(*) FROM
        (SELECT FROM storage_copies WHERE state IN ('waiting', 'copying') LIMIT {MOST}) c) AS places"""

KEPT = """SELECT (SELECT coalesce(sum(size_bytes), 0)::float8 FROM content_books WHERE gone IS NULL) AS books,
    (SELECT coalesce(sum(size_bytes), 0)::float8 FROM storage_copies WHERE state = 'made') AS places"""

SHARE = 100
"""All books are read for this: at most one hundredth of the time, and no more often than :data:`KEPT_SECONDS`."""
KEPT_SECONDS = 60.0
LONGEST_SECONDS = 300.0
"""How long adding up may take: of many millions of books, longer than whoever asks for metrics waits."""

log = structlog.get_logger(__name__)


class Figures:
    """The metrics that stand in the cache service's tables."""

    def __init__(self, pool: asyncpg.Pool, clock: Callable[[], float] = time.monotonic) -> None:
        self._pool = pool
        self._clock = clock
        self._due = clock()
        self._adding: asyncio.Task[None] | None = None

    async def stop(self) -> None:
        """Break off what is being read."""
        await end(self._adding)

    async def show(self) -> None:
        """Set them. The sums are begun, where it is time, and are there when they are."""
        (waiting,) = await self._pool.fetch(WAITING)
        for to in ("webhooks", "registry", "places"):
            metrics.OUTGOING.of(to).set(waiting[to])
        if self._clock() >= self._due and not runs(self._adding):
            self._adding = asyncio.create_task(self._add_up(), name="add up content")

    async def _add_up(self) -> None:
        began = self._clock()
        try:
            (kept,) = await self._pool.fetch(KEPT, timeout=LONGEST_SECONDS)
        except (asyncpg.PostgresError, *LOST) as error:
            log.info("content is added up later", error=str(error) or type(error).__name__)
        else:
            for where in ("books", "places"):
                metrics.CONTENT_BYTES.of(where).set(kept[where])
        self._due = began + max(KEPT_SECONDS, SHARE * (self._clock() - began))
