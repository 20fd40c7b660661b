"""What the books say of content, done on this node: copied to the operator's places, removed from them and from here.

Derived from the log of events, from a position on that is kept in the content folder: each node does its own part, and
who is killed does nothing worse than the same again.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import itertools
import secrets
import time
from collections.abc import Awaitable, Callable, Iterable

import asyncpg
import structlog
from nats.aio.msg import Msg

from artdag_common import metrics
from artdag_common.blobs.layered import LayeredBlobStore, Place
from artdag_common.blobs.local import PRIVATE
from artdag_common.cid import is_cid
from artdag_common.errors import ArtdagError, CidMismatchError, ContentNotFoundError
from artdag_common.eventstore.holds import Book, Holds
from artdag_common.eventstore.postgres import LOST
from artdag_common.messaging import subjects
from artdag_common.messaging.bus import Bus
from artdag_common.tasks import end
from artdag_common.turning import Loop

SPAN = 5000
"""Positions of the log that are looked at in one query."""
AT_ONCE = 4
RECENT_SECONDS = 3600.0
"""What was stored since then may have no place in the log yet."""
LOOK_SECONDS = 5.0
"""What is told of new events may get lost."""
DELAYS = (1.0, 5.0, 30.0, 60.0)
HEAD = "SELECT coalesce(max(position), 0) FROM es_log"
CHANGED = """SELECT DISTINCT split_part(l.stream, '-', 1) AS kind, split_part(l.stream, '-', 2) AS cid FROM es_log l
CROSS JOIN LATERAL (SELECT type FROM es_events WHERE stream = l.stream AND version = l.version OFFSET 0) e
WHERE l.position > $1 AND l.position <= $2
AND e.type IN ('ObjectStored', 'ObjectRestored', 'ObjectEvicted', 'EffectRegistered') ORDER BY 1, 2"""

log = structlog.get_logger(__name__)


class Keeping(Loop):
    """Follows the books for one place, or for this node's disk."""

    def __init__(self, bus: Bus, pool: asyncpg.Pool, blobs: LayeredBlobStore, place: Place | None = None) -> None:
        """``place`` gets a copy of all content that lies here; None: the local disk, which gets one of all effects."""
        self._bus = bus
        self._pool = pool
        self._holds = Holds(pool)
        self._blobs = blobs
        self._place = place
        self.name = place.name if place else "this node"
        folder = blobs.folder / "kept"
        folder.mkdir(exist_ok=True, mode=PRIVATE)
        # A place that is set up later gets everything from the beginning on.
        self._file = folder / hashlib.sha256(self.name.encode()).hexdigest()[:16]
        self._grown = asyncio.Event()

    async def start(self) -> None:
        """Run in the background."""

        async def grown(_: Msg) -> None:
            self._grown.set()

        for kind in ("object", "effect"):
            await self._bus.nc.subscribe(subjects.event(f"{kind}-*", "*"), cb=grown)
        self._begin_loop(self._keep(), f"keep content: {self.name}")

    async def _keep(self) -> None:
        failures = 0
        while True:
            self._grown.clear()
            try:
                while await self.go_on():
                    failures = 0
            except (ArtdagError, asyncpg.PostgresError, TimeoutError, *LOST) as error:
                log.warning("content is kept later", place=self.name, reason=str(error) or type(error).__name__)
                await asyncio.sleep(DELAYS[min(failures, len(DELAYS) - 1)])
                failures += 1
                continue
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(LOOK_SECONDS):
                    await self._grown.wait()

    async def finish(self) -> None:
        """Stop, but first copy to the place what lies here and is not there, whether the log names it yet or not.

        Raises:
            ServiceUnavailableError: the place does not answer.
            StorageRefusedError: it says no.
        """
        await self.stop()
        if self._place is None:
            return
        while await self.go_on():
            pass
        recent = await asyncio.to_thread(self._recent)
        for start in range(0, len(recent), SPAN):
            await self._copy(recent[start : start + SPAN], self._place)

    def _recent(self) -> list[str]:
        since = time.time_ns() - int(RECENT_SECONDS * 10**9)
        return [cid for cid, _, stamp in self._blobs.local.files() if stamp > since and is_cid(cid)]

    async def go_on(self) -> bool:
        """Do what the next part of the log asks for; False: this was all of it.

        Raises:
            ServiceUnavailableError: the place does not answer; nothing is passed over.
            StorageRefusedError: it says no.
        """
        position = self._position()
        head = await self._pool.fetchval(HEAD)
        if head < position:  # another database than before
            position = 0
        last = min(head, position + SPAN)
        if last == position:
            return False
        rows = await self._pool.fetch(CHANGED, position, last)
        if self._place:
            await self._copy([row["cid"] for row in rows if row["kind"] == "object"], self._place)
        else:
            await self._remove([row["cid"] for row in rows if row["kind"] == "object"])
            await self._have([row["cid"] for row in rows if row["kind"] == "effect"])
        self._note(last)
        return True

    async def _gone(self, cids: Iterable[str]) -> dict[str, Book]:
        books = await self._holds.books(cids)
        return {cid: book for cid, book in books.items() if book.gone is not None}

    async def _copy(self, cids: list[str], place: Place) -> None:
        """Copy what lies here to the place, and remove there what was given up."""
        gone = await self._gone(cids)
        await _each(gone, place.store.remove)
        here = await self._blobs.local.present(set(cids) - gone.keys())
        missing = here - await place.store.present(here)

        async def copy(cid: str) -> None:
            with contextlib.suppress(ContentNotFoundError):  # given up in this very moment
                async with self._blobs.held([cid]) as (path,):
                    where = await place.store.store(path, cid)
                    metrics.CONTENT_STORED.of(place.kind).inc(path.stat().st_size)
                log.info("content was copied", place=self.name, cid=cid, where=where)

        await _each(missing, copy)
        await _each(await self._gone(missing), place.store.remove)  # while it was on its way

    async def _remove(self, cids: list[str]) -> None:
        """Remove from this disk what was given up, wherever that was decided."""
        for cid, book in (await self._gone(cids)).items():
            assert book.gone is not None
            await self._blobs.remove(cid, book.gone)

    async def _have(self, effects: list[str]) -> None:
        """Fetch effects: small, and wanted wherever a recipe is read."""

        async def fetch(cid: str) -> None:
            try:
                await self._blobs.path(cid)
            except (ContentNotFoundError, CidMismatchError) as error:
                log.warning("effect cannot be had", cid=cid, reason=error.message)

        await _each(effects, fetch)

    def _position(self) -> int:
        try:
            return int(self._file.read_text())
        except (FileNotFoundError, ValueError):
            return 0

    def _note(self, position: int) -> None:
        partial = self._file.with_name(f"{self._file.name}.{secrets.token_hex(4)}")
        partial.write_text(str(position))
        partial.replace(self._file)


async def drain(keepings: Iterable[Keeping], seconds: float) -> None:
    """Finish what is to be copied, for some seconds at most; say so where that is not enough. 0: leave it.

    This node may not come back, or not soon. What only it has would be missing then.
    """
    if not seconds:
        return
    try:
        async with asyncio.timeout(seconds):
            for keeping in keepings:
                await _finished(keeping)
    except TimeoutError:
        log.warning("content that only this node has may be left", seconds=seconds)


async def _finished(keeping: Keeping) -> None:
    """Finish, however often it takes."""
    for failures in itertools.count():
        try:
            await keeping.finish()
        except (ArtdagError, asyncpg.PostgresError, TimeoutError, *LOST) as error:
            log.warning("content is kept later", place=keeping.name, reason=str(error) or type(error).__name__)
            await asyncio.sleep(DELAYS[min(failures, 1)])
        else:
            return


async def _each(cids: Iterable[str], act: Callable[[str], Awaitable[object]]) -> None:
    """Do something with each, a few at a time; the first failure ends it."""
    turn = asyncio.Semaphore(AT_ONCE)

    async def one(cid: str) -> None:
        async with turn:
            await act(cid)

    tasks = [asyncio.create_task(one(cid)) for cid in cids]
    try:
        await asyncio.gather(*tasks)
    finally:
        await end(*tasks)
