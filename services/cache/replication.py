"""Copies to the users' storage providers, in the background: each provider by itself, each copy until it is made.

What is to be copied follows from what is stored: providers that are enabled, content that is their owner's, copies
that there are. Whoever is killed in between leaves rows whose lease runs out, and the next one goes on.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Protocol

import asyncpg
import structlog

from artdag_common import metrics
from artdag_common.application import Application
from artdag_common.blobs.remote import Progress
from artdag_common.domain.aggregate import DomainEvent
from artdag_common.domain.content import Object
from artdag_common.domain.copy import Copy
from artdag_common.domain.run import Run
from artdag_common.domain.storage import REFUSED, Storage
from artdag_common.errors import (
    ArtdagError,
    ConfigurationError,
    ContentNotFoundError,
    ServiceUnavailableError,
    StorageFullError,
    StorageRefusedError,
)
from artdag_common.tasks import end
from artdag_common.turning import Loop
from services.cache.opening import Opening
from services.cache.queue import LEASE_SECONDS, Claimed, CopyQueue, Wanted
from services.cache.storage import change, try_place

FOLLOWER = "cache-copies"
FOLLOWED = (
    "evt.object.*.ObjectClaimed",
    "evt.object.*.ObjectNamed",
    "evt.object.*.ObjectDisowned",
    "evt.object.*.ObjectEvicted",
    "evt.run.*.RunCompleted",
)

AT_ONCE = 32
PER_PROVIDER = 4
PAGE = 200
POLL_SECONDS = 5.0
FIRST_WAIT_SECONDS = 1.0
LONGEST_WAIT_SECONDS = 3600.0
TICK_SECONDS = 0.5
PURGE_FAILURES = 12
"""Attempts in a row that a provider may not answer while our copies are removed there: about an hour."""

Tick = Callable[[str, str, int, int, str], Awaitable[None]]
"""``(storage id, cid, bytes done, bytes in all, what the place says of it)``; all bytes done: it is over."""

log = structlog.get_logger(__name__)


def wait_seconds(failures: int, chance: float) -> float:
    """Return how long to wait after so many failures in a row: doubled each time, and no two wait alike.

    Args:
        failures: from 1.
        chance: 0 to 1, drawn for each wait.
    """
    longest: float = min(LONGEST_WAIT_SECONDS, FIRST_WAIT_SECONDS * 2.0 ** min(failures - 1, 30))
    return longest * (0.5 + 0.5 * chance)


def _wait(failures: int) -> float:
    return wait_seconds(failures, random.random())  # noqa: S311  (nobody has to be kept from guessing it)


class Files(Protocol):
    """What is needed of the content store."""

    def held(self, cids: Sequence[str]) -> AbstractAsyncContextManager[list[Path]]:
        """Give local files that stay while the block runs.

        Raises:
            ContentNotFoundError: one is not stored.
            ServiceUnavailableError: where it is stored does not answer.
        """


class Replicator(Loop):
    """Makes copies, and removes them where a provider is to be emptied."""

    def __init__(self, app: Application, queue: CopyQueue, files: Files, opening: Opening, tick: Tick) -> None:
        self._app = app
        self._queue = queue
        self._files = files
        self._opening = opening
        self._tick = tick
        self._due = asyncio.Event()
        self._room = asyncio.Semaphore(AT_ONCE)
        self._lanes: dict[str, asyncio.Task[None]] = {}

    async def start(self) -> None:
        """Run in the background."""
        self._begin_loop(self._work(), "copies")

    async def stop(self) -> None:
        """Stop; what was being copied is given back."""
        await super().stop()
        await end(*self._lanes.values())

    def wake(self) -> None:
        """Look at once for something to do."""
        self._due.set()

    async def note_owned(self, events: Sequence[DomainEvent]) -> None:
        """Take in what is whose: what users brought or named, and what their runs gave."""
        owned: set[tuple[str, str]] = set()
        given_up: set[tuple[str, str]] = set()
        for event in events:
            key = event.originator_id.partition("-")[2]
            match event:
                case Object.Claimed():
                    owned.add((event.owner, key))
                case Object.Named() if event.name:
                    owned.add((event.owner, key))
                case Object.Disowned():
                    given_up.add((event.owner, key))
                case Object.Evicted():
                    given_up.add(("", key))
                case Run.Completed():
                    run = await self._app.find(Run, key)
                    assert run is not None
                    owned |= {(run.owner, event.output_cid), (run.owner, event.provenance_cid)}
        if given_up:
            # These events may come late, or again: what the content says of itself now counts.
            contents = {cid: await self._app.find(Object, cid) for _, cid in given_up}
            for content in filter(None, contents.values()):
                if content.evicted:
                    owned -= {(owner, cid) for owner, cid in owned if cid == content.key}
                else:
                    owned |= {(owner, content.key) for owner in (*content.owners, *content.names)}
            await self._queue.disown(sorted(given_up - owned))
        if owned:
            await self._queue.own(sorted(owned))
            self.wake()

    # --- what there is to do ---

    async def _work(self) -> None:
        while True:
            self._due.clear()
            seconds: float = POLL_SECONDS
            try:
                await self._ask()
                await self._open_lanes()
                next_seconds = await self._queue.next_seconds()
                if next_seconds is not None:
                    seconds = min(POLL_SECONDS, max(0.05, next_seconds))
            except (ArtdagError, asyncpg.PostgresError) as error:
                log.warning("copies wait", error=str(error))
            except Exception as error:
                log.error("copies wait", error=repr(error), exc_info=error)
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._due.wait(), seconds)

    async def _ask(self) -> None:
        """Ask for the copies that the state implies, and again for those that failed before somebody asked again."""
        while True:
            new, again = await self._queue.wanted(PAGE)
            if new:
                now = self._app.clock()
                decided = [(Copy.request(each.storage_id, each.cid, each.owner, now), _cause(each, 0)) for each in new]
                await self._app.append_all(decided)  # a conflict: somebody asked already
                await self._queue.enqueue(new)
            if again:
                await self._ask_again(again)
            if max(len(new), len(again)) < PAGE:
                return

    async def _ask_again(self, wanted: Sequence[Wanted]) -> None:
        decided = []
        for each in wanted:
            copy = await self._app.find(Copy, Copy.key_of(each.storage_id, each.cid))
            if copy is not None:
                copy.ask_again(self._app.clock())
                if copy.pending_events:
                    decided.append((copy, _cause(each, copy.version)))
        await self._app.append_all(decided)
        await self._queue.enqueue(wanted)

    async def _open_lanes(self) -> None:
        """Have somebody at work for each provider that has something to do."""
        self._lanes = {key: lane for key, lane in self._lanes.items() if not lane.done()}
        for storage_id, state in (await self._queue.ready()).items():
            if storage_id not in self._lanes:
                work = self._purge(storage_id) if state == "purging" else self._copy(storage_id)
                lane = asyncio.create_task(work, name=f"copies {storage_id}")
                lane.add_done_callback(self._lane_ended)
                self._lanes[storage_id] = lane

    def _lane_ended(self, lane: asyncio.Task[None]) -> None:
        if not lane.cancelled() and (error := lane.exception()):
            if isinstance(error, ArtdagError):
                log.warning("copies wait", error=error.message)
            else:
                log.error("copies wait", error=repr(error), exc_info=error)
        else:
            self._due.set()

    # --- making copies ---

    async def _copy(self, storage_id: str) -> None:
        """Copy to one provider until nothing is due there."""
        workers = [asyncio.create_task(self._copy_on(storage_id)) for _ in range(PER_PROVIDER)]
        try:
            await asyncio.gather(*workers)
        finally:
            await end(*workers)

    async def _copy_on(self, storage_id: str) -> None:
        while True:
            async with self._room:
                claimed = await self._queue.claim(storage_id)
                if claimed is None:
                    return
                async with self._held(claimed):
                    await self._copy_one(claimed)

    @asynccontextmanager
    async def _held(self, claimed: Claimed) -> AsyncIterator[None]:
        """Keep a copy ours, and give it back if nothing came of it."""

        async def keep() -> None:
            while True:
                await asyncio.sleep(LEASE_SECONDS / 3)
                with contextlib.suppress(ServiceUnavailableError):
                    await self._queue.extend(claimed)

        keeping = asyncio.create_task(keep(), name="keep a copy")
        try:
            yield
        except BaseException:
            with contextlib.suppress(ArtdagError, asyncpg.PostgresError):
                await self._queue.release(claimed)
            raise
        finally:
            await end(keeping)

    async def _copy_one(self, claimed: Claimed) -> None:
        try:
            async with self._files.held([claimed.cid]) as (path,):
                await self._copy_file(claimed, path)
        except ServiceUnavailableError as error:  # our own trouble, not the provider's
            log.info("content to be copied cannot be had now", cid=claimed.cid, reason=error.message)
            await self._queue.later(claimed, _wait(claimed.attempt + 1))
        except ContentNotFoundError as error:
            await self._give_up(claimed, error)

    async def _copy_file(self, claimed: Claimed, path: Path) -> None:
        storage = await self._app.find(Storage, claimed.storage_id)
        assert storage is not None
        size_bytes = path.stat().st_size
        used = await self._queue.reserve(claimed, size_bytes, storage.capacity_bytes)
        if used is not None:
            error = StorageFullError(
                f"{storage.name!r} holds {used} of the {storage.capacity_bytes} bytes set as its capacity; this has"
                f" {size_bytes}"
            )
            await self._give_up(claimed, error)
            return
        try:
            place = await self._opening.of(storage)
            async with self._ticking(claimed, size_bytes) as progress:
                location = await place.store(path, claimed.cid, progress)
            metrics.CONTENT_STORED.of("places").inc(size_bytes)
        except ServiceUnavailableError as error:
            await self._fail(claimed, error, again=True)
            failures = await self._queue.failures(storage.key) + 1
            await self._queue.later(claimed, _wait(claimed.attempt + 1))
            await self._queue.pause(storage.key, _wait(failures))
            log.info("storage provider does not answer", storage=storage.key, failures=failures, reason=error.message)
        except (StorageRefusedError, ConfigurationError) as error:
            await self._look_at(storage.key)
            await self._give_up(claimed, error)
        except ArtdagError as error:  # other bytes are there: this copy's own trouble
            await self._give_up(claimed, error)
        else:
            await self._settle(claimed, lambda copy: copy.make(location, size_bytes, self._app.clock()), "made")
            await self._queue.made(claimed)

    async def _give_up(self, claimed: Claimed, error: ArtdagError) -> None:
        """Note a failure that trying again does not cure."""
        await self._fail(claimed, error, again=False)
        await self._queue.failed(claimed)

    @asynccontextmanager
    async def _ticking(self, claimed: Claimed, size_bytes: int) -> AsyncIterator[Progress]:
        """Tell how far a copy is that is being made, now and then, and of its end."""
        progress = Progress()
        storage_id, cid = claimed.storage_id, claimed.cid

        async def tell() -> None:
            while True:
                done = max(0, min(progress.done_bytes, size_bytes - 1))  # the last one counts when the place has all
                await self._tick(storage_id, cid, done, size_bytes, progress.status)
                await asyncio.sleep(TICK_SECONDS)

        telling = asyncio.create_task(tell(), name="tell of a copy")
        try:
            yield progress
        finally:
            await end(telling)
            await self._tick(storage_id, cid, size_bytes, size_bytes, "")

    async def _look_at(self, storage_id: str) -> None:
        """A copy was refused: find out whether everything is, and if so, ask this provider for nothing more."""
        storage = await self._app.find(Storage, storage_id)
        if storage is None or storage.removed:
            return
        code, reason = await try_place(self._opening, storage)
        if code == ConfigurationError("").code:
            code = REFUSED
        if code == REFUSED and (storage.code, storage.reason) != (code, reason):
            storage.check(code, reason, self._app.clock())
            await self._app.append(storage, f"look/{storage.key}/{storage.version}", also=change(storage))

    async def _fail(self, claimed: Claimed, error: ArtdagError, *, again: bool) -> None:
        def fail(copy: Copy) -> None:
            copy.fail(error.code, error.message, again, self._app.clock())

        await self._settle(claimed, fail, "failed")

    async def _settle(self, claimed: Claimed, decide: Callable[[Copy], None], what: str) -> None:
        """Append what came of an attempt. Where somebody else appended first, theirs stands and ours follows it."""
        for _ in range(2):
            copy = await self._app.find(Copy, Copy.key_of(claimed.storage_id, claimed.cid))
            if copy is None:
                return
            decide(copy)
            if not copy.pending_events:
                return
            if await self._app.append(copy, f"{what}/{copy.key}/{copy.version}") != "conflict":
                return

    # --- removing copies ---

    async def _purge(self, storage_id: str) -> None:
        """Remove our copies at a provider that its owner gave up, then forget what opens it."""
        while True:
            async with self._room:
                claimed = await self._queue.claim(storage_id)
                if claimed is None:
                    break
                async with self._held(claimed):
                    if not await self._remove(claimed):
                        return
        storage = await self._app.find(Storage, storage_id)
        if storage is not None and storage_id not in await self._queue.busy([storage_id]):
            await self._forget(storage)

    async def _remove(self, claimed: Claimed) -> bool:
        """Remove one copy. False: the provider does not answer."""
        storage = await self._app.find(Storage, claimed.storage_id)
        assert storage is not None
        try:
            await (await self._opening.of(storage)).remove(claimed.cid)
        except ServiceUnavailableError as error:
            failures = await self._queue.failures(storage.key) + 1
            if failures >= PURGE_FAILURES:
                log.info("copies are left at a storage provider", storage=storage.key, reason=error.message)
                await self._forget(storage)
            else:
                await self._queue.release(claimed)
                await self._queue.pause(storage.key, _wait(failures))
            return False
        except ArtdagError as error:
            log.info("a copy is left at a storage provider", storage=storage.key, reason=error.message)
            await self._queue.failed(claimed)
            return True
        await self._settle(claimed, lambda copy: copy.remove(self._app.clock()), "removed")
        await self._queue.drop(claimed)
        return True

    async def _forget(self, storage: Storage) -> None:
        storage.end_purge(await self._queue.left(storage.key), self._app.clock())
        if storage.pending_events:
            await self._app.append(storage, f"purged/{storage.key}", also=change(storage, forget=True))
        await self._opening.forget(storage.key)


def _cause(wanted: Wanted, version: int) -> str:
    """Return an id for a request, the same for whoever derives it from the same state."""
    return f"copy/{wanted.storage_id}_{wanted.cid}/{version}"
