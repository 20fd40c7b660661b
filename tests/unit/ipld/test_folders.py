"""Hostile UnixFS: names that would leave a folder, sizes that lie, a few blocks that stand for endless work."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from artdag_common.cid import RAW
from artdag_common.errors import MalformedBlockError
from artdag_common.ipld.dag_pb import (
    Link,
    field,
    file_node,
    folder_node,
    read_node,
    read_varint,
    varint,
    write_link,
)
from artdag_common.ipld.folders import FOLDERS_DEEP, LINKS_AT_MOST, NODES_DEEP, content, entries
from tests.unit.ipld.blocks import Blocks


@pytest.fixture
def blocks() -> Blocks:
    """None yet."""
    return Blocks()


def whole(blocks: Blocks, cid: bytes) -> bytes:
    """A file's bytes."""
    return b"".join(content(blocks.get, cid))


@pytest.mark.parametrize("name", ["", ".", "..", "a/b", "/etc/passwd", "../up", "a\0b", "n" * 256])
def test_a_name_that_is_no_file_name_is_refused(blocks: Blocks, name: str) -> None:
    root = blocks.add(folder_node([Link(blocks.leaf(b"x"), name, 1)]))
    with pytest.raises(MalformedBlockError, match="no name of a file"):
        list(entries(blocks.get, root))


def test_a_name_that_is_no_text_is_refused(blocks: Blocks) -> None:
    link = field(2, field(1, blocks.leaf(b"x")) + field(2, b"\xff\xfe") + b"\x18\x01")
    root = blocks.add(link + field(1, b"\x08\x01"))
    with pytest.raises(MalformedBlockError, match="not UTF-8"):
        list(entries(blocks.get, root))


def test_a_name_twice_is_refused(blocks: Blocks) -> None:
    leaf = blocks.leaf(b"x")
    with pytest.raises(MalformedBlockError, match="twice"):
        list(entries(blocks.get, blocks.add(folder_node([Link(leaf, "a", 1), Link(leaf, "a", 1)]))))


def test_folders_that_multiply_are_refused(blocks: Blocks) -> None:
    """32 blocks that stand for 2³² files."""
    below = blocks.leaf(b"x")
    for _ in range(32):
        below = blocks.add(folder_node([Link(below, "a", 1), Link(below, "b", 1)]))
    with pytest.raises(MalformedBlockError, match="more than 1000 files"):
        list(entries(blocks.get, below, 1000))


def test_folders_too_deep_are_refused(blocks: Blocks) -> None:
    below = blocks.leaf(b"x")
    for _ in range(FOLDERS_DEEP + 2):
        below = blocks.add(folder_node([Link(below, "a", 1)]))
    with pytest.raises(MalformedBlockError, match="deep"):
        list(entries(blocks.get, below))


def test_a_symlink_is_no_file(blocks: Blocks) -> None:
    link = blocks.add(field(1, b"\x08\x04" + field(2, b"/etc/passwd")))
    assert [e.kind for e in entries(blocks.get, blocks.add(folder_node([Link(link, "l", 1)])))] == ["folder", "symlink"]
    with pytest.raises(MalformedBlockError, match="no part of a file"):
        whole(blocks, link)


def test_parts_of_no_bytes_are_refused(blocks: Blocks) -> None:
    """A few blocks could stand for endless work without a byte."""
    below = blocks.leaf(b"")
    root = blocks.add(file_node([Link(below, "", 6)] * 100, [0] * 100))
    with pytest.raises(MalformedBlockError, match="no bytes"):
        whole(blocks, root)


@pytest.mark.parametrize("stated", [0, 1, 4, 1 << 50])
def test_a_size_that_lies_is_refused(blocks: Blocks, stated: int) -> None:
    leaf = blocks.leaf(b"abc")
    wrong = blocks.add(file_node([Link(leaf, "", 9), Link(leaf, "", 9)], [3, stated]))
    with pytest.raises(MalformedBlockError, match=r"stated above it|no bytes"):
        whole(blocks, wrong)
    lying = blocks.add(field(1, b"\x08\x02" + field(2, b"abc") + b"\x18" + varint(stated)))
    with pytest.raises(MalformedBlockError, match=f"states {stated} bytes, and has 3"):
        whole(blocks, lying)


def test_links_without_sizes_are_refused(blocks: Blocks) -> None:
    leaf = blocks.leaf(b"abc")
    root = blocks.add(write_link(Link(leaf, "", 9)) + field(1, b"\x08\x02\x18\x03"))
    with pytest.raises(MalformedBlockError, match="1 links, and states 0 sizes"):
        whole(blocks, root)


def test_a_file_too_deep_or_too_wide_is_refused(blocks: Blocks) -> None:
    below = blocks.leaf(b"a")
    for _ in range(NODES_DEEP + 1):
        below = blocks.add(file_node([Link(below, "", 9)], [1]))
    with pytest.raises(MalformedBlockError, match="deep"):
        whole(blocks, below)
    many = LINKS_AT_MOST + 1
    wide = blocks.add(file_node([Link(blocks.leaf(b"a"), "", 9)] * many, [1] * many))
    with pytest.raises(MalformedBlockError, match="8192 are allowed"):
        whole(blocks, wide)


def test_other_layouts_are_read(blocks: Blocks) -> None:
    """Data in the nodes themselves, bare leaves, sizes packed: no importer of ours writes them, others do."""
    bare = blocks.add(b"cd", RAW)
    leaf = blocks.leaf(b"e")
    links = write_link(Link(bare, "", 2)) + write_link(Link(leaf, "", 9))
    root = blocks.add(links + field(1, b"\x08\x02" + field(2, b"ab") + b"\x18\x05" + field(4, b"\x02\x01")))
    assert whole(blocks, root) == b"abcde"


@given(st.binary(max_size=200))
def test_noise_is_a_node_or_refused(noise: bytes) -> None:
    node = None
    with contextlib.suppress(MalformedBlockError):
        node = read_node(noise)
    if node:
        assert sum(len(link.cid) for link in node.links) + len(node.data) <= len(noise)


@given(st.integers(0, 2**63 - 1))
def test_numbers_are_read_back(number: int) -> None:
    written = varint(number)
    assert read_varint(written, 0) == (number, len(written))
