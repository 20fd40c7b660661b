"""halftone: printed in dots.

A screen of dots, size · height apart (rounded, at least 2 px) and turned by the angle, gives each pixel a threshold
t, spread evenly over 0 to 255, lowest in the middle of the paper between the dots. Where a value v lies above, paper
shows, where below, ink: 128 + (v − t) · k, cut off at 0 and 255, with k = a fifth of the distance, at least 1, for
smooth edges. In colour, red, green and blue have screens of their own (cyan, magenta and yellow ink, 30° apart);
else it is black ink for the light ⌊(77 R + 150 G + 29 B) / 256⌋.
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

PHASES = 64  # of a dot, each way
ROWS = 40  # worked on at a time: what lies between stays in the processor's cache
OFFSETS = (-30, 30, 0)  # degrees, of the cyan, magenta and yellow screens


class HalftoneParams(EffectParams):
    """Parameters of halftone."""

    size: float = Field(0.014, ge=0, le=0.2, description="Distance of the dots by the height of the picture")
    angle: float = Field(45.0, ge=-3600, le=3600, description="Turns the screen, degrees")
    colour: bool = Field(True, description="Three inks; else black alone")


@effect(
    "halftone",
    version="1.0.0",
    author="Art DAG",
    description="Prints the picture in dots.",
    example={"size": 0.026},
    remembers="nothing",
)
def process_frame(frame: Frame, params: HalftoneParams, state: Any) -> tuple[Frame, Any]:
    """Return the print. ``state`` holds the screens, and what they were made for."""
    import numpy as np

    height, width = frame.shape[:2]
    apart = max(2, round(params.size * height))
    made_for = (height, width, apart, params.angle, params.colour)
    if state.get("screens_for") != made_for:
        dot = state["dot"] if "dot" in state else _dot()
        angles = [params.angle + offset for offset in OFFSETS] if params.colour else [params.angle]
        screens = [_screen(height, width, apart, angle, dot) for angle in angles]
        state = {"screens_for": made_for, "dot": dot, "screens": screens}
    sharp = max(1, apart // 5)
    for top in range(0, height, ROWS):
        band = frame[top : top + ROWS]
        if params.colour:
            for channel in range(3):
                ink = band[..., channel] - state["screens"][channel][top : top + ROWS]
                ink *= sharp
                ink += 128
                band[..., channel] = np.clip(ink, 0, 255, out=ink)
        else:
            light = 77 * band[..., 0].astype(np.uint16)
            light += 150 * band[..., 1].astype(np.uint16)
            light += 29 * band[..., 2].astype(np.uint16)
            light >>= 8
            ink = light.view(np.int16)
            ink -= state["screens"][0][top : top + ROWS]
            ink *= sharp
            ink += 128
            np.clip(ink, 0, 255, out=ink)
            for channel in range(3):
                band[..., channel] = ink
    return frame, state


def _dot() -> NDArray[np.int16]:
    """Return the thresholds of one dot and what is around it: shape (PHASES · PHASES,), every value equally often."""
    import numpy as np

    wave = np.array([round(math.cos(2 * math.pi * (phase + 0.5) / PHASES) * 2**20) for phase in range(PHASES)])
    order = np.argsort((wave[:, None] + wave).reshape(-1), kind="stable")
    thresholds = np.empty(PHASES * PHASES, np.int16)
    thresholds[order] = np.arange(PHASES * PHASES) * 256 // (PHASES * PHASES)
    return thresholds


def _screen(height: int, width: int, apart: int, angle: float, dot: NDArray[np.int16]) -> NDArray[np.int16]:
    """Return the threshold of each pixel: shape (height, width)."""
    import numpy as np

    along, across = (round(part(math.radians(angle)) * 2**16 * PHASES / apart) for part in (math.cos, math.sin))
    y, x = np.arange(1 - height, height, 2)[:, None], np.arange(1 - width, width, 2)
    one, other = (x * along - y * across) >> 17, (x * across + y * along) >> 17
    one &= PHASES - 1
    one *= PHASES
    other &= PHASES - 1
    one += other
    return np.take(dot, one)
