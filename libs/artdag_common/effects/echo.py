"""echo: what the picture was a moment ago shines through, again and again.

Feedback as in a tape echo: out(n) = in(n) · (1 − feedback) + out(n − delay) · feedback, in 256ths, rounded down;
while fewer frames have gone by, the oldest is taken, and the first is shown as it is. With zoom the past grows about
the middle with every round, to the nearest pixel: the tunnel that a camera sees on its own screen.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pydantic import Field

from artdag_common.effects.base import EffectParams, effect

if TYPE_CHECKING:
    from artdag_common.effects.base import Frame

ROWS = 24  # worked on at a time: what lies between stays in the processor's cache


class EchoParams(EffectParams):
    """Parameters of echo."""

    feedback: float = Field(0.6, ge=0, le=0.98, description="Share of the past; 0: none")
    delay: int = Field(5, ge=1, le=16, description="How far back, frames")
    zoom: float = Field(1.0, ge=1, le=1.5, description="How much the past grows with every round")


@effect(
    "echo",
    version="1.0.0",
    author="Art DAG",
    description="Lets earlier frames shine through, again and again.",
    example={"feedback": 0.7, "delay": 3, "zoom": 1.06},
)
def process_frame(frame: Frame, params: EchoParams, state: Any) -> tuple[Frame, Any]:
    """Return the frame and its past. ``state`` holds the last frames given back, at most ``delay`` of them."""
    import numpy as np

    past = [each for each in state.get("past", []) if each.shape == frame.shape][-params.delay :]
    weight = round(params.feedback * 256)
    if past and weight:
        before = past[0] if params.zoom == 1 else _enlarged(past[0], params.zoom)
        for top in range(0, len(frame), ROWS):
            band = frame[top : top + ROWS].astype(np.uint16)
            band *= 256 - weight
            old = before[top : top + ROWS].astype(np.uint16)
            old *= weight
            band += old
            band >>= 8
            frame[top : top + ROWS] = band
    return frame, {"past": [*past, frame.copy()]}


def _enlarged(frame: Frame, zoom: float) -> Frame:
    """Return the frame, enlarged about its middle."""
    import numpy as np

    height, width = frame.shape[:2]
    back = round(65536 / zoom)
    rows, columns = ((((2 * np.arange(n) + 1 - n) * back >> 16) + n) >> 1 for n in (height, width))
    return np.take(frame[rows], columns, axis=1, out=np.empty_like(frame), mode="clip")
