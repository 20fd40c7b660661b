"""Hashers between two requests of an upload: only those that had all bytes so far, and not too many."""

from __future__ import annotations

from artdag_common.cid import CidHasher, cid_of
from services.gateway.hashing import MOST, Hashing


def test_an_upload_is_hashed_from_request_to_request():
    hashing = Hashing()
    data = bytes(range(256)) * 2000
    for start in range(0, len(data), 100_000):
        hasher = hashing.take("upload", start)
        assert hasher
        hasher.update(data[start : start + 100_000])
        hashing.keep("upload", hasher)
    whole = hashing.take("upload", len(data))
    assert whole
    assert whole.cid() == cid_of(data)


def test_a_hasher_that_lacks_bytes_is_none():
    hashing = Hashing()
    assert hashing.take("elsewhere", 10) is None
    hasher = CidHasher()
    hasher.update(b"0123456789")
    hashing.keep("upload", hasher)
    assert hashing.take("upload", 11) is None
    assert hashing.take("upload", 10) is None, "whoever took it has it"


def test_an_upload_begins_anew_with_a_new_hasher():
    hashing = Hashing()
    assert hashing.take("upload", 0)
    hasher = CidHasher()
    hasher.update(b"0123456789")
    hashing.keep("upload", hasher)
    again = hashing.take("upload", 0)
    assert again is None or again.size == 0


def test_the_oldest_goes_where_there_are_too_many():
    hashing = Hashing()
    for number in range(MOST + 1):
        hasher = CidHasher()
        hasher.update(b"x")
        hashing.keep(str(number), hasher)
    assert hashing.take("0", 1) is None
    assert hashing.take("1", 1)
    assert hashing.take(str(MOST), 1)
