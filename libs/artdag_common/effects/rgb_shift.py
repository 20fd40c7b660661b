"""rgb_shift: red and blue come apart, as in a lens or a print out of register.

Red moves by amount · height towards the angle, blue as far the other way, both to the nearest pixel; green stays.
Where a channel has moved away from an edge, its last pixel there is repeated.
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


class RgbShiftParams(EffectParams):
    """Parameters of rgb_shift."""

    amount: float = Field(0.012, ge=-0.5, le=0.5, description="How far red moves, by the height of the picture")
    angle: float = Field(0.0, ge=-3600, le=3600, description="Where red moves, degrees: 0 right, 90 up")


@effect(
    "rgb_shift",
    version="1.0.0",
    author="Art DAG",
    description="Moves red and blue apart.",
    example={"amount": 0.02, "angle": 20},
    remembers="nothing",
)
def process_frame(frame: Frame, params: RgbShiftParams, state: Any) -> tuple[Frame, Any]:
    """Return the frame with its channels apart. ``state`` is not used: no frame depends on others."""
    height, width = frame.shape[:2]
    way = math.radians(params.angle)
    right = round(params.amount * height * math.cos(way))
    down = -round(params.amount * height * math.sin(way))
    right, down = min(max(right, 1 - width), width - 1), min(max(down, 1 - height), height - 1)
    _move(frame[..., 0], right, down)
    _move(frame[..., 2], -right, -down)
    return frame, state


def _move(channel: NDArray[np.uint8], right: int, down: int) -> None:
    """Move a channel in place."""
    import numpy as np

    height, width = channel.shape
    moved = channel[np.clip(np.arange(height) - down, 0, height - 1)]
    if right >= 0:
        channel[:, right:] = moved[:, : width - right]
        channel[:, :right] = moved[:, :1]
    else:
        channel[:, :right] = moved[:, -right:]
        channel[:, right:] = moved[:, -1:]
