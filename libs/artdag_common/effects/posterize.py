"""posterize: few tones in place of many, as in a silk-screen print.

With L levels a value v becomes ⌊(⌊(v · (L − 1) + o) / 255⌋ · 255) / (L − 1) + ½⌋, where o = 127 rounds to the
nearest level. With dither, o follows an ordered 8 × 8 pattern (Bayer, 1973) whose dots are a 360th of the height, so
that tones in between are mixed of the dots of two levels.
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


class PosterizeParams(EffectParams):
    """Parameters of posterize."""

    levels: int = Field(5, ge=2, le=64, description="Tones of each channel")
    dither: float = Field(0.0, ge=0, le=1, description="How much of the tones in between is made of dots; 0: none")


@effect(
    "posterize",
    version="1.0.0",
    author="Art DAG",
    description="Reduces every channel to a few tones.",
    example={"levels": 4, "dither": 0.6},
    remembers="nothing",
)
def process_frame(frame: Frame, params: PosterizeParams, state: Any) -> tuple[Frame, Any]:
    """Return the frame in few tones. ``state`` holds the table or the pattern, and what they were made for."""
    import numpy as np

    steps = params.levels - 1
    if params.dither == 0:
        if state.get("table_for") != steps:
            values = np.arange(256)
            level = (values * steps + 127) // 255
            state = {**state, "table_for": steps, "table": ((level * 510 + steps) // (2 * steps)).astype(np.uint8)}
        # bytearray.translate is three times as fast as np.take with a table of bytes
        changed = bytearray(frame.data).translate(state["table"].tobytes())
        return np.frombuffer(changed, np.uint8).reshape(frame.shape), state

    made_for = (frame.shape, params.dither)
    if state.get("pattern_for") != made_for:
        state = {**state, "pattern_for": made_for, "pattern": _pattern(frame.shape, params.dither)}
    pattern, lines = state["pattern"], frame.reshape(len(frame), -1)
    for top in range(0, len(frame), ROWS):
        band = lines[top : top + ROWS].astype(np.uint16)
        band *= steps
        band += pattern[top : top + ROWS]
        band //= 255
        band *= 510
        band += steps
        band //= 2 * steps
        lines[top : top + ROWS] = band
    return lines.reshape(frame.shape), state


def _pattern(shape: tuple[int, ...], dither: float) -> NDArray[np.uint16]:
    """Return the offsets o, 0 to 254: shape (height, width · 3)."""
    import numpy as np

    height, width = shape[:2]
    bayer = np.zeros((1, 1), int)
    for _ in range(3):
        bayer = np.block([[4 * bayer, 4 * bayer + 2], [4 * bayer + 3, 4 * bayer + 1]])
    offsets = 127 + ((bayer * 4 + 1 - 127) * round(dither * 256) >> 8)
    dot = max(1, round(height / 360))
    rows, columns = np.arange(height) // dot % 8, np.arange(width) // dot % 8
    return np.repeat(offsets[rows][:, columns].astype(np.uint16), 3, axis=1)
