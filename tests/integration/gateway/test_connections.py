"""Connections over real sockets: what is too slow, too large or too many is refused or cut off, the others go on."""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from ipaddress import ip_network
from typing import Any

import pytest
from starlette.requests import ClientDisconnect, Request
from starlette.responses import PlainTextResponse, Response, StreamingResponse
from starlette.types import Receive, Scope, Send

from artdag_common.addresses import LOOPBACK
from artdag_common.connections import ConnectionLimits
from artdag_common.serving import listen, serving

QUICK = {"check_seconds": 0.02, "linger_seconds": 0.2, "unlimited": LOOPBACK}
MEBIBYTE = bytes(1 << 20)
PLAIN = b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"


class Echo:
    """Answers with what came; ``/endless`` never stops to answer, ``/deaf`` answers without reading."""

    def __init__(self) -> None:
        self.hosts: list[str] = []
        self.paths: list[str] = []
        self.broken_off = asyncio.Event()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope, receive)
        self.hosts.append(request.headers.get("host", ""))
        self.paths.append(request.url.path)
        answer: Response
        if request.url.path == "/endless":
            answer = StreamingResponse(self._endless())
        elif request.url.path == "/deaf":
            answer = PlainTextResponse("no")
        else:
            try:
                answer = PlainTextResponse(str(len(await request.body())))
            except ClientDisconnect:
                self.broken_off.set()
                return
        await answer(scope, receive, send)

    async def _endless(self) -> AsyncIterator[bytes]:
        try:
            while True:
                yield MEBIBYTE
                await asyncio.sleep(0)  # to nobody, sending takes no time
        finally:
            self.broken_off.set()


Start = Callable[..., AbstractAsyncContextManager[int]]


@pytest.fixture
def echo() -> Echo:
    """The application."""
    return Echo()


@pytest.fixture
def start(echo: Echo) -> Start:
    """Serve it within limits; gives the port."""

    @asynccontextmanager
    async def run(**limits: Any) -> AsyncIterator[int]:
        listener = listen("127.0.0.1", 0)
        port = listener.getsockname()[1]
        async with serving(echo, listener, limits=ConnectionLimits(**(QUICK | limits))):
            yield port

    return run


@asynccontextmanager
async def connected(port: int) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    """Open a connection."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        yield reader, writer
    finally:
        writer.close()


async def asked(port: int, request: bytes) -> bytes:
    """Send bytes, and return everything that comes until the server closes."""
    async with connected(port) as (reader, writer):
        writer.write(request)
        return await asyncio.wait_for(reader.read(), 10)


def refusal(answer: bytes, status: int) -> dict[str, Any]:
    """Check that an answer is a problem with this status and says nothing of the server, and return it."""
    head, _, body = answer.partition(b"\r\n\r\n")
    lines = head.decode().lower().split("\r\n")
    assert lines[0].startswith(f"http/1.1 {status} "), answer
    assert {"content-type: application/problem+json", "connection: close", "x-content-type-options: nosniff"} <= {
        *lines
    }
    assert not any(line.startswith("server:") for line in lines)
    found: dict[str, Any] = json.loads(body)
    assert found["status"] == status
    return found


async def answers(port: int) -> bool:
    """Return whether the server answers."""
    return (await asked(port, PLAIN.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n"))).endswith(b"\r\n\r\n0")


async def test_a_head_that_does_not_end_is_cut_off_and_says_why(start: Start) -> None:
    async with start(head_seconds=0.2) as port:
        found = refusal(await asked(port, b"GET / HTTP/1.1\r\nHost: localhost\r\nX-Slow: "), 408)
        assert "head" in found["detail"]
        assert await asked(port, b"") == b""  # of whom nothing came nothing is said
        assert await answers(port)


async def test_a_second_head_has_its_time_too(start: Start) -> None:
    async with start(head_seconds=0.2) as port:
        answer = await asked(port, PLAIN + b"GET / HTTP/1.1\r\n")
        assert answer.startswith(b"HTTP/1.1 200")
        assert b"HTTP/1.1 408" in answer


async def test_a_body_that_stops_is_cut_off_and_the_application_learns_of_it(start: Start, echo: Echo) -> None:
    async with start(body_seconds=0.2) as port:
        head = b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100\r\n\r\nsome"
        assert "body" in refusal(await asked(port, head), 408)["detail"]
        await asyncio.wait_for(echo.broken_off.wait(), 10)
        assert await answers(port)


async def test_a_body_that_drips_is_cut_off(start: Start) -> None:
    """A byte now and then does not count as progress."""
    async with start(body_seconds=0.3) as port, connected(port) as (reader, writer):
        writer.write(b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100000\r\n\r\n")
        answer = asyncio.create_task(reader.read())
        while not answer.done():
            writer.write(b"x")
            await asyncio.wait({answer}, timeout=0.02)
        refusal(answer.result(), 408)


async def test_a_body_that_comes_steadily_may_take_longer_than_its_patience(start: Start) -> None:
    async with start(body_seconds=0.2) as port, connected(port) as (reader, writer):
        pieces = 30
        head = f"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: {pieces * 1000}\r\nConnection: close\r\n\r\n"
        writer.write(head.encode())
        for _ in range(pieces):
            await asyncio.sleep(0.02)  # three times the patience in all
            writer.write(bytes(1000))
        assert (await asyncio.wait_for(reader.read(), 10)).endswith(str(pieces * 1000).encode())


async def test_who_does_not_read_is_cut_off(start: Start, echo: Echo) -> None:
    async with start(reader_seconds=0.3) as port:
        with socket.create_connection(("127.0.0.1", port)) as client:
            client.sendall(PLAIN.replace(b"GET /", b"GET /endless"))
            await asyncio.wait_for(echo.broken_off.wait(), 10)
        assert await answers(port)


async def test_who_reads_goes_on_reading(start: Start) -> None:
    async with start(reader_seconds=0.3) as port, connected(port) as (reader, writer):
        writer.write(PLAIN.replace(b"GET /", b"GET /endless"))
        for _ in range(100):
            assert await reader.readexactly(1 << 20)


@pytest.mark.parametrize(
    ("request_", "status"),
    [
        (b"GET /" + b"a" * 20_000 + b" HTTP/1.1\r\nHost: localhost\r\n\r\n", 414),
        (b"GET / HTTP/1.1\r\nHost: localhost\r\nX: " + b"a" * 70_000 + b"\r\n\r\n", 431),
        (b"GET / HTTP/1.1\r\nHost: localhost\r\nX: " + b"a" * 400_000, 431),
        (b"GET / HTTP/1.1\r\nHost: localhost\r\n" + b"X: a\r\n" * 101 + b"\r\n", 431),
        (b"GET / HTTP/1.1\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: localhost\r\nHost: example.org\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost : localhost\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: localhost\r\nX: a\0b\r\n\r\n", 400),
        (b"GET ftp://localhost/ HTTP/1.1\r\nHost: localhost\r\n\r\n", 400),
        (b"GET * HTTP/1.1\r\nHost: localhost\r\n\r\n", 400),
        (b"CONNECT localhost:1 HTTP/1.1\r\nHost: localhost\r\n\r\n", 400),
        (b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\na", 400),
        (
            b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
            400,
        ),
        (b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: -1\r\n\r\n", 400),
        (b"POST / HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", 400),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", 400),
        (b"GET / HTTP/9.9\r\nHost: localhost\r\n\r\n", 400),
    ],
    ids=lambda it: it[:24].decode("latin-1") if isinstance(it, bytes) else str(it),
)
async def test_what_is_no_request_is_refused(start: Start, echo: Echo, request_: bytes, status: int) -> None:
    async with start() as port:
        refusal(await asked(port, request_), status)
        assert not [path for path in echo.paths if path != "/"]
        assert await answers(port)


async def test_an_absolute_target_outranks_host(start: Start, echo: Echo) -> None:
    async with start() as port:
        for target in (b"http://example.org/a?b", b"HTTP://example.org/a?b"):
            await asked(port, b"GET " + target + b" HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
        await asked(port, b"GET http://example.org HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
        await asked(port, b"OPTIONS * HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
    assert echo.hosts == ["example.org", "example.org", "example.org", "localhost"]
    assert echo.paths == ["/a", "/a", "/", "/"]


async def test_an_endless_body_that_nobody_reads_does_not_hold_the_connection(start: Start) -> None:
    """The answer arrives all the same."""
    head = b"POST /deaf HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n"
    async with start() as port, connected(port) as (reader, writer):
        writer.write(head)
        answer = asyncio.create_task(reader.read())
        while not answer.done():
            writer.write(b"%x\r\n%s\r\n" % (60_000, bytes(60_000)))
            await asyncio.wait({answer}, timeout=0.005)
        assert answer.result().startswith(b"HTTP/1.1 200")
        assert b"\r\nconnection: close\r\n" in answer.result().lower()
        assert answer.result().endswith(b"no")


async def test_who_was_refused_may_send_on_for_a_while_and_no_longer(start: Start) -> None:
    """Longer than it may send nothing: as long as the connection is open, the answer cannot be lost."""
    async with start(linger_seconds=2.5, linger_most_seconds=10.0) as port, connected(port) as (reader, writer):
        writer.write(b"POST /deaf HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000000\r\n\r\n")
        assert (await reader.read()).endswith(b"no")

        async def send(pieces: int) -> None:
            for _ in range(pieces):
                writer.write(b"some")
                await writer.drain()
                await asyncio.sleep(0.1)

        await send(30)
        with pytest.raises(ConnectionError):
            await send(200)


async def test_a_body_that_comes_late_but_whole_keeps_the_connection(start: Start) -> None:
    async with start() as port, connected(port) as (reader, writer):
        for _ in range(3):
            writer.write(b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 4\r\n\r\n")
            await asyncio.sleep(0.05)  # the application waits for it by now
            writer.write(b"some")
            head = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 10)
            assert b"connection: close" not in head.lower()
            assert await reader.readexactly(1) == b"4"


async def test_more_connections_than_one_address_may_have_are_refused(start: Start) -> None:
    async with start(per_address=2, unlimited=()) as port, connected(port), connected(port) as (_, writer):
        assert "2 connections" in refusal(await asked(port, b""), 429)["detail"]
        writer.close()
        await writer.wait_closed()
        while not (await asked(port, PLAIN.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n"))).startswith(
            b"HTTP/1.1 200"
        ):
            pass


async def test_a_proxy_may_have_as_many_as_it_needs_up_to_what_there_is(start: Start) -> None:
    limits = {"per_address": 1, "connections": 3, "unlimited": (ip_network("127.0.0.1/32"),)}
    async with start(**limits) as port, connected(port), connected(port), connected(port):
        refusal(await asked(port, b""), 503)
