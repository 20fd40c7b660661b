"""Secrets at rest: sealed for one place by one key."""

from __future__ import annotations

import pytest

from artdag_common.errors import ConfigurationError
from artdag_common.sealing import Sealer

KEY, OTHER = "ab" * 32, "cd" * 32
SECRET = "wJalrXUtnFEMI/K7MDENG/bPxRfiCY — sëcret"


def test_what_is_sealed_opens_again_and_does_not_show() -> None:
    sealed = Sealer(KEY).seal("s1", "token", SECRET)
    assert SECRET.encode() not in sealed
    assert Sealer(KEY).open("s1", "token", sealed) == SECRET


def test_the_same_secret_is_sealed_differently_each_time() -> None:
    sealer = Sealer(KEY)
    assert len({sealer.seal("s1", "token", SECRET) for _ in range(20)}) == 20


@pytest.mark.parametrize(("storage", "field"), [("s2", "token"), ("s1", "secret_access_key"), ("s1/token", "")])
def test_what_is_sealed_for_one_place_opens_no_other(storage: str, field: str) -> None:
    sealer = Sealer(KEY)
    with pytest.raises(ConfigurationError, match="set it again"):
        sealer.open(storage, field, sealer.seal("s1", "token", SECRET))


def test_every_byte_counts() -> None:
    sealer = Sealer(KEY)
    sealed = sealer.seal("s1", "token", "x")
    for place in range(len(sealed)):
        changed = bytearray(sealed)
        changed[place] ^= 1
        with pytest.raises(ConfigurationError):
            sealer.open("s1", "token", bytes(changed))
    for length in range(len(sealed)):
        with pytest.raises(ConfigurationError):
            sealer.open("s1", "token", sealed[:length])


def test_keys_are_replaced_one_after_the_other() -> None:
    old = Sealer(KEY).seal("s1", "token", SECRET)
    both = Sealer(f"{OTHER},{KEY}")
    assert both.open("s1", "token", old) == SECRET
    assert Sealer(OTHER).open("s1", "token", both.seal("s1", "token", SECRET)) == SECRET
    with pytest.raises(ConfigurationError):
        Sealer(OTHER).open("s1", "token", old)


@pytest.mark.parametrize("keys", ["ab", "zz" * 32, f"{KEY},ab", "ab" * 33])
def test_a_wrong_key_is_refused_and_not_shown(keys: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        Sealer(keys)
    assert "ARTDAG_SECRET_KEY" in caught.value.message
    assert not any(key and key in caught.value.message for key in keys.split(",") if key != "ab")


def test_without_a_key_no_secret_is_taken() -> None:
    assert not Sealer("").able
    with pytest.raises(ConfigurationError, match="ARTDAG_SECRET_KEY"):
        Sealer("").seal("s1", "token", SECRET)


def test_a_fingerprint_knows_data_again_only_with_the_key() -> None:
    assert Sealer(KEY).fingerprint(b"a") == Sealer(KEY).fingerprint(b"a")
    assert len({Sealer(key).fingerprint(data) for key in (KEY, OTHER) for data in (b"a", b"b")}) == 4
