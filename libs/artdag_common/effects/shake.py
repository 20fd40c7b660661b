"""shake: the camera trembles.

Every few frames (hold) a place is drawn at random, up to amount · height away in each direction; the camera goes
there in equal steps, to the nearest pixel. The picture goes on mirrored where its edge comes into view. Place k is
drawn from PCG64 seeded with (seed, k), place 0 is the middle.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pydantic import Field

from artdag_common.effects.base import EffectParams, effect

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from artdag_common.effects.base import Frame


class ShakeParams(EffectParams):
    """Parameters of shake."""

    amount: float = Field(0.03, ge=0, le=0.5, description="How far it goes, by the height of the picture")
    hold: int = Field(2, ge=1, le=60, description="Frames from place to place: few tremble, many float")
    seed: int = Field(0, ge=0, le=2**32 - 1, description="Another one gives other places")


@effect(
    "shake",
    version="1.0.0",
    author="Art DAG",
    description="Shakes the camera.",
    example={"amount": 0.06, "hold": 3},
    remembers="number",
)
def process_frame(frame: Frame, params: ShakeParams, state: Any) -> tuple[Frame, Any]:
    """Return the shaken frame. ``state`` holds the frame's number."""
    import numpy as np

    number = state.get("number", 0)
    place, part = divmod(number, params.hold)
    here, there = _place(params.seed, place), _place(params.seed, place + 1)
    height, width = frame.shape[:2]
    reach = params.amount * height / params.hold / 2**15
    right, down = (round((a * (params.hold - part) + b * part) * reach) for a, b in zip(here, there, strict=True))
    if right or down:
        rows, columns = _mirrored(height, down), _mirrored(width, right)
        frame = np.take(frame[rows], columns, axis=1, out=np.empty_like(frame), mode="clip")
    return frame, {"number": number + 1}


def _place(seed: int, number: int) -> tuple[int, int]:
    """Return a place: right and down, -32768 to 32767 each."""
    import numpy as np

    if number == 0:
        return 0, 0
    drawn = int(np.random.PCG64([seed, number]).random_raw())
    return (drawn & 0xFFFF) - 0x8000, (drawn >> 16 & 0xFFFF) - 0x8000


def _mirrored(length: int, offset: int) -> NDArray[np.int64]:
    """Return which row or column each one shows."""
    import numpy as np

    place = (np.arange(length) + offset) % (2 * length)
    return np.minimum(place, 2 * length - 1 - place)
