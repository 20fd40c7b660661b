"""What metrics show of the books and the queues: read when somebody asks for it, and never for long."""

from __future__ import annotations

import time
from collections.abc import Callable

import asyncpg

from artdag_common import metrics

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


class Figures:
    """The metrics that stand in the cache service's tables."""

    def __init__(self, pool: asyncpg.Pool, clock: Callable[[], float] = time.monotonic) -> None:
        self._pool = pool
        self._clock = clock
        self._due = clock()

    async def show(self) -> None:
        """Set them."""
        (waiting,) = await self._pool.fetch(WAITING)
        for to in ("webhooks", "registry", "places"):
            metrics.OUTGOING.of(to).set(waiting[to])
        began = self._clock()
        if began < self._due:
            return
        self._due = began + KEPT_SECONDS  # also where it takes too long, and is broken off
        (kept,) = await self._pool.fetch(KEPT)
        for where in ("books", "places"):
            metrics.CONTENT_BYTES.of(where).set(kept[where])
        self._due = max(self._due, began + SHARE * (self._clock() - began))
