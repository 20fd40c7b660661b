"""pixelate: the picture in large square pixels.

Squares have a side of size · height, rounded, at least 1 px; the grid is centred, so squares at the edges may be
cut. Every square gets the mean of its pixels, rounded to nearest.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pydantic import Field

from artdag_common.effects.base import EffectParams, effect

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from artdag_common.effects.base import Frame


class PixelateParams(EffectParams):
    """Parameters of pixelate."""

    size: float = Field(0.03, ge=0, le=0.5, description="Side of a square by the height of the picture; 0: unchanged")


@effect(
    "pixelate",
    version="1.0.0",
    author="Art DAG",
    description="Shows the picture in large square pixels.",
    example={"size": 0.045},
    remembers="nothing",
)
def process_frame(frame: Frame, params: PixelateParams, state: Any) -> tuple[Frame, Any]:
    """Return the frame in squares. ``state`` is not used: no frame depends on others."""
    import numpy as np

    height, width = frame.shape[:2]
    side = max(1, round(params.size * height))
    if side == 1:
        return frame, state
    rows, columns = _edges(height, side), _edges(width, side)
    high, wide = np.diff(rows, append=height), np.diff(columns, append=width)
    below = np.append(rows[1:], height)
    sums = np.stack([np.add.reduce(frame[a:b], axis=0, dtype=np.uint32) for a, b in zip(rows, below, strict=True)])
    pixels = (high[:, None] * wide)[..., None]
    means = (2 * np.add.reduceat(sums, columns, axis=1, dtype=np.int64) + pixels) // (2 * pixels)
    lines = np.repeat(means.astype(np.uint8), wide, axis=1)
    for line, a, b in zip(lines, rows, below, strict=True):
        frame[a:b] = line
    return frame, state


def _edges(length: int, side: int) -> NDArray[np.int64]:
    """Return where squares begin, ascending, the first at 0."""
    import numpy as np

    return np.unique([0, *range(length % side // 2, length, side)])
