"""kaleidoscope: one wedge of the picture, mirrored round the middle.

An output pixel's place, from the middle of the frame, is folded by mirrors into the wedge between straight up and
180° / segments to the right of it. The folded place is turned by the rotation, divided by the zoom and laid on the
point (x, y) of the picture; where it lies outside, the picture goes on mirrored. The nearest pixel there is shown.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from pydantic import Field

from artdag_common.effects.base import EffectParams, effect

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from artdag_common.effects.base import Frame

ROWS = 40  # worked on at a time: what lies between stays in the processor's cache


class KaleidoscopeParams(EffectParams):
    """Parameters of kaleidoscope."""

    segments: int = Field(6, ge=2, le=24, description="Pairs of mirrored wedges")
    rotation: float = Field(0.0, ge=-3600, le=3600, description="Turns the picture behind the mirrors, degrees")
    spin: float = Field(0.0, ge=-90, le=90, description="Turns it on by so many degrees with each frame")
    zoom: float = Field(1.0, ge=0.25, le=8, description="Enlarges the picture behind the mirrors")
    x: float = Field(0.5, ge=0, le=1, description="What is in the middle: 0 left edge, 1 right edge")
    y: float = Field(0.5, ge=0, le=1, description="What is in the middle: 0 upper edge, 1 lower edge")


@effect(
    "kaleidoscope",
    version="1.0.0",
    author="Art DAG",
    description="Mirrors one wedge of the picture round the middle.",
    example={"segments": 8, "spin": 0.5},
)
def process_frame(frame: Frame, params: KaleidoscopeParams, state: Any) -> tuple[Frame, Any]:
    """Return the frame behind mirrors. ``state`` holds the turn so far, and the index of the pixel that each one shows;
    where that changes from frame to frame, the folded places from which it is reckoned, instead."""
    import numpy as np

    turned = state.get("turned", 0.0)
    angle = round((params.rotation + turned) % 360, 6)
    mirrors = (frame.shape, params.segments)
    seen = (mirrors, angle, params.zoom, params.x, params.y)
    if params.spin or state.get("seen", seen) != seen:
        if state.get("mirrors") != mirrors:
            state = {"mirrors": mirrors, "folded": _fold(*mirrors)}
    elif "folded" not in state and "map" not in state:
        folded = _fold(*mirrors)
        places = np.empty(frame.shape[:2], np.int64)
        for top in range(0, len(frame), ROWS):
            places[top : top + ROWS] = _places(frame.shape, folded, top, angle, params)
        state = {"map": places}
    changed = np.empty_like(frame)
    pixels = frame.reshape(-1, 3)
    for top in range(0, len(frame), ROWS):
        rows = slice(top, top + ROWS)
        shown = state["map"][rows] if "map" in state else _places(frame.shape, state["folded"], top, angle, params)
        np.take(pixels, shown, axis=0, out=changed[rows], mode="clip")
    return changed, {**state, "seen": seen, "turned": round((turned + params.spin) % 360, 6)}


def _fold(shape: tuple[int, ...], segments: int) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return how far right and how far up from the middle the folded places are: (height, width) each, px."""
    import numpy as np

    height, width = shape[:2]
    half = np.float32(0.5)
    right = np.repeat(np.abs(np.arange(1 - width, width, 2, dtype=np.float32))[None] * half, height, axis=0)
    up = np.repeat(np.arange(height - 1, -height, -2, dtype=np.float32)[:, None] * half, width, axis=1)
    wedges = segments
    while wedges > 1:  # the places fill so many wedges: fold the upper half of them down
        wedges = (wedges + 1) // 2
        mirror = math.pi * wedges / segments
        across, along = np.float32(math.cos(mirror)), np.float32(-math.sin(mirror))
        beyond = right * across
        beyond += up * along
        np.maximum(beyond, 0, out=beyond)
        beyond *= 2
        right -= beyond * across
        up -= beyond * along
    return right, up


def _places(
    shape: tuple[int, ...],
    folded: tuple[NDArray[np.float32], NDArray[np.float32]],
    top: int,
    angle: float,
    params: KaleidoscopeParams,
) -> NDArray[np.int32]:
    """Return the index of the pixel to show, for ROWS rows from ``top`` on."""
    import numpy as np

    height, width = shape[:2]
    cosine = np.float32(math.cos(math.radians(angle)) / params.zoom)
    sine = np.float32(math.sin(math.radians(angle)) / params.zoom)
    middle_x, middle_y = np.float32(params.x * width), np.float32(params.y * height)
    reach = math.hypot(height, width) / 2 / params.zoom + 2
    right, up = (each[top : top + ROWS] for each in folded)
    x = right * cosine
    x -= up * sine
    x += middle_x
    y = right * sine
    y += up * cosine
    np.subtract(middle_y, y, out=y)
    place = _mirrored(np.floor(y, out=y).astype(np.int32), height, reach)
    place *= width
    place += _mirrored(np.floor(x, out=x).astype(np.int32), width, reach)
    return place


def _mirrored(place: NDArray[np.int32], length: int, reach: float) -> NDArray[np.int32]:
    """Bring places at most ``reach`` outside 0 to ``length`` back inside by mirrors at both ends."""
    for _ in range(math.ceil(reach / length)):
        place ^= place >> 31  # -1 becomes 0, -2 becomes 1
        place -= length - 1
        place = -place
        place ^= place >> 31
        place -= length - 1
        place = -place
    place ^= place >> 31
    return place
