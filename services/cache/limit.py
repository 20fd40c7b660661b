"""The local disk as a cache with a limit: what was not used for longest goes first, and never the only copy."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import asyncpg
import structlog

from artdag_common.blobs.layered import Place
from artdag_common.blobs.lease import NOTED_SECONDS, unused
from artdag_common.blobs.local import LocalBlobStore
from artdag_common.cid import is_cid
from artdag_common.errors import ContentNotFoundError, ServiceUnavailableError, StorageRefusedError
from artdag_common.eventstore.postgres import LOST
from artdag_common.turning import Loop

LOOK_SECONDS = 30.0
GRACE_SECONDS = 10 * NOTED_SECONDS
"""What was used since then stays: somebody may have its path and not have opened it yet."""
FULL = 0.9
"""Down to this part of the limit, so that not every new file begins it anew."""
ASKED_AT_ONCE = 200
EFFECTS = "SELECT DISTINCT cid FROM content_holds WHERE cid = ANY ($1::text[]) AND holder LIKE 'effect-%'"

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True, order=True)
class Stored:
    """A content file. ``used``: seconds since 1970; ``stamp``: see :meth:`BlobStore.stamps`."""

    used: float
    cid: str
    size_bytes: int
    stamp: int


def stored(folder: Path) -> list[Stored]:
    """Return the content files below a store's folder, the one that was not used for longest first."""
    found = []
    for shelf in folder.iterdir():
        if len(shelf.name) != 2 or not shelf.is_dir():
            continue
        for path in shelf.iterdir():
            try:
                facts = path.stat()
            except FileNotFoundError:
                continue
            if is_cid(path.name):
                found.append(Stored(facts.st_atime, path.name, facts.st_size, facts.st_mtime_ns))
    return sorted(found)


class Limit(Loop):
    """Keeps the local content below a limit."""

    def __init__(
        self,
        blobs: LocalBlobStore,
        places: Sequence[Place],
        pool: asyncpg.Pool,
        limit_bytes: int,
        grace_seconds: float = GRACE_SECONDS,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """``places``: what one of these has need not be here. Other nodes do not count: they make room too."""
        self._blobs = blobs
        self._places = places
        self._pool = pool
        self._limit = limit_bytes
        self._grace = grace_seconds
        self._clock = clock

    async def start(self) -> None:
        """Run in the background."""
        self._begin_loop(self._watch(), "make room")

    async def _watch(self) -> None:
        while True:
            try:
                await self.make_room()
            except (OSError, asyncpg.PostgresError, *LOST) as error:
                log.warning("room is made later", reason=str(error) or type(error).__name__)
            await asyncio.sleep(LOOK_SECONDS)

    async def make_room(self) -> int:
        """Remove what need not be here if there is more than the limit; return how many bytes went."""
        files = await asyncio.to_thread(stored, self._blobs.folder)
        total = sum(file.size_bytes for file in files)
        if total <= self._limit:
            return 0
        wanted, freed = total - int(self._limit * FULL), 0
        old = [file for file in files if self._clock() - file.used > self._grace]
        for start in range(0, len(old), ASKED_AT_ONCE):
            if freed >= wanted:
                break
            some = old[start : start + ASKED_AT_ONCE]
            elsewhere = await self._elsewhere([file.cid for file in some])
            for file in some:
                if freed >= wanted:
                    break
                if file.cid in elsewhere and await self._remove(file):
                    freed += file.size_bytes
        if freed < wanted:
            log.warning("local content is beyond its limit", bytes=total - freed, limit_bytes=self._limit)
        return freed

    async def _elsewhere(self, cids: list[str]) -> set[str]:
        """Return what can be fetched again, but for effects: they are small, and looked for on the disk alone."""
        found: set[str] = set()
        for place in self._places:
            try:
                found |= await place.store.present(set(cids) - found)
            except (ServiceUnavailableError, StorageRefusedError) as error:
                log.warning("place does not say what it has", place=place.name, reason=error.message)
        rows = await self._pool.fetch(EFFECTS, list(found))
        return found - {row["cid"] for row in rows}

    async def _remove(self, file: Stored) -> bool:
        """Remove a file that nobody uses, and nobody used since the list was made."""
        try:
            path = await self._blobs.path(file.cid)
            with unused(path) as free:
                if not free or path.stat().st_atime != file.used:
                    return False
                return await self._blobs.remove(file.cid, file.stamp)
        except (ContentNotFoundError, FileNotFoundError):  # it went by itself
            return False
