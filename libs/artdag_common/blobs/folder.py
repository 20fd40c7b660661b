"""Content in a folder of this machine, or of a disk mounted here: ``<last two characters>/<cid>``.

Written beside, made durable, then renamed: what is there is whole, wherever its writer died.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
import shutil
import time
from collections.abc import AsyncIterator, Callable, Iterable
from pathlib import Path
from typing import BinaryIO, TypeVar
from uuid import uuid4

from artdag_common.blobs.durable import make_durable
from artdag_common.blobs.remote import Progress, Usage
from artdag_common.blobs.trial import try_out
from artdag_common.cid import parse_cid
from artdag_common.errors import ContentNotFoundError, ServiceUnavailableError, StorageRefusedError

T = TypeVar("T")

PRIVATE = 0o700
INCOMING = "incoming"
PIECE_BYTES = 2**20
STALE_SECONDS = 86_400.0  # what came so long ago and was not finished never will be
REFUSING = {
    errno.EACCES: "give the server's user the right to read and write it",
    errno.EPERM: "give the server's user the right to read and write it",
    errno.EROFS: "it is mounted to be read only",
    errno.ENOSPC: "make room there",
    errno.EDQUOT: "make room there, or raise the quota",
    errno.EFBIG: "its file system does not take files of this size",
    errno.ENOENT: "make the folder above it, or mount its disk",
    errno.ENOTDIR: "give a folder",
    errno.EEXIST: "give a folder",
}


class FolderStore:
    """A :class:`RemoteStore` in a folder, which is made if the folder above it exists.

    Args:
        folder: absolute.
        timeout_seconds: for each call, but reading and writing bytes only between two pieces of them; a network disk
            that hangs keeps one thread until it answers.

    Raises:
        StorageRefusedError: the path is not absolute.
    """

    def __init__(self, folder: Path, *, timeout_seconds: float = 60.0) -> None:
        if not folder.is_absolute():
            raise StorageRefusedError(f"folder {str(folder)!r} is not an absolute path, such as /mnt/archive")
        self._folder = folder
        self._timeout = timeout_seconds

    def __repr__(self) -> str:
        return f"FolderStore({str(self._folder)!r})"

    @property
    def name(self) -> str:
        """Which place this is, for people."""
        return f"folder {self._folder}"

    async def check(self) -> None:
        """See :class:`RemoteStore`. Also removes what writers left that died more than a day ago."""
        await try_out(self, self.name)
        await self._timed(self._remove_stale)

    async def present(self, cids: Iterable[str]) -> set[str]:
        """See :class:`RemoteStore`."""
        asked = list(cids)
        return await self._timed(lambda: {cid for cid in asked if self._place(cid).is_file()})

    async def fetch(self, cid: str) -> AsyncIterator[bytes]:
        """See :class:`RemoteStore`."""
        place = self._place(cid)
        try:
            file = await self._timed(lambda: place.open("rb", buffering=0))
        except StorageRefusedError as error:
            if self._folder.parent.is_dir() and not place.exists():
                raise ContentNotFoundError(f"{self.name} has no content {cid}", cid=cid) from error
            raise
        with file:
            while piece := await self._timed(lambda: file.read(PIECE_BYTES)):
                yield piece

    async def store(self, path: Path, cid: str, progress: Progress | None = None) -> str:
        """See :class:`RemoteStore`."""
        place = self._place(cid)
        size = path.stat().st_size
        if not await self._timed(lambda: place.is_file() and place.stat().st_size == size):
            partial = self._folder / INCOMING / uuid4().hex
            try:
                await self._copy(path, partial, progress or Progress())
                await self._timed(lambda: self._keep(partial, place))
            finally:
                with contextlib.suppress(OSError):
                    partial.unlink(missing_ok=True)
        return str(place)

    async def remove(self, cid: str) -> None:
        """See :class:`RemoteStore`."""
        place = self._place(cid)

        def gone() -> None:
            with contextlib.suppress(FileNotFoundError):
                place.unlink()
                make_durable(place.parent)

        await self._timed(gone)

    async def usage(self) -> Usage:
        """See :class:`RemoteStore`. Capacity: what is there, and what is free on its disk."""

        def look() -> Usage:
            if not self._folder.exists():
                return Usage(0, 0, shutil.disk_usage(self._folder.parent).free)
            free = shutil.disk_usage(self._folder).free
            sizes = [file.stat().st_size for file in self._folder.glob("??/*")]
            return Usage(len(sizes), sum(sizes), sum(sizes) + free)

        return await self._timed(look)

    async def close(self) -> None:
        """See :class:`RemoteStore`."""

    def _place(self, cid: str) -> Path:
        name = parse_cid(cid)
        return self._folder / name[-2:] / name

    async def _copy(self, path: Path, partial: Path, progress: Progress) -> None:
        def begin() -> BinaryIO:
            self._folder.mkdir(exist_ok=True, mode=PRIVATE)
            partial.parent.mkdir(exist_ok=True, mode=PRIVATE)
            return partial.open("xb", buffering=0)

        def piece() -> bool:
            data = memoryview(source.read(PIECE_BYTES))
            more = bool(data)
            while data:
                written = target.write(data)
                progress.done_bytes += written
                data = data[written:]
            return more

        target = await self._timed(begin)
        with target, path.open("rb", buffering=0) as source:
            while await self._timed(piece):
                pass
            await self._timed(lambda: os.fsync(target.fileno()))

    def _keep(self, partial: Path, place: Path) -> None:
        if not place.parent.exists():
            place.parent.mkdir(exist_ok=True, mode=PRIVATE)
            make_durable(self._folder)
        partial.chmod(0o444)
        partial.replace(place)
        make_durable(place.parent)

    def _remove_stale(self) -> None:
        for path in (self._folder / INCOMING).glob("*"):
            with contextlib.suppress(FileNotFoundError):
                if time.time() - path.stat().st_mtime > STALE_SECONDS:
                    path.unlink()

    async def _timed(self, work: Callable[[], T]) -> T:
        """Do something with the disk in a thread, for so long."""
        try:
            async with asyncio.timeout(self._timeout):
                return await asyncio.to_thread(work)
        except TimeoutError as error:
            raise ServiceUnavailableError(f"{self.name} did not answer in {self._timeout:g} s") from error
        except OSError as error:
            said = f"{self.name}: {error.strerror or error}"
            advice = REFUSING.get(error.errno or 0)
            if advice:
                raise StorageRefusedError(f"{said}; {advice}") from error
            raise ServiceUnavailableError(f"{said}; look at the disk if this lasts") from error
