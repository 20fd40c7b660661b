"""The NATS client where a message costs most: headers read when they are asked for, many messages sent in one write.

nats-py takes 26 µs to read the eleven headers of an event, as much again to hand a message over through a queue and a
task of its own, and 15 µs to send one. What follows events or publishes them does so a thousand times a second.

It also keeps to what permissions mean. NATS checks subjects, but not replies: whoever pulls from a stream can name any
subject as the address, and what comes from there still carries the subject under which it was stored; whoever asks can
have the answer sent to any subject that the one who answers may publish to. So a message that did not come under the
subject that was subscribed to is dropped, and an address that is no inbox is not answered.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Iterable
from typing import Any

from nats import errors
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.aio.subscription import Subscription

from artdag_common.messaging.subjects import INBOXES

HEADER_LINE = b"NATS/1.0\r\n"
END = b"\r\n"
INBOX = INBOXES.encode()

Take = Callable[[Msg], None]


def read_headers(raw: bytes) -> dict[str, str]:
    """Return the headers of a message (NATS ADR-4), a status line as ``Status`` and ``Description``."""
    first, *lines = raw.decode("utf-8", "replace").split("\r\n")
    _, _, status = first.partition(" ")
    headers = {}
    if status:
        code, _, description = status.strip().partition(" ")
        headers = {"Status": code, "Description": description.strip()}
    for line in lines:
        name, separator, value = line.partition(":")
        if separator:
            headers[name.strip()] = value.strip()
    return headers


class Delivery(Msg):
    """A message whose headers are read the first time that somebody asks for them."""

    _raw: bytes | dict[str, str] | None

    @property
    def headers(self) -> dict[str, str] | None:
        """The headers, or None where there are none."""
        if isinstance(self._raw, bytes):
            self._raw = read_headers(self._raw)
        return self._raw

    @headers.setter
    def headers(self, value: bytes | dict[str, str] | None) -> None:
        self._raw = value


class QuickClient(Client):
    """The NATS client, with a short way in and a short way out."""

    def __init__(self) -> None:
        super().__init__()
        self._takes: dict[int, Take] = {}
        self._heard: dict[int, re.Pattern[bytes]] = {}  # what each subscription is to, but for those to inboxes

    @property
    def is_clustered(self) -> bool:
        """Whether the server is one of several: what it does not do another may, after an election."""
        return bool(self._server_info.get("cluster"))

    async def listen(self, subject: str, take: Take) -> Subscription:
        """Call ``take`` with each message, right where its bytes are read: it may only put the message somewhere."""

        async def never(_: Msg) -> None: ...

        subscription = await self.subscribe(subject, cb=never)
        self._takes[subscription._id] = take
        return subscription

    def forget(self, subscription: Subscription) -> None:
        """Let go of what was listened to."""
        self._takes.pop(subscription._id, None)

    async def send(self, messages: Iterable[bytes]) -> None:
        """Send messages made by :func:`message` in one write.

        Raises:
            nats.errors.Error: there is no connection; nothing is sent later.
        """
        if self.is_closed:
            raise errors.ConnectionClosedError
        if not self.is_connected:
            raise errors.OutboundBufferLimitError
        await self._send_command(b"".join(messages))
        if self._flush_queue is not None and self._flush_queue.empty():
            await self._flush_pending()

    async def answers(self, seconds: float) -> bool:
        """Return whether the server answers in time.

        ``flush`` asks the same, and where nothing comes in time it spoils the connection: the pong that does come is
        given to a future that was cancelled.
        """
        if not self.is_connected:
            return False
        pong: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        try:
            async with asyncio.timeout(seconds):
                await self._send_ping(pong)
        except (OSError, errors.Error):  # TimeoutError is the former
            return False
        done, _ = await asyncio.wait({pong}, timeout=seconds)
        return bool(done)

    def _is_meant(self, sid: int, subject: bytes) -> bool:
        """Return whether a message was sent to what was subscribed to; to an inbox comes what was pulled."""
        pattern = self._heard.get(sid)
        if pattern is None:
            subscription = self._subs.get(sid)
            if subscription is None or subscription.subject.startswith(INBOXES):
                return True
            pattern = self._heard[sid] = _pattern(subscription.subject)
        return pattern.fullmatch(subject) is not None

    def _remove_sub(self, sid: int, max_msgs: int = 0) -> None:
        super()._remove_sub(sid, max_msgs)
        self._heard.pop(sid, None)

    async def _process_msg(self, sid: int, subject: bytes, reply: bytes, data: bytes, headers: bytes) -> None:
        if not self._is_meant(sid, subject):
            return
        if sid in self._heard and not reply.startswith(INBOX):
            reply = b""
        take = self._takes.get(sid)
        if take is None:
            await super()._process_msg(sid, subject, reply, data, headers)
        else:
            take(Delivery(self, subject.decode(), reply.decode(), data, headers or None, _sid=sid))  # type: ignore[arg-type]

    @staticmethod
    def _parse_header_lines(raw: bytes) -> dict[str, str]:
        return read_headers(b"\r\n" + raw)


def _pattern(subject: str) -> re.Pattern[bytes]:
    """Return what matches the same names as a subject with wildcards."""
    wildcards = {"*": "[^.]+", ">": ".+"}
    return re.compile(r"\.".join(wildcards.get(token) or re.escape(token) for token in subject.split(".")).encode())


def message(subject: str, data: bytes, headers: bytes = b"", reply: str = "") -> bytes:
    """Return a message as it travels (NATS client protocol, PUB and HPUB). Subject and header values are ours: no line
    ends in them.

    Args:
        headers: lines made by :func:`header_lines`, joined.
    """
    if not headers:
        return b"PUB %s %s %d\r\n%s\r\n" % (subject.encode(), reply.encode(), len(data), data)
    size = len(HEADER_LINE) + len(headers) + len(END)
    return b"HPUB %s %s %d %d\r\n%s%s%s%s%s" % (
        subject.encode(),
        reply.encode(),
        size,
        size + len(data),
        HEADER_LINE,
        headers,
        END,
        data,
        END,
    )


def header_lines(headers: dict[str, Any]) -> bytes:
    """Return headers as lines."""
    return "".join([f"{name}: {value}\r\n" for name, value in headers.items()]).encode()


def acknowledgement(delivered: Msg) -> bytes:
    """Return the message that acknowledges another."""
    return message(delivered.reply, b"+ACK")
