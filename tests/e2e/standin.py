"""A stand-in that L1 takes for its registry: it passes requests on to the real one, or does to them what it is told."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

BODY_BYTES = 4 * 2**20
HUGE_BYTES = 8 * 2**20
DRIP_SECONDS = 0.2

Writer = asyncio.StreamWriter
Fault = Callable[["StandIn", "Request", bytes, Writer], Awaitable[None]]
"""Answers a request in a way of its own; it is given what the registry answered, b"" where that was not asked."""


@dataclass(frozen=True, slots=True)
class Request:
    """A request that came by: its first line's words, its header lines, its body."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes


@dataclass(slots=True)
class Rule:
    """What happens to requests for a path."""

    path: str
    fault: Fault
    asks: bool
    left: int
    met: asyncio.Event = field(default_factory=asyncio.Event)


@dataclass(slots=True)
class StandIn:
    """Listens where L1 looks for the registry, and passes on to ``behind``."""

    port: int
    behind: int
    seen: list[Request] = field(default_factory=list)
    strayed: list[str] = field(default_factory=list)
    elsewhere: int = 0
    _rules: list[Rule] = field(default_factory=list)
    _released: asyncio.Event = field(default_factory=asyncio.Event)
    _server: asyncio.Server | None = None
    _trap: asyncio.Server | None = None
    _open: set[asyncio.Task[None]] = field(default_factory=set)

    async def start(self) -> None:
        """Listen; also at an address that nobody is to ask, to see whether somebody does."""
        self._trap = await asyncio.start_server(self._stray, "127.0.0.1", 0)
        self.elsewhere = self._trap.sockets[0].getsockname()[1]
        await self.open()

    async def open(self) -> None:
        """Listen."""
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", self.port)

    async def shut(self) -> None:
        """Refuse connections from now on, and end those that are there."""
        assert self._server
        self._server.close()
        for task in self._open:
            task.cancel()
        await asyncio.gather(*self._open, return_exceptions=True)
        await self._server.wait_closed()

    async def stop(self) -> None:
        """Listen no more."""
        await self.shut()
        assert self._trap
        self._trap.close()
        await self._trap.wait_closed()

    @asynccontextmanager
    async def closed(self) -> AsyncIterator[None]:
        """For a while nobody listens."""
        await self.shut()
        try:
            yield
        finally:
            await self.open()

    @asynccontextmanager
    async def doing(self, path: str, fault: Fault, asks: bool = False, times: int = 1_000_000) -> AsyncIterator[Rule]:
        """Do something to requests whose path begins so, up to so many.

        Args:
            asks: the registry is asked all the same; what it answers gets lost, or spoilt.
        """
        rule = Rule(path, fault, asks, times)
        self._rules.append(rule)
        try:
            yield rule
        finally:
            self._rules.remove(rule)
            self._released.set()
            self._released = asyncio.Event()

    async def released(self) -> None:
        """Wait until the fault is over."""
        await self._released.wait()

    def count(self, path: str) -> int:
        """Return how many requests for a path came."""
        return sum(request.path.startswith(path) for request in self.seen)

    async def _stray(self, reader: asyncio.StreamReader, writer: Writer) -> None:
        self.strayed.append((await reader.readline()).decode(errors="replace"))
        writer.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: Writer) -> None:
        task = asyncio.current_task()
        assert task
        self._open.add(task)
        try:
            await self._answer(reader, writer)
        except (OSError, EOFError, asyncio.CancelledError):  # whoever asked has gone, or we are closed
            pass
        finally:
            self._open.discard(task)
            with contextlib.suppress(OSError):
                writer.close()

    async def _answer(self, reader: asyncio.StreamReader, writer: Writer) -> None:
        """One request a connection: the answer says so, so that nobody waits for more."""
        head = await reader.readuntil(b"\r\n\r\n")
        first, *lines = head.decode("latin-1").rstrip("\r\n").split("\r\n")
        method, path, _ = first.split(" ")
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
        length = int(headers.get("content-length", "0"))
        assert length <= BODY_BYTES
        body = await reader.readexactly(length)
        request = Request(method, path, headers, body)
        self.seen.append(request)
        rule = next((each for each in self._rules if path.startswith(each.path) and each.left), None)
        if rule:
            rule.left -= 1
        answer = b"" if rule and not rule.asks else await self._ask(first, lines, body)
        if rule is None:
            writer.write(answer)
            await writer.drain()
            return
        rule.met.set()
        await rule.fault(self, request, answer, writer)

    async def _ask(self, first: str, lines: list[str], body: bytes) -> bytes:
        reader, writer = await asyncio.open_connection("127.0.0.1", self.behind)
        kept = [line for line in lines if not line.lower().startswith("connection:")]
        writer.write("\r\n".join([first, *kept, "Connection: close", "", ""]).encode("latin-1") + body)
        await writer.drain()
        answer = await reader.read()
        writer.close()
        return answer


def http(status: str, body: bytes, *headers: str, length: int | None = None) -> bytes:
    """Return an answer; ``length``: what it says its body has."""
    lines = [f"HTTP/1.1 {status}", *headers, f"Content-Length: {len(body) if length is None else length}"]
    return "\r\n".join([*lines, "Connection: close", "", ""]).encode() + body


async def hang(standin: StandIn, _: Request, __: bytes, ___: Writer) -> None:
    """Say nothing."""
    await standin.released()


async def drip(standin: StandIn, _: Request, answer: bytes, writer: Writer) -> None:
    """Send the right answer, byte by byte, for longer than anybody waits."""
    over = asyncio.create_task(standin.released())
    try:
        for i in range(len(answer)):
            writer.write(answer[i : i + 1])
            await writer.drain()
            await asyncio.wait((over,), timeout=DRIP_SECONDS)
            if over.done():
                return
    finally:
        over.cancel()


async def broken(_: StandIn, __: Request, ___: bytes, writer: Writer) -> None:
    """Answer 500."""
    writer.write(http("500 Internal Server Error", b"oh no", "Content-Type: text/plain"))
    await writer.drain()


async def page(_: StandIn, __: Request, ___: bytes, writer: Writer) -> None:
    """Answer with a page: somebody put a login portal in between."""
    writer.write(http("200 OK", b"<!doctype html><title>Welcome</title>", "Content-Type: text/html"))
    await writer.drain()


async def huge(_: StandIn, __: Request, ___: bytes, writer: Writer) -> None:
    """Answer with more than anybody reads."""
    writer.write(http("200 OK", b"", "Content-Type: application/json", length=HUGE_BYTES))
    for _number in range(HUGE_BYTES // 2**16):
        writer.write(b" " * 2**16)
        await writer.drain()


async def redirect(standin: StandIn, request: Request, _: bytes, writer: Writer) -> None:
    """Lead somewhere else."""
    place = f"Location: http://127.0.0.1:{standin.elsewhere}{request.path}"
    writer.write(http("307 Temporary Redirect", b"", place))
    await writer.drain()


async def picture(_: StandIn, __: Request, ___: bytes, writer: Writer) -> None:
    """Answer with something of another kind."""
    writer.write(http("200 OK", b"\x89PNG\r\n\x1a\n" + bytes(64), "Content-Type: image/png"))
    await writer.drain()


async def half(_: StandIn, __: Request, answer: bytes, writer: Writer) -> None:
    """Answer with half of the JSON, as if that were all."""
    body = answer.partition(b"\r\n\r\n")[2]
    writer.write(http("200 OK", body[: len(body) // 2], "Content-Type: application/json"))
    await writer.drain()


async def cut(_: StandIn, __: Request, answer: bytes, writer: Writer) -> None:
    """Break off in the middle of the answer."""
    writer.write(answer[: len(answer) - 10])
    await writer.drain()


async def lost(_: StandIn, __: Request, ___: bytes, writer: Writer) -> None:
    """Break off before the answer."""
    writer.transport.abort()
