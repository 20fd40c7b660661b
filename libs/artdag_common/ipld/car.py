"""CAR files, version 1: a header that names roots, then blocks, each behind its length and its CID.

See https://ipld.io/specs/transport/car/carv1/. What is read is checked block by block and never trusted: lengths are
bounded before memory is taken for them, bytes have to hash to their CIDs, roots have to be there.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import sqlite3
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Self

from artdag_common.cid import Dag, cid_text, read_cid
from artdag_common.errors import CidMismatchError, InvalidCidError, MalformedBlockError
from artdag_common.ipld.dag_pb import LONGEST_VARINT, read_varint, varint
from artdag_common.ipld.unixfs import Block, BlockReader, Tree, section_bytes, weight

MEDIA_TYPE = "application/vnd.ipld.car; version=1"
HEADER_BYTES = 64 * 1024
BLOCK_BYTES = 2 << 20
"""Largest block that is read: what IPFS nodes pass on to each other."""
CID_BYTES = 64
BATCH_BYTES = 1 << 20


# --- writing --------------------------------------------------------------------------------------------------------


def header(roots: list[bytes]) -> bytes:
    """Return the header of a CAR file, in DAG-CBOR; at most 23 roots, in binary."""
    assert 0 < len(roots) < 24
    links = b"".join(b"\xd8\x2a\x58" + bytes((len(root) + 1, 0)) + root for root in roots)
    document = b"\xa2\x65roots" + bytes((0x80 | len(roots),)) + links + b"\x67version\x01"
    return varint(len(document)) + document


def section(block: Block) -> bytes:
    """Return a block as it stands in a CAR file."""
    return varint(len(block.cid) + len(block.data)) + block.cid + block.data


@dataclass(frozen=True, slots=True)
class Source:
    """A file on its way into a CAR: what it is known to be, and how to open it when its turn comes."""

    dag: Dag
    open: Callable[[], BinaryIO]

    @classmethod
    def at(cls, path: Path, dag: Dag) -> Self:
        """Return a file that lies at a path."""
        return cls(dag, lambda: path.open("rb"))


class FolderCar:
    """A folder of files as one CAR, whose root and size are known before the first byte of content is read."""

    def __init__(self, files: Mapping[str, Source]) -> None:
        """``files``: by their paths in the folder, with ``/`` between names.

        Raises:
            FolderTooLargeError: a folder has too many entries.
        """
        self._files = files
        self._folders: list[Block] = []
        tree = Tree()
        for path, source in files.items():
            tree.add(path, source.dag)
        self.root = tree.build(self._folders.append).root
        self._folders.reverse()  # the root first, as a reader wants it
        folders = sum(section_bytes(len(block.cid), len(block.data)) for block in self._folders)
        self.size_bytes = (
            len(header([self.root])) + folders + sum(weight(source.dag.size).in_car for source in files.values())
        )

    def __iter__(self) -> Iterator[bytes]:
        """Yield the file in pieces of about a megabyte.

        Raises:
            CidMismatchError: a file is not what it was known to be; what was written is no whole CAR file.
        """
        waiting = bytearray()
        for piece in self._sections():
            waiting += piece
            if len(waiting) >= BATCH_BYTES:
                yield bytes(waiting)
                waiting.clear()
        yield bytes(waiting)

    def _sections(self) -> Iterator[bytes]:
        yield header([self.root])
        yield from map(section, self._folders)
        for path, source in self._files.items():
            with source.open() as file:
                blocks = BlockReader(file)
                yield from map(section, blocks)
            if blocks.dag != source.dag:
                raise CidMismatchError(f"{path} is not {source.dag.cid}: its bytes have changed", cid=source.dag.cid)


# --- reading --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Section:
    """A block of a CAR file that hashes to its CID, and where its bytes begin."""

    cid: bytes
    data: bytes
    offset: int


class CarReader:
    """Yields the blocks of a CAR file, whatever their order, while it is read once. Memory: one block."""

    def __init__(self, file: BinaryIO) -> None:
        """Read the header.

        Raises:
            MalformedBlockError: it is no CAR file of version 1.
        """
        self._file = file
        self._offset = 0
        size = self._length(HEADER_BYTES, "header")
        if size is None:
            raise MalformedBlockError("an empty file is no CAR file")
        self.roots = _read_header(self._take(size, "header"))

    def __iter__(self) -> Iterator[Section]:
        """Yield block by block.

        Raises:
            MalformedBlockError: the file ends in the middle of a block, or a block is too large.
            CidMismatchError: bytes do not hash to their CID.
        """
        while (size := self._length(BLOCK_BYTES + CID_BYTES, "block")) is not None:
            begin = self._offset
            data = self._take(size, "block")
            with _placed("block", begin):
                cid, end = read_cid(data, 0)
            block = data[end:]
            if hashlib.sha256(block).digest() != cid[-32:]:
                raise CidMismatchError(
                    f"the block at byte {begin} does not hash to its CID, {cid_text(cid)}", cid=cid_text(cid)
                )
            yield Section(cid, block, self._offset - len(block))

    def _length(self, most: int, what: str) -> int | None:
        """Return the number that begins a section; None: the file is over."""
        begin, number = self._offset, b""
        while len(number) < LONGEST_VARINT:
            byte = self._file.read(1)
            if not byte and not number:
                return None
            if not byte:
                raise MalformedBlockError(f"the file ends at byte {self._offset}, in the middle of a length")
            number += byte
            self._offset += 1
            if byte[0] < 128:
                break
        with _placed(what, begin):
            size = read_varint(number, 0)[0]
        if not 0 < size <= most:
            raise MalformedBlockError(f"the {what} at byte {begin} has {size} bytes; 1 to {most} are allowed")
        return size

    def _take(self, size: int, what: str) -> bytes:
        data = self._file.read(size)
        if len(data) < size:
            raise MalformedBlockError(
                f"the {what} at byte {self._offset} has {size} bytes, and the file ends after {len(data)} of them"
            )
        self._offset += size
        return data


@contextlib.contextmanager
def _placed(what: str, offset: int) -> Iterator[None]:
    """Say where in the file something is malformed."""
    try:
        yield
    except (MalformedBlockError, InvalidCidError) as error:
        raise MalformedBlockError(f"the {what} at byte {offset}: {error.message}") from error


def _read_header(data: bytes) -> list[bytes]:
    """Return the roots that a header names, in binary."""
    cbor = _Cbor(data)
    roots: list[bytes] | None = None
    version = None
    for _ in range(cbor.head(5, "a map")):
        match cbor.text(3):
            case b"version":
                version = cbor.head(0, "a number")
            case b"roots":
                roots = [cbor.link() for _ in range(cbor.head(4, "a list"))]
            case other:
                raise MalformedBlockError(f"the header has a field {other[:40]!r}")
    if version != 1:
        raise MalformedBlockError(f"a CAR file of version {version}; only version 1 is read (`car` tools convert)")
    if not roots:
        raise MalformedBlockError("the header names no root")
    if cbor.left:
        raise MalformedBlockError("the header has bytes behind its end")
    return roots


class _Cbor:
    """The little of DAG-CBOR that a header is made of."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0

    @property
    def left(self) -> int:
        return len(self._data) - self._at

    def head(self, major: int, what: str) -> int:
        """Return the number that stands in the head of a value of this major type."""
        if self.left < 1 or self._data[self._at] >> 5 != major:
            raise MalformedBlockError(f"the header is no CAR header: {what} is missing")
        small = self._data[self._at] & 31
        self._at += 1
        if small < 24:
            return small
        size = {24: 1, 25: 2, 26: 4, 27: 8}.get(small, 0)
        if not size or self.left < size:
            raise MalformedBlockError(f"the header is no CAR header: {what} ends in its middle")
        self._at += size
        return int.from_bytes(self._data[self._at - size : self._at], "big")

    def text(self, major: int) -> bytes:
        """Return a string of bytes (major type 2) or text (3)."""
        size = self.head(major, "a string")
        if size > self.left:
            raise MalformedBlockError("the header is no CAR header: a string ends in its middle")
        self._at += size
        return self._data[self._at - size : self._at]

    def link(self) -> bytes:
        """Return the binary CID of a link: tag 42 around a zero byte and the CID."""
        if self.head(6, "a link") != 42:
            raise MalformedBlockError("the header is no CAR header: a root is no link")
        data = self.text(2)
        with _placed("root of the header", self._at - len(data)):
            cid, end = read_cid(data, 1)
        if data[:1] != b"\0" or end != len(data):
            raise MalformedBlockError("the header is no CAR header: a root is no CID")
        return cid


class CarFile:
    """A CAR file that was checked as a whole, and whose blocks are found by their CIDs.

    The index is a temporary database, on disk where it is large; memory is one block.
    """

    def __init__(self, path: Path, progress: Callable[[int], object] = lambda done: None) -> None:
        """Check every block; ``progress`` is told how many bytes are done.

        Raises:
            MalformedBlockError: it is no CAR file, or a root is not in it.
            CidMismatchError: a block does not hash to its CID.
        """
        self._index = sqlite3.connect("", isolation_level=None)
        self._index.executescript(
            "PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF;"
            "CREATE TABLE block (digest BLOB PRIMARY KEY, place INTEGER, size INTEGER) WITHOUT ROWID; BEGIN"
        )
        self._file = path.open("rb")
        try:
            reader = CarReader(self._file)
            self.roots = reader.roots
            self.blocks = 0
            for found in reader:
                self._index.execute(
                    "INSERT OR IGNORE INTO block VALUES (?, ?, ?)", (found.cid[-32:], found.offset, len(found.data))
                )
                self.blocks += 1
                progress(found.offset + len(found.data))
            for root in self.roots:
                self.get(root)
        except BaseException:
            self.close()
            raise

    def get(self, cid: bytes) -> bytes:
        """Return a block.

        Raises:
            MalformedBlockError: it is not in the file.
            CidMismatchError: the file has changed.
        """
        row = self._index.execute("SELECT place, size FROM block WHERE digest = ?", (cid[-32:],)).fetchone()
        if row is None:
            raise MalformedBlockError(f"the file does not contain the block {cid_text(cid)}", cid=cid_text(cid))
        data = os.pread(self._file.fileno(), row[1], row[0])
        if hashlib.sha256(data).digest() != cid[-32:]:
            raise CidMismatchError(f"the file has changed while it was read, at byte {row[0]}", cid=cid_text(cid))
        return data

    def close(self) -> None:
        """Let go of the file and the index."""
        self._file.close()
        self._index.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
