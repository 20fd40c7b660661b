"""Every output is probed before it counts."""

from __future__ import annotations

from pathlib import Path

from artdag_common.media.types import media_type_of


def check_output(path: Path) -> str:
    """Return the media type of a step's output."""
    return media_type_of(path)
