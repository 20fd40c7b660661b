"""duotone: two inks, one for the dark, one for the light.

The light of a pixel, l = ⌊(77 R + 150 G + 29 B) / 256⌋, becomes a mixture of two colours: shadows at 0, highlights
at 255. Contrast c first spreads light about the middle: l' = 128 + (l − 128) · c, cut off at 0 and 255. Amount mixes
the colour with the picture.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pydantic import Field

from artdag_common.effects.base import EffectParams, effect

if TYPE_CHECKING:
    from artdag_common.effects.base import Frame

ROWS = 48  # worked on at a time: what lies between stays in the processor's cache


class DuotoneParams(EffectParams):
    """Parameters of duotone."""

    shadows: str = Field("#2b1a6f", pattern="^#[0-9a-fA-F]{6}$", description="Colour of black, #rrggbb")
    highlights: str = Field("#ffd9a0", pattern="^#[0-9a-fA-F]{6}$", description="Colour of white, #rrggbb")
    contrast: float = Field(1.2, ge=0, le=4, description="Spreads the tones first; 1: as they are")
    amount: float = Field(1.0, ge=0, le=1, description="0: the picture as it is; 1: the two colours alone")


@effect(
    "duotone",
    version="1.0.0",
    author="Art DAG",
    description="Prints the picture in two colours.",
    example={"shadows": "#1d2b8f", "highlights": "#ff9a76"},
    remembers="nothing",
)
def process_frame(frame: Frame, params: DuotoneParams, state: Any) -> tuple[Frame, Any]:
    """Return the frame in two colours. ``state`` holds the tables, and what they were made for."""
    import numpy as np

    weight = round(params.amount * 256)
    if not weight:
        return frame, state
    made_for = (params.shadows, params.highlights, params.contrast)
    if state.get("tables_for") != made_for:
        state = {"tables_for": made_for, "tables": _tables(*made_for)}
    for top in range(0, len(frame), ROWS):
        band = frame[top : top + ROWS]
        light = 77 * band[..., 0].astype(np.uint16)
        light += 150 * band[..., 1].astype(np.uint16)
        light += 29 * band[..., 2].astype(np.uint16)
        light >>= 8
        tones = light.astype(np.uint8).tobytes()
        for channel, table in enumerate(state["tables"]):
            mixed = np.frombuffer(tones.translate(table), np.uint8).reshape(light.shape).astype(np.uint16)
            if weight < 256:
                mixed *= weight
                mixed += band[..., channel].astype(np.uint16) * (256 - weight)
                mixed >>= 8
            band[..., channel] = mixed
    return frame, state


def _tables(shadows: str, highlights: str, contrast: float) -> list[bytes]:
    """Return what each light becomes in red, green and blue."""
    spread = round(contrast * 256)
    lights = [min(max(128 + ((light - 128) * spread >> 8), 0), 255) for light in range(256)]
    pairs = zip(bytes.fromhex(shadows[1:]), bytes.fromhex(highlights[1:]), strict=True)
    return [bytes((dark * (255 - light) + bright * light + 127) // 255 for light in lights) for dark, bright in pairs]
