"""solarize: tones above a threshold turn into their negative, as on paper that saw light while it was developed.

A value v of a channel stays where v ≤ threshold · 255 and becomes 255 − v above; amount mixes that with the picture.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pydantic import Field

from artdag_common.effects.base import EffectParams, effect

if TYPE_CHECKING:
    from artdag_common.effects.base import Frame


class SolarizeParams(EffectParams):
    """Parameters of solarize."""

    threshold: float = Field(0.5, ge=0, le=1, description="Tones brighter than this turn over")
    amount: float = Field(1.0, ge=0, le=1, description="0: the picture as it is; 1: fully solarized")


@effect(
    "solarize",
    version="1.0.0",
    author="Art DAG",
    description="Turns bright tones into their negative.",
    example={"threshold": 0.45},
    remembers="nothing",
)
def process_frame(frame: Frame, params: SolarizeParams, state: Any) -> tuple[Frame, Any]:
    """Return the solarized frame. ``state`` holds the table, and what it was made for."""
    import numpy as np

    if state.get("table_for") != params:
        values = np.arange(256)
        turned = np.where(values <= round(params.threshold * 255), values, 255 - values)
        weight = round(params.amount * 256)
        table = (values * (256 - weight) + turned * weight + 128) >> 8
        state = {"table_for": params, "table": table.astype(np.uint8).tobytes()}
    changed = bytearray(frame.data).translate(state["table"])
    return np.frombuffer(changed, np.uint8).reshape(frame.shape), state
