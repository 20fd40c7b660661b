"""Addresses, user names and content ids, as the documents write them."""

from __future__ import annotations

import base64
import hashlib
import re
from urllib.parse import urlsplit

NAME = re.compile(r"[a-z0-9_]{2,30}")
CHUNK_BYTES = 262_144


class NotAnAddressError(ValueError):
    """Not the address of a server."""


def origin_of(url: str) -> str:
    """Return ``scheme://host[:port]`` in its usual form: lower case, no default port.

    Raises:
        NotAnAddressError: it is not an http(s) address of a server.
    """
    parts = urlsplit(url.strip())
    try:
        port = parts.port
    except ValueError as error:
        raise NotAnAddressError(f"{url!r}: {error}") from error
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.username or parts.query or parts.fragment:
        raise NotAnAddressError(f"{url!r} is not the address of a server, such as https://l1.example.org")
    host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
    usual = {"http": 80, "https": 443}[parts.scheme]
    return f"{parts.scheme}://{host}" + (f":{port}" if port not in (None, usual) else "")


def is_below(url: str, origin: str) -> bool:
    """Return whether a URL is on a server."""
    try:
        parts = urlsplit(url)
        return origin_of(f"{parts.scheme}://{parts.netloc}") == origin
    except ValueError:
        return False


def cids_of(data: bytes) -> set[str]:
    """Return the content ids that ``ipfs add`` may print for a small file: v0, the same as v1, and that of raw leaves.

    Raises:
        ValueError: more bytes than fit in one block; longer records than that are not looked at here.
    """
    if len(data) > CHUNK_BYTES:
        raise ValueError(f"{len(data)} bytes do not fit in one block")
    size = _varint(len(data))
    file = b"\x08\x02" + (b"\x12" + size + data if data else b"") + b"\x18" + size
    node = b"\x12\x20" + hashlib.sha256(b"\x0a" + _varint(len(file)) + file).digest()
    raw = b"\x12\x20" + hashlib.sha256(data).digest()
    return {_base58(node), _base32(b"\x01\x70" + node), _base32(b"\x01\x55" + raw)}


def _varint(number: int) -> bytes:
    out = b""
    while number > 0x7F:
        out += bytes([number & 0x7F | 0x80])
        number >>= 7
    return out + bytes([number])


def _base32(data: bytes) -> str:
    return "b" + base64.b32encode(data).decode().lower().rstrip("=")


def _base58(data: bytes) -> str:
    digits, number = "", int.from_bytes(data)
    while number:
        number, rest = divmod(number, 58)
        digits = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"[rest] + digits
    return digits
