"""Content ids: the CID that ``ipfs add`` prints, computed while bytes stream by.

The import profile is Kubo's default: chunks of 262,144 bytes, UnixFS file leaves in dag-pb, balanced DAG of at most
174 links a node, SHA2-256. ``ipfs add`` prints it as CIDv0 (``Qm…``); the same multihash as CIDv1 in base32
(``bafybei…``) is the form used here. See https://specs.ipfs.tech/unixfs/ and https://github.com/multiformats/cid.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from artdag_common.errors import InvalidCidError

CHUNK = 262_144
WIDTH = 174
DAG_PB, RAW = 0x70, 0x55
SHA2_256 = b"\x12\x20"
BASE58 = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"


def _varint(n: int) -> bytes:
    out = bytearray()
    while n > 127:
        out.append(n & 127 | 128)
        n >>= 7
    out.append(n)
    return bytes(out)


def _field(number: int, data: bytes) -> bytes:
    return bytes([number << 3 | 2]) + _varint(len(data)) + data


@dataclass(frozen=True, slots=True)
class _Block:
    """A node of the DAG: its multihash, the file bytes below it, and the size of all blocks below it."""

    multihash: bytes
    size: int
    total: int


def _leaf(data: bytes | memoryview) -> _Block:
    size = len(data)
    head = b"\x08\x02" + (b"\x12" + _varint(size) if size else b"")
    tail = b"\x18" + _varint(size)
    prefix = b"\x0a" + _varint(len(head) + size + len(tail)) + head
    digest = hashlib.sha256(prefix)
    digest.update(data)
    digest.update(tail)
    return _Block(SHA2_256 + digest.digest(), size, len(prefix) + size + len(tail))


def _parent(children: list[_Block]) -> _Block:
    size = sum(child.size for child in children)
    links = b"".join(
        _field(2, _field(1, child.multihash) + b"\x12\x00\x18" + _varint(child.total)) for child in children
    )
    unixfs = b"\x08\x02\x18" + _varint(size) + b"".join(b"\x20" + _varint(child.size) for child in children)
    block = links + _field(1, unixfs)
    total = len(block) + sum(child.total for child in children)
    return _Block(SHA2_256 + hashlib.sha256(block).digest(), size, total)


class CidHasher:
    """Computes the CID of bytes given piece by piece. Memory: one chunk and a few links."""

    def __init__(self) -> None:
        self._levels: list[list[_Block]] = [[]]
        self._rest = bytearray()
        self.size = 0

    def update(self, data: bytes | memoryview) -> None:
        """Take the next bytes."""
        view = memoryview(data)
        self.size += len(view)
        start = 0
        if self._rest:
            start = min(CHUNK - len(self._rest), len(view))
            self._rest += view[:start]
            if len(self._rest) == CHUNK:
                self._push(0, _leaf(bytes(self._rest)))
                self._rest.clear()
        while len(view) - start >= CHUNK:
            self._push(0, _leaf(view[start : start + CHUNK]))
            start += CHUNK
        if start < len(view):
            self._rest += view[start:]

    def cid(self) -> str:
        """Return the CID of all bytes given; the hasher is spent."""
        if self._rest or not self.size:
            self._push(0, _leaf(bytes(self._rest)))
        level = 0
        while level < len(self._levels) - 1 or len(self._levels[level]) > 1:
            self._push(level + 1, _parent(self._levels[level]))
            level += 1
        return _v1(DAG_PB, self._levels[level][0].multihash)

    def _push(self, level: int, block: _Block) -> None:
        if level == len(self._levels):
            self._levels.append([])
        if len(self._levels[level]) == WIDTH:
            self._push(level + 1, _parent(self._levels[level]))
            self._levels[level] = []
        self._levels[level].append(block)


def cid_of(data: bytes) -> str:
    """Return the CID of ``data``."""
    hasher = CidHasher()
    hasher.update(data)
    return hasher.cid()


def cid_of_file(path: Path) -> str:
    """Return the CID of a file's bytes."""
    hasher = CidHasher()
    buffer = memoryview(bytearray(4 * CHUNK))
    with path.open("rb", buffering=0) as file:
        while count := file.readinto(buffer):
            hasher.update(buffer[:count])
    return hasher.cid()


@lru_cache(maxsize=65_536)
def parse_cid(text: str) -> str:
    """Return the form of a CID used here: CIDv1 in lower-case base32. ``Qm…`` names the same content.

    Raises:
        InvalidCidError: ``text`` is not a CID with a SHA2-256 hash.
    """
    try:
        if len(text) == 46 and text.startswith("Qm"):
            return _v1(DAG_PB, _sha256_multihash(_base58(text)))
        if text.startswith("b") and text == text.lower() and len(text) == 59:
            raw = base64.b32decode(text[1:].upper() + "=" * (-len(text[1:]) % 8))
            if raw[:1] == b"\x01" and raw[1] in (DAG_PB, RAW):
                canonical = _v1(raw[1], _sha256_multihash(raw[2:]))
                if canonical == text:
                    return canonical
    except (ValueError, binascii.Error, IndexError):
        pass
    shown = text if len(text) <= 80 else text[:77] + "…"
    raise InvalidCidError(
        f"{shown!r} is not a CID: give the 59 characters that begin with 'bafy' or 'bafk', or the 46 that begin"
        " with 'Qm'",
        cid=shown,
    )


def is_cid(text: str) -> bool:
    """Return whether ``text`` is a CID."""
    try:
        parse_cid(text)
    except InvalidCidError:
        return False
    return True


def _v1(codec: int, multihash: bytes) -> str:
    return "b" + base64.b32encode(b"\x01" + bytes([codec]) + multihash).decode().lower().rstrip("=")


def _sha256_multihash(data: bytes) -> bytes:
    if data[:2] != SHA2_256 or len(data) != 34:
        raise ValueError("not a SHA2-256 multihash")
    return data


def _base58(text: str) -> bytes:
    number = 0
    for character in text:
        number = number * 58 + BASE58.index(character)
    return number.to_bytes(34, "big")
