"""Sums over all books, which may take longer than whoever asks for metrics waits."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import asyncpg
import pytest

from artdag_common import metrics
from artdag_common.blobs.local import LocalBlobStore
from services.cache.figures import KEPT_SECONDS, Figures
from tests.integration.cache.conftest import THING, Cache
from tests.integration.events.appends import eventually


class Clock:
    """Shows what it is set to."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture(autouse=True)
def counting() -> Iterator[None]:
    """Count, as a cache service that is probed does."""
    metrics.begin("cache")
    yield
    metrics.end()


@pytest.fixture
async def cache(pool: asyncpg.Pool, tmp_path: Path) -> AsyncIterator[Cache]:
    """The cache service whose books these are."""
    it = Cache(pool, LocalBlobStore(tmp_path))
    yield it
    await it.store.close()


def kept() -> dict[str, float]:
    """Return what is shown of kept content, by where."""
    family = metrics.CONTENT_BYTES._family.collect()[0]
    return {sample.labels["where"]: sample.value for sample in family.samples}


async def test_whoever_asks_for_metrics_does_not_wait_for_sums_and_finds_them_later(
    cache: Cache, pool: asyncpg.Pool
) -> None:
    await cache.upload()
    clock = Clock()
    figures = Figures(pool, clock)
    try:
        async with pool.acquire() as connection:
            held = connection.transaction()
            await held.start()
            await connection.execute("LOCK TABLE content_books IN ACCESS EXCLUSIVE MODE")
            await figures.show()  # comes back, though the sum waits
            assert kept() == {}
            await held.rollback()

        async def shown() -> bool:
            return bool(kept())

        await eventually(shown, "the sums are there")
        assert kept() == {"books": len(THING), "places": 0}
        await cache.upload(b"another")
        clock.now = KEPT_SECONDS - 1
        await figures.show()
        assert kept()["books"] == len(THING), "it is not added up all the time"
        clock.now = KEPT_SECONDS
        await figures.show()

        async def grown() -> bool:
            return kept()["books"] == len(THING) + len(b"another")

        await eventually(grown, "the next sums are there")
    finally:
        await figures.stop()
