"""invert: every colour becomes its opposite."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pydantic import Field

from artdag_common.effects.base import EffectParams, effect

if TYPE_CHECKING:
    from artdag_common.effects.base import Frame


class InvertParams(EffectParams):
    """Parameters of invert."""

    intensity: float = Field(1.0, ge=0, le=1, description="0: the picture as it is; 1: its negative")


@effect("invert", version="1.0.0", author="Art DAG", description="Turns every colour into its opposite.")
def process_frame(frame: Frame, params: InvertParams, state: Any) -> tuple[Frame, Any]:
    """Return the negative, or a mixture of it and the picture."""
    import numpy as np

    if params.intensity == 1:
        return np.bitwise_not(frame, out=frame), state
    table = state.get("table")
    if table is None:
        weight = round(params.intensity * 256)
        values = np.arange(256)
        table = ((values * (256 - weight) + (255 - values) * weight + 128) >> 8).astype(np.uint8)
    return table[frame], {"table": table}
