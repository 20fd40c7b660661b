"""Content in layers: the local disk, then the other nodes, S3, IPFS. What is missing here is fetched, and checked.

A *node* is what shares one content folder. Content that one of its processes fetches is there for all of them.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import os
import time
from collections import OrderedDict
from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Protocol, Self

import structlog

from artdag_common import metrics, tracing
from artdag_common.blobs.lease import lease, note_use
from artdag_common.blobs.local import PRIVATE, UNKNOWN_STAMP, First, LocalBlobStore, LocalWriter
from artdag_common.blobs.port import Blob
from artdag_common.blobs.remote import RemoteStore
from artdag_common.cid import cid_of, cid_of_file, is_cid, parse_cid
from artdag_common.errors import (
    CidMismatchError,
    ContentNotFoundError,
    ProviderBusyError,
    ServiceUnavailableError,
    StorageRefusedError,
)
from artdag_common.tasks import end

AT_ONCE = 8
"""Downloads of one process at a time, and uploads to the primary layer."""
PIECE_BYTES = 1 << 20
STALL_SECONDS = 30.0
ASK_SECONDS = 15.0
AWAY_SECONDS = 5.0
"""For how long a layer that did not answer is not asked again."""
SEEN_SECONDS = 20.0
WRONG_SECONDS = 600.0
REMEMBERED = 50_000
LOCK_SECONDS = 0.02

log = structlog.get_logger(__name__)


class Source(Protocol):
    """One place that says that it has a piece of content."""

    @property
    def name(self) -> str:
        """For people."""

    def fetch(self, cid: str) -> AsyncIterator[bytes]:
        """Give the bytes, piece by piece; see :meth:`RemoteStore.fetch`."""


@dataclass(frozen=True, slots=True)
class Holders:
    """Who says that it has what.

    Attributes:
        sources: by CID, the best first.
        stamps: by CID, the newest stamp (:meth:`BlobStore.stamps`) that is known of.
        silent: those who did not answer, so that what nobody has may be theirs.
    """

    sources: Mapping[str, Sequence[Source]]
    stamps: Mapping[str, int] = field(default_factory=dict)
    silent: Sequence[str] = ()


class Layer(Protocol):
    """Places of one kind, asked together."""

    @property
    def name(self) -> str:
        """For people."""

    @property
    def kind(self) -> str:
        """For metrics: nodes, s3, ipfs."""

    async def holders(self, cids: Iterable[str], *, sure: bool) -> Holders:
        """Return who has the content. ``sure``: rather wait than leave somebody out.

        Raises:
            ServiceUnavailableError: nobody answers.
            StorageRefusedError: it does not answer us.
        """

    async def close(self) -> None:
        """Let connections go."""


class Place:
    """A layer of one far place, which is its only source too."""

    def __init__(self, name: str, store: RemoteStore, *, complete: bool = False, kind: str = "place") -> None:
        """``complete``: it is to have all content."""
        self.name = name
        self.kind = kind
        self.store = store
        self.complete = complete

    async def holders(self, cids: Iterable[str], *, sure: bool) -> Holders:
        """See :class:`Layer`."""
        return Holders({cid: [self] for cid in await self.store.present(cids)})

    def fetch(self, cid: str) -> AsyncIterator[bytes]:
        """See :class:`Source`."""
        return self.store.fetch(cid)

    async def close(self) -> None:
        """See :class:`Layer`."""
        await self.store.close()


class Memory:
    """Keys and a number for each, remembered for a while."""

    def __init__(self, seconds: float, clock: Callable[[], float]) -> None:
        self._seconds = seconds
        self._clock = clock
        self._noted: OrderedDict[tuple[str, str], tuple[float, int]] = OrderedDict()

    def note(self, key: tuple[str, str], number: int = 0) -> None:
        """Remember a key from now on."""
        self._noted[key] = self._clock() + self._seconds, number
        self._noted.move_to_end(key)
        while len(self._noted) > REMEMBERED:
            self._noted.popitem(last=False)

    def forget(self, key: tuple[str, str]) -> None:
        """Remember a key no more."""
        self._noted.pop(key, None)

    def get(self, key: tuple[str, str]) -> int | None:
        """Return the number of a key that is remembered."""
        until, number = self._noted.get(key, (0.0, 0))
        return number if until > self._clock() else None

    def __contains__(self, key: tuple[str, str]) -> bool:
        return self.get(key) is not None


@dataclass(slots=True)
class Flight:
    """A fetch under way, and how many wait for it."""

    task: asyncio.Task[Path]
    waiting: int = 0


class LayeredBlobStore:
    """The content store of one process of a node.

    With a ``primary``, content is durable there before it is seen here, so that whatever names it is true everywhere.
    """

    def __init__(
        self,
        local: LocalBlobStore,
        layers: Sequence[Layer] = (),
        primary: Place | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """
        Args:
            layers: asked one after the other.
            primary: one of ``layers``.
        """
        self.local = local
        self.layers = tuple(layers)
        self.primary = primary
        self._locks = local.folder / "fetching"
        self._locks.mkdir(exist_ok=True, mode=PRIVATE)
        self._flights: dict[str, Flight] = {}
        self._downloads = asyncio.Semaphore(AT_ONCE)
        self._uploads = asyncio.Semaphore(AT_ONCE)
        self._secured = Memory(SEEN_SECONDS, clock)
        self._seen = Memory(SEEN_SECONDS, clock)
        self._wrong = Memory(WRONG_SECONDS, clock)
        self._away = Memory(AWAY_SECONDS, clock)
        self._found_here = metrics.CONTENT_READS.of("local")
        for found in ("missing", "unavailable", "wrong"):
            metrics.CONTENT_READS.of(found)
        for layer in self.layers:
            metrics.CONTENT_READS.of(layer.kind)
            metrics.CONTENT_WRONG.of(layer.kind)

    @property
    def folder(self) -> Path:
        """Where the local content is."""
        return self.local.folder

    def temporary(self) -> Path:
        """Return a path on the same file system for a file that is to be adopted."""
        return self.local.temporary()

    # --- in ---

    def writer(self) -> LayeredWriter:
        """See :class:`BlobStore`."""
        return LayeredWriter(self.local.writer(), self._secure)

    async def put(self, data: bytes, shelf: str = "") -> Blob:
        """See :class:`BlobStore`.

        Raises:
            ServiceUnavailableError: the primary layer does not take it now; nothing was stored.
        """
        if self.primary and not await self._is_secured(cid_of(data)):
            async with self.writer() as writer:
                await writer.write(data)
                await writer.commit()
        return await self.local.put(data, shelf)

    async def adopt(self, path: Path, shelf: str = "", cid: str = "") -> Blob:
        """See :class:`BlobStore`.

        Raises:
            ServiceUnavailableError: the primary layer does not take it now; the file is where it was.
        """
        cid = cid or await asyncio.to_thread(cid_of_file, path)
        await self._secure(path, cid)
        return await self.local.adopt(path, shelf, cid)

    async def _is_secured(self, cid: str) -> bool:
        """Return whether the same was stored a moment ago."""
        return (cid, "") in self._secured and bool(await self.local.present([cid]))

    async def _secure(self, path: Path, cid: str) -> None:
        """Have the primary layer hold a file before it is seen here.

        A layer that says no is as one that does not answer: somebody has to act, and then it goes on.
        """
        if not self.primary:
            return
        async with self._uploads:
            try:
                await self.primary.store.store(path, cid)
                metrics.CONTENT_STORED.of(self.primary.kind).inc(path.stat().st_size)
            except StorageRefusedError as error:
                raise _unavailable(f"{self.primary.name} refuses content: {error.message}") from error
            except ServiceUnavailableError as error:
                raise _unavailable(error.message, error) from error
        self._secured.note((cid, ""))

    # --- out ---

    async def present(self, cids: Iterable[str]) -> set[str]:
        """See :class:`BlobStore`. Here, or in a layer that says so.

        Raises:
            ServiceUnavailableError: the primary layer does not answer, and nobody else has all of it.
        """
        return set(await self.stamps(cids))

    async def stamps(self, cids: Iterable[str]) -> dict[str, int]:
        """See :class:`BlobStore`. 0: it is stored, nobody knows when.

        Raises as :meth:`present`.
        """
        asked = {cid: parse_cid(cid) for cid in cids if is_cid(cid)}
        found = await self.local.stamps(asked.values())
        missing = asked.values() - found.keys()
        for layer in self.layers:
            if not missing:
                break
            seen = {cid: stamp for cid in missing if (stamp := self._seen.get((layer.name, cid))) is not None}
            try:
                if unknown := missing - seen.keys():
                    holders = await self._ask(layer, unknown, sure=False)
                    for cid in holders.sources:
                        seen[cid] = holders.stamps.get(cid, 0)
                        self._seen.note((layer.name, cid), seen[cid])
            except ServiceUnavailableError:
                if layer is self.primary:
                    raise
            found |= seen
            missing -= seen.keys()
        return {
            cid: stamp if stamp > UNKNOWN_STAMP else 0
            for cid, canonical in asked.items()
            if (stamp := found.get(canonical)) is not None
        }

    async def remove(self, cid: str, stamp: int) -> bool:
        """See :class:`BlobStore`. Other nodes remove theirs themselves; see :mod:`services.cache.keeping`."""
        for layer in self.layers:
            self._seen.forget((layer.name, parse_cid(cid)))
        self._secured.forget((parse_cid(cid), ""))
        return await self.local.remove(cid, stamp)

    async def path(self, cid: str) -> Path:
        """See :class:`BlobStore`. What is not here is fetched.

        Raises:
            ContentNotFoundError: nobody has it.
            CidMismatchError: nobody has the right bytes.
            ServiceUnavailableError: nobody who answers has it.
            StorageFullError: there is no room for it here.
        """
        cid = parse_cid(cid)
        try:
            path = await self.local.path(cid)
        except ContentNotFoundError:
            if not self.layers:
                metrics.CONTENT_READS.of("missing").inc()
                raise
            path = await self._fetched(cid)
        else:
            self._found_here.inc()
        note_use(path)
        return path

    async def read(self, cid: str) -> bytes:
        """See :class:`BlobStore`, and :meth:`path`."""
        async with self.held([cid]) as (path,):
            return await asyncio.to_thread(path.read_bytes)

    @asynccontextmanager
    async def held(self, cids: Sequence[str]) -> AsyncIterator[list[Path]]:
        """Give local files that stay while the block runs: whoever makes room leaves them alone.

        Raises as :meth:`path`.
        """
        wanted = list(dict.fromkeys(cids))
        paths = await self._paths(wanted)
        with contextlib.ExitStack() as leases:
            for cid in wanted:
                while (descriptor := lease(paths[cid])) is None:  # it went in this very moment
                    paths[cid] = await self.path(cid)
                leases.callback(os.close, descriptor)
            yield [paths[cid] for cid in cids]

    async def _paths(self, cids: Sequence[str]) -> dict[str, Path]:
        """Return where content is, fetched at once where it is not here. Each is one read, as metrics count it."""
        if len(cids) == 1:
            return {cids[0]: await self.path(cids[0])}
        fetching = [asyncio.create_task(self.path(cid)) for cid in cids]
        try:
            return dict(zip(cids, await asyncio.gather(*fetching), strict=True))
        finally:
            await end(*fetching)

    async def close(self) -> None:
        """Break off what is being fetched, and let connections go."""
        await end(*(flight.task for flight in self._flights.values()))
        for layer in self.layers:
            await layer.close()

    # --- fetching ---

    async def _fetched(self, cid: str) -> Path:
        """Wait for the one fetch of this process; it is broken off when nobody waits any more."""
        flight = self._flights.get(cid)
        if flight is None:
            flight = Flight(asyncio.create_task(self._fill(cid), name=f"fetch {cid}"))
            self._flights[cid] = flight
            flight.task.add_done_callback(lambda task: self._landed(cid, task))
        flight.waiting += 1
        try:
            return await asyncio.shield(flight.task)
        finally:
            flight.waiting -= 1
            if not flight.waiting and not flight.task.done():
                self._forget(cid, flight.task)
                await end(flight.task)

    def _landed(self, cid: str, task: asyncio.Task[Path]) -> None:
        self._forget(cid, task)
        if not task.cancelled():
            task.exception()  # seen: whoever waited may be gone

    def _forget(self, cid: str, task: asyncio.Task[Path]) -> None:
        if (flight := self._flights.get(cid)) and flight.task is task:
            del self._flights[cid]

    async def _fill(self, cid: str) -> Path:
        async with self._downloads, self._alone(cid):
            with contextlib.suppress(ContentNotFoundError):  # another process of the node was first
                return await self.local.path(cid)
            return await self._fetch(cid)

    @asynccontextmanager
    async def _alone(self, cid: str) -> AsyncIterator[None]:
        """Be the only process of the node that fetches this. The kernel takes the lock of a process that dies."""
        path = self._locks / cid
        while True:
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                if _is(descriptor, path):
                    break
            except BlockingIOError:
                # Asked again and again: the kernel wakes nobody but a thread that stands still, and each waiter
                # would need one of its own.
                await asyncio.sleep(LOCK_SECONDS)
            except BaseException:
                os.close(descriptor)
                raise
            os.close(descriptor)
        try:
            yield
        finally:
            path.unlink(missing_ok=True)
            os.close(descriptor)

    async def _fetch(self, cid: str) -> Path:
        wrong: list[str] = []
        silent: list[str] = []
        why: list[Exception] = []
        for layer in self.layers:
            try:
                holders = await self._ask(layer, [cid], sure=True)
            except ServiceUnavailableError as error:
                silent.append(layer.name)
                why.append(error)
                continue
            silent += holders.silent
            for source in holders.sources.get(cid, ()):
                if (source.name, cid) in self._wrong:
                    wrong.append(source.name)
                    continue
                began = time.perf_counter()
                try:
                    with tracing.span("fetch", {"layer": layer.kind, "source": source.name}, kind="client") as span:
                        blob = await self._take(source, cid, holders.stamps.get(cid, 0))
                        span.set(bytes=blob.size_bytes)
                except CidMismatchError as error:
                    metrics.CONTENT_WRONG.of(layer.kind).inc()
                    log.error("source gave wrong bytes", source=source.name, cid=cid, reason=error.message)
                    self._wrong.note((source.name, cid))
                    wrong.append(source.name)
                except ContentNotFoundError:  # it went meanwhile
                    continue
                except (ServiceUnavailableError, StorageRefusedError) as error:
                    log.warning("source did not give content", source=source.name, cid=cid, reason=error.message)
                    silent.append(source.name)
                    why.append(error)
                else:
                    metrics.CONTENT_READS.of(layer.kind).inc()
                    metrics.CONTENT_FETCHED.of(layer.kind).inc(blob.size_bytes)
                    metrics.CONTENT_FETCH_SECONDS.of(layer.kind).observe(time.perf_counter() - began)
                    log.info("content was fetched", source=source.name, cid=cid, size_bytes=blob.size_bytes)
                    return await self.local.path(cid)
            self._seen.forget((layer.name, cid))
        metrics.CONTENT_READS.of("unavailable" if silent else "wrong" if wrong else "missing").inc()
        if silent:
            raise _unavailable(f"content {cid} is not here, and {', '.join(silent)} cannot be asked now", *why)
        if wrong:
            raise CidMismatchError(f"content {cid}: the bytes of {', '.join(wrong)} are others", cid=cid)
        raise ContentNotFoundError(f"no content {cid} is stored here", cid=cid)

    async def _ask(self, layer: Layer, cids: Iterable[str], *, sure: bool) -> Holders:
        """Ask a layer, unless it did not answer a moment ago.

        Raises:
            ServiceUnavailableError: it does not answer.
        """
        if (layer.name, "") in self._away:
            raise _unavailable(f"{layer.name} did not answer a moment ago")
        try:
            async with asyncio.timeout(ASK_SECONDS):
                return await layer.holders(cids, sure=sure)
        except StorageRefusedError as error:
            log.error("layer refuses", layer=layer.name, reason=error.message)
            refused = _unavailable(f"{layer.name} refuses: {error.message}")
        except (ServiceUnavailableError, TimeoutError) as error:
            log.warning("layer does not answer", layer=layer.name, reason=str(error))
            refused = _unavailable(f"{layer.name} does not answer: {str(error) or 'time is up'}", error)
        self._away.note((layer.name, ""))
        raise refused

    async def _take(self, source: Source, cid: str, stamp: int) -> Blob:
        """Take the bytes into the local store, if they are the right ones."""
        pieces = source.fetch(cid)
        async with contextlib.AsyncExitStack() as stack:
            if close := getattr(pieces, "aclose", None):  # a generator holds a connection
                stack.push_async_callback(close)
            writer = await stack.enter_async_context(self.local.writer())
            waiting = bytearray()
            while True:
                try:
                    async with asyncio.timeout(STALL_SECONDS):
                        piece = await anext(pieces, None)
                except TimeoutError as error:
                    raise ServiceUnavailableError(f"{source.name} gave nothing for {STALL_SECONDS:g} s") from error
                if piece is None:
                    break
                waiting += piece
                if len(waiting) >= PIECE_BYTES:
                    await writer.write(bytes(waiting))
                    waiting.clear()
            await writer.write(bytes(waiting))
            return await writer.commit_copy(cid, stamp)


class LayeredWriter:
    """Bytes on their way to the primary layer, if there is one, and here."""

    def __init__(self, writer: LocalWriter, secure: First) -> None:
        self._writer = writer
        self._secure = secure

    @property
    def size_bytes(self) -> int:
        """Bytes taken so far."""
        return self._writer.size_bytes

    async def write(self, *pieces: bytes | bytearray) -> None:
        """See :class:`BlobWriter`."""
        await self._writer.write(*pieces)

    async def commit(self) -> Blob:
        """See :class:`BlobWriter`.

        Raises:
            ServiceUnavailableError: the primary layer does not take it now; nothing was stored.
        """
        return await self._writer.commit(self._secure)

    async def __aenter__(self) -> Self:
        await self._writer.__aenter__()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._writer.__aexit__(kind, error, trace)


def _unavailable(message: str, *why: Exception) -> ServiceUnavailableError:
    """Return the error for layers that do not answer; where one of them is there, and busy, for that one."""
    waits = [error.values.get("retry_after", 0.0) for error in why if isinstance(error, ProviderBusyError)]
    if waits:
        return ProviderBusyError(message, retry_after=max(*waits, AWAY_SECONDS))
    return ServiceUnavailableError(message, retry_after=AWAY_SECONDS)


def _is(descriptor: int, path: Path) -> bool:
    """Return whether an open file is the one at ``path``."""
    try:
        return os.path.samestat(os.fstat(descriptor), path.stat())
    except FileNotFoundError:
        return False
