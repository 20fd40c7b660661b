"""Folders over many blocks: read as what they list, refused where they are not what an importer makes."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from artdag_common.errors import MalformedBlockError
from artdag_common.ipld.dag_pb import Link, field, folder_node, varint, write_link
from artdag_common.ipld.folders import entries
from tests.unit.ipld.blocks import Blocks

MURMUR3 = 0x22
SLOTS = 256


@pytest.fixture
def blocks() -> Blocks:
    """None yet."""
    return Blocks()


def shard(
    blocks: Blocks,
    links: list[tuple[str, bytes]],
    fanout: int = SLOTS,
    hash_type: int = MURMUR3,
    taken: int | None = None,
) -> bytes:
    """Take a shard with links of these names; ``taken``: the slots that it states, if not those of its links."""
    width = len(f"{fanout - 1:X}")
    if taken is None:
        taken = sum(1 << int(name[:width], 16) for name, _ in links)
    bits = taken.to_bytes((taken.bit_length() + 7) // 8, "big")
    unixfs = b"\x08\x05" + field(2, bits) + b"\x28" + varint(hash_type) + b"\x30" + varint(fanout)
    return blocks.add(b"".join(write_link(Link(cid, name, 1)) for name, cid in links) + field(1, unixfs))


def listed(blocks: Blocks, root: bytes, most: int = 1000) -> list[str]:
    """The paths below a folder."""
    return [entry.path for entry in entries(blocks.get, root, most)]


def test_entries_of_all_shards_come_in_the_order_of_their_names(blocks: Blocks) -> None:
    leaf = blocks.leaf(b"x")
    deep = shard(blocks, [("03d", leaf), ("FFb", leaf)])
    root = shard(blocks, [("00z", leaf), ("0A", shard(blocks, [("01", deep), ("7Fa", leaf)])), ("FEc", leaf)])
    assert listed(blocks, root) == ["", "a", "b", "c", "d", "z"]
    inside = blocks.add(folder_node([Link(root, "many", 1)]))
    assert listed(blocks, inside) == ["", "many", *(f"many/{name}" for name in "abcdz")]
    outside = shard(blocks, [("00many", inside)])
    assert listed(blocks, outside)[:4] == ["", "many", "many/many", "many/many/a"]


def test_a_folder_of_no_entries_is_empty(blocks: Blocks) -> None:
    assert listed(blocks, shard(blocks, [])) == [""]


@pytest.mark.parametrize(
    ("fanout", "slot"), [(8, "7"), (16, "F"), (32, "1F"), (256, "FF"), (512, "1FF"), (1024, "3FF")]
)
def test_the_number_of_a_slot_has_as_many_digits_as_the_last_one(blocks: Blocks, fanout: int, slot: str) -> None:
    leaf = blocks.leaf(b"x")
    assert listed(blocks, shard(blocks, [(f"{slot}name", leaf)], fanout)) == ["", "name"]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"fanout": 0}, "slots; read are"),
        ({"fanout": 4}, "slots; read are"),
        ({"fanout": 200}, "slots; read are"),
        ({"fanout": 2048}, "slots; read are"),
        ({"fanout": 1 << 60}, "slots; read are"),
        ({"hash_type": 0x12}, "shard of hash 0x12"),
        ({"taken": 1}, "other slots taken than it states"),
        ({"taken": 1 << 10 | 1 << 11 | 1}, "other slots taken than it states"),
        ({"taken": 1 << 4000}, "other slots taken than it states"),
    ],
)
def test_a_shard_of_another_kind_is_refused(blocks: Blocks, arguments: dict[str, int], said: str) -> None:
    leaf = blocks.leaf(b"x")
    with pytest.raises(MalformedBlockError, match=said):
        listed(blocks, shard(blocks, [("0Aa", leaf), ("0Bb", leaf)], **({"taken": 3} | arguments)))


@pytest.mark.parametrize("name", ["", "a", "0aname", "G0name", "-1name", " 1name", "0xname", "\uff11\uff12name"])
def test_a_link_without_a_slot_is_refused(blocks: Blocks, name: str) -> None:
    with pytest.raises(MalformedBlockError, match="no number of a slot"):
        listed(blocks, shard(blocks, [(name, blocks.leaf(b"x"))], taken=1))


def test_a_slot_that_the_shard_does_not_have_is_refused(blocks: Blocks) -> None:
    with pytest.raises(MalformedBlockError, match="disorder at '9name'"):
        listed(blocks, shard(blocks, [("9name", blocks.leaf(b"x"))], 8))


@pytest.mark.parametrize("names", [("0Aa", "0Ab"), ("0Ba", "0Ab")])
def test_slots_in_disorder_are_refused(blocks: Blocks, names: tuple[str, str]) -> None:
    leaf = blocks.leaf(b"x")
    with pytest.raises(MalformedBlockError, match="disorder"):
        listed(blocks, shard(blocks, [(name, leaf) for name in names], taken=1 << 10 | 1 << 11))


@pytest.mark.parametrize("name", [".", "..", "a/b", "/etc/passwd", "../up", "a\0b", "n" * 256])
def test_a_name_that_is_no_file_name_is_refused(blocks: Blocks, name: str) -> None:
    with pytest.raises(MalformedBlockError, match="no name of a file"):
        listed(blocks, shard(blocks, [(f"0A{name}", blocks.leaf(b"x"))]))


def test_a_name_twice_is_refused_also_in_two_shards(blocks: Blocks) -> None:
    leaf = blocks.leaf(b"x")
    below = shard(blocks, [("00a", leaf)])
    with pytest.raises(MalformedBlockError, match="twice"):
        listed(blocks, shard(blocks, [("01a", leaf), ("02", below)]))


def test_a_shard_below_has_to_be_one_of_the_same_kind(blocks: Blocks) -> None:
    leaf = blocks.leaf(b"x")
    plain = blocks.add(folder_node([Link(leaf, "00a", 1)]))
    for below, said in (
        (plain, "node of kind 1 where"),
        (shard(blocks, [("0a", leaf)], 16), "with 16 slots"),
        (leaf, "empty shard"),
        (shard(blocks, []), "empty shard"),
    ):
        with pytest.raises(MalformedBlockError, match=said):
            listed(blocks, shard(blocks, [("01", below)]))


@pytest.mark.parametrize(("fanout", "levels"), [(8, 21), (16, 16), (256, 8), (1024, 6)])
def test_shards_end_where_the_hash_does(blocks: Blocks, fanout: int, levels: int) -> None:
    slot = "0" * len(f"{fanout - 1:X}")
    root = shard(blocks, [(f"{slot}name", blocks.leaf(b"x"))], fanout)
    for _ in range(levels - 1):
        root = shard(blocks, [(slot, root)], fanout)
    assert listed(blocks, root) == ["", "name"]
    with pytest.raises(MalformedBlockError, match=f"{levels + 1} deep"):
        listed(blocks, shard(blocks, [(slot, root)], fanout))


def test_shards_that_multiply_are_refused_soon(blocks: Blocks) -> None:
    """Eight blocks that stand for 256⁸ entries: of one name, so that the second one is refused."""
    root = shard(blocks, [(f"{slot:02X}name", blocks.leaf(b"x")) for slot in range(1)])
    for _ in range(7):
        root = shard(blocks, [(f"{slot:02X}", root) for slot in range(SLOTS)])
    with pytest.raises(MalformedBlockError, match="twice"):
        listed(blocks, root)
    assert blocks.reads < 20


def test_folders_that_multiply_are_refused_soon(blocks: Blocks) -> None:
    """A few blocks that stand for 256³² folders of different paths."""
    below = blocks.leaf(b"x")
    for _ in range(32):
        below = shard(blocks, [(f"{slot:02X}{slot}", below) for slot in range(SLOTS)])
    with pytest.raises(MalformedBlockError, match="more than 1000 files"):
        listed(blocks, below)
    assert blocks.reads < 20


def test_no_more_entries_of_a_folder_are_read_than_are_allowed(blocks: Blocks) -> None:
    leaf = blocks.leaf(b"x")
    root = shard(
        blocks,
        [
            (f"{up:02X}", shard(blocks, [(f"{slot:02X}{up}-{slot}", leaf) for slot in range(SLOTS)]))
            for up in range(SLOTS)
        ],
    )
    with pytest.raises(MalformedBlockError, match="more than 600 files"):
        listed(blocks, root, 600)
    assert blocks.reads == 4, "the root, and the shards with the first 601 entries"
    assert len(listed(blocks, root, SLOTS * SLOTS + 1)) == SLOTS * SLOTS + 1


@given(st.binary(max_size=200))
def test_noise_in_a_shard_is_read_or_refused(noise: bytes) -> None:
    blocks = Blocks()
    root = blocks.add(noise + field(1, b"\x08\x05\x28\x22\x30\x80\x02"))
    with contextlib.suppress(MalformedBlockError, KeyError):
        assert listed(blocks, root) == [""]
