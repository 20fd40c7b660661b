"""trails: what is bright leaves a trail of light.

out(n) = max(in(n), ⌊out(n − 1) · decay⌋) for each channel, decay in 256ths. With keep dark it is the other way
round: dark things leave trails on a bright ground.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field

from artdag_common.effects.base import EffectParams, effect

if TYPE_CHECKING:
    from artdag_common.effects.base import Frame


class TrailsParams(EffectParams):
    """Parameters of trails."""

    decay: float = Field(0.92, ge=0, le=1, description="What is left of a trail with each frame; 1: it stays for good")
    keep: Literal["bright", "dark"] = Field("bright", description="What leaves the trails")


@effect(
    "trails",
    version="1.0.0",
    author="Art DAG",
    description="Lets bright things leave trails of light.",
    example={"decay": 0.95},
)
def process_frame(frame: Frame, params: TrailsParams, state: Any) -> tuple[Frame, Any]:
    """Return the frame with its trails. ``state`` holds them."""
    import numpy as np

    trail = state.get("trail")
    dark = params.keep == "dark"
    if dark:
        np.bitwise_not(frame, out=frame)
    if trail is not None and trail.shape == frame.shape and state["dark"] == dark:
        weight = round(params.decay * 256)
        if weight < 256:
            table = bytes(value * weight >> 8 for value in range(256))
            trail = np.frombuffer(bytearray(trail.data).translate(table), np.uint8).reshape(frame.shape)
        np.maximum(frame, trail, out=frame)
    state = {"trail": frame.copy(), "dark": dark}
    if dark:
        np.bitwise_not(frame, out=frame)
    return frame, state
