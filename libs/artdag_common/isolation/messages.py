"""What an isolated process and the one that started it say to each other, on two pipes. Neither trusts the length.

Each message: its kind, the length of what follows, and that.
"""

from __future__ import annotations

import os
import struct

HEADER = struct.Struct("<cI")
MOST = 8192
"""Bytes that a message holds at most."""
FRAME = struct.Struct("<B")
COUNT = struct.Struct("<QQ")

STARTED, READY, PROGRESS, DONE, FAILED, NEXT = b"S", b"R", b"P", b"D", b"E", b"N"


def pack(kind: bytes, payload: bytes = b"") -> bytes:
    """Return a message as it travels."""
    return HEADER.pack(kind, len(payload)) + payload


def send(descriptor: int, kind: bytes, payload: bytes = b"") -> None:
    """Write a message.

    Raises:
        BrokenPipeError: nobody reads any more.
    """
    data = pack(kind, payload)
    while data:
        data = data[os.write(descriptor, data) :]


def receive(descriptor: int) -> tuple[bytes, bytes]:
    """Read a message; ``b""`` as its kind: nobody writes any more."""
    head = _exactly(descriptor, HEADER.size)
    if not head:
        return b"", b""
    kind, length = HEADER.unpack(head)
    return kind, _exactly(descriptor, length)


def _exactly(descriptor: int, count: int) -> bytes:
    data = b""
    while len(data) < count:
        more = os.read(descriptor, count - len(data))
        if not more:
            return b""
        data += more
    return data
