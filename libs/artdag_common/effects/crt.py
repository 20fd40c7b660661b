"""crt: an old television tube.

- The picture bulges by curvature: a pixel at (x, y) from the middle, −1 to 1 each, shows what is at (x (1 +
  curvature · y² / 2), y (1 + curvature · x² / 2)), to the nearest pixel; outside it is black.
- It is made of lines: of the height / lines rows of each (rounded, at least 2), light falls towards the gap between
  two, down to 1 − scanlines, as the square of the distance from the line's middle.
- Its phosphors are stripes of red, green and blue, each a third of a line's height wide, at least 1 px: a stripe
  shows the other two colours by 1 − phosphor only.
- All of it is made brighter by what lines and phosphors take, on average; at most twice as bright.
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


class CrtParams(EffectParams):
    """Parameters of crt."""

    curvature: float = Field(0.12, ge=0, le=1, description="How much the glass bulges; 0: flat")
    lines: int = Field(180, ge=20, le=1080, description="Lines of the picture")
    scanlines: float = Field(0.6, ge=0, le=1, description="How dark it is between the lines")
    phosphor: float = Field(0.3, ge=0, le=1, description="How pure the colours of the stripes are")


@effect(
    "crt",
    version="1.0.0",
    author="Art DAG",
    description="Shows the picture on an old television tube.",
    example={"lines": 100, "curvature": 0.25},
    remembers="nothing",
)
def process_frame(frame: Frame, params: CrtParams, state: Any) -> tuple[Frame, Any]:
    """Return the frame on the tube. ``state`` holds the bulge and the pattern, and what they were made for."""
    import numpy as np

    height, width = frame.shape[:2]
    if state.get("glass_for") != (frame.shape, params.curvature):
        glass = _glass(height, width, params.curvature) if params.curvature else None
        state = {**state, "glass_for": (frame.shape, params.curvature), "glass": glass}
    made_for = (frame.shape, params.lines, params.scanlines, params.phosphor)
    if state.get("pattern_for") != made_for:
        pattern = _pattern(height, width, params.lines, params.scanlines, params.phosphor)
        state = {**state, "pattern_for": made_for, "pattern": pattern}

    if state["glass"] is not None:
        # one pixel more than there are: black, for what is outside
        pixels = np.concatenate([frame.reshape(-1, 3), np.zeros((1, 3), np.uint8)])
        for top in range(0, height, ROWS):
            np.take(pixels, state["glass"][top : top + ROWS], axis=0, out=frame[top : top + ROWS], mode="clip")
    rows, columns = state["pattern"]
    lines = frame.reshape(height, -1)
    for top in range(0, height, ROWS):
        band = lines[top : top + ROWS].astype(np.uint16)
        band *= columns
        band >>= 7
        np.minimum(band, 255, out=band)
        band *= rows[top : top + ROWS]
        band >>= 7
        lines[top : top + ROWS] = np.minimum(band, 255, out=band)
    return lines.reshape(frame.shape), state


def _glass(height: int, width: int, curvature: float) -> NDArray[np.int32]:
    """Return the index of the pixel that each one shows, height · width for none: shape (height, width)."""
    import numpy as np

    y = (np.arange(1 - height, height, 2, dtype=np.float32) / height)[:, None]
    x = np.arange(1 - width, width, 2, dtype=np.float32) / width
    bulge = np.float32(curvature / 2)
    from_y = np.floor((y * (1 + bulge * x * x) + 1) * np.float32(height / 2)).astype(np.int32)
    from_x = np.floor((x * (1 + bulge * y * y) + 1) * np.float32(width / 2)).astype(np.int32)
    inside = (from_y >= 0) & (from_y < height) & (from_x >= 0) & (from_x < width)
    return np.where(inside, from_y * width + from_x, np.int32(height * width))


def _pattern(
    height: int, width: int, lines: int, scanlines: float, phosphor: float
) -> tuple[NDArray[np.uint16], NDArray[np.uint16]]:
    """Return the light of rows, shape (height, 1), and of the values of a row, shape (width · 3,): 128ths, to 256."""
    import numpy as np

    high = max(2, round(height / lines))
    distance = (2 * np.arange(height)[:, None] % (2 * high) + 1 - high) / high
    light = 1 - scanlines * distance**2
    row = np.minimum(light / light.mean(), 2)
    stripe = max(1, high // 3)
    shown = np.arange(width)[:, None] // stripe % 3 == np.arange(3)
    column = np.where(shown, 1.0, 1 - phosphor) / (1 - phosphor * 2 / 3)
    return np.rint(row * 128).astype(np.uint16), np.rint(np.minimum(column, 2) * 128).astype(np.uint16).reshape(-1)
