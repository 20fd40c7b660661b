"""CAR files: written and read back, and hostile ones."""

from __future__ import annotations

import hashlib
import io
from pathlib import Path

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from artdag_common.cid import CHUNK, DAG_PB, RAW, SHA2_256, binary_cid, cid_bytes, cid_of, cid_text
from artdag_common.errors import CidMismatchError, MalformedBlockError
from artdag_common.ipld.car import BLOCK_BYTES, CarFile, CarReader, FolderCar, Source, header, section
from artdag_common.ipld.dag_pb import varint
from artdag_common.ipld.folders import content, entries
from artdag_common.ipld.unixfs import Block, dag_of_file
from tests.unit.ipld.streams import SOME


def block(data: bytes, codec: int = RAW) -> Block:
    """A block of these bytes."""
    return Block(binary_cid(SHA2_256 + hashlib.sha256(data).digest(), 1, codec), data)


def written(tmp_path: Path, data: bytes) -> Path:
    """A file of these bytes."""
    path = tmp_path / "it.car"
    path.write_bytes(data)
    return path


@pytest.fixture
def sample(tmp_path: Path) -> FolderCar:
    """A folder of three files."""
    files = {}
    for name, size in (("a/large", CHUNK * 2 + 5), ("a/small", 10), ("none", 0)):
        path = tmp_path / name.replace("/", "-")
        path.write_bytes(SOME[:size])
        files[name] = Source.at(path, dag_of_file(path))
    return FolderCar(files)


def read_back(car: CarFile) -> dict[str, bytes]:
    """The files in it."""
    return {
        each.path: b"".join(content(car.get, each.cid))
        for root in car.roots
        for each in entries(car.get, root)
        if each.kind == "file"
    }


def test_the_size_is_known_before_anything_is_read(sample: FolderCar) -> None:
    assert len(b"".join(sample)) == sample.size_bytes


def test_files_are_read_back(sample: FolderCar, tmp_path: Path) -> None:
    with CarFile(written(tmp_path, b"".join(sample))) as car:
        assert car.roots == [sample.root]
        assert read_back(car) == {"a/large": SOME[: CHUNK * 2 + 5], "a/small": SOME[:10], "none": b""}


def test_the_order_of_blocks_is_nothing(sample: FolderCar, tmp_path: Path) -> None:
    reader = CarReader(io.BytesIO(b"".join(sample)))
    blocks = [Block(each.cid, each.data) for each in reader]
    shuffled = b"".join([header(reader.roots), *map(section, reversed(blocks)), section(blocks[0])])
    with CarFile(written(tmp_path, shuffled)) as car:
        assert read_back(car)["a/large"] == SOME[: CHUNK * 2 + 5]


def test_a_file_that_changed_is_noticed_while_it_is_written(sample: FolderCar, tmp_path: Path) -> None:
    (tmp_path / "a-small").write_bytes(SOME[1:11])
    with pytest.raises(CidMismatchError, match="a/small"):
        list(sample)


def test_the_example_of_the_specification_is_read() -> None:
    """https://ipld.io/specs/transport/car/fixture/carv1-basic/: header and first block."""
    head = bytes.fromhex(
        "63a265726f6f747382d82a58250001711220f88bc853804cf294fe417e4fa83028689fcdb1b1592c5102e1474dbc200fab8b"
        "d82a5825000171122069ea0740f9807a28f4d932c62e7c1c83be055e55072c90266ab3e79df63a365b6776657273696f6e01"
    )
    first = bytes.fromhex(
        "5b01711220f88bc853804cf294fe417e4fa83028689fcdb1b1592c5102e1474dbc200fab8ba2646c696e6bd82a5823001220"
        "02acecc5de2438ea4126a3010ecb1f8a599c8eff22fff1a1dcffe999b27fd3de646e616d6564626c6970"
    )
    reader = CarReader(io.BytesIO(head + first))
    assert [cid_text(root) for root in reader.roots] == [
        "bafyreihyrpefhacm6kkp4ql6j6udakdit7g3dmkzfriqfykhjw6cad5lrm",
        "bafyreidj5idub6mapiupjwjsyyxhyhedxycv4vihfsicm2vt46o7morwlm",
    ]
    assert [cid_text(each.cid) for each in reader] == ["bafyreihyrpefhacm6kkp4ql6j6udakdit7g3dmkzfriqfykhjw6cad5lrm"]


ONE = block(b"one")


@pytest.mark.parametrize(
    ("data", "error", "said"),
    [
        (b"", MalformedBlockError, "an empty file"),
        (header([ONE.cid])[:9], MalformedBlockError, "the file ends after 8"),
        (b"\x00", MalformedBlockError, "0 bytes"),
        (varint(1 << 60) + b"x", MalformedBlockError, "1 to 65536 are allowed"),
        (b"\xff" * 20, MalformedBlockError, "63 bits"),
        (b"\x80\x00", MalformedBlockError, "longer than it has to be"),
        (b"\x01\xa0", MalformedBlockError, "version None"),
        (header([ONE.cid])[:-1] + b"\x02", MalformedBlockError, "version 2"),
        (b"\x11\xa2\x65roots\x80\x67version\x01", MalformedBlockError, "names no root"),
        (header([ONE.cid]), MalformedBlockError, "does not contain the block"),
        (header([ONE.cid]) + b"\x85", MalformedBlockError, "in the middle of a length"),
        (header([ONE.cid]) + section(ONE)[:-1], MalformedBlockError, "the file ends after"),
        (header([ONE.cid]) + section(Block(ONE.cid, b"two")), CidMismatchError, "does not hash"),
        (header([ONE.cid]) + varint(BLOCK_BYTES + 99), MalformedBlockError, "are allowed"),
        (header([ONE.cid]) + varint(1 << 62), MalformedBlockError, "are allowed"),
        (header([ONE.cid]) + varint(4) + b"\x01\x55\x13\x20", MalformedBlockError, "no SHA2-256 hash"),
        (header([ONE.cid]) + varint(3) + b"\x05\x55\x12", MalformedBlockError, "version 5"),
    ],
)
def test_a_hostile_file_is_refused(tmp_path: Path, data: bytes, error: type[Exception], said: str) -> None:
    with pytest.raises(error, match=said):
        CarFile(written(tmp_path, data))


def _valid() -> bytes:
    leaf = block(b"content")
    return header([leaf.cid]) + section(leaf) + section(block(b"more"))


VALID = _valid()


@settings(max_examples=400, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    at=st.integers(0, len(VALID)),
    cut=st.integers(0, 12),
    put=st.binary(max_size=12),
)
@example(at=0, cut=0, put=b"")
def test_whatever_is_done_to_a_file_it_is_refused_or_right(tmp_path: Path, at: int, cut: int, put: bytes) -> None:
    data = VALID[:at] + put + VALID[at + cut :]
    try:
        car = CarFile(written(tmp_path, data))
    except (MalformedBlockError, CidMismatchError):
        return
    with car:
        for root in car.roots:
            assert hashlib.sha256(car.get(root)).digest() == root[-32:]


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.binary(max_size=300))
def test_noise_is_refused(tmp_path: Path, noise: bytes) -> None:
    with pytest.raises((MalformedBlockError, CidMismatchError)):
        CarFile(written(tmp_path, noise))


def test_a_file_that_changes_while_it_is_read_is_noticed(sample: FolderCar, tmp_path: Path) -> None:
    path = written(tmp_path, b"".join(sample))
    with CarFile(path) as car:
        path.write_bytes(bytes(path.stat().st_size))
        with pytest.raises(CidMismatchError, match="has changed"):
            car.get(sample.root)


def test_blocks_of_other_codecs_are_checked_too(tmp_path: Path) -> None:
    """DAG-CBOR, for example: known by its hash, whatever it means."""
    other = block(b"\xa0", 0x71)
    with CarFile(written(tmp_path, header([other.cid]) + section(other))) as car:
        assert car.get(other.cid) == b"\xa0"
        with pytest.raises(MalformedBlockError, match="no UnixFS node"):
            list(entries(car.get, other.cid))


def test_a_cid_in_both_forms_finds_the_block(tmp_path: Path) -> None:
    cid = cid_of(b"")
    leaf = Block(cid_bytes(cid, 0), bytes.fromhex("0a0408021800"))
    with CarFile(written(tmp_path, header([leaf.cid]) + section(leaf))) as car:
        assert car.get(cid_bytes(cid, 1)) == car.get(leaf.cid)
        assert binary_cid(leaf.cid, 1, DAG_PB) == cid_bytes(cid)
