"""CIDs and CAR files, held against another implementation of IPFS."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any, get_args

import pytest

from artdag_common.cid import Version, cid_bytes, cid_of, cid_text, cid_v0, parse_cid
from artdag_common.ipld import dag_pb
from artdag_common.ipld.car import CarFile, FolderCar, Source
from artdag_common.ipld.dag_pb import read_node
from artdag_common.ipld.folders import content, entries
from artdag_common.ipld.unixfs import Tree, dag_of_file
from tests.unit.ipld.streams import SOME, golden

KNOWN = golden()
BOTH: tuple[Version, ...] = get_args(Version)

Ask = Callable[..., dict[str, Any]]


def lay_out(folder: Path, entries: dict[str, int | None]) -> Path:
    """Write the files of a folder; None: an empty folder."""
    for path, size in entries.items():
        place = folder / path
        if size is None:
            place.mkdir(parents=True)
        else:
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_bytes(SOME[:size])
    return folder


@pytest.mark.parametrize("version", BOTH)
@pytest.mark.parametrize("size", [int(size) for size in KNOWN["files"]])
def test_golden_cids_of_files_are_the_peers(ask: Ask, size: int, version: Version) -> None:
    assert ask(ask="cid", bytes=size, version=version)["cid"] == KNOWN["files"][str(size)][version]


@pytest.mark.parametrize("version", BOTH)
@pytest.mark.parametrize("name", KNOWN["folders"])
def test_golden_cids_of_folders_are_the_peers(ask: Ask, tmp_path: Path, name: str, version: Version) -> None:
    known: Any = KNOWN["folders"][name]
    lay_out(tmp_path, known["entries"])
    assert ask(ask="cid", path=tmp_path, version=version)["cid"] == known["cids"][version]


def test_a_folder_just_below_the_limit_is_the_peers_too(ask: Ask, tmp_path: Path) -> None:
    names = [f"{i:0>94}" for i in range(2047)]
    lay_out(tmp_path, dict.fromkeys(names, 1))
    tree = Tree()
    for name in names:
        tree.add(name, dag_of_file(tmp_path / name))
    assert ask(ask="cid", path=tmp_path, version=0)["cid"] == cid_v0(tree.build(lambda block: None).cid)


def test_the_peer_reads_our_car(ask: Ask, tmp_path: Path) -> None:
    folder = lay_out(tmp_path / "folder", {"one/two/three": 600_000, "one/ä": 3, "none": 0})
    paths = {path.relative_to(folder).as_posix(): path for path in folder.rglob("*") if path.is_file()}
    car = FolderCar({name: Source.at(path, dag_of_file(path)) for name, path in paths.items()})
    file = tmp_path / "our.car"
    file.write_bytes(b"".join(car))
    assert file.stat().st_size == car.size_bytes
    seen = ask(ask="read-car", path=file)
    assert list(map(parse_cid, seen["roots"])) == [cid_text(car.root)]
    assert {name: (parse_cid(each["cid"]), each["sha256"]) for name, each in seen["files"].items()} == {
        name: (cid_of(path.read_bytes()), hashlib.sha256(path.read_bytes()).hexdigest()) for name, path in paths.items()
    }


@pytest.mark.parametrize("version", BOTH)
def test_we_read_the_peers_car(ask: Ask, tmp_path: Path, version: Version) -> None:
    files: dict[str, int | None] = {"one/two/three": 600_000, "one/ä": 3, "none": 0}
    file = tmp_path / "their.car"
    cid = ask(ask="write-car", path=lay_out(tmp_path / "folder", files), car=file, version=version)["cid"]
    with CarFile(file) as car:
        assert car.roots == [cid_bytes(cid, version)]
        found = {e.path: b"".join(content(car.get, e.cid)) for e in entries(car.get, car.roots[0]) if e.kind == "file"}
    assert found == {path: SOME[:size] for path, size in files.items()}


@pytest.mark.parametrize("version", BOTH)
@pytest.mark.parametrize("count", [2100, 5000])
def test_we_read_the_peers_folder_over_many_blocks(ask: Ask, tmp_path: Path, count: int, version: Version) -> None:
    files: dict[str, int | None] = {f"many/{i:0>94}": i % 7 for i in range(count)}
    files |= {"many/below/one": 3, "few/one": 4}
    file = tmp_path / "their.car"
    cid = ask(ask="write-car", path=lay_out(tmp_path / "folder", files), car=file, version=version)["cid"]
    with CarFile(file) as car:
        assert car.roots == [cid_bytes(cid, version)]
        found = list(entries(car.get, car.roots[0]))
        folders = {each.path: read_node(car.get(each.cid)).kind for each in found if each.kind == "folder"}
        contents = {each.path: b"".join(content(car.get, each.cid)) for each in found if each.kind == "file"}
    plain = dag_pb.DIRECTORY
    assert folders == {"": plain, "few": plain, "many": dag_pb.SHARD, "many/below": plain}
    assert contents == {path: SOME[:size] for path, size in files.items()}
    assert [each.path for each in found] == sorted([*folders, *files])
