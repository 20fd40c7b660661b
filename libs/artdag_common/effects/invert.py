"""invert: every colour becomes its opposite.

A value v of a channel becomes (v · (1 − i) + (255 − v) · i), with intensity i in 256ths, rounded to nearest.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pydantic import Field

from artdag_common.effects.base import EffectParams, effect

if TYPE_CHECKING:
    from artdag_common.effects.base import Frame


class InvertParams(EffectParams):
    """Parameters of invert."""

    intensity: float = Field(1.0, ge=0, le=1, description="0: the picture as it is; 1: its negative")


@effect(
    "invert",
    version="1.0.1",
    author="Art DAG",
    description="Turns every colour into its opposite.",
    remembers="nothing",
)
def process_frame(frame: Frame, params: InvertParams, state: Any) -> tuple[Frame, Any]:
    """Return the negative, or a mixture of it and the picture. ``state`` holds the table, and what it was made for."""
    import numpy as np

    if params.intensity == 1:
        return np.bitwise_not(frame, out=frame), state
    if state.get("table_for") != params.intensity:
        weight = round(params.intensity * 256)
        table = bytes((value * (256 - weight) + (255 - value) * weight + 128) >> 8 for value in range(256))
        state = {"table_for": params.intensity, "table": table}
    changed = bytearray(frame.data).translate(state["table"])
    return np.frombuffer(changed, np.uint8).reshape(frame.shape), state
