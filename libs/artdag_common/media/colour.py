"""Colours as recipes write them."""

from __future__ import annotations

import difflib
import re
from typing import Annotated

from pydantic import AfterValidator

NAMES = {
    "black": "#000000",
    "silver": "#c0c0c0",
    "gray": "#808080",
    "grey": "#808080",
    "white": "#ffffff",
    "maroon": "#800000",
    "red": "#ff0000",
    "purple": "#800080",
    "fuchsia": "#ff00ff",
    "magenta": "#ff00ff",
    "green": "#008000",
    "lime": "#00ff00",
    "olive": "#808000",
    "yellow": "#ffff00",
    "orange": "#ffa500",
    "navy": "#000080",
    "blue": "#0000ff",
    "teal": "#008080",
    "aqua": "#00ffff",
    "cyan": "#00ffff",
}


def parse_colour(text: str) -> str:
    """Return a colour as ``#rrggbb``, so that every spelling of one colour is one parameter.

    Args:
        text: ``#rgb``, ``#rrggbb`` or a name of :data:`NAMES`, in any case.

    Raises:
        ValueError: it is none of these; the message names the nearest name.
    """
    colour = text.strip().lower()
    if colour in NAMES:
        return NAMES[colour]
    if re.fullmatch("#[0-9a-f]{6}", colour):
        return colour
    if re.fullmatch("#[0-9a-f]{3}", colour):
        return "#" + "".join(2 * digit for digit in colour[1:])
    near = difflib.get_close_matches(colour, NAMES, n=1, cutoff=0.5)
    hint = f"did you mean {near[0]!r}?" if near else "for example 'black' or '#1a2b3c'"
    raise ValueError(f"{text[:40]!r} is not a colour: give a name, #rgb or #rrggbb; {hint}")


Colour = Annotated[str, AfterValidator(parse_colour)]
"""A parameter that holds a colour; validated to ``#rrggbb``."""


def rgb(colour: str) -> tuple[int, int, int]:
    """Return red, green and blue, 0 to 255, of ``#rrggbb``."""
    return int(colour[1:3], 16), int(colour[3:5], 16), int(colour[5:7], 16)


def limited_yuv(colour: str, bt709: bool = False) -> tuple[int, int, int]:
    """Return Y (16 to 235), U and V (16 to 240) of ``#rrggbb``, by the matrix of BT.601, or of BT.709.

    Whole numbers only, so that every processor gives the same.
    """
    red, green, blue = rgb(colour)
    # weights of the luma in ten-thousandths; see ITU-R BT.601-7 and BT.709-6, section 3
    kr, kb = (2126, 722) if bt709 else (2990, 1140)
    luma = kr * red + (10_000 - kr - kb) * green + kb * blue
    y = 16 + _divide(luma * 219, 255 * 10_000)
    u = 128 + _divide((10_000 * blue - luma) * 112, 255 * (10_000 - kb))
    v = 128 + _divide((10_000 * red - luma) * 112, 255 * (10_000 - kr))
    return y, u, v


def _divide(number: int, by: int) -> int:
    return (2 * number + by) // (2 * by)
