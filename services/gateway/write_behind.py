"""Bytes of a body that threads write while more of it comes."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

WRITE_BYTES = 1 << 20
"""What is worth waking a thread for."""

WAITING_BYTES = 2 << 20
"""What waits at most, beside as much that is being written."""

SMALL_BYTES = 64 * 1024
"""Pieces below this are put together: a body may come byte by byte."""

Write = Callable[..., Awaitable[None]]
"""Takes the next pieces of a body."""


class WriteBehind:
    """Has what came written, in order, and keeps what comes meanwhile, up to a limit. Large pieces are not copied."""

    def __init__(self, write: Write) -> None:
        self._write = write
        self._waiting: list[bytes | bytearray] = []
        self._waiting_bytes = 0
        self._writing: asyncio.Future[None] | None = None

    async def take(self, piece: bytes) -> None:
        """Take the next bytes; waits where too much waits already.

        Raises:
            Exception: what writing those before them raised.
        """
        last = self._waiting[-1] if self._waiting else None
        if len(piece) >= SMALL_BYTES:
            self._waiting.append(piece)
        elif isinstance(last, bytearray):
            last += piece
        else:
            self._waiting.append(bytearray(piece))
        self._waiting_bytes += len(piece)
        if self._writing is None:
            if self._waiting_bytes >= WRITE_BYTES:
                self._begin()
        elif self._waiting_bytes >= WAITING_BYTES:
            await self._written(self._writing)

    async def finish(self) -> None:
        """Have all that came written.

        Raises:
            Exception: what writing raised.
        """
        await self.settle()
        self._begin()
        await self.settle()

    async def settle(self) -> None:
        """Wait until nothing is being written, as whoever closes what is written to must; a rest goes on waiting.

        Raises:
            Exception: what writing raised.
        """
        while self._writing is not None:
            await self._written(self._writing)

    async def _written(self, writing: asyncio.Future[None]) -> None:
        try:
            await asyncio.shield(writing)  # a thread that writes cannot be stopped
        except BaseException:
            if writing.done():
                self._writing = None  # told once
            raise
        self._go_on(writing)

    def _begin(self) -> None:
        if not self._waiting:
            return
        pieces, self._waiting, self._waiting_bytes = self._waiting, [], 0
        self._writing = asyncio.ensure_future(self._write(*pieces))
        self._writing.add_done_callback(self._go_on)

    def _go_on(self, written: asyncio.Future[None]) -> None:
        """Write what came meanwhile, if it is enough, though nothing more comes; a failure is for who waits."""
        if written is not self._writing or written.cancelled() or written.exception() is not None:
            return
        self._writing = None
        if self._waiting_bytes >= WRITE_BYTES:
            self._begin()
