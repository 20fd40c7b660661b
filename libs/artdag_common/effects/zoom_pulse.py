"""zoom_pulse: the picture jumps forward and eases back.

At frame n the scale is 1 + (zoom − 1) · e^(−k / decay) with k = n mod period: a jump every period frames. With
period 0 there is no clock and the scale is zoom itself, to be bound to beats or energy. The picture is enlarged
about its middle; values are mixed of the four nearest pixels in 256ths.
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

ROWS = 24  # worked on at a time: what lies between stays in the processor's cache


class ZoomPulseParams(EffectParams):
    """Parameters of zoom_pulse."""

    zoom: float = Field(1.25, ge=1, le=4, description="Scale at the jump; 1: none")
    period: int = Field(15, ge=0, le=600, description="Frames from jump to jump; 0: the scale is always zoom")
    decay: float = Field(5.0, ge=0.5, le=200, description="Frames until about a third of the jump is left")


@effect(
    "zoom_pulse",
    version="1.0.0",
    author="Art DAG",
    description="Jumps forward in time and eases back.",
    example={"zoom": 1.4, "period": 12},
    remembers="number",
)
def process_frame(frame: Frame, params: ZoomPulseParams, state: Any) -> tuple[Frame, Any]:
    """Return the enlarged frame. ``state`` holds the frame's number."""
    import numpy as np

    number = state.get("number", 0)
    state = {"number": number + 1}
    left = math.exp(-(number % params.period) / params.decay) if params.period else 1.0
    back = round(65536 / (1 + (params.zoom - 1) * left))
    if back == 65536:
        return frame, state
    height, width = frame.shape[:2]
    (rows, below, down), (columns, beside, right) = _places(height, back), _places(width, back)
    tall = _mixed(frame[rows], frame[below], down[:, None])
    near, far = (np.take(tall, each, axis=1, out=np.empty_like(tall), mode="clip") for each in (columns, beside))
    return _mixed(near, far, np.repeat(right, 3)[None]), state


def _mixed(first: Frame, second: Frame, weights: NDArray[np.uint16]) -> Frame:
    """Mix the second into the first, in place; weights of the second, 256ths, one a row or one a value of a row."""
    import numpy as np

    height = len(first)
    ones, others = first.reshape(height, -1), second.reshape(height, -1)
    weights = np.broadcast_to(weights, (height, weights.shape[1]))
    for top in range(0, height, ROWS):
        here = weights[top : top + ROWS]
        band = ones[top : top + ROWS] * (256 - here)
        band += others[top : top + ROWS] * here
        band >>= 8
        ones[top : top + ROWS] = band
    return first


def _places(length: int, back: int) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.uint16]]:
    """Return for each row or column the two it is mixed of, and the weight of the second, 0 to 255."""
    import numpy as np

    place = ((2 * np.arange(length) + 1 - length) * back + ((length - 1) << 16)) >> 9  # 256ths of a pixel
    place = np.clip(place, 0, (length - 1) * 256)
    first = place >> 8
    return first, np.minimum(first + 1, length - 1), (place & 255).astype(np.uint16)
