"""Nodes of UnixFS: dag-pb around a UnixFS message, both as protobuf, byte for byte as Kubo writes them.

See https://ipld.io/specs/codecs/dag-pb/spec/ and https://specs.ipfs.tech/unixfs/. Written by hand, since a protobuf
library writes the fields of a node in another order (data before links) than the one all CIDs rest on.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from artdag_common.errors import MalformedBlockError

RAW, DIRECTORY, FILE, METADATA, SYMLINK, SHARD = range(6)
"""Kinds of UnixFS nodes."""

VARINT, BYTES = 0, 2
LONGEST_VARINT = 9


@dataclass(frozen=True, slots=True)
class Link:
    """From a node to another.

    Attributes:
        cid: binary: 34 bytes as CIDv0, 36 as CIDv1.
        total: size of all blocks below, as the writer states it.
    """

    cid: bytes
    name: str
    total: int


@dataclass(frozen=True, slots=True)
class Node:
    """A UnixFS node.

    Attributes:
        kind: one of the kinds above.
        data: file bytes in the node itself, the target of a symlink, or which slots of a shard are taken.
        size: file bytes in and below the node, as it states it; None: it does not.
        sizes: file bytes below each link, in the order of ``links``.
        hash_type: of a shard: by which function of names entries are spread; its number as a multihash.
        fanout: of a shard: how many slots it has.
    """

    kind: int
    data: bytes
    size: int | None
    sizes: tuple[int, ...]
    links: tuple[Link, ...]
    hash_type: int = 0
    fanout: int = 0


def varint(n: int) -> bytes:
    """Return an unsigned LEB128 number."""
    if n < 128:
        return bytes((n,))
    out = bytearray()
    while n > 127:
        out.append(n & 127 | 128)
        n >>= 7
    out.append(n)
    return bytes(out)


def read_varint(data: bytes, at: int) -> tuple[int, int]:
    """Return the number at ``at``, and where it ends.

    Raises:
        MalformedBlockError: it does not end, is larger than 63 bits, or is not the shortest form.
    """
    value = 0
    for index in range(LONGEST_VARINT):
        if at + index >= len(data):
            raise MalformedBlockError("a number ends in its middle")
        byte = data[at + index]
        value |= (byte & 127) << 7 * index
        if byte < 128:
            if index and not byte:
                raise MalformedBlockError("a number is longer than it has to be")
            return value, at + index + 1
    raise MalformedBlockError("a number has more than 63 bits")


def field(number: int, data: bytes) -> bytes:
    """Return a protobuf field of bytes."""
    return bytes((number << 3 | BYTES,)) + varint(len(data)) + data


def write_link(link: Link) -> bytes:
    """Return a link as a field of its node."""
    return field(2, field(1, link.cid) + field(2, link.name.encode()) + b"\x18" + varint(link.total))


def file_node(links: Iterable[Link], sizes: Sequence[int]) -> bytes:
    """Return the block of a file that lies below ``links``, of so many bytes each."""
    unixfs = b"\x08\x02\x18" + varint(sum(sizes)) + b"".join(b"\x20" + varint(size) for size in sizes)
    return b"".join(map(write_link, links)) + field(1, unixfs)


def folder_node(links: Iterable[Link]) -> bytes:
    """Return the block of a folder; its entries are sorted by the bytes of their names."""
    entries = sorted(links, key=lambda link: link.name.encode())
    return b"".join(map(write_link, entries)) + field(1, b"\x08\x01")


def leaf_frame(size: int) -> tuple[bytes, bytes]:
    """Return what stands before and behind the bytes of a file's leaf of so many bytes."""
    head = b"\x08\x02" + (b"\x12" + varint(size) if size else b"")
    tail = b"\x18" + varint(size)
    return b"\x0a" + varint(len(head) + size + len(tail)) + head, tail


def read_node(block: bytes) -> Node:
    """Return the UnixFS node in a dag-pb block.

    Raises:
        MalformedBlockError: it is none.
    """
    links: list[Link] = []
    data: bytes | None = None
    for number, value in _fields(block):
        if number == 2 and isinstance(value, bytes):
            links.append(_read_link(value))
        elif number == 1 and isinstance(value, bytes) and data is None:
            data = value
        else:
            raise MalformedBlockError(f"a node has no field {number} of this kind")
    if data is None:
        raise MalformedBlockError("a node without UnixFS data")
    return _read_unixfs(data, tuple(links))


def _read_link(data: bytes) -> Link:
    cid, name, total = b"", b"", 0
    for number, value in _fields(data):
        match number, value:
            case 1, bytes():
                cid = value
            case 2, bytes():
                name = value
            case 3, int():
                total = value
            case _:
                raise MalformedBlockError(f"a link has no field {number} of this kind")
    if not cid:
        raise MalformedBlockError("a link to nothing")
    try:
        return Link(cid, name.decode(), total)
    except UnicodeDecodeError:
        raise MalformedBlockError(f"a link's name is not UTF-8: {name[:80]!r}") from None


def _read_unixfs(data: bytes, links: tuple[Link, ...]) -> Node:
    kind, content, size, sizes, hash_type, fanout = -1, b"", None, [], 0, 0
    for number, value in _fields(data):
        match number, value:
            case 1, int():
                kind = value
            case 2, bytes():
                content = value
            case 3, int():
                size = value
            case 4, int():
                sizes.append(value)
            case 4, bytes():  # the packed form of a repeated number
                at = 0
                while at < len(value):
                    each, at = read_varint(value, at)
                    sizes.append(each)
            case 5, int():
                hash_type = value
            case 6, int():
                fanout = value
            case _:
                pass  # mode, time of change: they say nothing of the bytes
    if not RAW <= kind <= SHARD:
        raise MalformedBlockError(f"no kind of UnixFS node: {kind}")
    return Node(kind, content, size, tuple(sizes), links, hash_type, fanout)


def _fields(data: bytes) -> Iterator[tuple[int, int | bytes]]:
    """Yield number and value of each field of a protobuf message."""
    at = 0
    while at < len(data):
        key, at = read_varint(data, at)
        if key & 7 == VARINT:
            value, at = read_varint(data, at)
            yield key >> 3, value
        elif key & 7 == BYTES:
            size, at = read_varint(data, at)
            if size > len(data) - at:
                raise MalformedBlockError(f"a field of {size} bytes where {len(data) - at} are left")
            yield key >> 3, data[at : at + size]
            at += size
        else:
            raise MalformedBlockError(f"no kind of field in a block: {key & 7}")
