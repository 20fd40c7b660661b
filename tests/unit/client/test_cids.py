"""The client's CIDs are those of the reference importer, and so those of the server."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from pathlib import Path

import pytest

from artdag_client.cids import CHUNK, WIDTH, Verifier, canonical, cid_of, cid_of_file, is_cid
from artdag_common import cid as servers

FILES = json.loads((Path(__file__).resolve().parents[2] / "golden" / "cids.json").read_text())["files"]
PATTERN = bytes(range(251))


def pieces(size: int) -> Iterator[bytes]:
    """Yield the reference's bytes: 0 to 250 over and over."""
    block = PATTERN * 4096
    while size > 0:
        yield block[:size]
        size -= len(block)


@pytest.mark.parametrize("size", sorted(map(int, FILES)))
def test_both_profiles_are_the_references(size: int) -> None:
    version_0, version_1 = FILES[str(size)]
    assert cid_of(pieces(size)) == canonical(version_0)
    assert cid_of(pieces(size), bare=True) == version_1


@pytest.mark.parametrize("size", [0, 1, CHUNK - 1, CHUNK, CHUNK + 1, 3 * CHUNK, WIDTH * CHUNK + 1])
def test_it_is_what_the_server_computes(size: int, tmp_path: Path) -> None:
    data = random.Random(size).randbytes(size)
    file = tmp_path / "file"
    file.write_bytes(data)
    assert cid_of_file(file) == cid_of([data]) == servers.cid_of(data)


@pytest.mark.parametrize("profile", [0, 1])
@pytest.mark.parametrize("size", [0, 7, 2 * CHUNK + 5])
def test_a_verifier_knows_either_profile_and_nothing_else(profile: int, size: int) -> None:
    data = random.Random(1).randbytes(size)
    cid = cid_of([data], bare=bool(profile))
    assert verified(cid, data)
    assert not verified(cid, data + b"x")
    if size:
        assert not verified(cid, data[:-1])


def verified(cid: str, data: bytes) -> bool:
    """Return what a verifier says of bytes."""
    verifier = Verifier(cid)
    verifier.update(data)
    return verifier.is_so()


def test_forms_of_a_cid() -> None:
    version_0, version_1 = FILES["262145"]
    assert canonical(version_0) == servers.parse_cid(version_0)
    assert canonical(version_1) == version_1
    assert verified(version_0, b"".join(pieces(262145)))
    assert is_cid(version_0)
    assert is_cid(version_1)
    for text in ("", "cat", version_1[:-1], version_1.upper(), "Qm" + "0" * 44, "7d0f4a52-9a3b-5d6e-8c1f-2b3a4c5d6e7f"):
        assert not is_cid(text)
        assert canonical(text) == text
