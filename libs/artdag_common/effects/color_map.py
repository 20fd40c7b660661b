"""color_map: light becomes colour, from a palette.

The light of a pixel, l = ⌊(77 R + 150 G + 29 B) / 256⌋, is looked up in a palette: colours at equal distances from
dark to bright, mixed in between. With shift the palette is walked to its end and back: the place is l / 255 + 2 ·
shift, folded at its ends, so that 0 and 1 are the same and a rising shift flows without a jump. Amount mixes the
colour with the picture.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field

from artdag_common.effects.base import EffectParams, effect

if TYPE_CHECKING:
    from artdag_common.effects.base import Frame

ROWS = 48  # worked on at a time: what lies between stays in the processor's cache

PALETTES = {
    "fire": ("000004", "3b0f44", "8c1d3f", "d8432e", "f98b0b", "fcd34d", "fffbe6"),
    "ice": ("020617", "0b2a5b", "0f5fa6", "2fa4d7", "8fe0f0", "f4feff"),
    "neon": ("0d0221", "2b0f6b", "7a0bc0", "ff2e93", "ff8e72", "5ef2ff", "f5ffff"),
    "sunset": ("1a1033", "4b1d6b", "a8326e", "ee5d5c", "f9a03f", "fde7a9"),
    "forest": ("06130d", "0f3b2e", "2f6b3f", "7fa650", "d3c77a", "fbf5da"),
    "acid": ("12001f", "5b00b8", "00a2ff", "00f5a0", "d4ff00", "ff3df2", "ffffff"),
    "thermal": ("00004b", "4400a0", "b0008e", "ff3b3b", "ffa800", "fff04a", "ffffff"),
}


class ColorMapParams(EffectParams):
    """Parameters of color_map."""

    palette: Literal["fire", "ice", "neon", "sunset", "forest", "acid", "thermal"] = Field(
        "neon", description="Colours from dark to bright"
    )
    shift: float = Field(0.0, ge=0, le=1, description="Moves the colours along the tones; 1 is 0 again")
    amount: float = Field(1.0, ge=0, le=1, description="0: the picture as it is; 1: the palette alone")


@effect(
    "color_map",
    version="1.0.0",
    author="Art DAG",
    description="Turns light into the colours of a palette.",
    example={"palette": "neon"},
    remembers="nothing",
)
def process_frame(frame: Frame, params: ColorMapParams, state: Any) -> tuple[Frame, Any]:
    """Return the frame in colours of the palette. ``state`` holds the tables, and what they were made for."""
    import numpy as np

    weight = round(params.amount * 256)
    if not weight:
        return frame, state
    if state.get("tables_for") != (params.palette, params.shift):
        tables = _tables(PALETTES[params.palette], params.shift)
        state = {"tables_for": (params.palette, params.shift), "tables": tables}
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


def _tables(palette: tuple[str, ...], shift: float) -> list[bytes]:
    """Return what each light becomes in red, green and blue."""
    colours = [bytes.fromhex(colour) for colour in palette]
    turn, last = round(shift * 510), len(colours) - 1
    tables = []
    for channel in range(3):
        stops = [colour[channel] for colour in colours] + [colours[last][channel]]
        places = [(light + turn) % 510 for light in range(256)]
        places = [min(place, 510 - place) * last for place in places]
        tables.append(
            bytes(
                (stops[place // 255] * (255 - place % 255) + stops[place // 255 + 1] * (place % 255) + 127) // 255
                for place in places
            )
        )
    return tables
