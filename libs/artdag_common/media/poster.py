"""A strip of frames: what happens in a video, at a glance."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

from artdag_common.media.geometry import even
from artdag_common.media.pictures import Clip, Target
from artdag_common.media.rgb import RgbBridge
from artdag_common.media.thumbnail import save


def poster(media: Path, output: Path, width: int, count: int) -> Path:
    """Write a JPEG of ``count`` frames side by side, or all there are: the middle one of each of as many equal parts.

    Args:
        width: pixels of the whole strip; each frame has its even part of it, so it may be a few less.

    Raises:
        StepInputError: there is no picture in ``media``.
    """
    clip = Clip(media)
    across = max(2, width // count // 2 * 2)
    high = even(Fraction(across * clip.size[1], clip.size[0])) if clip.size[1] <= 2 * clip.size[0] else 2 * across
    target = Target((across, high), "pad")
    bridge = RgbBridge(clip.tags)
    frames = clip.timeline.frames
    count = min(count, frames)
    row = []
    for part in range(count):
        place = (2 * part + 1) * frames // (2 * count)
        row.append(bridge.rgb(next(clip.pictures(place, place + 1, target))))
    return save(row, output)
