"""What a token says of itself, and when it ends."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from artdag_common.federation.l2 import Verified
from services.auth.verification import CLOCK_SECONDS, LONGEST_SECONDS, Claims, expiry, read_claims

NOW = 1_800_000_000.5


def jwt(claims: Any) -> str:
    """A token in the shape of a JWT; nobody here looks at its signature."""
    middle = base64.urlsafe_b64encode(json.dumps(claims).encode()).rstrip(b"=").decode()
    return f"eyJhbGciOiJIUzI1NiJ9.{middle}.c2ln"


@pytest.mark.parametrize(
    ("claims", "expected"),
    [
        ({"l1_server": "HTTPS://L1.Example:443/", "exp": 1_800_000_100}, Claims("https://l1.example", 1_800_000_100)),
        ({"l1_server": "https://l1.example", "exp": 1_800_000_100.9}, Claims("https://l1.example", 1_800_000_100)),
        ({"sub": "giles"}, Claims()),
        ({"l1_server": "https://l1.example@evil.example"}, Claims("?")),
        ({"l1_server": ""}, Claims("?")),
        ({"l1_server": None, "exp": None}, Claims()),
        ({"exp": -1}, Claims()),
        ({"exp": 1e300}, Claims()),
        ({"exp": "soon"}, Claims()),
        ([1, 2], Claims()),
    ],
)
def test_claims_of_a_jwt(claims: Any, expected: Claims) -> None:
    assert read_claims(jwt(claims)) == expected


@given(st.text())
def test_what_is_no_jwt_claims_nothing(text: str) -> None:
    assert read_claims(text) == Claims()
    assert read_claims(f"a.{text}.b") == Claims()


def test_a_token_that_is_nested_without_end_claims_nothing() -> None:
    deep = base64.urlsafe_b64encode(b"[" * 100_000).rstrip(b"=").decode()
    assert read_claims(f"a.{deep}.b") == Claims()


@pytest.mark.parametrize(
    ("claimed", "said", "expected"),
    [
        (0, 0, int(NOW) + LONGEST_SECONDS),
        (1_800_000_100, 0, 1_800_000_100),
        (0, 1_800_000_100, 1_800_000_100),
        (1_800_000_200, 1_800_000_100, 1_800_000_100),
        (1_800_000_100, 1_800_000_200, 1_800_000_100),
        # L2 says that it is good, and by our clock it has been over for ten minutes: L2's clock is behind.
        (1_799_999_400, 0, 1_799_999_400 + CLOCK_SECONDS),
    ],
)
def test_the_earlier_end_counts(claimed: int, said: int, expected: int) -> None:
    assert expiry(Claims("", claimed), Verified("giles", "https://l2.example/users/giles", "", said), NOW) == expected
