"""Two videos as one, pixel by pixel."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import chain, count, repeat
from math import floor
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from artdag_common.media.encode import PictureShape
from artdag_common.media.picture import Picture
from artdag_common.media.pictures import Clip, Rgb, Target
from artdag_common.media.rgb import RgbBridge
from artdag_common.media.stage import Stage
from artdag_common.media.transitions import WHOLE, blended

BlendMode = Literal["multiply", "screen", "overlay", "add", "subtract", "average", "difference", "lighten", "darken"]
Words = NDArray[np.uint16]
FULL = np.uint16(255)
ROWS = 16
"""Rows that are blended at a time: 60 KB at 720p."""


def blend_stage(
    mode: BlendMode, opacity: float, top: Path, shape: PictureShape, curves: Mapping[str, Sequence[float]]
) -> Stage:
    """Return the stage that blends pictures with those of ``top``.

    Output frame ``n`` is made of frame ``n`` of both at the rate of the first. The pictures of ``top`` are scaled to
    cover the first one's, what stands out is cropped. Where it has ended, pictures stay as they are; a still one, of a
    single frame, stays. The red, green and blue values ``a`` of the first and ``b`` of ``top``, 0 to 255, become
    ``⌊(a·(256 − o) + m·o + 128) / 256⌋``, ``o = ⌊256·opacity + ½⌋``, with ``÷255`` rounded to the nearest:

    * ``multiply``: ``m = a·b ÷255``; ``screen``: ``m = 255 − (255 − a)·(255 − b) ÷255``
    * ``overlay``: ``m = 2·a·b ÷255`` where ``a < 128``, else ``m = 255 − 2·(255 − a)·(255 − b) ÷255``
    * ``add``: ``m = min(255, a + b)``; ``subtract``: ``m = max(0, a − b)``; ``average``: ``m = ⌊(a + b + 1)/2⌋``
    * ``difference``: ``m = |a − b|``; ``lighten``: ``m = max(a, b)``; ``darken``: ``m = min(a, b)``

    Args:
        opacity: 0 to 1.
        curves: values of ``opacity``.
    """
    clip = Clip(top, "top", shape.rate, threads=1)
    bridge = RgbBridge(shape.tags)
    still = clip.timeline.frames == 1
    formula = FORMULAS[mode]
    curve = curves.get("opacity")

    def frames(pictures: Iterator[Picture]) -> Iterator[Picture]:
        above = map(bridge.rgb, clip.pictures(target=Target(shape.size, "fill", matrix=shape.tags.matrix)))
        over: Iterator[Rgb | None] = repeat(next(above)) if still else chain(above, repeat(None))
        return map(mixed, count(), pictures, over)

    def mixed(place: int, picture: Picture, over: Rgb | None) -> Picture:
        part = floor(WHOLE * (opacity if curve is None else curve[place]) + 0.5)
        if over is None or not part:
            return picture
        under = picture.rgb()
        for top in range(0, len(under), ROWS):  # what lies in between stays in the processor's cache
            rows = slice(top, top + ROWS)
            under[rows] = blended(under[rows], formula(under[rows], over[rows]), part)
        return picture.with_rgb(under)

    return Stage(shape, frames)


def _by_255(product: Words) -> Words:
    """Return a product of two values divided by 255, rounded; it is changed."""
    product += np.uint16(128)
    product += product >> np.uint16(8)
    product >>= np.uint16(8)
    return product


def _multiply(a: Rgb, b: Rgb) -> Rgb:
    return _by_255(np.multiply(a, b, dtype=np.uint16)).astype(np.uint8)


def _screen(a: Rgb, b: Rgb) -> Rgb:
    return ~_multiply(~a, ~b)


def _overlay(a: Rgb, b: Rgb) -> Rgb:
    dark = a < 128
    product = np.where(dark, a, ~a) * np.where(dark, b, ~b).astype(np.uint16)  # at most 127 · 255
    mixed = _by_255(product * np.uint16(2)).astype(np.uint8)
    return np.where(dark, mixed, ~mixed)


def _add(a: Rgb, b: Rgb) -> Rgb:
    return np.minimum(a + b.astype(np.uint16), FULL).astype(np.uint8)


def _subtract(a: Rgb, b: Rgb) -> Rgb:
    return a - np.minimum(a, b)


def _average(a: Rgb, b: Rgb) -> Rgb:
    return ((a + b.astype(np.uint16) + np.uint16(1)) >> np.uint16(1)).astype(np.uint8)


def _difference(a: Rgb, b: Rgb) -> Rgb:
    return np.maximum(a, b) - np.minimum(a, b)


FORMULAS: dict[BlendMode, Callable[[Rgb, Rgb], Rgb]] = {
    "multiply": _multiply,
    "screen": _screen,
    "overlay": _overlay,
    "add": _add,
    "subtract": _subtract,
    "average": _average,
    "difference": _difference,
    "lighten": np.maximum,
    "darken": np.minimum,
}
