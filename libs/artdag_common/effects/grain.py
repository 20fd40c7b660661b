"""grain: the grain of film.

Every grain, a square of size · height (rounded, at least 1 px), gets a random number r from −255 to 255 that is the
sum of two even ones, so that small ones are common. It is added to the picture as r / 255 · amount · 96 · g(v),
where v is the value it falls on and g = 1 − ((v − 112) / 192)²: strongest between shadow and mid grey, weak in black
and white, as on film. Frame n is drawn from PCG64 seeded with (seed, n). In colour, each channel has a grain of its
own.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pydantic import Field

from artdag_common.effects.base import EffectParams, effect

if TYPE_CHECKING:
    from artdag_common.effects.base import Frame

ROWS = 24  # worked on at a time: what lies between stays in the processor's cache


class GrainParams(EffectParams):
    """Parameters of grain."""

    amount: float = Field(0.35, ge=0, le=1, description="How strong the grain is")
    size: float = Field(0.003, ge=0, le=0.05, description="Side of a grain by the height of the picture")
    colour: bool = Field(False, description="Coloured grain, as of fast colour film")
    seed: int = Field(0, ge=0, le=2**32 - 1, description="Another one gives another grain")


@effect(
    "grain",
    version="1.0.0",
    author="Art DAG",
    description="Adds the grain of film.",
    example={"amount": 0.7, "size": 0.007},
    remembers="number",
)
def process_frame(frame: Frame, params: GrainParams, state: Any) -> tuple[Frame, Any]:
    """Return the grainy frame. ``state`` holds the frame's number."""
    import numpy as np

    number = state.get("number", 0)
    state = {"number": number + 1}
    if params.amount == 0:
        return frame, state
    height, width = frame.shape[:2]
    side = max(1, round(params.size * height))
    rows, columns = -(-height // side), -(-width // side)
    values = columns * 3 if params.colour else columns
    drawn = np.random.PCG64([params.seed, number]).random_raw(-(-rows * values // 4))
    parts = drawn.astype("<u8", copy=False).view(np.uint8)[: rows * values * 2].reshape(2, rows, values)
    grains = parts[0].astype(np.int16)
    grains += parts[1]
    grains -= 255

    answer = [round(params.amount * 96 * (1 - ((value - 112) / 192) ** 2)) for value in range(256)]
    strength = np.frombuffer(bytearray(frame.data).translate(bytes(answer)), np.uint8).reshape(height, -1)
    lines = frame.reshape(height, -1)
    for row in range(0, rows, -(-ROWS // side)):
        band = grains[row : row + -(-ROWS // side)]
        top, bottom = row * side, min((row + len(band)) * side, height)
        if side > 1:
            band = np.repeat(band, side, axis=0)[: bottom - top]
        if side > 1 or not params.colour:
            band = np.repeat(band.reshape(len(band), columns, -1), side, axis=1)[:, :width]
            band = np.repeat(band, 3 // band.shape[2], axis=2).reshape(len(band), -1)
        else:
            band = band.copy()
        band *= strength[top:bottom]
        band >>= 8
        band += lines[top:bottom]
        lines[top:bottom] = np.clip(band, 0, 255, out=band)
    return lines.reshape(frame.shape), state
