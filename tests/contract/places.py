"""A far place that does whatever a test needs done."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable
from pathlib import Path

from artdag_common.blobs.layered import Place
from artdag_common.blobs.remote import Progress, Usage
from artdag_common.cid import cid_of, parse_cid
from artdag_common.errors import ArtdagError, ContentNotFoundError, ServiceUnavailableError

PIECE = 1000


class FakePlace:
    """Content in memory.

    Attributes:
        error: what every call ends with.
        breaks_after: pieces after which a download ends with an error.
        gate: what a download waits for before its second piece.
    """

    def __init__(self, *contents: bytes) -> None:
        self.contents = {cid_of(data): data for data in contents}
        self.error: ArtdagError | None = None
        self.breaks_after: int | None = None
        self.gate: asyncio.Event | None = None
        self.begun = asyncio.Event()
        self.asked: list[str] = []
        self.fetched: list[str] = []

    def lie(self, cid: str, data: bytes) -> None:
        """Have other bytes under a CID than it names."""
        self.contents[cid] = data

    def _answer(self) -> None:
        if self.error:
            raise self.error

    async def check(self) -> None:
        self._answer()

    async def present(self, cids: Iterable[str]) -> set[str]:
        asked = list(cids)
        self.asked += asked
        self._answer()
        return {cid for cid in asked if cid in self.contents}

    async def fetch(self, cid: str) -> AsyncIterator[bytes]:
        self._answer()
        if cid not in self.contents:
            raise ContentNotFoundError(f"nothing is called {cid}", cid=cid)
        self.fetched.append(cid)
        data = self.contents[cid]
        for number, start in enumerate(range(0, len(data), PIECE)):
            if number == self.breaks_after:
                raise ServiceUnavailableError("the connection broke")
            if number == 1 and self.gate:
                self.begun.set()
                await self.gate.wait()
            yield data[start : start + PIECE]

    async def store(self, path: Path, cid: str, progress: Progress | None = None) -> str:
        self._answer()
        self.contents[parse_cid(cid)] = path.read_bytes()
        return f"fake:{cid}"

    async def remove(self, cid: str) -> None:
        self._answer()
        self.contents.pop(cid, None)

    async def usage(self) -> Usage:
        self._answer()
        return Usage(len(self.contents), sum(map(len, self.contents.values())), None)

    async def close(self) -> None:
        """Nothing is open."""


def layer(name: str, place: FakePlace) -> Place:
    """A layer of one such place."""
    return Place(name, place, complete=True)
