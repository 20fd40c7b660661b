"""Files and folders as blocks, as ``ipfs add -r`` makes them: balanced files, plain folders.

Both import profiles, see :mod:`artdag_common.cid`. A folder whose entries weigh 262,144 bytes or more (names and binary
CIDs together) is refused: there Kubo spreads it over many blocks (HAMT), which is another CID than a plain folder's.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import BinaryIO

from artdag_common.cid import CHUNK, DAG_PB, SHA2_256, WIDTH, CidHasher, Dag, Version, binary_cid
from artdag_common.errors import FolderTooLargeError
from artdag_common.ipld.dag_pb import Link, file_node, folder_node, leaf_frame, varint

READ_BYTES = 4 * CHUNK
FOLDER_BYTES = 262_144
"""What the entries of a folder weigh at most, less one; Kubo's ``HAMTShardingSize``."""


@dataclass(frozen=True, slots=True)
class Block:
    """A node of a DAG: its binary CID and its bytes."""

    cid: bytes
    data: bytes


@dataclass(slots=True)
class BlockReader:
    """Yields the blocks of a file while it is read, leaves first; ``dag`` is there when all are taken."""

    file: BinaryIO
    version: Version = 0
    dag: Dag | None = None

    def __iter__(self) -> Iterator[Block]:
        found: list[Block] = []
        hasher = CidHasher(self.version, lambda cid, data: found.append(Block(cid, data)))
        while data := self.file.read(READ_BYTES):
            hasher.update(data)
            yield from found
            found.clear()
        self.dag = hasher.finish()
        yield from found


@dataclass(frozen=True, slots=True)
class Weight:
    """What a file comes to as blocks, known from its size alone.

    Attributes:
        total: bytes of all blocks; the folder above states it.
        in_car: bytes of all sections of a CAR file that holds them.
    """

    total: int
    in_car: int


def section_bytes(cid: int, data: int) -> int:
    """Return the bytes of a CAR section for a CID and a block of so many bytes."""
    return len(varint(cid + data)) + cid + data


@lru_cache(maxsize=4096)
def weight(size: int, version: Version = 0) -> Weight:
    """Return what a file of ``size`` bytes comes to, without its bytes."""
    leaf_cid = inner_cid = len(binary_cid(SHA2_256 + bytes(32), version, DAG_PB))

    def leaf(data: int) -> int:
        return data + (0 if version else sum(map(len, leaf_frame(data))))

    whole, rest = divmod(size, CHUNK)
    # Every level is a row of equal subtrees and at most one smaller last: (file bytes, all bytes, bytes in a CAR).
    count = whole if size else 0
    full = (CHUNK, leaf(CHUNK), section_bytes(leaf_cid, leaf(CHUNK)))
    last = (rest, leaf(rest), section_bytes(leaf_cid, leaf(rest))) if rest or not size else None
    while count + bool(last) > 1:
        groups, left = divmod(count, WIDTH)
        tail = [full] * left + ([last] if last else [])
        last = _joined(tail, inner_cid) if tail else None
        if groups:
            full = _joined([full] * WIDTH, inner_cid)
        count = groups
    root = last or full
    return Weight(root[1], root[2])


def _joined(children: list[tuple[int, int, int]], cid: int) -> tuple[int, int, int]:
    """Return file bytes, all bytes and bytes in a CAR of a node above ``children``."""
    block = len(file_node((Link(bytes(cid), "", total) for _, total, _ in children), [c[0] for c in children]))
    return (
        sum(size for size, _, _ in children),
        block + sum(total for _, total, _ in children),
        section_bytes(cid, block) + sum(in_car for _, _, in_car in children),
    )


def folder(entries: Mapping[str, Dag], version: Version = 0) -> tuple[Dag, Block]:
    """Return a folder of files and folders by their names, and its own block.

    Raises:
        FolderTooLargeError: the entries weigh too much for one block.
    """
    weighed = sum(len(name.encode()) + len(dag.root) for name, dag in entries.items())
    if weighed >= FOLDER_BYTES:
        raise FolderTooLargeError(
            f"the names and CIDs of {len(entries)} entries have {weighed} bytes, where those of a plain folder have"
            f" less than {FOLDER_BYTES}: put some of them into folders below it",
            entries=len(entries),
        )
    data = folder_node(Link(dag.root, name, dag.total) for name, dag in entries.items())
    root = binary_cid(SHA2_256 + hashlib.sha256(data).digest(), version, DAG_PB)
    dag = Dag(root, sum(dag.size for dag in entries.values()), len(data) + sum(dag.total for dag in entries.values()))
    return dag, Block(root, data)


@dataclass(slots=True)
class Tree:
    """A folder that grows by the paths of its files."""

    entries: dict[str, Tree | Dag] = field(default_factory=dict)

    def add(self, path: str, dag: Dag) -> None:
        """Put a file, or a folder that is complete, at ``a/b/c``; folders on the way appear."""
        *folders, name = path.split("/")
        tree = self
        for each in folders:
            below = tree.entries.setdefault(each, Tree())
            assert isinstance(below, Tree), f"{each} of {path} is a file"
            tree = below
        tree.entries[name] = dag

    def build(self, take: Callable[[Block], object], version: Version = 0) -> Dag:
        """Return the folder; ``take`` is given the blocks of all folders, the deepest first."""
        below = {
            name: entry if isinstance(entry, Dag) else entry.build(take, version)
            for name, entry in self.entries.items()
        }
        dag, block = folder(below, version)
        take(block)
        return dag


def dag_of_file(path: Path, version: Version = 0) -> Dag:
    """Return a file as a DAG, without keeping its blocks."""
    hasher = CidHasher(version)
    with path.open("rb", buffering=0) as file:
        while data := file.read(READ_BYTES):
            hasher.update(data)
    return hasher.finish()


def known_file(root: bytes, size: int, version: Version = 0) -> Dag:
    """Return the DAG of a file whose CID and size are known; it is of this profile."""
    return Dag(root, size, weight(size, version).total)
