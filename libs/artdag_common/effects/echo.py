"""echo: what the picture was a moment ago shines through, again and again.

Feedback as in a tape echo: out(n) = in(n) · (1 − feedback) + out(n − delay) · feedback, in 256ths, rounded down;
while fewer frames have gone by, the oldest is taken, and the first is shown as it is. With zoom the past grows about
the middle with every round, to the nearest pixel: the tunnel that a camera sees on its own screen.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pydantic import Field

from artdag_common.effects.base import EffectParams, effect
from artdag_common.effects.past import Past

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
    """Return the frame and its past. ``state`` holds the last frames given back: ``delay`` of them, and one more."""
    import numpy as np

    past = state.get("past")
    if past is None or past.shape != frame.shape:
        past = Past(frame.shape)
    past.forget_all_but(params.delay)
    weight = round(params.feedback * 256)
    if len(past) and weight:
        before = past.oldest()
        back = round(65536 / params.zoom)
        rows, columns = ((((2 * np.arange(n) + 1 - n) * back >> 16) + n) >> 1 for n in frame.shape[:2])
        for top in range(0, len(frame), ROWS):
            here = slice(top, top + ROWS)
            band = frame[here].astype(np.uint16)
            band *= 256 - weight
            far = before[here] if params.zoom == 1 else np.take(before[rows[here]], columns, axis=1, mode="clip")
            old = far.astype(np.uint16)
            old *= weight
            band += old
            band >>= 8
            frame[here] = band
    past.add(frame)
    return frame, {"past": past}
