"""wave: the picture sways as if under water.

Every row moves sideways by round(amount · height · sin(2π (y / (length · height) + p))), with axis columns every
column up and down likewise, and with both one after the other. p grows by 1 / period with every frame. The picture
goes on mirrored where its edge comes into view.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field

from artdag_common.effects.base import EffectParams, effect

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from artdag_common.effects.base import Frame

ROWS = 24  # worked on at a time: what lies between stays in the processor's cache


class WaveParams(EffectParams):
    """Parameters of wave."""

    amount: float = Field(0.03, ge=0, le=0.5, description="How far it sways, by the height of the picture")
    length: float = Field(0.35, ge=0.01, le=10, description="From crest to crest, by the height of the picture")
    period: float = Field(45.0, ge=1, le=10000, description="Frames until a crest is where the one before was")
    axis: Literal["rows", "columns", "both"] = Field("rows", description="What moves")


@effect(
    "wave",
    version="1.0.0",
    author="Art DAG",
    description="Makes the picture sway as if under water.",
    example={"amount": 0.05, "axis": "both"},
)
def process_frame(frame: Frame, params: WaveParams, state: Any) -> tuple[Frame, Any]:
    """Return the swaying frame. ``state`` holds where the waves are, 2^32 to a round."""
    import numpy as np

    phase = state.get("phase", 0)
    state = {"phase": (phase + round(2**32 / params.period)) % 2**32}
    height, width = frame.shape[:2]
    reach = round(params.amount * height)
    if not reach:
        return frame, state
    if params.axis != "columns":
        columns = _mirrored(width, reach)
        for row, way in enumerate(_ways(height, height, params, phase)):
            frame[row] = np.take(frame[row], columns[reach + way : reach + way + width], axis=0, mode="clip")
    if params.axis != "rows":
        first = _mirrored(height, reach) * width
        ways = np.array(_ways(width, height, params, phase), np.int64)
        pixels, frame = frame.reshape(-1, 3), np.empty_like(frame)
        for top in range(0, height, ROWS):
            changed = frame[top : top + ROWS]
            places = np.take(first, np.arange(reach + top, reach + top + len(changed))[:, None] + ways)
            places += np.arange(width)
            np.take(pixels, places, axis=0, out=changed, mode="clip")
    return frame, state


def _ways(count: int, height: int, params: WaveParams, phase: int) -> list[int]:
    """Return how far each row or column is moved, px."""
    far, turn, start = params.amount * height, 2 * math.pi / (params.length * height), 2 * math.pi * phase / 2**32
    return [round(round(math.sin(place * turn + start), 9) * far) for place in range(count)]


def _mirrored(length: int, reach: int) -> NDArray[np.int64]:
    """Return which row or column is at -reach to length + reach - 1."""
    import numpy as np

    place = np.arange(-reach, length + reach) % (2 * length)
    return np.minimum(place, 2 * length - 1 - place)
