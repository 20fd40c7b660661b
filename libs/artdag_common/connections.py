"""HTTP connections that nobody can hold: what is too many, too large or too slow is refused or cut off.

uvicorn's protocol for httptools reads and answers requests; it waits for heads, bodies and readers as long as they
like. Here each has its time. Bodies and readers may be slow, as long as they keep a low average: a client has some
seconds of patience, which time takes away and bytes give back.
"""

from __future__ import annotations

import asyncio
import re
from collections import Counter
from dataclasses import dataclass
from functools import partial
from http import HTTPStatus
from ipaddress import IPv4Network, IPv6Network
from typing import Any

import orjson
from uvicorn.protocols.http.flow_control import CLOSE_HEADER, HIGH_WATER_LIMIT
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol, RequestResponseCycle

from artdag_common.addresses import among, client_key

SAFE_HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "same-origin",  # not no-referrer: browsers would send Origin: null from our own pages
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=(), payment=(), usb=()",
}
"""What every answer says, unless it says something of its own."""

PROBLEM_TYPE = "urn:artdag:problem:"
ABSOLUTE = re.compile(rb"https?://([^/?#]*)(.*)", re.IGNORECASE | re.DOTALL)
DISCARDED_BYTES = 8 << 20
"""How much of a body is read and thrown away after it was refused, so that the refusal arrives."""


@dataclass(frozen=True, slots=True)
class ConnectionLimits:
    """What one server bears.

    Attributes:
        connections: at once, in all.
        per_address: at once from one address (of IPv6: one /64), but for those in ``unlimited``.
        head_seconds: from a request's first byte, or the opening of the connection, to the end of its head.
        body_seconds: how long a body may bring nothing while somebody waits for it.
        reader_seconds: how long a reader may take nothing of what is written for it.
        least_rate: bytes per second, on an average, that a body or a reader has to keep.
        linger_seconds: how long a refused client may send nothing before it is closed on; what it still sends is read.
        linger_most_seconds: how long that may take in all.
        check_seconds: how often the slow are looked at.
        target_bytes: of a request's address.
        head_bytes: of a request's head.
        fields: header fields of a request.
    """

    connections: int = 4096
    per_address: int = 256
    unlimited: tuple[IPv4Network | IPv6Network, ...] = ()
    head_seconds: float = 10.0
    body_seconds: float = 40.0
    reader_seconds: float = 60.0
    least_rate: int = 1024
    linger_seconds: float = 2.0
    linger_most_seconds: float = 30.0
    check_seconds: float = 1.0
    target_bytes: int = 16 * 1024
    head_bytes: int = 64 * 1024
    fields: int = 100


@dataclass(slots=True)
class Patience:
    """How long a client that is slow is still waited for.

    Attributes:
        most_seconds: what there is at the beginning, and never more.
        rate: bytes that give back one second.
    """

    most_seconds: float
    rate: int
    left_seconds: float = 0.0

    def __post_init__(self) -> None:
        self.restore()

    def restore(self) -> None:
        """Give all of it back."""
        self.left_seconds = self.most_seconds

    def spent(self, seconds: float, moved_bytes: int) -> bool:
        """Take time away for having waited, give some back for bytes, and return whether none is left."""
        self.left_seconds = min(self.most_seconds, self.left_seconds + moved_bytes / self.rate) - seconds
        return self.left_seconds < 0


class _RefusedError(Exception):
    """Ends the parsing of a request that was refused."""


class GuardedHttp(HttpToolsProtocol):
    """uvicorn's protocol within limits."""

    def __init__(self, *arguments: Any, limits: ConnectionLimits, opened: Counter[str], **more: Any) -> None:
        """Make the protocol of one connection.

        Args:
            opened: connections by address, of all protocols of this server.
        """
        super().__init__(*arguments, **more)
        self._limits = limits
        self._opened = opened
        self._key = ""
        self._in_head = False
        self._head_bytes = 0
        self._chunk_bytes = 0
        self._head_timer: asyncio.TimerHandle | None = None
        self._watch_timer: asyncio.TimerHandle | None = None
        self._watched_at = 0.0
        self._sender = Patience(limits.body_seconds, limits.least_rate)
        self._reader = Patience(limits.reader_seconds, limits.least_rate)
        self._came = 0
        self._buffered = 0
        self._refusal: tuple[int, str, str] | None = None
        self._discarding = False
        self._closes = False
        self._lingering: asyncio.TimerHandle | None = None
        self._linger_until = 0.0

    # --- the connection ---------------------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Count the connection; refuse it where there are too many."""
        super().connection_made(transport)
        host = self.client[0] if self.client else ""
        if host and not among(host, self._limits.unlimited):
            self._key = client_key(host)
            self._opened[self._key] += 1
            if self._opened[self._key] > self._limits.per_address:
                most = self._limits.per_address
                self._refuse(429, "too-many-connections", f"your address has {most} connections here already")
                return
        if len(self.connections) > self._limits.connections:
            self._refuse(503, "too-many-connections", "this server has no connection left; try again shortly")
            return
        self._await_head()

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget the connection."""
        if self._key:
            self._opened[self._key] -= 1
            if not self._opened[self._key]:
                del self._opened[self._key]
            self._key = ""
        for timer in (self._head_timer, self._watch_timer):
            if timer:
                timer.cancel()
        self._head_timer = self._watch_timer = None
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Take what comes."""
        if self._discarding:
            self._came += len(data)
            if self._came > DISCARDED_BYTES:
                self.transport.abort()
            else:
                self._linger()
            return
        self._chunk_bytes = len(data)
        super().data_received(data)
        if self.transport.is_closing() or self._discarding:
            return
        if self._in_head:
            self._head_bytes += len(data)
            if self._head_bytes > self._limits.head_bytes:
                self._refuse(431, "request-header-fields-too-large", self._too_large())
            elif self._head_timer is None:
                self._await_head()
        elif self._sending:
            self.cycle.send = partial(self._send, self.cycle)  # type: ignore[method-assign]
            self._watch()

    # --- heads ------------------------------------------------------------------------------------------------------

    def on_message_begin(self) -> None:
        """Begin a head."""
        super().on_message_begin()
        self._in_head = True
        self._head_bytes = 0

    def on_headers_complete(self) -> None:
        """Check the head, and have the request answered."""
        self._in_head = False
        if self._head_timer:
            self._head_timer.cancel()
            self._head_timer = None
        self._check_head()
        self._came = 0
        self._sender.restore()
        super().on_headers_complete()

    def _check_head(self) -> None:
        limits = self._limits
        if len(self.url) > limits.target_bytes:
            raise self._refused(414, "uri-too-long", f"the address has more than {limits.target_bytes} bytes")
        if len(self.headers) > limits.fields or (
            self._head_bytes + self._chunk_bytes > limits.head_bytes
            and len(self.url) + sum(len(name) + len(value) + 4 for name, value in self.headers) > limits.head_bytes
        ):
            raise self._refused(431, "request-header-fields-too-large", self._too_large())
        if self.url[:1] != b"/":
            self._read_target()
        hosts = sum(name == b"host" for name, _ in self.headers)
        if hosts > 1 or (not hosts and self.parser.get_http_version() == "1.1"):
            raise self._refused(400, "bad-request", "a request has exactly one Host")

    def _read_target(self) -> None:
        """Take host and path out of an absolute target, as RFC 9112, section 3.2.2, has it: it outranks ``Host``."""
        if self.url == b"*" and self.parser.get_method() == b"OPTIONS":
            self.url = b"/"
            return
        found = ABSOLUTE.fullmatch(self.url)
        if found is None:
            raise self._refused(400, "bad-request", "the target of a request is a path, or an http address")
        self.headers[:] = [(name, value) for name, value in self.headers if name != b"host"]
        self.headers.append((b"host", found[1]))
        self.url = found[2] if found[2].startswith(b"/") else b"/" + found[2]

    def _too_large(self) -> str:
        return f"a request's head has at most {self._limits.head_bytes} bytes and {self._limits.fields} fields"

    def _await_head(self) -> None:
        self._head_timer = self.loop.call_later(self._limits.head_seconds, self._head_is_late)

    def _head_is_late(self) -> None:
        self._head_timer = None
        if self.cycle is not None and not self.cycle.response_complete:  # the next head waits for this answer
            self._await_head()
        elif not self.transport.is_closing():
            if self._in_head:
                seconds = f"{self._limits.head_seconds:g} s"
                self._refuse(408, "request-timeout", f"the head of a request did not come within {seconds}")
            else:
                self.transport.close()

    # --- bodies and readers -----------------------------------------------------------------------------------------

    @property
    def _sending(self) -> bool:
        """Whether a request's body is still to come."""
        return self.cycle is not None and self.cycle.more_body and not self.cycle.response_complete

    def on_body(self, body: bytes) -> None:
        """Count what comes, and give it on as it is: uvicorn would copy it twice."""
        self._came += len(body)
        cycle = self.cycle
        if cycle.body or cycle.response_complete:
            if isinstance(cycle.body, bytes):
                cycle.body = bytearray(cycle.body)
            super().on_body(body)
            return
        cycle.body = body  # type: ignore[assignment]  # until more comes, or the application takes it
        if len(body) > HIGH_WATER_LIMIT:
            self.flow.pause_reading()
        cycle.message_event.set()

    def pause_writing(self) -> None:
        """Look at the reader, who takes less than is written for it."""
        super().pause_writing()
        self._buffered = self.transport.get_write_buffer_size()
        self._watch()

    def resume_writing(self) -> None:
        """Look at the reader no more."""
        super().resume_writing()
        self._reader.restore()

    def _watch(self) -> None:
        if self._watch_timer is None:
            self._watched_at = self.loop.time()
            self._watch_timer = self.loop.call_later(self._limits.check_seconds, self._look)

    def _look(self) -> None:
        self._watch_timer = None
        # What this process itself was late by is nobody else's fault.
        passed = min(self.loop.time() - self._watched_at, 2 * self._limits.check_seconds)
        came, self._came = self._came, 0
        if self._sending and not self.flow.read_paused and self._sender.spent(passed, came):
            self._body_is_late()
            return
        if self.flow.write_paused:
            waiting = self.transport.get_write_buffer_size()
            taken, self._buffered = max(0, self._buffered - waiting), waiting
            if self._reader.spent(passed, taken):
                self.transport.abort()
                return
        if self._sending or self.flow.write_paused:
            self._watch()

    def _body_is_late(self) -> None:
        if self.cycle.response_started:
            self.transport.abort()
        else:
            self._refuse(408, "request-timeout", "the body of the request came too slowly, or not at all")

    async def _send(self, cycle: RequestResponseCycle, message: Any) -> None:
        """Send for a request whose body did not come with its head; an answer before its end closes the connection."""
        early = message["type"] == "http.response.start" and cycle.more_body and cycle.keep_alive
        if early:
            message = {**message, "headers": [*message.get("headers", ()), CLOSE_HEADER]}
            self._closes = True
        await RequestResponseCycle.send(cycle, message)
        if early:
            cycle.keep_alive = True  # else uvicorn closes at once, and the answer may be lost

    # --- ends -------------------------------------------------------------------------------------------------------

    def on_response_complete(self) -> None:
        """Go on with the next request, unless the body of this one is still on its way: it is not waited for."""
        alone = not self.pipeline
        super().on_response_complete()
        if self.transport.is_closing():
            self._see_off()
        elif self._closes or (alone and self.cycle.more_body):
            self._unset_keepalive_if_required()
            self._discard()

    def timeout_keep_alive_handler(self) -> None:
        """Close what is idle."""
        super().timeout_keep_alive_handler()
        self._see_off()

    def send_400_response(self, msg: str) -> None:
        """Answer what is not HTTP, or was refused while it was read."""
        if self.cycle is not None and self.cycle.response_started and not self.cycle.response_complete:
            self.transport.abort()  # in the middle of an answer nothing can be said
            return
        self._refuse(*(self._refusal or (400, "bad-request", "this is not a request in HTTP/1.1")))

    def _refused(self, status: int, code: str, detail: str) -> _RefusedError:
        self._refusal = (status, code, detail)
        return _RefusedError(code)

    def _refuse(self, status: int, code: str, detail: str) -> None:
        """Answer with a problem (RFC 9457), and close."""
        body = orjson.dumps(
            {
                "type": f"{PROBLEM_TYPE}{code}",
                "title": code.replace("-", " ").capitalize(),
                "status": status,
                "detail": detail,
                "code": code,
            }
        )
        headers = SAFE_HEADERS | {
            "Content-Type": "application/problem+json",
            "Content-Length": str(len(body)),
            "Cache-Control": "no-store",
            "Connection": "close",
        }
        if status in (HTTPStatus.TOO_MANY_REQUESTS, HTTPStatus.SERVICE_UNAVAILABLE):
            headers["Retry-After"] = "5"
        lines = [STATUS_LINE[status]]
        lines += [name + b": " + value + b"\r\n" for name, value in self.server_state.default_headers]
        lines += [f"{name}: {value}\r\n".encode() for name, value in headers.items()]
        self.transport.write(b"".join([*lines, b"\r\n", body]))
        if self.cycle is not None and not self.cycle.response_complete:
            self.cycle.disconnected = True
            self.cycle.message_event.set()
        self._discard()

    def _discard(self) -> None:
        """Say that nothing more comes from here, and read on for a moment: else the answer might be lost."""
        self._discarding = True
        self._came = 0
        self._in_head = False
        self.flow.resume_reading()
        if self.transport.can_write_eof():
            self.transport.write_eof()
        self._linger_until = self.loop.time() + self._limits.linger_most_seconds
        self._linger()

    def _linger(self) -> None:
        if self._lingering:
            self._lingering.cancel()
        quiet = self.loop.time() + self._limits.linger_seconds
        self._lingering = self.loop.call_at(min(quiet, self._linger_until), self._finish)

    def _finish(self) -> None:
        if not self.transport.is_closing():
            self.transport.close()
        self._see_off()

    def _see_off(self) -> None:
        """Give the reader of what is still to be written its time, and no more."""
        if self.transport.get_write_buffer_size():
            self.loop.call_later(self._limits.reader_seconds, self.transport.abort)
