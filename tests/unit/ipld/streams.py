"""Content that tests hash without storing it, and golden CIDs of it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

GOLDEN = Path(__file__).resolve().parents[2] / "golden" / "cids.json"
SOME = bytes(range(251)) * 4096
"""251 is prime, so that hardly two chunks of a file are alike."""


def numbers(count: int) -> Iterator[bytes]:
    """Yield so many bytes: 0 to 250 over and over."""
    for left in range(count, 0, -len(SOME)):
        yield SOME[:left]


def golden() -> dict[str, Any]:
    """Return CIDs that another implementation gave: ``files`` by size, ``folders`` with what is in them."""
    return dict(json.loads(GOLDEN.read_text()))
