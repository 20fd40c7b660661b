"""JSON that means one thing, and can be stored."""

from __future__ import annotations

from typing import Any

import pytest

from artdag_common.errors import InvalidRequestError
from services.gateway.bodies import read_json


@pytest.mark.parametrize(
    ("text", "value"),
    [
        (b'{"a": {"b": 1}, "c": {"b": 2}}', {"a": {"b": 1}, "c": {"b": 2}}),
        (b'"\\ud83d\\udc36"', "\N{DOG FACE}"),
        (b'"\\\\u0000"', "\\u0000"),
        (b"18446744073709551615", 2**64 - 1),
        (b'"123456789012345678901234567890"', "123456789012345678901234567890"),
        (b"[" * 200 + b"]" * 200, None),
    ],
)
def test_what_is_read(text: bytes, value: Any) -> None:
    found = read_json(text)
    assert value is None or found == value


@pytest.mark.parametrize(
    ("text", "rule"),
    [
        (b'{"a": 1, "a": 2}', "'a' comes twice"),
        (b'[{"b": {"a": 1, "b": 1, "a": 1}}]', "'a' comes twice"),
        (b"[" * 300 + b"]" * 300, "254 levels"),
        (b"[" * 100_000, "JSON"),
        (b'{"a":' * 300 + b"1" + b"}" * 300, "254 levels"),
        (b'"\\u0000"', "NUL"),
        (b'"\\\\\\u0000"', "NUL"),
        (b'{"\\u0000": 1}', "NUL"),
        (b'"\\ud83d"', "JSON"),
        (b'"\\udc36\\ud83d"', "JSON"),
        (b"NaN", "JSON"),
        (b"-Infinity", "JSON"),
        (b"1e999", "JSON"),
        (b"18446744073709551616", "64 bits"),
        (b"-9223372036854775809", "64 bits"),
        (b"9" * 5000, "JSON"),
        (b"9" * 300, "64 bits"),
        (b'"\xff"', "JSON"),
        ('"a"'.encode("utf-16"), "JSON"),
        (b"", "JSON"),
        (b"{'a': 1}", "JSON"),
    ],
)
def test_what_is_refused(text: bytes, rule: str) -> None:
    with pytest.raises(InvalidRequestError, match=rule):
        read_json(text)
