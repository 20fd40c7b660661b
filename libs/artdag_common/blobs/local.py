"""Content in a folder: ``<last two characters>/<cid>``. Written beside, made durable, then renamed."""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import os
import shutil
import time
import weakref
from collections.abc import Awaitable, Callable, Iterable, Iterator
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Self
from uuid import uuid4

from artdag_common import metrics
from artdag_common.blobs.durable import full_disk_is_named, make_durable
from artdag_common.blobs.port import Blob
from artdag_common.cid import CidHasher, cid_of, cid_of_file, is_cid, parse_cid
from artdag_common.errors import CidMismatchError, ContentNotFoundError

SHELVES = ("plans", "analysis")
PRIVATE = 0o700
CID_END = 2
"""Last characters of a CID, which name the folder it is in."""

UNKNOWN_STAMP = 1
"""Of a copy that came from where no stamps are kept: older than all others."""

First = Callable[[Path, str], Awaitable[object]]
Announce = Callable[[str], Awaitable[None]]


class LocalBlobStore:
    """Content-addressed files below one folder, which several processes may share.

    What is on its way in lies in ``incoming``, named ``<writer>.<anything>``. A writer is one store of one process; it
    holds a lock on the folder ``writers/<writer>`` for as long as it lives, and the kernel takes the lock back however
    it dies. Whoever opens the folder next removes what dead writers left.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._incoming = folder / "incoming"
        self._writers = folder / "writers"
        folder.mkdir(parents=True, exist_ok=True, mode=PRIVATE)
        for each in (self._incoming, self._writers, *(folder / shelf for shelf in SHELVES)):
            each.mkdir(exist_ok=True, mode=PRIVATE)
        self._remove_leftovers()
        self._writer = self._sign_in()
        self._written = metrics.CONTENT_STORED.of("local")
        self.announce: Announce | None = None
        """Told of content before anybody can see it here, by those who take it in for people."""

    def writer(self) -> LocalWriter:
        """See :class:`BlobStore`."""
        return LocalWriter(self)

    async def put(self, data: bytes, shelf: str = "") -> Blob:
        """See :class:`BlobStore`."""
        if self.announce:
            await self.announce(await asyncio.to_thread(cid_of, data))
        return await asyncio.to_thread(self._put, data, shelf)

    async def adopt(self, path: Path, shelf: str = "", cid: str = "") -> Blob:
        """See :class:`BlobStore`."""
        cid = cid or await asyncio.to_thread(cid_of_file, path)
        if self.announce:
            await self.announce(cid)
        return await asyncio.to_thread(self._adopt, path, cid, shelf)

    async def present(self, cids: Iterable[str]) -> set[str]:
        """See :class:`BlobStore`."""
        return {cid for cid in cids if is_cid(cid) and self._place(parse_cid(cid)).exists()}

    async def stamps(self, cids: Iterable[str]) -> dict[str, int]:
        """See :class:`BlobStore`."""
        found = {cid: _stamp(self._place(parse_cid(cid))) for cid in cids if is_cid(cid)}
        return {cid: stamp for cid, stamp in found.items() if stamp}

    async def remove(self, cid: str, stamp: int) -> bool:
        """See :class:`BlobStore`."""
        return await asyncio.to_thread(self._remove, parse_cid(cid), stamp)

    def files(self) -> Iterator[tuple[str, int, int]]:
        """Yield all content that is stored: CID, size in bytes, stamp."""
        for folder in sorted(self._folder.iterdir()):
            if len(folder.name) != CID_END:
                continue
            for file in sorted(folder.iterdir()):
                with contextlib.suppress(FileNotFoundError):
                    facts = file.stat()
                    yield file.name, facts.st_size, facts.st_mtime_ns

    async def path(self, cid: str) -> Path:
        """See :class:`BlobStore`."""
        place = self._place(parse_cid(cid))
        if not place.exists():
            raise ContentNotFoundError(f"no content {cid} is stored here", cid=cid)
        return place

    async def read(self, cid: str) -> bytes:
        """See :class:`BlobStore`."""
        return await asyncio.to_thread((await self.path(cid)).read_bytes)

    @property
    def folder(self) -> Path:
        """Where the content is; see :func:`stored_in`."""
        return self._folder

    def temporary(self) -> Path:
        """Return a path on the same file system for a file that is to be adopted."""
        return self._incoming / f"{self._writer}.{uuid4().hex}"

    def _sign_in(self) -> str:
        """Return the name of this writer; its lock is held until the store is gone."""
        while True:
            lock = self._writers / uuid4().hex
            lock.mkdir(mode=PRIVATE)
            with contextlib.suppress(FileNotFoundError):
                descriptor = os.open(lock, os.O_RDONLY)
                fcntl.flock(descriptor, fcntl.LOCK_EX)
                if lock.exists():
                    weakref.finalize(self, _sign_out, lock, descriptor)
                    return lock.name
                os.close(descriptor)
            # Somebody took it for a dead one's before it was locked.

    def _remove_leftovers(self) -> None:
        """Remove what writers that are dead had begun."""
        living = {lock.name for lock in self._writers.iterdir() if not _removed_if_dead(lock)}
        for path in self._incoming.iterdir():
            writer = path.name.partition(".")[0]
            # A writer signs in before it writes: what came since the list was made has a lock.
            if writer in living or (self._writers / writer).exists():
                continue
            if path.is_dir():
                shutil.rmtree(path, ignore_errors=True)
            else:
                path.unlink(missing_ok=True)

    def _place(self, cid: str) -> Path:
        return _place(self._folder, cid)

    def _put(self, data: bytes, shelf: str) -> Blob:
        cid = cid_of(data)
        if not self._again(cid):
            temporary = self.temporary()
            try:
                with full_disk_is_named():
                    temporary.write_bytes(data)
                self.keep(temporary, cid)
            finally:
                temporary.unlink(missing_ok=True)
        self._show(cid, shelf)
        return Blob(cid, len(data))

    def _adopt(self, path: Path, cid: str, shelf: str) -> Blob:
        size = path.stat().st_size
        if path.stat().st_dev != self._folder.stat().st_dev:
            raise ValueError(f"{path} is on another file system")
        self.keep(path, cid)
        self._show(cid, shelf)
        return Blob(cid, size)

    def keep(self, temporary: Path, cid: str, stamp: int | None = None) -> None:
        """Make a finished file durable under its CID; it is known to hash to it.

        Args:
            stamp: of the content elsewhere that this is a copy of: what is here already stays. None: it is stored now.
        """
        place = self._place(cid)
        with full_disk_is_named():
            if not place.parent.exists():
                place.parent.mkdir(exist_ok=True, mode=PRIVATE)
                make_durable(self._folder)
            make_durable(temporary)
            temporary.chmod(0o444)
            with _lock(place.parent, fcntl.LOCK_SH):
                _restamp(temporary, stamp)
                if stamp is None or not place.exists():
                    self._written.inc(temporary.stat().st_size)
                    temporary.replace(place)
            make_durable(place.parent)

    def _again(self, cid: str) -> bool:
        """Note that content is stored again; False: it is not there."""
        place = self._place(cid)
        with contextlib.suppress(FileNotFoundError), _lock(place.parent, fcntl.LOCK_SH):
            _restamp(place)
            return True
        return False

    def _remove(self, cid: str, stamp: int) -> bool:
        place = self._place(cid)
        with contextlib.suppress(FileNotFoundError), _lock(place.parent, fcntl.LOCK_EX):
            if _stamp(place) > stamp:
                return False
            for shelf in SHELVES:
                (self._folder / shelf / f"{cid}.json").unlink(missing_ok=True)
            place.unlink(missing_ok=True)
            make_durable(place.parent)
        return True

    def _show(self, cid: str, shelf: str) -> None:
        if shelf:
            with contextlib.suppress(FileExistsError):
                os.link(self._place(cid), self._folder / shelf / f"{cid}.json")


def stored_in(folder: Path) -> Callable[[str], Path | None]:
    """Return the function that finds content in a store's folder: CID, in its canonical form → file, or None."""

    def find(cid: str) -> Path | None:
        place = _place(folder, cid)
        return place if place.exists() else None

    return find


def _place(folder: Path, cid: str) -> Path:
    return folder / cid[-2:] / cid


class LocalWriter:
    """Hashes while it writes."""

    def __init__(self, store: LocalBlobStore) -> None:
        self._store = store
        self._path = store.temporary()
        self._hasher = CidHasher()
        self._file: BinaryIO | None = None

    @property
    def size_bytes(self) -> int:
        """Bytes taken so far."""
        return self._hasher.size

    async def __aenter__(self) -> Self:
        with full_disk_is_named():
            self._file = self._path.open("wb", buffering=0)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._file:
            self._file.close()
        self._path.unlink(missing_ok=True)

    async def write(self, *pieces: bytes | bytearray) -> None:
        """See :class:`BlobWriter`. Hashing takes about as long as writing: both are done at once."""
        await asyncio.gather(asyncio.to_thread(self._write, pieces), asyncio.to_thread(self._hasher.update, *pieces))

    async def commit(self, first: First | None = None) -> Blob:
        """See :class:`BlobWriter`. ``first`` is called with the finished file and its CID before anybody can see it."""
        cid = self._hasher.cid()
        if first:
            await first(self._path, cid)
        if self._store.announce:
            await self._store.announce(cid)
        await asyncio.to_thread(self._store.keep, self._path, cid)
        return Blob(cid, self._hasher.size)

    async def commit_copy(self, cid: str, stamp: int) -> Blob:
        """Make bytes durable that came from elsewhere for a CID, in its canonical form.

        Args:
            stamp: the one of where they come from; 0: not known.

        Raises:
            CidMismatchError: the bytes are others; nothing was stored.
        """
        found = self._hasher.cid()
        if found != cid:
            raise CidMismatchError(f"{self._hasher.size} bytes came for {cid}, they are {found}", cid=cid)
        await asyncio.to_thread(self._store.keep, self._path, cid, max(stamp, UNKNOWN_STAMP))
        return Blob(cid, self._hasher.size)

    def _write(self, pieces: Iterable[bytes | bytearray]) -> None:
        assert self._file
        with full_disk_is_named():
            for piece in pieces:
                view = memoryview(piece)
                while view:
                    view = view[self._file.write(view) :]


def _stamp(place: Path) -> int:
    """Return when a file was stored last, in nanoseconds; 0: it is not there."""
    try:
        return place.stat().st_mtime_ns
    except FileNotFoundError:
        return 0


def _restamp(path: Path, stamp: int | None = None) -> None:
    """Give a file a stamp, or the time of now, to the nanosecond: the kernel's own stamps are milliseconds coarse."""
    now = time.time_ns()
    os.utime(path, ns=(now, now if stamp is None else stamp))


@contextlib.contextmanager
def _lock(folder: Path, how: int) -> Iterator[None]:
    """Hold the lock of a folder of content: shared to store in it, alone to remove from it. Other processes heed it."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, how)
        yield
    finally:
        os.close(descriptor)


def _removed_if_dead(lock: Path) -> bool:
    """Remove a writer's lock if nobody holds it; return whether it is gone."""
    try:
        descriptor = os.open(lock, os.O_RDONLY)
    except FileNotFoundError:
        return True
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        with contextlib.suppress(FileNotFoundError):
            lock.rmdir()
    except BlockingIOError:
        return False
    finally:
        os.close(descriptor)
    return True


def _sign_out(lock: Path, descriptor: int) -> None:
    with contextlib.suppress(OSError):  # the whole folder may be gone
        lock.rmdir()
    os.close(descriptor)
