"""What nobody needs: intermediates long unused, files that no book names, bytes of what was given up."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections import defaultdict
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from typing import Any, Protocol
from uuid import uuid4

import structlog

from artdag_common.application import Application
from artdag_common.blobs.port import BlobStore
from artdag_common.cid import is_cid
from artdag_common.commands import CollectGarbage, Command
from artdag_common.domain.content import Object
from artdag_common.domain.retention import WEAK, decide_sweep, is_arriving
from artdag_common.errors import AppendRefusedError, ArtdagError
from artdag_common.eventstore import holds as tables
from artdag_common.eventstore.holds import Book, Holds
from artdag_common.messaging.bus import Outcome
from artdag_common.messaging.commands import CommandHandler
from artdag_common.turning import Loop
from services.cache.handlers import CONSUMER

DAY = 86_400.0
EVERY_SECONDS = 3600.0
ORPHAN_SECONDS = DAY
ANNOUNCED_SECONDS = 3600.0
PAGE = 500
LISTED = 500
"""Items that a report lists; its sums count all."""
BY = "gc"

DELETED, UNUSED, ORPHAN = "deleted", "unused", "orphan"
WHY = {
    DELETED: "was deleted, and its bytes are still here",
    UNUSED: "nobody needs it, and nobody has used it for long; an intermediate is computed again when it is wanted",
    ORPHAN: "no book names it, and it is older than a day",
}

log = structlog.get_logger(__name__)


class Files(Protocol):
    """Content of which all that is on this disk can be listed."""

    def files(self) -> Iterator[tuple[str, int, int]]:
        """Yield CID, size in bytes, stamp."""


@dataclass(frozen=True, slots=True)
class Item:
    """Content that goes, or would go."""

    cid: str
    size_bytes: int
    why: str
    stamp: int


@dataclass(slots=True)
class Report:
    """What went, or in a dry run would go."""

    items: list[Item] = field(default_factory=list)

    def values(self, dry_run: bool) -> dict[str, Any]:
        """Return it as JSON knows it."""
        sums: dict[str, dict[str, Any]] = defaultdict(lambda: {"count": 0, "bytes": 0})
        for item in self.items:
            sums[item.why]["count"] += 1
            sums[item.why]["bytes"] += item.size_bytes
        return {
            "dry_run": dry_run,
            "count": len(self.items),
            "bytes": sum(item.size_bytes for item in self.items),
            "why": {why: {**facts, "reason": WHY[why]} for why, facts in sorted(sums.items())},
            "items": [{"cid": i.cid, "size_bytes": i.size_bytes, "why": i.why} for i in self.items[:LISTED]],
            "truncated": len(self.items) > LISTED,
        }


class Garbage(Loop):
    """Removes it, when asked to and by itself."""

    def __init__(self, app: Application, blobs: BlobStore, holds: Holds, retention_s: float, files: Files) -> None:
        """``retention_s``: seconds that what nobody needs is kept after its last use; 0: for ever."""
        self._app = app
        self._blobs = blobs
        self._holds = holds
        self._retention_s = retention_s
        self._files = files
        self._alone = asyncio.Lock()

    def handlers(self) -> dict[type[Command], CommandHandler]:
        """Return the handler of each command."""
        return {CollectGarbage: self.collect_garbage}

    async def start(self) -> None:
        """Run in the background: now, to finish what was begun, and every hour."""
        self._begin_loop(self._work(), "garbage")

    async def collect_garbage(self, command: CollectGarbage, command_id: str) -> Outcome:
        """Remove what nobody needs, or say what that would be."""
        older = self._retention_s if command.older_than_s < 0 else float(command.older_than_s)
        keep_all = command.older_than_s < 0 and not self._retention_s
        report = await self.collect(command.dry_run, None if keep_all else older)
        outcome = Outcome.of(**report.values(command.dry_run))
        await self._app.store.keep_outcome(CONSUMER, command_id, outcome.encode())
        return outcome

    async def collect(self, dry_run: bool, older_than_s: float | None) -> Report:
        """Go through all content once.

        Args:
            older_than_s: seconds without use after which an intermediate goes; None: it stays.
        """
        report = Report()
        async with self._alone:
            await self._holds.forget_announced(ANNOUNCED_SECONDS)
            async for item in self._found(older_than_s):
                if dry_run or await self._removed(item, older_than_s):
                    report.items.append(item)
        if report.items and not dry_run:
            log.info("garbage was removed", count=len(report.items), bytes=sum(i.size_bytes for i in report.items))
        return report

    async def _work(self) -> None:
        while True:
            try:
                await self.collect(False, self._retention_s or None)
            except Exception as error:  # the next round may find it better
                log.warning("garbage is collected later", error=repr(error))
            await asyncio.sleep(EVERY_SECONDS)

    async def _found(self, older_than_s: float | None) -> AsyncIterator[Item]:
        async for item in self._left():
            yield item
        if older_than_s is not None:
            async for book in self._unneeded(older_than_s):
                stamp = (await self._blobs.stamps([book.cid])).get(book.cid, 0)
                if not is_arriving(stamp, book.stamp, time.time_ns()):
                    yield Item(book.cid, book.size_bytes, UNUSED, stamp)
        async for item in self._orphans():
            yield item

    async def _left(self) -> AsyncIterator[Item]:
        """Give what was given up and is still here."""
        after = ""
        while page := await self._holds.gone(after, PAGE):
            stamps = await self._blobs.stamps([book.cid for book in page])
            left = {book.cid for book in page if 0 < stamps.get(book.cid, 0) <= (book.gone or 0)}
            if done := [book for book in page if book.cid not in left]:
                await self._holds.note_removed(done)
            for book in page:
                if book.cid in left:
                    yield Item(book.cid, book.size_bytes, DELETED, stamps[book.cid])
            after = page[-1].cid

    async def _unneeded(self, older_than_s: float) -> AsyncIterator[Book]:
        after = ""
        while page := await self._holds.unneeded(WEAK, older_than_s, after, PAGE):
            held = await self._holds.of([book.cid for book in page])
            for book in page:
                if decide_sweep(held[book.cid], book.unused_s, older_than_s).action == "evict":
                    yield book
            after = page[-1].cid

    async def _orphans(self) -> AsyncIterator[Item]:
        """Give files that no book names. They are looked up page by page: there may be many."""
        oldest = time.time_ns() - int(ORPHAN_SECONDS * 10**9)
        files = await asyncio.to_thread(lambda: [f for f in self._files.files() if f[2] < oldest and is_cid(f[0])])
        for start in range(0, len(files), PAGE):
            page = files[start : start + PAGE]
            cids = [cid for cid, _, _ in page]
            books, held = await self._holds.books(cids), await self._holds.of(cids)
            for cid, size_bytes, stamp in page:
                if cid not in books and not held[cid]:
                    yield Item(cid, size_bytes, ORPHAN, stamp)

    async def _removed(self, item: Item, older_than_s: float | None) -> bool:
        """Remove something. False: somebody came to need it, or it goes another time."""
        try:
            if item.why == ORPHAN and not await self._holds.orphaned(item.cid, item.size_bytes, item.stamp):
                return False
            if item.why == UNUSED and not await self._evicted(item, older_than_s or 0.0):
                return False
            return await self._blobs.remove(item.cid, item.stamp)
        except (ArtdagError, OSError) as error:
            log.warning("garbage stays for now", cid=item.cid, error=str(error))
            return False

    async def _evicted(self, item: Item, older_than_s: float) -> bool:
        content = await self._app.find(Object, item.cid)
        book = (await self._holds.books([item.cid])).get(item.cid)
        if content is None or book is None:  # it is being entered
            return False
        held = (await self._holds.of([item.cid]))[item.cid]
        if decide_sweep(held, book.unused_s, older_than_s).action != "evict":
            return False
        now = self._app.clock()
        content.restore(content.media_type, content.origin, now)  # stored again, and nobody noted it
        content.evict(BY, UNUSED, now)
        with contextlib.suppress(AppendRefusedError):  # somebody came to need it
            also = tables.evict(item.cid, held, max(item.stamp, book.stamp))  # another node may have a newer file
            return await self._app.append(content, f"{BY}/{uuid4()}", also=also) == "appended"
        return False
