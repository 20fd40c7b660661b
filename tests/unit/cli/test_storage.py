"""What ``artdag storage`` says of copies."""

from __future__ import annotations

from typing import Any

import pytest

from artdag_cli.storage import how_far


@pytest.mark.parametrize(
    ("progress", "said"),
    [
        (None, ""),
        ({"done": 1_500_000, "total": 4_000_000, "status": None}, "1.5 MB of 4.0 MB"),
        ({"done": 0, "total": 4_000_000, "status": "pinning"}, "pinning"),
    ],
)
def test_how_far_a_copy_is_is_said_as_far_as_it_is_known(progress: dict[str, Any] | None, said: str) -> None:
    assert how_far(progress) == said
