"""yuv420p in limited range to RGB and back, by whole numbers: the same bytes on every processor.

A C compiler made ``rgb.c`` into a library where ``./artdag`` found one (:mod:`artdag_common.media.kernel`); where it
did not, NumPy computes the same to the byte, slowly.

A sample of chroma lies between two rows of the picture and on every second column, as in nearly all films. To RGB,
pixels have what lies between the samples around them, in proportion. Back, a sample is made of four rows with the
weights −1, 5, 5, −1 (eighths), and five columns with −1, 2, 6, 2, −1 (eighths): across, that undoes the way there
entirely, and down nearly. Decision 33 has the figures.
"""

from __future__ import annotations

import ctypes
import weakref
from collections import deque
from fractions import Fraction
from functools import cache

import numpy as np
from av.video.frame import VideoFrame
from av.video.reformatter import ColorRange, Colorspace
from numpy.typing import NDArray

from artdag_common.media import kernel
from artdag_common.media.frame_pool import take_frame
from artdag_common.media.pictures import PIXELS, ColourTags, Rgb, planes

ONE = 1 << 15
"""What numbers of the matrices are parts of."""
BAND = 16
"""Rows of chroma that NumPy takes at a time, so that it needs little memory."""

Numbers = NDArray[np.int16]


class RgbBridge:
    """Turns yuv420p frames into RGB arrays and back."""

    def __init__(self, tags: ColourTags) -> None:
        """``tags`` say which matrix is used, in both directions."""
        self._matrix = tags.matrix
        self._to_rgb, self._to_yuv = _matrices(tags.matrix)
        self._spare: deque[bytearray] = deque(maxlen=1)

    def rgb(self, frame: VideoFrame) -> Rgb:
        """Return the picture as an array of one's own, shape (height, width, 3), its rows side by side."""
        width, height = frame.width, frame.height
        _guard(frame.format.name == PIXELS, width, height)
        array = self._array(height, width)
        if library := kernel.load():
            room = np.empty(4 * width + 1, np.int16)
            library.artdag_to_rgb(*_pointers(frame), _at(array), *_size(frame), _at(self._to_rgb), _at(room))
        else:
            _to_rgb(planes(frame), self._to_rgb, array)
        return array

    def _array(self, height: int, width: int) -> Rgb:
        """Return an array, in the memory of the last one that nobody uses any more.

        New memory takes more time than the conversion where large blocks are given back at once, as in a worker.
        """
        size = 3 * height * width
        try:
            memory = self._spare.pop()
        except IndexError:
            memory = bytearray()
        if len(memory) != size:
            memory = bytearray(size)
        owner = (ctypes.c_ubyte * size).from_buffer(memory)  # lives as long as the array and all views of it
        weakref.finalize(owner, self._spare.append, memory).atexit = False
        array: Rgb = np.frombuffer(memoryview(owner), np.uint8).reshape(height, width, 3)
        return array

    def frame(self, array: Rgb) -> VideoFrame:
        """Return an array as a yuv420p frame.

        Raises:
            ValueError: it is no picture of bytes with even sides.
        """
        height, width = array.shape[:2]
        _guard(array.dtype == np.uint8 and array.shape == (height, width, 3), width, height)
        if array.strides[1:] != (3, 1):
            array = np.ascontiguousarray(array)
        frame = take_frame(width, height)
        frame.colorspace, frame.color_range = self._matrix, ColorRange.MPEG
        if library := kernel.load():
            room = np.empty(17 * width // 2 + 3, np.int16)
            stride = ctypes.c_ssize_t(array.strides[0])
            library.artdag_to_yuv(_at(array), stride, *_pointers(frame), *_size(frame), _at(self._to_yuv), _at(room))
        else:
            _to_yuv(array, self._to_yuv, planes(frame))
        return frame


def _guard(right: bool, width: int, height: int) -> None:
    if not right or width % 2 or height % 2 or not width or not height:
        raise ValueError(f"{width} × {height} pixels are no picture of bytes with even sides")


def _at(array: NDArray[np.generic]) -> ctypes.c_void_p:
    return ctypes.c_void_p(array.ctypes.data)


def _pointers(frame: VideoFrame) -> list[ctypes.c_void_p | ctypes.c_ssize_t]:
    """Return where each plane begins, and how far apart its rows are."""
    return [
        each
        for plane in frame.planes
        for each in (ctypes.c_void_p(plane.buffer_ptr), ctypes.c_ssize_t(plane.line_size))
    ]


def _size(frame: VideoFrame) -> tuple[ctypes.c_size_t, ctypes.c_size_t]:
    return ctypes.c_size_t(frame.width), ctypes.c_size_t(frame.height)


@cache
def _matrices(matrix: Colorspace) -> tuple[Numbers, Numbers]:
    """Return the numbers of both directions, each in 32768ths, as ``rgb.c`` takes them.

    Luma weights: ITU-R BT.601-7, section 2.5.1, and BT.709-6, item 3.2. Black is 16 and white 235, chroma 128 ± 112.
    """
    kr, kb = (Fraction(2126, 10_000), Fraction(722, 10_000))
    if matrix != Colorspace.ITU709:
        kr, kb = Fraction(299, 1000), Fraction(114, 1000)
    kg = 1 - kr - kb
    light, colour = Fraction(219, 255), Fraction(112, 255)
    red_v, blue_u = (1 - kr) / colour, (1 - kb) / colour
    # in 32nds, of numbers in 128ths
    there = [1 / light, red_v, -blue_u * kb / kg, -red_v * kr / kg, blue_u]
    of_y, *of_chroma = [round(each * ONE * 32 / 128) for each in there]
    base = round((128 - 16) / light * 32) + 16  # half of one, so that >> rounds
    # of luma in 128ths, as the bytes; of chroma in 64ths, as the bytes, and grey has none of it
    of_luma = [round(weight * light * ONE) for weight in (kr, kg, kb)]
    offset = 16 * 128 + round(128 * light * 128) + 64
    u = [round(each * ONE) for each in (-kr * colour / (1 - kb), colour)]
    v = [round(each * ONE) for each in (colour, -kb * colour / (1 - kr))]
    back = [*of_luma, offset, u[0], -sum(u), u[1], v[0], -sum(v), v[1]]
    return np.array([of_y, base, *of_chroma], np.int16), np.array(back, np.int16)


# --- what rgb.c does, with NumPy -------------------------------------------------------------------------------------


def _part(numbers: Numbers, of: np.int16) -> Numbers:
    product = np.multiply(numbers, of, dtype=np.int32)
    product >>= 14
    product += 1
    product >>= 1
    return product.astype(np.int16)


def _centred(values: NDArray[np.uint8]) -> Numbers:
    return (values.astype(np.int16) - np.int16(128)) * np.int16(128)


def _clip(numbers: Numbers) -> NDArray[np.uint8]:
    return numbers.clip(0, 255, out=numbers).astype(np.uint8)


def _to_rgb(yuv: list[NDArray[np.uint8]], by: Numbers, rgb: Rgb) -> None:
    y, u, v = yuv
    of_y, base, red_v, green_u, green_v, blue_u = by
    for first in range(0, len(u), BAND):
        last = min(len(u), first + BAND)
        rows = slice(2 * first, 2 * last)
        light = _part(_centred(y[rows]), of_y) + int(base)
        wide_u, wide_v = (_widened(plane, first, last) for plane in (u, v))
        rgb[rows, :, 0] = _clip(light + _part(wide_v, red_v) >> 5)
        rgb[rows, :, 1] = _clip(light + _part(wide_u, green_u) + _part(wide_v, green_v) >> 5)
        rgb[rows, :, 2] = _clip(light + _part(wide_u, blue_u) >> 5)


def _widened(plane: NDArray[np.uint8], first: int, last: int) -> Numbers:
    rows = plane[_around(first, last, len(plane))].astype(np.int16)
    mixed = np.empty((2 * (last - first), plane.shape[1] + 1), np.int16)
    mixed[::2, :-1] = 3 * rows[1:-1] + rows[:-2] - 512
    mixed[1::2, :-1] = 3 * rows[1:-1] + rows[2:] - 512
    mixed[:, -1] = mixed[:, -2]
    wide = np.empty((len(mixed), 2 * plane.shape[1]), np.int16)
    wide[:, ::2] = mixed[:, :-1] * 32
    wide[:, 1::2] = (mixed[:, :-1] + mixed[:, 1:]) * 16
    return wide


def _to_yuv(rgb: Rgb, by: Numbers, yuv: list[NDArray[np.uint8]]) -> None:
    y, u, v = yuv
    for first in range(0, len(u), BAND):
        last = min(len(u), first + BAND)
        rows = slice(2 * first, 2 * last)
        red, green, blue = (_part(_centred(rgb[rows, :, colour]), by[colour]) for colour in range(3))
        y[rows] = _clip(red + green + blue + int(by[3]) >> 7)
        few = [_narrowed(rgb[..., colour], first, last) for colour in range(3)]
        for plane, weights in ((u, by[4:7]), (v, by[7:])):
            red, green, blue = map(_part, few, weights)
            plane[first:last] = _clip(red + green + blue + 128 * 64 + 32 >> 6)


def _narrowed(plane: NDArray[np.uint8], first: int, last: int) -> Numbers:
    rows = plane[_around(2 * first, 2 * last, len(plane))].astype(np.int16)
    mixed = np.empty((last - first, plane.shape[1] + 3), np.int16)
    mixed[:, 2:-1] = 5 * (rows[1:-2:2] + rows[2:-1:2]) - (rows[:-3:2] + rows[3::2])
    mixed[:, 0] = mixed[:, 1] = mixed[:, 2]
    mixed[:, -1] = mixed[:, -2]
    few: Numbers = 6 * mixed[:, 2:-1:2] + 2 * (mixed[:, 1:-2:2] + mixed[:, 3::2])
    few -= mixed[:, :-4:2] + mixed[:, 4::2]
    return few


def _around(first: int, last: int, rows: int) -> NDArray[np.intp]:
    """Return the numbers of rows from the one before ``first`` to ``last``, those at the edges again beyond them."""
    return np.arange(first - 1, last + 1).clip(0, rows - 1)
