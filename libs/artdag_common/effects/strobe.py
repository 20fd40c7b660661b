"""strobe: flashes in time.

Frame n flashes where n mod period < length: all its values go to white, to black or to their opposites, by amount.
With period 1 every frame flashes and a bound amount is the light.

More than three flashes a second can harm people with photosensitive epilepsy: at 30 frames/s keep the period at 10
or more for an audience you don't know, and say so before the show.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field

from artdag_common.effects.base import EffectParams, effect

if TYPE_CHECKING:
    from artdag_common.effects.base import Frame


class StrobeParams(EffectParams):
    """Parameters of strobe."""

    period: int = Field(15, ge=1, le=600, description="Frames from flash to flash")
    length: int = Field(2, ge=1, le=600, description="Frames that a flash lasts")
    amount: float = Field(0.85, ge=0, le=1, description="How strong it is; 0: no flash")
    colour: Literal["white", "black", "negative"] = Field("white", description="What a flash turns the picture to")


@effect(
    "strobe",
    version="1.0.0",
    author="Art DAG",
    description="Flashes in time.",
    example={"period": 15, "length": 3, "colour": "negative", "amount": 1.0},
    remembers="number",
)
def process_frame(frame: Frame, params: StrobeParams, state: Any) -> tuple[Frame, Any]:
    """Return the frame, lit where it is its turn. ``state`` holds the frame's number."""
    import numpy as np

    number = state.get("number", 0)
    weight = round(params.amount * 256)
    if number % params.period < params.length and weight:
        lit = {"white": [255] * 256, "black": [0] * 256, "negative": range(255, -1, -1)}[params.colour]
        table = bytes((value * (256 - weight) + lit[value] * weight + 128) >> 8 for value in range(256))
        frame = np.frombuffer(bytearray(frame.data).translate(table), np.uint8).reshape(frame.shape)
    return frame, {"number": number + 1}
