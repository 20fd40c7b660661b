"""UnixFS read back: the files below a root, with their paths, and a file's bytes. Nothing in it is trusted."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Literal

from artdag_common.cid import DAG_PB, RAW, SHA2_256, cid_text, read_cid
from artdag_common.errors import InvalidCidError, MalformedBlockError
from artdag_common.ipld import dag_pb
from artdag_common.ipld.dag_pb import Link, Node, read_node
from artdag_common.ipld.hamt import shard_links

Blocks = Callable[[bytes], bytes]
"""Gives the block of a binary CID."""

ENTRIES_AT_MOST = 100_000
FOLDERS_DEEP = 64
NODES_DEEP = 16
LINKS_AT_MOST = 8192
NAME_BYTES = 255


@dataclass(frozen=True, slots=True)
class Entry:
    """What stands at a path. ``path`` is empty for a root that is a file; ``size``: bytes of a file."""

    path: str
    cid: bytes
    kind: Literal["file", "folder", "symlink"]
    size: int


def entries(blocks: Blocks, root: bytes, most: int = ENTRIES_AT_MOST) -> Iterator[Entry]:
    """Yield everything below a root, folders before what is in them, names in the order of their bytes.

    Raises:
        MalformedBlockError: no UnixFS, a name that is no file name, too many, or too deep.
    """

    def shard(link: bytes) -> Node:
        return _node(blocks, _linked(link))

    stack = [("", root)]
    count = 0
    while stack:
        path, cid = stack.pop()
        count += 1
        if count + len(stack) > most:  # what is on the stack is visited yet
            raise MalformedBlockError(f"more than {most} files and folders")
        if path.count("/") > FOLDERS_DEEP:
            raise MalformedBlockError(f"folders more than {FOLDERS_DEEP} deep: {path[:80]}…")
        node = _node(blocks, cid)
        if node.kind in (dag_pb.DIRECTORY, dag_pb.SHARD):
            yield Entry(path, cid, "folder", 0)
            links = node.links if node.kind == dag_pb.DIRECTORY else shard_links(node, shard)
            names = _checked_names(path, islice(links, most + 1))  # more than are allowed are never kept
            stack += [
                (f"{path}/{name}" if path else name, link)
                for name, link in sorted(names.items(), key=lambda each: each[0].encode(), reverse=True)
            ]
        elif node.kind == dag_pb.SYMLINK:
            yield Entry(path, cid, "symlink", 0)
        elif node.kind in (dag_pb.FILE, dag_pb.RAW):
            yield Entry(path, cid, "file", _size(cid, node))
        else:
            raise MalformedBlockError(f"{path or cid_text(cid)} is a node of kind {node.kind}, which is not read here")


def content(blocks: Blocks, cid: bytes) -> Iterator[bytes]:
    """Yield the bytes of a file, block by block; never more than its first node states.

    Raises:
        MalformedBlockError: a block is missing, is no part of a file, or has other sizes than stated above it.
    """
    stack: list[tuple[bytes, int | None, int]] = [(cid, None, 0)]
    while stack:
        part, expected, depth = stack.pop()
        node = _node(blocks, part)
        if node.kind not in (dag_pb.FILE, dag_pb.RAW):
            raise MalformedBlockError(f"{cid_text(part)} is no part of a file")
        size = _size(part, node)
        if expected is not None and size != expected:
            raise MalformedBlockError(f"{cid_text(part)} has {size} bytes where {expected} are stated above it")
        if depth > NODES_DEEP:
            raise MalformedBlockError(f"{cid_text(cid)} has nodes more than {NODES_DEEP} deep")
        if node.data:
            yield node.data
        for link, below in zip(reversed(node.links), reversed(node.sizes), strict=True):
            stack.append((_linked(link.cid), below, depth + 1))


def _node(blocks: Blocks, cid: bytes) -> Node:
    data = blocks(cid)
    codec = DAG_PB if cid[:2] == SHA2_256 else cid[1]
    if codec == RAW:
        return Node(dag_pb.RAW, data, len(data), (), ())
    if codec != DAG_PB:
        raise MalformedBlockError(
            f"{cid_text(cid)} is no UnixFS node (codec {codec:#x}); files and folders are read here"
        )
    try:
        return read_node(data)
    except MalformedBlockError as error:
        raise MalformedBlockError(f"{cid_text(cid)}: {error.message}") from error


def _size(cid: bytes, node: Node) -> int:
    """Return the bytes of a file's node and all below it; what it states has to add up."""
    if len(node.sizes) != len(node.links):
        raise MalformedBlockError(f"{cid_text(cid)} has {len(node.links)} links, and states {len(node.sizes)} sizes")
    if len(node.links) > LINKS_AT_MOST:
        raise MalformedBlockError(f"{cid_text(cid)} has {len(node.links)} parts; {LINKS_AT_MOST} are allowed in a node")
    if 0 in node.sizes:  # else a few blocks could stand for endless work without a byte
        raise MalformedBlockError(f"{cid_text(cid)} links to a part of no bytes")
    size = len(node.data) + sum(node.sizes)
    if node.size is not None and node.size != size:
        raise MalformedBlockError(f"{cid_text(cid)} states {node.size} bytes, and has {size}")
    return size


def _checked_names(path: str, links: Iterable[Link]) -> dict[str, bytes]:
    names: dict[str, bytes] = {}
    for link in links:
        name = link.name
        if name in ("", ".", "..") or "/" in name or "\0" in name or len(name.encode()) > NAME_BYTES:
            raise MalformedBlockError(f"{name[:80]!r} in folder {path!r} is no name of a file")
        if name in names:
            raise MalformedBlockError(f"{name[:80]!r} is twice in folder {path!r}")
        names[name] = _linked(link.cid)
    return names


def _linked(data: bytes) -> bytes:
    try:
        cid, end = read_cid(data, 0)
    except InvalidCidError as error:
        raise MalformedBlockError(f"a link is no CID that is read here: {error.message}") from error
    if end != len(data):
        raise MalformedBlockError(f"a link has {len(data) - end} bytes behind its CID")
    return cid
