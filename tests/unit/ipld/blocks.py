"""Blocks in memory, for graphs that no importer would make."""

from __future__ import annotations

import hashlib

from artdag_common.cid import SHA2_256, binary_cid
from artdag_common.ipld.dag_pb import leaf_frame


class Blocks:
    """Blocks by their CIDs. ``reads``: how many were asked for."""

    def __init__(self) -> None:
        self.all: dict[bytes, bytes] = {}
        self.reads = 0

    def add(self, data: bytes, codec: int = 0) -> bytes:
        """Take a block and return its CID."""
        hashed = SHA2_256 + hashlib.sha256(data).digest()
        cid = binary_cid(hashed, 1, codec) if codec else hashed
        self.all[cid] = data
        return cid

    def leaf(self, data: bytes) -> bytes:
        """Take a file of one block."""
        head, tail = leaf_frame(len(data))
        return self.add(head + data + tail)

    def get(self, cid: bytes) -> bytes:
        """Return a block."""
        self.reads += 1
        return self.all[cid]
