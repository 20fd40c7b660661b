"""ascii: the picture as text on a dark screen.

The picture is cut into cells, size · height high (rounded, at least 2 px) and three quarters as wide; cells at the
right and lower edge may be cut. Of each cell, the mean of every channel is taken, and its light (77 R + 150 G + 29
B) / 256. Light l shows character ⌊l · n / 256⌋ of the n in CHARACTERS, which go from empty to full. The character
has the colour of the cell, made so bright that its strongest channel is at least 3/4 of full; or one colour for all.
What is between the strokes is black, or the cell's own colour by backlight.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field

from artdag_common.effects.base import EffectParams, effect

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from artdag_common.effects.base import Frame

CHARACTERS = (
    (" ", "00000000000000"),
    (".", "00000000000c0c"),
    ("-", "0000001f000000"),
    (":", "000c0c000c0c00"),
    ("+", "0004041f040400"),
    ("=", "00001f001f0000"),
    ("o", "00000e1111110e"),
    ("X", "11110a040a1111"),
    ("x", "00001b0e040e1b"),
    ("*", "00150e1f0e1500"),
    ("M", "111b1515111111"),
    ("#", "0a0a1f0a1f0a0a"),
)
"""A character and its dots: seven rows of five, from the top, one byte a row, the left dot 16."""

COLOURS = {"white": (240, 240, 240), "green": (96, 255, 128), "amber": (255, 184, 64)}


class AsciiParams(EffectParams):
    """Parameters of ascii."""

    size: float = Field(0.025, ge=0.005, le=0.5, description="Height of a character by that of the picture")
    colour: Literal["picture", "white", "green", "amber"] = Field("picture", description="Colour of the characters")
    backlight: float = Field(0.15, ge=0, le=1, description="How much of a cell's colour shows behind its character")


@effect(
    "ascii",
    version="1.0.0",
    author="Art DAG",
    description="Shows the picture as text on a screen.",
    example={"size": 0.034, "colour": "picture"},
    remembers="nothing",
)
def process_frame(frame: Frame, params: AsciiParams, state: Any) -> tuple[Frame, Any]:
    """Return the text. ``state`` holds the characters drawn in the size they were last needed in."""
    import numpy as np

    height, width = frame.shape[:2]
    high = max(2, round(params.size * height))
    wide = max(1, high * 3 // 4)
    if state.get("drawn_for") != high:
        state = {"drawn_for": high, "drawn": _draw(high, wide)}
    tops, lefts = np.arange(0, height, high), np.arange(0, width, wide)
    sums = np.stack([np.add.reduce(frame[top : top + high], axis=0, dtype=np.uint32) for top in tops])
    pixels = (np.minimum(high, height - tops)[:, None] * np.minimum(wide, width - lefts))[..., None]
    cells = np.add.reduceat(sums, lefts, axis=1, dtype=np.int64) // pixels
    character = (77 * cells[..., 0] + 150 * cells[..., 1] + 29 * cells[..., 2]) >> 8
    character = character * len(CHARACTERS) >> 8
    back = cells * round(params.backlight * 256) >> 8
    if params.colour == "picture":
        strongest = np.maximum(cells.max(axis=2, keepdims=True), 1)
        ink = cells * np.maximum(strongest, 192) // strongest
    else:
        ink = np.broadcast_to(np.array(COLOURS[params.colour]), cells.shape)
    # for each line of text: cover of every pixel, then from the colour behind to that of the ink
    behind = np.repeat(back.astype(np.int16), wide, axis=1)[:, :width].reshape(len(tops), 1, -1)
    rise = np.repeat((ink - back).astype(np.int16), wide, axis=1)[:, :width].reshape(len(tops), 1, -1)
    for line, top in enumerate(range(0, height, high)):
        cover = state["drawn"][:, character[line]].reshape(high, -1)[: height - top, : width * 3]
        cover = cover * rise[line]
        cover >>= 7
        cover += behind[line]
        frame[top : top + high] = cover.reshape(-1, width, 3)
    return frame, state


def _draw(high: int, wide: int) -> NDArray[np.int16]:
    """Return how much of each pixel every character covers, 0 to 128: shape (high, characters, wide · 3)."""
    import numpy as np

    dots = np.zeros((8, len(CHARACTERS), 6), np.int64)
    for number, (_, rows) in enumerate(CHARACTERS):
        for line, row in enumerate(bytes.fromhex(rows)):
            dots[line, number, :5] = [row >> 4 - column & 1 for column in range(5)]
    # four samples a pixel each way
    y, x = np.arange(high * 4) * 8 // (high * 4), np.arange(wide * 4) * 6 // (wide * 4)
    fine = dots[y][:, :, x].reshape(high, 4, len(CHARACTERS), wide, 4).sum(axis=(1, 4))
    return np.repeat(fine * 8, 3, axis=2).astype(np.int16)
