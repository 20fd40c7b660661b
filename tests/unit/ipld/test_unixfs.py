"""CIDs of files and folders: those that another implementation gave, committed; tests/peers asks it again."""

from __future__ import annotations

from pathlib import Path
from typing import Any, get_args

import pytest

from artdag_common.cid import CHUNK, WIDTH, CidHasher, Dag, Version, cid_of, cid_v0, parse_cid
from artdag_common.errors import FolderTooLargeError, InvalidCidError
from artdag_common.ipld.unixfs import FOLDER_BYTES, Block, BlockReader, Tree, dag_of_file, folder, section_bytes, weight
from tests.unit.ipld.streams import SOME, golden, numbers

KNOWN = golden()
BOTH: tuple[Version, ...] = get_args(Version)


def hashed(size: int, version: Version) -> Dag:
    """Hash a stream of so many bytes."""
    hasher = CidHasher(version)
    for piece in numbers(size):
        hasher.update(piece)
    return hasher.finish()


def shown(dag: Dag, version: Version) -> str:
    """The CID as ``ipfs add`` prints it."""
    return dag.cid if version else cid_v0(dag.cid)


def built(entries: dict[str, int | None], version: Version) -> Dag:
    """A folder of files of so many bytes; None: an empty folder."""
    tree = Tree()
    for path, size in entries.items():
        tree.add(path, folder({}, version)[0] if size is None else hashed(size, version))
    return tree.build(lambda block: None, version)


@pytest.mark.parametrize("version", BOTH)
@pytest.mark.parametrize("size", [int(size) for size in KNOWN["files"]])
def test_a_file_has_the_cid_that_ipfs_gives_it(size: int, version: Version) -> None:
    dag = hashed(size, version)
    assert shown(dag, version) == KNOWN["files"][str(size)][version]
    assert dag.size == size
    assert dag.total == weight(size, version).total


@pytest.mark.parametrize("version", BOTH)
@pytest.mark.parametrize("name", KNOWN["folders"])
def test_a_folder_has_the_cid_that_ipfs_gives_it(name: str, version: Version) -> None:
    known: Any = KNOWN["folders"][name]
    assert shown(built(known["entries"], version), version) == known["cids"][version]


def test_the_order_in_which_files_join_a_folder_is_nothing() -> None:
    entries: dict[str, int | None] = KNOWN["folders"]["flat"]["entries"]
    assert built(dict(reversed(entries.items())), 0) == built(entries, 0)


@pytest.mark.parametrize("pieces", [1, 7, CHUNK - 1, CHUNK, CHUNK + 1, 10 * CHUNK])
def test_how_bytes_come_is_nothing(pieces: int) -> None:
    data = SOME[: CHUNK + 77]
    hasher = CidHasher()
    for start in range(0, len(data), pieces) if pieces > 100 else [0]:
        hasher.update(data[start : start + pieces] if pieces > 100 else data[:pieces])
    if pieces <= 100:
        hasher.update(data[pieces:])
    assert hasher.cid() == cid_of(data)


@pytest.mark.parametrize("version", BOTH)
@pytest.mark.parametrize("size", [0, 1, CHUNK, CHUNK + 1, WIDTH * CHUNK, WIDTH * CHUNK + 9])
def test_blocks_of_a_file_are_its_dag(tmp_path: Path, size: int, version: Version) -> None:
    path = tmp_path / "file"
    with path.open("wb") as file:
        file.truncate(size)
    total = in_car = 0
    cids = set()
    with path.open("rb") as opened:
        reader = BlockReader(opened, version)
        for block in reader:
            total += len(block.data)
            in_car += section_bytes(len(block.cid), len(block.data))
            cids.add(block.cid)
    assert reader.dag == dag_of_file(path, version)
    assert reader.dag.root in cids
    assert (total, in_car) == (weight(size, version).total, weight(size, version).in_car)


@pytest.mark.parametrize("size", [WIDTH**2 * CHUNK - 1, WIDTH**2 * CHUNK, WIDTH**2 * CHUNK + 1, 5 << 40])
def test_the_weight_of_a_file_grows_with_it(size: int) -> None:
    """Of files too large to hash here: each byte more is a byte more, and all above it is a small part."""
    now, more = weight(size), weight(size + 1)
    assert 0 < more.total - now.total < 500
    assert size < now.total < now.in_car < 1.001 * size


def test_a_folder_that_kubo_would_spread_over_blocks_is_refused() -> None:
    empty = hashed(0, 0)
    names = [f"{i:0>94}" for i in range(FOLDER_BYTES // 128)]  # 94 and a CID of 34 bytes
    assert folder(dict.fromkeys(names[1:], empty))[0].size == 0
    with pytest.raises(FolderTooLargeError, match="2048 entries have 262144 bytes"):
        folder(dict.fromkeys(names, empty))


def test_the_block_of_a_folder_is_given() -> None:
    blocks: list[Block] = []
    tree = Tree()
    tree.add("a/b", hashed(1, 0))
    dag = tree.build(blocks.append)
    assert [block.cid for block in blocks][-1] == dag.root
    assert dag.total == sum(len(block.data) for block in blocks) + weight(1).total


def test_both_forms_of_a_cid_name_the_same() -> None:
    cid = cid_of(b"hello world\n")
    assert cid_v0(cid) == "QmT78zSuBmuS4z925WZfrqQ1qHaJ56DQaTfyMUF7F8ff5o"
    assert parse_cid(cid_v0(cid)) == cid


def test_bare_bytes_have_no_short_form() -> None:
    with pytest.raises(InvalidCidError, match="bare bytes"):
        cid_v0(hashed(1, 1).cid)
