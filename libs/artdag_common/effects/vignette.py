"""vignette: the corners darken, and the eye goes to the middle.

A pixel at distance d from the middle (0 there, 1 in the corners) loses the share amount · s(t) of its light, where
t = (d − radius) / softness, cut off at 0 and 1, and s(t) = t² (3 − 2 t). Shares are 256ths.
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


class VignetteParams(EffectParams):
    """Parameters of vignette."""

    amount: float = Field(0.7, ge=0, le=1, description="How dark the corners get; 1: black")
    radius: float = Field(0.35, ge=0, le=1, description="Where it begins: 0 in the middle, 1 in the corners")
    softness: float = Field(0.65, ge=0.01, le=1, description="How far it takes from there to the full darkness")


@effect(
    "vignette",
    version="1.0.0",
    author="Art DAG",
    description="Darkens the corners.",
    example={"amount": 0.9},
    remembers="nothing",
)
def process_frame(frame: Frame, params: VignetteParams, state: Any) -> tuple[Frame, Any]:
    """Return the frame with dark corners. ``state`` holds their shape, and what it was made for."""
    import numpy as np

    made_for = (frame.shape, params.radius, params.softness)
    if state.get("shade_for") != made_for:
        state = {"shade_for": made_for, "shade": _shade(*made_for)}
    weight = round(params.amount * 256)
    shade, lines = state["shade"], frame.reshape(len(frame), -1)
    for top in range(0, len(frame), ROWS):
        left = shade[top : top + ROWS] * weight
        left >>= 8
        np.subtract(256, left, out=left)
        left *= lines[top : top + ROWS]
        left >>= 8
        lines[top : top + ROWS] = left
    return lines.reshape(frame.shape), state


def _shade(shape: tuple[int, ...], radius: float, softness: float) -> NDArray[np.uint16]:
    """Return how dark each value gets, 0 to 255: shape (height, width · 3)."""
    import numpy as np

    height, width = shape[:2]
    y, x = ((np.arange(1 - n, n, 2, dtype=np.float32) / n) ** 2 for n in (height, width))
    distance = np.sqrt((y[:, None] + x) / np.float32(2))
    along = np.clip((distance - np.float32(radius)) / np.float32(softness), 0, 1)
    shade = along * along * (3 - 2 * along) * np.float32(255)
    return np.repeat(np.rint(shade).astype(np.uint16), 3, axis=1)
