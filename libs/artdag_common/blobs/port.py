"""What services need of a content store."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Protocol, Self


@dataclass(frozen=True, slots=True)
class Blob:
    """Stored bytes: their CID and how many there are."""

    cid: str
    size_bytes: int


class BlobWriter(Protocol):
    """Bytes on their way in. Leaving the block without :meth:`commit` leaves nothing behind."""

    async def write(self, *pieces: bytes | bytearray) -> None:
        """Take the next bytes, one piece after the other."""

    async def commit(self) -> Blob:
        """Make the bytes durable under their CID."""

    async def __aenter__(self) -> Self: ...

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...


class BlobStore(Protocol):
    """Bytes by CID. What is stored is whole and durable; what is not whole is not there."""

    def writer(self) -> BlobWriter:
        """Begin to store bytes that come piece by piece."""

    async def put(self, data: bytes, shelf: str = "") -> Blob:
        """Store ``data``. ``shelf``: also show it in this subfolder (``plans``, ``analysis``) for people to find."""

    async def adopt(self, path: Path, shelf: str = "", cid: str = "") -> Blob:
        """Move a finished file in. ``cid``: of its bytes, where they were hashed as they came."""

    async def present(self, cids: Iterable[str]) -> set[str]:
        """Return those of ``cids`` that are stored."""

    async def stamps(self, cids: Iterable[str]) -> dict[str, int]:
        """Return when those of ``cids`` that are stored were stored last, in nanoseconds since 1970.

        Storing content again gives it a new stamp.
        """

    async def remove(self, cid: str, stamp: int) -> bool:
        """Remove content, unless it was stored again after ``stamp``: then it stays, and the answer is False."""

    async def path(self, cid: str) -> Path:
        """Return a local file with the bytes, to be read only.

        Raises:
            ContentNotFoundError: not stored.
        """

    async def read(self, cid: str) -> bytes:
        """Return the bytes; for small content.

        Raises:
            ContentNotFoundError: not stored.
        """
