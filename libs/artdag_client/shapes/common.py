"""What several answers have in it."""

from __future__ import annotations

from typing import TypedDict

Links = dict[str, str | None]


class Deleted(TypedDict):
    """What is gone. Further members name it."""

    deleted: bool
