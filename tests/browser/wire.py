"""What lies between a browser and the server, and can be cut."""

from __future__ import annotations

import asyncio
import contextlib
from dataclasses import dataclass, field

from artdag_cli.backing import free_port

PIECE = 1 << 16


@dataclass(slots=True)
class Wire:
    """Listens on loopback and passes connections on to the server's port."""

    behind: int
    port: int = field(default_factory=free_port)  # nobody else's while it is cut
    _server: asyncio.Server | None = None
    _open: set[asyncio.Task[None]] = field(default_factory=set)

    @property
    def url(self) -> str:
        """Where browsers find the server."""
        return f"http://127.0.0.1:{self.port}"

    async def mend(self) -> None:
        """Listen; the same port each time."""
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", self.port)

    async def cut(self) -> None:
        """End all connections and take no new one."""
        if self._server is None:
            return
        self._server.close()
        for task in list(self._open):
            task.cancel()
        await asyncio.gather(*self._open, return_exceptions=True)
        await self._server.wait_closed()
        self._server = None

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task
        self._open.add(task)
        there: asyncio.StreamWriter | None = None
        try:
            answers, there = await asyncio.open_connection("127.0.0.1", self.behind)
            async with asyncio.TaskGroup() as both:
                both.create_task(_pass(reader, there))
                both.create_task(_pass(answers, writer))
        except (OSError, ExceptionGroup, asyncio.CancelledError):
            pass  # it was cut, or one of the two went away
        finally:
            self._open.discard(task)
            for end in (writer, there):
                if end:
                    end.transport.abort()


async def _pass(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError):
        while piece := await reader.read(PIECE):
            writer.write(piece)
            await writer.drain()
        writer.write_eof()
