"""Content in a folder: ``<last two characters>/<cid>``. Written beside, made durable, then renamed."""

from __future__ import annotations

import asyncio
import errno
import os
from collections.abc import Iterable
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Self
from uuid import uuid4

from artdag_common.blobs.port import Blob
from artdag_common.cid import CidHasher, cid_of, cid_of_file, parse_cid
from artdag_common.errors import ContentNotFoundError, StorageFullError

SHELVES = ("plans", "analysis")


class LocalBlobStore:
    """Content-addressed files below one folder, which several processes may share."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._incoming = folder / "incoming"
        for each in (folder, self._incoming, *(folder / shelf for shelf in SHELVES)):
            each.mkdir(parents=True, exist_ok=True)

    def writer(self) -> LocalWriter:
        """See :class:`BlobStore`."""
        return LocalWriter(self)

    async def put(self, data: bytes, shelf: str = "") -> Blob:
        """See :class:`BlobStore`."""
        return await asyncio.to_thread(self._put, data, shelf)

    async def adopt(self, path: Path, shelf: str = "") -> Blob:
        """See :class:`BlobStore`."""
        return await asyncio.to_thread(self._adopt, path, shelf)

    async def present(self, cids: Iterable[str]) -> set[str]:
        """See :class:`BlobStore`."""
        return {cid for cid in cids if self._place(cid).exists()}

    async def path(self, cid: str) -> Path:
        """See :class:`BlobStore`."""
        place = self._place(parse_cid(cid))
        if not place.exists():
            raise ContentNotFoundError(f"no content {cid} is stored here", cid=cid)
        return place

    async def read(self, cid: str) -> bytes:
        """See :class:`BlobStore`."""
        return await asyncio.to_thread((await self.path(cid)).read_bytes)

    def temporary(self) -> Path:
        """Return a path on the same file system for a file that is to be adopted."""
        return self._incoming / uuid4().hex

    def _place(self, cid: str) -> Path:
        return self._folder / cid[-2:] / cid

    def _put(self, data: bytes, shelf: str) -> Blob:
        cid = cid_of(data)
        if not self._place(cid).exists():
            temporary = self.temporary()
            try:
                with _full_disk_is_named():
                    temporary.write_bytes(data)
                self.keep(temporary, cid)
            finally:
                temporary.unlink(missing_ok=True)
        self._show(cid, shelf)
        return Blob(cid, len(data))

    def _adopt(self, path: Path, shelf: str) -> Blob:
        cid, size = cid_of_file(path), path.stat().st_size
        if path.stat().st_dev != self._folder.stat().st_dev:
            raise ValueError(f"{path} is on another file system")
        self.keep(path, cid)
        self._show(cid, shelf)
        return Blob(cid, size)

    def keep(self, temporary: Path, cid: str) -> None:
        """Make a finished file durable under its CID; it is known to hash to it."""
        place = self._place(cid)
        place.parent.mkdir(exist_ok=True)
        with _full_disk_is_named():
            descriptor = os.open(temporary, os.O_RDONLY)
            try:
                os.fsync(descriptor)
            finally:
                os.close(descriptor)
            temporary.chmod(0o444)
            temporary.replace(place)
            folder = os.open(place.parent, os.O_RDONLY)
            try:
                os.fsync(folder)
            finally:
                os.close(folder)

    def _show(self, cid: str, shelf: str) -> None:
        if shelf:
            try:
                os.link(self._place(cid), self._folder / shelf / f"{cid}.json")
            except FileExistsError:
                pass


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
        self._file = self._path.open("wb", buffering=0)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._file:
            self._file.close()
        self._path.unlink(missing_ok=True)

    async def write(self, data: bytes) -> None:
        """See :class:`BlobWriter`."""
        await asyncio.to_thread(self._write, data)

    async def commit(self) -> Blob:
        """See :class:`BlobWriter`."""
        cid = self._hasher.cid()
        await asyncio.to_thread(self._store.keep, self._path, cid)
        return Blob(cid, self._hasher.size)

    def _write(self, data: bytes) -> None:
        assert self._file
        with _full_disk_is_named():
            view = memoryview(data)
            while view:
                view = view[self._file.write(view) :]
        self._hasher.update(data)


class _full_disk_is_named:
    """Turns "no space left" into the error that says so."""

    def __enter__(self) -> None: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise StorageFullError("the disk that holds the cache is full; nothing was stored") from error
