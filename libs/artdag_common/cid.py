"""Content ids: the CID that ``ipfs add`` prints, computed while bytes stream by.

The import profile is Kubo's default: chunks of 262,144 bytes, UnixFS file leaves in dag-pb, balanced DAG of at most
174 links a node, SHA2-256. ``ipfs add`` prints it as CIDv0 (``Qm…``); the same multihash as CIDv1 in base32
(``bafybei…``) is the form used here. The other profile is that of ``ipfs add --cid-version=1``, whose leaves are the
bytes themselves. See https://specs.ipfs.tech/unixfs/ and https://github.com/multiformats/cid.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Literal

from artdag_common.errors import InvalidCidError
from artdag_common.ipld.dag_pb import Link, file_node, leaf_frame, read_varint

CHUNK = 262_144
WIDTH = 174
DAG_PB, RAW = 0x70, 0x55
SHA2_256 = b"\x12\x20"
BASE58 = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"

Version = Literal[0, 1]
"""Import profile: 0, leaves in dag-pb, links as CIDv0; 1, leaves of bare bytes, links as CIDv1."""

Taker = Callable[[bytes, bytes], object]
"""Takes a block: its binary CID, its bytes."""


@dataclass(frozen=True, slots=True)
class Dag:
    """A file or folder as blocks: the binary CID of its root, the file bytes, and the size of all blocks together."""

    root: bytes
    size: int
    total: int

    @property
    def cid(self) -> str:
        """The CID of the root, in the form used here."""
        return cid_text(self.root)


class CidHasher:
    """Computes the CID of bytes given piece by piece. Memory: one chunk and a few links."""

    def __init__(self, version: Version = 0, take: Taker | None = None) -> None:
        """``take`` is given every block, leaves first, as soon as it is complete."""
        self._version = version
        self._take = take
        self._levels: list[list[Dag]] = [[]]
        self._rest = bytearray()
        self.size = 0

    def update(self, *pieces: bytes | bytearray | memoryview) -> None:
        """Take the next bytes, one piece after the other."""
        for piece in pieces:
            self._take_in(memoryview(piece))

    def finish(self) -> Dag:
        """Return the DAG of all bytes given; the hasher is spent."""
        if self._rest or not self.size:
            self._push(0, self._leaf(bytes(self._rest)))
        level = 0
        while level < len(self._levels) - 1 or len(self._levels[level]) > 1:
            self._push(level + 1, self._parent(self._levels[level]))
            level += 1
        return self._levels[level][0]

    def cid(self) -> str:
        """Return the CID of all bytes given; the hasher is spent."""
        return self.finish().cid

    def _take_in(self, view: memoryview) -> None:
        self.size += len(view)
        start = 0
        if self._rest:
            start = min(CHUNK - len(self._rest), len(view))
            self._rest += view[:start]
            if len(self._rest) == CHUNK:
                self._push(0, self._leaf(bytes(self._rest)))
                self._rest.clear()
        while len(view) - start >= CHUNK:
            self._push(0, self._leaf(view[start : start + CHUNK]))
            start += CHUNK
        if start < len(view):
            self._rest += view[start:]

    def _push(self, level: int, dag: Dag) -> None:
        if level == len(self._levels):
            self._levels.append([])
        if len(self._levels[level]) == WIDTH:
            self._push(level + 1, self._parent(self._levels[level]))
            self._levels[level] = []
        self._levels[level].append(dag)

    def _leaf(self, data: bytes | memoryview) -> Dag:
        size = len(data)
        head, tail = (b"", b"") if self._version else leaf_frame(size)
        digest = hashlib.sha256(head)
        digest.update(data)
        digest.update(tail)
        root = binary_cid(SHA2_256 + digest.digest(), self._version, RAW)
        if self._take:
            self._take(root, b"".join((head, data, tail)))
        return Dag(root, size, len(head) + size + len(tail))

    def _parent(self, children: list[Dag]) -> Dag:
        links = [Link(child.root, "", child.total) for child in children]
        sizes = [child.size for child in children]
        block = file_node(links, sizes)
        root = binary_cid(SHA2_256 + hashlib.sha256(block).digest(), self._version, DAG_PB)
        if self._take:
            self._take(root, block)
        return Dag(root, sum(sizes), len(block) + sum(child.total for child in children))


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


def binary_cid(multihash: bytes, version: Version, codec: int) -> bytes:
    """Return a binary CID. Version 0 is the bare multihash, and always dag-pb."""
    return b"\x01" + bytes((codec,)) + multihash if version else multihash


def cid_text(binary: bytes) -> str:
    """Return a binary CID as text, version 1 in base32."""
    if binary[:2] == SHA2_256:
        binary = binary_cid(binary, 1, DAG_PB)
    return "b" + base64.b32encode(binary).decode().lower().rstrip("=")


def cid_bytes(cid: str, version: Version = 1) -> bytes:
    """Return a CID in binary.

    Raises:
        InvalidCidError: not a CID, or for version 0, one of bare bytes.
    """
    binary = base64.b32decode(parse_cid(cid)[1:].upper() + "=" * 6)
    if version:
        return binary
    if binary[1] != DAG_PB:
        raise InvalidCidError(
            f"{cid} names bare bytes, which CIDv0 cannot; only those that begin with 'bafy' can", cid=cid
        )
    return binary[2:]


def cid_v0(cid: str) -> str:
    """Return the ``Qm…`` form of a CID, as ``ipfs add`` prints it.

    Raises:
        InvalidCidError: not a CID, or one of bare bytes.
    """
    number, text = int.from_bytes(cid_bytes(cid, 0), "big"), ""
    while number:
        number, digit = divmod(number, 58)
        text = BASE58[digit] + text
    return text


def read_cid(data: bytes, at: int) -> tuple[bytes, int]:
    """Return the binary CID at ``at``, and where it ends.

    Raises:
        InvalidCidError: none is there, or one with another hash than SHA2-256.
    """
    end = at
    if data[at : at + 2] != SHA2_256:
        version, end = read_varint(data, at)
        _, end = read_varint(data, end)
        if version != 1:
            raise InvalidCidError(f"a CID of version {version}: only 0 and 1 are known")
    if data[end : end + 2] != SHA2_256 or len(data) < end + 34:
        raise InvalidCidError(
            f"the CID {data[at : at + 36].hex()} has no SHA2-256 hash, the only kind that is read here"
        )
    return data[at : end + 34], end + 34


def _v1(codec: int, multihash: bytes) -> str:
    return cid_text(binary_cid(multihash, 1, codec))


def _sha256_multihash(data: bytes) -> bytes:
    if data[:2] != SHA2_256 or len(data) != 34:
        raise ValueError("not a SHA2-256 multihash")
    return data


def _base58(text: str) -> bytes:
    number = 0
    for character in text:
        number = number * 58 + BASE58.index(character)
    return number.to_bytes(34, "big")
