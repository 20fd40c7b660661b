"""Pictures in another size: scaled the same on every processor, laid on a canvas."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

from av.video.frame import VideoFrame
from av.video.reformatter import ColorRange, Colorspace, VideoReformatter

from artdag_common.media.colour import limited_yuv
from artdag_common.media.encode import PictureShape
from artdag_common.media.geometry import Mode, Placement, Size, place
from artdag_common.media.picture import Picture
from artdag_common.media.pictures import EXACT, PIXELS, ColourTags, planes
from artdag_common.media.stage import Stage

Yuv = tuple[int, int, int]
"""A colour in limited range."""


def yuv_of(background: str, tags: ColourTags) -> Yuv:
    """Return ``#rrggbb`` in the colours that ``tags`` say."""
    return limited_yuv(background, tags.matrix == Colorspace.ITU709)


def resize_stage(size: Size, mode: Mode, background: str, shape: PictureShape) -> Stage:
    """Return the stage that brings pictures into another size.

    Args:
        size: width and height of the box, even.
        mode: see :func:`artdag_common.media.geometry.place`.
        background: ``#rrggbb`` of the border of ``pad``.
    """
    placement = place(shape.size, size, mode)
    border = yuv_of(background, shape.tags)
    scaler = Scaler()

    def resized(picture: Picture) -> Picture:
        frame = scaler.scaled(picture.yuv(), placement.scaled)
        return picture.with_yuv(frame if placement.scaled == placement.canvas else laid(frame, placement, border))

    return Stage(replace(shape, size=placement.canvas), partial(map, resized))


class Scaler:
    """Scales yuv420p of limited range: bicubic, exactly rounded."""

    def __init__(self) -> None:
        self._reformatter = VideoReformatter()

    def scaled(self, frame: VideoFrame, size: Size) -> VideoFrame:
        """Return the frame at a size, even; itself, where it has that size."""
        if (frame.width, frame.height) == size:
            return frame
        return self._reformatter.reformat(
            frame,
            width=size[0],
            height=size[1],
            format=PIXELS,
            interpolation=EXACT,
            src_color_range=ColorRange.MPEG,
            dst_color_range=ColorRange.MPEG,
            threads=1,
        )


def blank(size: Size, colour: Yuv) -> VideoFrame:
    """Return a picture of one colour."""
    frame = VideoFrame(*size, PIXELS)
    for plane, value in zip(planes(frame), colour, strict=True):
        plane[:] = value
    return frame


def laid(frame: VideoFrame, placement: Placement, border: Yuv) -> VideoFrame:
    """Return a scaled picture on its canvas; what stands out is left away."""
    canvas = blank(placement.canvas, border)
    for index, (source, plane) in enumerate(zip(planes(frame), planes(canvas), strict=True)):
        part = 2 if index else 1
        there, here = overlap((placement.x // part, placement.y // part), source.shape, plane.shape)
        plane[there] = source[here]
    return canvas


def overlap(
    corner: tuple[int, int], source: tuple[int, ...], canvas: tuple[int, ...]
) -> tuple[tuple[slice, slice], tuple[slice, slice]]:
    """Return where a plane comes to lie on another one, and which part of it does; both empty where they do not meet.

    Args:
        corner: x and y of its top left corner.
        source: its height and width.
        canvas: height and width of the other.
    """
    (x, y), (height, width) = corner, source
    top, bottom = max(0, y), max(0, y, min(canvas[0], y + height))
    left, right = max(0, x), max(0, x, min(canvas[1], x + width))
    there = slice(top, bottom), slice(left, right)
    return there, (slice(top - y, bottom - y), slice(left - x, right - x))
