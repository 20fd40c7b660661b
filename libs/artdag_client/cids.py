"""Content ids: the CID that ``ipfs add`` prints, as CIDv1, computed while bytes stream by.

This package stands by itself, so that it is written here once more: chunks of 262,144 bytes, UnixFS leaves in dag-pb, a
balanced DAG of at most 174 links a node, SHA2-256; and the profile with leaves of bare bytes
(``ipfs add --cid-version=1``), since both are names that content may have. See https://specs.ipfs.tech/unixfs/.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

CHUNK = 262_144
WIDTH = 174
DAG_PB, RAW = b"\x01\x70", b"\x01\x55"
SHA2_256 = b"\x12\x20"
BASE58 = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"


@dataclass(frozen=True, slots=True)
class _Node:
    """A node of the DAG: its CID in binary, the file bytes below it, and the size of all its blocks."""

    cid: bytes
    size: int
    total: int


class CidHasher:
    """Computes the CID of bytes given piece by piece. Memory: one chunk and a few links.

    Args:
        bare: leaves are the bytes themselves, as those are whose CID is that of bare bytes (``bafk…``).
    """

    def __init__(self, bare: bool = False) -> None:
        self._bare = bare
        self._levels: list[list[_Node]] = [[]]
        self._rest = bytearray()
        self._any = False

    def update(self, data: bytes) -> None:
        """Take the next bytes."""
        self._rest += data
        whole = len(self._rest) - len(self._rest) % CHUNK
        for start in range(0, whole, CHUNK):
            self._push(0, self._leaf(bytes(self._rest[start : start + CHUNK])))
        del self._rest[:whole]

    def cid(self) -> str:
        """Return the CID of all bytes given; the hasher is spent."""
        if self._rest or not self._any:
            self._push(0, self._leaf(bytes(self._rest)))
        level = 0
        while level < len(self._levels) - 1 or len(self._levels[level]) > 1:
            self._push(level + 1, self._parent(self._levels[level]))
            level += 1
        return _text(self._levels[level][0].cid)

    def _push(self, level: int, node: _Node) -> None:
        self._any = True
        if level == len(self._levels):
            self._levels.append([])
        if len(self._levels[level]) == WIDTH:
            self._push(level + 1, self._parent(self._levels[level]))
            self._levels[level] = []
        self._levels[level].append(node)

    def _leaf(self, data: bytes) -> _Node:
        if self._bare:
            return _Node(RAW + _digest(data), len(data), len(data))
        body = _bytes(2, data) if data else b""
        block = _bytes(1, b"\x08\x02" + body + _number(3, len(data)))
        return _Node(_digest(block), len(data), len(block))

    def _parent(self, nodes: list[_Node]) -> _Node:
        size = sum(node.size for node in nodes)
        links = b"".join(_bytes(2, _bytes(1, n.cid) + _bytes(2, b"") + _number(3, n.total)) for n in nodes)
        file = b"\x08\x02" + _number(3, size) + b"".join(_number(4, node.size) for node in nodes)
        block = links + _bytes(1, file)
        cid = DAG_PB + _digest(block) if self._bare else _digest(block)
        return _Node(cid, size, len(block) + sum(node.total for node in nodes))


def cid_of(pieces: Iterable[bytes], bare: bool = False) -> str:
    """Return the CID of bytes."""
    hasher = CidHasher(bare)
    for piece in pieces:
        hasher.update(piece)
    return hasher.cid()


def cid_of_file(path: Path) -> str:
    """Return the CID of a file's bytes, as the server gives it."""
    with path.open("rb") as file:
        return cid_of(iter(lambda: file.read(4 * CHUNK), b""))


class Verifier:
    """Says whether bytes are what a CID names, whichever of the two profiles it was made by."""

    def __init__(self, cid: str) -> None:
        self._wanted = canonical(cid)
        self._hashers = [CidHasher(bare) for bare in (False, True)]
        if self._wanted.startswith("bafk"):
            self._hashers = self._hashers[1:]

    def update(self, data: bytes) -> None:
        """Take the next bytes."""
        for each in self._hashers:
            each.update(data)

    def is_so(self) -> bool:
        """Return whether all bytes given are the content; the verifier is spent."""
        return any(each.cid() == self._wanted for each in self._hashers)


def canonical(cid: str) -> str:
    """Return the form of a CID that servers use: ``Qm…`` as ``bafy…``. Anything else stays as it is."""
    if len(cid) != 46 or not cid.startswith("Qm") or not set(cid) <= set(BASE58):
        return cid
    number = 0
    for character in cid:
        number = number * 58 + BASE58.index(character)
    return _text(number.to_bytes(34, "big"))


def is_cid(text: str) -> bool:
    """Return whether a text looks like a CID."""
    if len(text) == 46 and text.startswith("Qm"):
        return set(text) <= set(BASE58)
    return (
        len(text) == 59
        and text.startswith(("bafy", "bafk"))
        and set(text[1:]) <= set("abcdefghijklmnopqrstuvwxyz234567")
    )


def _text(binary: bytes) -> str:
    if binary[:2] == SHA2_256:
        binary = DAG_PB + binary
    return "b" + base64.b32encode(binary).decode().lower().rstrip("=")


def _digest(block: bytes) -> bytes:
    return SHA2_256 + hashlib.sha256(block).digest()


def _varint(number: int) -> bytes:
    found = bytearray()
    while number > 0x7F:
        found.append(number & 0x7F | 0x80)
        number >>= 7
    found.append(number)
    return bytes(found)


def _number(field: int, value: int) -> bytes:
    return _varint(field << 3) + _varint(value)


def _bytes(field: int, value: bytes) -> bytes:
    return _varint(field << 3 | 2) + _varint(len(value)) + value
