"""Sizes of pictures: how one is brought into another. Whole numbers, even sides, no media library."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from typing import Literal

from artdag_common.media.limits import MAX_PIXEL_ASPECT

Mode = Literal["fit", "fill", "stretch", "pad"]

Size = tuple[int, int]
"""Width and height in pixels."""


@dataclass(frozen=True, slots=True)
class Placement:
    """A picture scaled to ``scaled`` and laid on a canvas, its top left corner at ``(x, y)``.

    All numbers are even: chroma has half the resolution. Negative corners crop.
    """

    scaled: Size
    canvas: Size
    x: int = 0
    y: int = 0


def even(length: Fraction | int) -> int:
    """Return the even number next to ``length``, at least 2; halves go up."""
    return max(2, 2 * int(Fraction(length) / 2 + Fraction(1, 2)))


def display_size(width: int, height: int, pixel_aspect: Fraction | None, rotation: int) -> Size:
    """Return the size at which a stored picture is shown: square pixels, upright, even sides.

    An odd row or column is left out; nothing else is scaled where pixels are square.

    Args:
        pixel_aspect: width of a pixel by its height; None, 0, or beyond :data:`MAX_PIXEL_ASPECT`: unknown, taken as
            square.
        rotation: degrees, a multiple of 90.
    """
    wide = pixel_aspect or 1
    if wide == 1 or not Fraction(1, MAX_PIXEL_ASPECT) <= wide <= MAX_PIXEL_ASPECT:
        shown_width = max(2, width - width % 2)
    else:
        shown_width = even(width * wide)
    shown_height = max(2, height - height % 2)
    return (shown_height, shown_width) if rotation % 180 else (shown_width, shown_height)


def place(size: Size, box: Size, mode: Mode) -> Placement:
    """Return how a picture of ``size`` comes into ``box``.

    Args:
        mode: ``fit``: as large as the box allows, proportions kept, the result may be smaller than the box.
            ``pad``: the same, with a border up to the box. ``fill``: covers the box, what stands out is cropped.
            ``stretch``: exactly the box, proportions given up.
    """
    (width, height), (box_width, box_height) = size, box
    if mode == "stretch":
        return Placement(box, box)
    ratios = Fraction(box_width, width), Fraction(box_height, height)
    ratio = max(ratios) if mode == "fill" else min(ratios)
    scaled = even(width * ratio), even(height * ratio)
    if mode == "fit":
        return Placement(scaled, scaled)
    return Placement(scaled, box, _middle(box_width - scaled[0]), _middle(box_height - scaled[1]))


def _middle(room: int) -> int:
    return room // 4 * 2
