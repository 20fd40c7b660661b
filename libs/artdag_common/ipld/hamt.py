"""Folders over many blocks, as IPFS makes them of large ones: a trie over the hashes of the names (HAMT).

See https://specs.ipfs.tech/unixfs/#dag-pb-hamtdirectory. A block of it, a shard, has ``fanout`` slots. In a slot is an
entry, whose link is called by the number of the slot and the entry's name, or a shard below, whose link is called by
the number alone. Shards are only walked: whoever wants all names needs no hash of them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace

from artdag_common.errors import MalformedBlockError
from artdag_common.ipld.dag_pb import SHARD, Link, Node

MURMUR3_X64_64 = 0x22
HASH_BITS = 64
FANOUTS = tuple(1 << bits for bits in range(3, 11))
"""8 to 1024 slots, as Kubo allows; it makes shards of 256."""


def shard_links(root: Node, read: Callable[[bytes], Node]) -> Iterator[Link]:
    """Yield the links of a folder to what is in it, by the names of its entries; the order is that of the trie.

    Few blocks can stand for endless entries: whoever takes them has to stop. At most 21 blocks are read from an entry
    to the next, since no shard below the root is empty.

    Args:
        root: a node of kind ``SHARD``.
        read: gives the node of a binary CID, as a link has it.

    Raises:
        MalformedBlockError: no HAMT, one with empty shards, or deeper than its hash goes.
    """
    return _walk(root, root.fanout, 1, read)


def _walk(shard: Node, fanout: int, level: int, read: Callable[[bytes], Node]) -> Iterator[Link]:
    width = _checked_width(shard, fanout)
    if level * (fanout.bit_length() - 1) > HASH_BITS:
        raise MalformedBlockError(f"a folder's shards are {level} deep, where the hash of a name has no bits left")
    for link in shard.links:
        if name := link.name[width:]:
            yield replace(link, name=name)
            continue
        below = read(link.cid)
        if not below.links:
            raise MalformedBlockError("a folder has an empty shard")
        yield from _walk(below, fanout, level + 1, read)


def _checked_width(shard: Node, fanout: int) -> int:
    """Return how many digits the number of a slot has, of a shard that is in order."""
    if shard.kind != SHARD:
        raise MalformedBlockError(f"a node of kind {shard.kind} where a folder's shard has to be")
    if shard.hash_type != MURMUR3_X64_64 or fanout not in FANOUTS or shard.fanout != fanout:
        raise MalformedBlockError(
            f"a folder's shard of hash {shard.hash_type:#x} with {shard.fanout} slots; read are those of"
            f" {MURMUR3_X64_64:#x} with {FANOUTS[0]} to {FANOUTS[-1]}, the same all over a folder"
        )
    width = len(f"{fanout - 1:X}")
    taken = 0
    for link in shard.links:
        slot = _slot(link.name[:width], width)
        if slot >= fanout or taken >> slot:
            raise MalformedBlockError(f"a folder's shard has its slots in disorder at {link.name[:80]!r}")
        taken |= 1 << slot
    if int.from_bytes(shard.data, "big") != taken:
        raise MalformedBlockError("a folder's shard has other slots taken than it states")
    return width


def _slot(digits: str, width: int) -> int:
    """Return the number of a slot, from the digits of a link's name: hexadecimal, large letters, zeros in front."""
    if len(digits) != width or set(digits) - set("0123456789ABCDEF"):
        raise MalformedBlockError(f"a link of a folder's shard begins with no number of a slot: {digits!r}")
    return int(digits, 16)
