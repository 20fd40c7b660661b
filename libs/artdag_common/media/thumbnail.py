"""One small picture that stands for a video or a picture."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from artdag_common.media.geometry import Size
from artdag_common.media.pictures import Clip, Rgb, Target, planes
from artdag_common.media.rgb import RgbBridge

QUALITY = 85
TRIED = (1, 3, 5, 7, 9)
"""Tenths of the length at which a video is looked at: its very beginning and end are often black."""
TALLEST = 2
"""Height by width beyond which a picture is made narrower instead."""


def thumbnail(media: Path, output: Path, width: int) -> Path:
    """Write a JPEG of the liveliest of five frames: that with the largest variance of the luma, the first of equals.

    Args:
        width: pixels; smaller pictures stay as they are, and tall ones become narrower.

    Raises:
        StepInputError: there is no picture in ``media``.
    """
    clip = Clip(media)
    target = Target(box(clip, width), "fit")
    bridge = RgbBridge(clip.tags)
    most, best = -1, None
    for place in dict.fromkeys(clip.timeline.frames * tenth // 10 for tenth in TRIED):
        frame = next(clip.pictures(place, place + 1, target))
        spread = _variance(planes(frame)[0])
        if spread > most:
            most, best = spread, bridge.rgb(frame)
    assert best is not None
    return save([best], output)


def box(clip: Clip, width: int) -> Size:
    """Return the box that a clip's pictures are brought into: as wide as asked for, or as they are."""
    width = min(width, clip.size[0])
    return width, min(TALLEST * width, clip.size[1])


def save(row: Sequence[Rgb], output: Path) -> Path:
    """Write pictures side by side as a JPEG."""
    picture = Image.fromarray(np.concatenate(row, axis=1))
    picture.save(output, "JPEG", quality=QUALITY, optimize=True)
    return output


def _variance(luma: np.ndarray[tuple[int, ...], np.dtype[np.uint8]]) -> int:
    """Return the variance times the square of the number of pixels: whole numbers, alike everywhere."""
    values = luma.astype(np.int64)
    return int(values.size * (values * values).sum() - values.sum() ** 2)
