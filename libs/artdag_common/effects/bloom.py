"""bloom: bright things glow.

The picture is averaged in cells of a quarter of radius · height (rounded, at least 1 px), from the upper left. Of
each cell, what lies above threshold · 255 is kept and spread over 0 to 255, then averaged three times over 5 × 5
cells, each mean rounded down; cells beyond the border count as those at it. Enlarged again, mixed between the
middles of cells, times amount (at most 255), it is laid over the picture as light: 255 − (255 − v) (255 − glow) /
255.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pydantic import Field

from artdag_common.effects.base import EffectParams, effect

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from artdag_common.effects.base import Frame

ROWS = 24  # worked on at a time: what lies between stays in the processor's cache


class BloomParams(EffectParams):
    """Parameters of bloom."""

    amount: float = Field(1.0, ge=0, le=4, description="How strong the glow is; 0: none")
    threshold: float = Field(0.55, ge=0, le=0.99, description="How bright a thing has to be to glow")
    radius: float = Field(0.06, ge=0, le=0.3, description="How far it glows, by the height of the picture")


@effect(
    "bloom",
    version="1.0.0",
    author="Art DAG",
    description="Lets bright things glow.",
    example={"amount": 1.6, "threshold": 0.5},
    remembers="nothing",
)
def process_frame(frame: Frame, params: BloomParams, state: Any) -> tuple[Frame, Any]:
    """Return the glowing frame. ``state`` is not used: no frame depends on others."""
    import numpy as np

    height, width = frame.shape[:2]
    cell = max(1, round(params.radius * height / 4))
    glow = _means(frame, cell)
    floor = round(params.threshold * 255)
    glow = np.maximum(glow - floor, 0) * 255 // (255 - floor)
    for axis in (0, 1, 0, 1, 0, 1):
        glow = _averaged(glow, axis)
    glow = np.minimum(glow * round(params.amount * 256) >> 8, 255).astype(np.uint16)

    columns, beside, right = _places(width, cell, glow.shape[1])
    weight = right[:, None]
    rows = (glow[:, columns] * (256 - weight) + glow[:, beside] * weight).reshape(len(glow), -1)
    rows >>= 8
    above, below, down = _places(height, cell, len(glow))
    lines = frame.reshape(height, -1)
    for top in range(0, height, ROWS):
        here = slice(top, top + ROWS)
        light = rows[above[here]]
        light *= 256 - down[here, None]
        more = rows[below[here]]
        more *= down[here, None]
        light += more
        light >>= 8
        dark = np.bitwise_not(lines[here])
        np.subtract(255, light, out=light)
        light *= dark
        light += 127
        light //= 255
        np.bitwise_not(light.astype(np.uint8), out=lines[here])
    return lines.reshape(frame.shape), state


def _means(frame: Frame, cell: int) -> NDArray[np.int64]:
    """Return the mean of each cell, rounded down: shape (rows, columns, 3)."""
    import numpy as np

    tops, lefts = np.arange(0, frame.shape[0], cell), np.arange(0, frame.shape[1], cell)
    sums = np.stack([np.add.reduce(frame[top : top + cell], axis=0, dtype=np.uint32) for top in tops])
    high, wide = np.minimum(cell, frame.shape[0] - tops), np.minimum(cell, frame.shape[1] - lefts)
    totals = np.add.reduceat(sums.astype(np.int64), lefts, axis=1)
    means: NDArray[np.int64] = totals // (high[:, None] * wide)[..., None]
    return means


def _averaged(cells: NDArray[np.int64], axis: int) -> NDArray[np.int64]:
    """Return the means of five cells in a row along an axis."""
    import numpy as np

    count = cells.shape[axis]
    near = (np.take(cells, np.clip(np.arange(count) + step, 0, count - 1), axis=axis) for step in range(-2, 3))
    total = np.zeros_like(cells)
    for each in near:
        total += each
    return total // 5


def _places(length: int, cell: int, cells: int) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.uint16]]:
    """Return for each row or column the two cells it is mixed of, and the weight of the second, 0 to 255."""
    import numpy as np

    place = np.clip(((2 * np.arange(length) + 1 - cell) * 128) // cell, 0, (cells - 1) * 256)
    first = place >> 8
    return first, np.minimum(first + 1, cells - 1), (place & 255).astype(np.uint16)
