"""Colours, blur and sharpness of pictures, by whole numbers: the same on every processor."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import Decimal, localcontext
from functools import lru_cache, partial
from math import floor
from typing import Any

import numpy as np
from av.video.frame import VideoFrame
from numpy.typing import NDArray

from artdag_common.errors import StepConfigError
from artdag_common.media.encode import PictureShape
from artdag_common.media.frame_pool import take_frame
from artdag_common.media.geometry import Size
from artdag_common.media.picture import Picture
from artdag_common.media.pictures import planes
from artdag_common.media.stage import Stage

UNIT = 10_000
"""Parameters are counted in ten-thousandths."""
PREFIX = "effects."
"""What comes before a parameter's name in the names of bound ones."""

LOW, HIGH, CHROMA_HIGH, MIDDLE = 16, 235, 240, 128
SPAN = HIGH - LOW
TURN_BITS = 16
SHARP_BITS = 12
"""Sixteen samples by 256 parts of a strength."""

ROWS = 48
"""Rows that are averaged at a time: 120 KB at 720p."""
PLACES = 32_000
"""Values that are looked up at a time: NumPy makes a number of eight bytes of each, and 256 KB stay in the cache."""
FEW = 40
MOST = 65_535

Plane = NDArray[np.uint8]
Words = NDArray[np.unsignedinteger[Any]]


def transform_stage(effects: Mapping[str, float], shape: PictureShape, curves: Mapping[str, Sequence[float]]) -> Stage:
    """Return the stage that adjusts pictures, in this order; what has its neutral value does nothing.

    All parameters are first rounded to ten-thousandths. ``Y`` is 16 to 235, ``U`` and ``V`` 16 to 240.

    1. Light. ``x = (Y − 16)/219`` becomes ``x' = (x − ½)·contrast + ½ + brightness``, cut off at 0 and 1, then
       ``x'^(1/gamma)``; ``Y = ⌊16 + 219·x' + ½⌋``. Neutral: 1, 0, 1.
    2. Colour. ``(U − 128, V − 128)`` is turned by ``hue`` degrees, from U to V, and made ``saturation`` times as long,
       by factors in units of 2⁻¹⁶, rounded and cut off. Neutral: 0, 1.
    3. ``blur``, pixels, rounded to whole ones and at most a quarter of the shorter side, ``b``: twice the mean of the
       ``2b + 1`` by ``2b + 1`` pixels around each, with those of the edge repeated beyond it; ``⌊b/2 + ½⌋`` in planes
       of colour. The first mean is rounded down and the second one up, so that the picture keeps its brightness. Near
       to a Gaussian of 0.8·b + 0.4 pixels. Neutral: 0.
    4. ``sharpen``: ``Y + ⌊(k·(16·Y − B) + 2048) / 4096⌋``, cut off; ``B`` is the sum of the 3×3 pixels around ``Y``,
       weighted by 1 2 1 both ways, and ``k = ⌊256·sharpen + ½⌋``. Neutral: 0.

    Args:
        effects: the parameters by their names.
        curves: values of the parameters by these names with ``effects.`` before them.

    Raises:
        StepConfigError: something else is bound.
    """
    if unknown := curves.keys() - {PREFIX + name for name in effects}:
        able = ", ".join(PREFIX + name for name in effects)
        raise StepConfigError(f"{', '.join(sorted(unknown))} cannot change from frame to frame; {able} can")

    def adjusted(picture: Picture) -> Picture:
        values = {**effects, **{name.removeprefix(PREFIX): curve[picture.number] for name, curve in curves.items()}}
        frame = picture.yuv()
        changed = _sharpened(_blurred(_coloured(frame, values), values, shape.size), values)
        return picture if changed is frame else picture.with_yuv(changed)

    return Stage(shape, partial(map, adjusted))


def _units(value: float) -> int:
    return floor(value * UNIT + 0.5)


# --- light and colour -----------------------------------------------------------------------------------------------


def _coloured(frame: VideoFrame, values: Mapping[str, float]) -> VideoFrame:
    light = _units(values["contrast"]), _units(values["brightness"]), _units(values["gamma"])
    colour = _units(values["hue"]) % (360 * UNIT), _units(values["saturation"])
    if light == (UNIT, 0, UNIT) and colour == (0, UNIT):
        return frame
    y, u, v = planes(frame)
    changed = take_frame(frame.width, frame.height)
    new_y, new_u, new_v = planes(changed)
    if light == (UNIT, 0, UNIT):
        new_y[:] = y
    else:
        look_up(y, light_table(*light), new_y)
    if colour == (0, UNIT):
        new_u[:], new_v[:] = u, v
    elif not colour[0]:
        table = colour_table(colour[1])
        look_up(u, table, new_u)
        look_up(v, table, new_v)
    else:
        new_u[:], new_v[:] = _turned(u, v, *turn(*colour))
    return changed


@lru_cache(maxsize=256)
def light_table(contrast: int, brightness: int, gamma: int) -> Plane:
    """Return the new luma for each luma; see :func:`transform_stage`. Arguments in ten-thousandths.

    Decimal numbers, since a power of a binary one differs in its last digit from processor to processor.
    """
    table = np.empty(256, np.uint8)
    whole = 2 * SPAN * UNIT
    with localcontext() as context:
        context.prec = 24
        for luma in range(256):
            x = 2 * min(SPAN, max(0, luma - LOW))
            value = (x - SPAN) * contrast + SPAN * UNIT + 2 * SPAN * brightness
            part = Decimal(min(whole, max(0, value))) / whole
            if part and gamma != UNIT:
                part **= Decimal(UNIT) / gamma
            table[luma] = int(LOW + SPAN * part + Decimal("0.5"))
    return table


@lru_cache(maxsize=256)
def colour_table(saturation: int) -> Plane:
    """Return the new U or V for each; ``saturation`` in ten-thousandths."""
    factor, _ = turn(0, saturation)
    values = ((np.arange(256) - MIDDLE) * factor + (1 << TURN_BITS - 1) >> TURN_BITS) + MIDDLE
    return np.asarray(np.clip(values, LOW, CHROMA_HIGH), np.uint8)


@lru_cache(maxsize=256)
def turn(hue: int, saturation: int) -> tuple[int, int]:
    """Return cosine and sine of an angle times ``saturation``, in units of 2⁻¹⁶.

    Args:
        hue: ten-thousandths of a degree, 0 to 3 599 999.
        saturation: ten-thousandths.
    """
    with localcontext() as context:
        context.prec = 40
        angle = Decimal(hue) / UNIT * PI / 180
        term, sums = Decimal(1), [Decimal(0), Decimal(0)]
        for n in range(60):  # the series of both; 6.3 to the 60th by 60! is less than 1e-33
            sums[n % 2] += term if n % 4 < 2 else -term
            term *= angle / (n + 1)
        scale = Decimal(saturation << TURN_BITS) / UNIT
        cosine, sine = (int((each * scale).quantize(Decimal(1))) for each in sums)
        return cosine, sine


PI = Decimal("3.1415926535897932384626433832795028841972")


def _turned(u: Plane, v: Plane, cosine: int, sine: int) -> tuple[Plane, Plane]:
    x, y = u.astype(np.int32) - MIDDLE, v.astype(np.int32) - MIDDLE
    half = 1 << TURN_BITS - 1
    turned = (x * cosine - y * sine + half >> TURN_BITS), (x * sine + y * cosine + half >> TURN_BITS)
    one, other = (np.clip(each + MIDDLE, LOW, CHROMA_HIGH).astype(np.uint8) for each in turned)
    return one, other


def look_up(plane: Plane, table: Plane, out: Plane) -> None:
    """Write ``table[plane]`` to ``out``, two values at a time where rows have an even number: half the time."""
    values: Words = table
    places: Words = plane
    found: Words = out
    if plane.shape[1] % 2 == 0:
        values, places, found = _pairs(table.tobytes()), plane.view(np.uint16), out.view(np.uint16)
    rows = max(1, PLACES // places.shape[1])
    for top in range(0, len(places), rows):
        part = slice(top, top + rows)
        np.take(values, places[part], out=found[part], mode="clip")


@lru_cache(maxsize=4)
def _pairs(table: bytes) -> NDArray[np.uint16]:
    words = np.frombuffer(table, np.uint8).astype(np.uint16)
    return (words[:, None] << np.uint16(8) | words[None, :]).reshape(-1)


# --- blur and sharpness ---------------------------------------------------------------------------------------------


def _blurred(frame: VideoFrame, values: Mapping[str, float], size: Size) -> VideoFrame:
    radius = min(floor(values["blur"] + 0.5), min(size) // 4)
    if not radius:
        return frame
    changed = take_frame(frame.width, frame.height)
    radii = radius, (radius + 1) // 2, (radius + 1) // 2
    for new, old, each in zip(planes(changed), planes(frame), radii, strict=True):
        new[:] = averaged(averaged(old, each), each, up=True)
    return changed


def averaged(plane: Plane, radius: int, up: bool = False) -> Plane:
    """Return the mean of the pixels around each, those of the edge repeated beyond it, rounded down, or ``up``.

    Sums of 16 bits where they fit, and a few rows at a time, so that these stay in the processor's cache. (``avgblur``
    of the media library gives the same in less time, but each such filter holds a table of 32 MB, and two are needed.)

    Args:
        radius: at least 1; ``2·radius + 1`` pixels each way count.
    """
    height, width = plane.shape
    count = 2 * radius + 1
    area = count * count
    down_kind = np.uint16 if 255 * count <= MOST else np.uint32
    kind = np.uint16 if 255 * area + area - 1 <= MOST else np.uint32
    wide = np.pad(plane.astype(down_kind), radius, "edge")
    across = wide.shape[1]
    flat = wide.reshape(-1)
    whole = _sums(flat, count, across, height * across) if count > ROWS else None  # rows at a time would share too many
    result = np.empty_like(plane)
    for top in range(0, height, ROWS):
        rows = min(ROWS, height - top)
        size = rows * across
        if whole is None:
            down = _sums(flat[top * across : (top + rows + count - 1) * across], count, across, size)
        else:
            down = whole[top * across : top * across + size]
        sums = np.empty(size, kind)  # what is left at the end of each row means nothing
        sums[: size - count + 1] = _sums(down.astype(kind, copy=False), count, 1, size - count + 1)
        kept = sums.reshape(rows, across)[:, :width]
        if up:
            kept += kind(area - 1)
        np.floor_divide(kept, kind(area), out=result[top : top + rows], casting="unsafe")
    return result


def _sums(values: Words, count: int, step: int, many: int) -> Words:
    """Return ``many`` sums of ``count`` values, each ``step`` behind the one before, beginning at each value.

    Sums of 2, 4, 8 … values are made of those of half as many; where that would be many steps, sums of all before.
    """
    if step == 1 and count > FEW:
        running = np.cumsum(values, dtype=values.dtype)  # runs over, and differences are right all the same
        sums = running[count - 1 :].copy()
        sums[1:] -= running[: many - 1]
        return sums
    total: Words | None = None
    done, length, powers = 0, 1, values
    while True:
        if count & length:
            part = powers[done * step : done * step + many]
            total = part.copy() if total is None else np.add(total, part, out=total)
            done += length
        if 2 * length > count:
            assert total is not None
            return total
        powers = powers[: -length * step] + powers[length * step :]
        length *= 2


def _sharpened(frame: VideoFrame, values: Mapping[str, float]) -> VideoFrame:
    strength = floor(256 * values["sharpen"] + 0.5)
    if not strength:
        return frame
    changed = take_frame(frame.width, frame.height)
    old, new = planes(frame), planes(changed)
    new[0][:] = sharpened(old[0], strength)
    new[1][:], new[2][:] = old[1], old[2]
    return changed


def sharpened(luma: Plane, strength: int) -> Plane:
    """Return the luma sharpened; ``strength`` in 256ths. See :func:`transform_stage`."""
    wide = luma.astype(np.int16)
    around = _weighted(_weighted(wide, 0), 1)
    detail = ((wide << np.int16(4)) - around).astype(np.int32)
    detail *= strength
    detail += 1 << SHARP_BITS - 1
    detail >>= SHARP_BITS
    detail += wide
    return np.clip(detail, LOW, HIGH).astype(np.uint8)


def _weighted(values: NDArray[np.int16], axis: int) -> NDArray[np.int16]:
    """Return each value twice with its two neighbours along an axis; beyond the edge the one at the edge."""
    rows = np.moveaxis(values, axis, 0)
    total = rows * np.int16(2)
    total[1:] += rows[:-1]
    total[:-1] += rows[1:]
    total[0] += rows[0]
    total[-1] += rows[-1]
    return np.moveaxis(total, 0, axis)
