"""Pictures of a video file, one for each place of a constant grid, upright, even and in yuv420p."""

from __future__ import annotations

from collections.abc import Generator, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from fractions import Fraction
from functools import cache
from itertools import accumulate, chain, repeat
from pathlib import Path

import numpy as np
from av.container import InputContainer
from av.video.format import VideoFormat
from av.video.frame import VideoFrame
from av.video.plane import VideoPlane
from av.video.reformatter import ColorRange, Colorspace, Interpolation, VideoReformatter
from av.video.stream import VideoStream
from numpy.typing import NDArray

from artdag_common.errors import StepInputError
from artdag_common.media.colour import limited_yuv
from artdag_common.media.geometry import Mode, Placement, Size, display_size, place
from artdag_common.media.limits import guard_size
from artdag_common.media.probe import (
    audio_stream,
    open_media,
    picture_timeline,
    quarter_turns,
    scan,
    shown_size,
    video_stream,
)
from artdag_common.media.still import picture_arrays, picture_facts, picture_type
from artdag_common.media.timeline import Timeline, nearest

PIXELS, WITH_ALPHA = "yuv420p", "yuva420p"
OPAQUE = 255
RGB, BT709, UNSAID = 0, 1, 2
THREADS = 3
"""Threads that decode a film: what the library itself takes on two cores. By default it takes one a core, up to 16, and
each has its pictures: at 720p some 6 MB that a step needs more on every core."""
# swscale gives the same on every processor only with these, in both directions
EXACT = Interpolation.BICUBIC | Interpolation.ACCURATE_RND | Interpolation.BITEXACT

Rgb = NDArray[np.uint8]
"""Shape (height, width, 3), 0 to 255."""


@dataclass(frozen=True, slots=True)
class ColourTags:
    """How a stream says that its numbers mean colours, as FFmpeg's enumerations; 2: not said."""

    space: int
    primaries: int
    transfer: int

    @property
    def matrix(self) -> Colorspace:
        """The matrix between RGB and YUV; BT.601 where nothing is said, in both directions."""
        return Colorspace.ITU709 if self.space == BT709 else Colorspace.ITU601


OF_RGB = ColourTags(BT709, BT709, BT709)
"""What pictures that come in RGB are written as: said outright, since players guess by the size where it is not."""


@dataclass(frozen=True, slots=True)
class Target:
    """Where pictures go: ``size`` (None: as shown), reached by ``mode`` over ``background`` (``#rrggbb``).

    ``matrix`` is the one of the output's colours; None: the clip's own.
    """

    size: Size | None = None
    mode: Mode = "pad"
    background: str = "#000000"
    matrix: Colorspace | None = None


AS_SHOWN = Target()


class Clip:
    """The video of a file on a constant grid.

    Attributes:
        timeline: grid and length.
        size: width and height as shown: upright, square pixels, even.
        pixel_aspect: width of a stored pixel by its height; None: not said.
        tags: meaning of the colours.
        sound: whether the file has audio.
        picture: whether it is a picture file: a still, or an animation.
        still: whether it is a still.
    """

    def __init__(
        self,
        path: Path,
        slot: str = "media",
        rate: Fraction | None = None,
        hold: Fraction | None = None,
        threads: int = THREADS,
    ) -> None:
        """Read the outline of ``path``.

        Args:
            slot: the step's input, for messages.
            rate: frames a second; None: the video's own, 25 for a still.
            hold: seconds that a still is shown; None: one frame. Means nothing to anything else.
            threads: that decode it; fewer where it is read beside others, since each holds pictures.

        Raises:
            StepInputError: not a media file, no video in it, or beyond the limits.
        """
        self.path = path
        self.slot = slot
        self._threads = threads
        self.picture = bool(picture_type(path))
        self.still = False
        if self.picture:
            found = picture_facts(path, slot)
            self.still = not found.durations
            self.pixel_aspect: Fraction | None = None
            self.size = display_size(*found.size, None, 0)
            self.tags = OF_RGB
            self.sound = False
            self.timeline = picture_timeline(found, rate, hold)
            self._places = _starts(found.durations, self.timeline)
            return
        with open_media(path, slot) as container:
            stream = video_stream(container)
            if stream is None:
                raise StepInputError(f"{slot}: the file holds audio only; this step needs video", slot=slot)
            codec = stream.codec_context
            self.pixel_aspect = stream.sample_aspect_ratio
            self.size = shown_size(stream, slot=slot)
            self.tags = ColourTags(codec.colorspace, codec.color_primaries, codec.color_trc)
            if self.tags.space == RGB or _is_rgb(codec.pix_fmt):
                self.tags = OF_RGB
            self.sound = audio_stream(container) is not None
            self.timeline = scan(container, stream, rate, slot)

    def pictures(self, first: int = 0, last: int | None = None, target: Target = AS_SHOWN) -> Iterator[VideoFrame]:
        """Give the pictures of the places ``first`` to ``last`` (excluded; None: the end), one each.

        A place without a frame of its own shows the one before. The frames are not to be written to.

        Raises:
            StepInputError: damaged, or no picture at all.
        """
        end = self.timeline.frames if last is None else last
        fitter = _Fitter(self, target)
        at = first
        latest: VideoFrame | None = None  # brought into shape only when it is shown
        with closing(self._painted() if self.picture else self._decoded(first)) as placed:
            for found, frame in placed:
                if latest is not None and at < (until := min(found, end)):
                    yield from repeat(fitter.fit(latest), until - at)
                    at = until
                if at >= end:
                    return
                latest = frame
            if latest is None:
                raise StepInputError(f"{self.slot}: no picture of the video can be decoded", slot=self.slot)
            yield from repeat(fitter.fit(latest), end - at)

    def canvas(self, target: Target) -> Size:
        """Return the size of the pictures that :meth:`pictures` gives for ``target``."""
        return self.size if target.size is None else place(self.size, target.size, target.mode).canvas

    def _painted(self) -> Generator[tuple[int, VideoFrame]]:
        """Give the pictures of a picture file and their places."""
        for place_, array in zip(self._places, picture_arrays(self.path, self.slot), strict=False):
            yield place_, VideoFrame.from_ndarray(array, format="rgb24")

    def _decoded(self, first: int) -> Generator[tuple[int, VideoFrame]]:
        with open_media(self.path, self.slot) as container:
            stream = video_stream(container)
            assert stream is not None
            yield from self._placed(container, stream, first)

    def _placed(self, container: InputContainer, stream: VideoStream, first: int) -> Iterator[tuple[int, VideoFrame]]:
        """Decode from a key frame at or before place ``first`` on: places and frames in the order shown."""
        stream.thread_type = "AUTO"
        stream.codec_context.thread_count = self._threads
        timeline = self.timeline
        frames = container.decode(stream)
        head: VideoFrame | None = None
        if first > 0 and timeline.stamped:
            container.seek(timeline.stamp(first - 1), stream=stream)
            head = next(frames, None)  # of one decoding: another would not give what this one holds already
            if head is None or head.pts is None or timeline.place(head.pts) > first:
                # the index is wrong or missing: from the beginning then
                container.seek(timeline.origin, stream=stream)
                frames, head = container.decode(stream), None
        stamp = -1
        for frame in chain([] if head is None else [head], frames):
            stamp = stamp + 1 if frame.pts is None or not timeline.stamped else frame.pts
            yield timeline.place(stamp), frame


class _Fitter:
    """Brings decoded frames into shape: upright, square pixels, yuv420p, limited range, scaled and placed."""

    def __init__(self, clip: Clip, target: Target) -> None:
        self._clip = clip
        self._target = target
        self._canvas = clip.canvas(target)
        self._matrix = target.matrix or clip.tags.matrix
        self._border = limited_yuv(target.background, self._matrix == Colorspace.ITU709)
        self._reformatter = VideoReformatter()

    def fit(self, frame: VideoFrame) -> VideoFrame:
        """Return the frame in shape: itself, where nothing is to be done."""
        guard_size(frame.width, frame.height, self._clip.slot)
        turned = quarter_turns(frame.rotation)
        shown = display_size(frame.width, frame.height, self._clip.pixel_aspect, turned)
        placement = self._placement(shown)
        if _is_transparent(frame):
            frame = _on_black(self._reformat(frame, (frame.width, frame.height), WITH_ALPHA))
        plain = (
            frame.format.name == PIXELS
            and frame.color_range != ColorRange.JPEG
            and self._matrix == self._clip.tags.matrix
        )
        if plain and not turned and (frame.width, frame.height) == placement.scaled == placement.canvas:
            return frame
        frame = self._convert(frame, placement.scaled[::-1] if turned % 180 else placement.scaled)
        if turned:
            frame = _from_planes([np.rot90(plane, turned // 90) for plane in planes(frame)])
        if placement.scaled != placement.canvas:
            frame = _lay(frame, placement, self._border)
        return frame

    def _placement(self, shown: Size) -> Placement:
        clip, target = self._clip, self._target
        if shown != clip.size:  # the stream changes its size on the way
            return place(shown, self._canvas, "pad")
        return Placement(shown, shown) if target.size is None else place(shown, target.size, target.mode)

    def _convert(self, frame: VideoFrame, size: Size) -> VideoFrame:
        if frame.width % 2 or frame.height % 2:
            frame = _without_odd_edges(self._reformat(frame, (frame.width, frame.height)))
        return self._reformat(frame, size)

    def _reformat(self, frame: VideoFrame, size: Size, pixels: str = PIXELS) -> VideoFrame:
        return self._reformatter.reformat(
            frame,
            width=size[0],
            height=size[1],
            format=pixels,
            interpolation=EXACT,
            src_colorspace=self._clip.tags.matrix,
            dst_colorspace=self._matrix,
            src_color_range=frame.color_range or None,
            dst_color_range=ColorRange.MPEG,
            threads=1,
        )


def _starts(durations: Sequence[Fraction], timeline: Timeline) -> list[int]:
    """Return the places at which the pictures of a file begin."""
    begin = accumulate(durations[:-1], initial=Fraction(0))
    return [timeline.place(nearest(each * 1000)) for each in begin] if durations else [0]


@cache
def _is_rgb(pixels: str | None) -> bool:
    kind = VideoFormat(pixels) if pixels else None
    return kind is not None and (kind.is_rgb or kind.has_palette)


def _is_transparent(frame: VideoFrame) -> bool:
    return any(component.is_alpha for component in frame.format.components) or frame.format.has_palette


def _on_black(frame: VideoFrame) -> VideoFrame:
    """Lay a yuva420p frame on black, by whole numbers."""
    y, u, v, cover = (each.astype(np.int32) for each in planes(frame))
    if (cover == OPAQUE).all():
        return _from_planes(planes(frame)[:3])
    height, width = cover.shape
    blocks = np.pad(cover, ((0, height % 2), (0, width % 2)), "edge")
    few = (blocks[::2, ::2] + blocks[1::2, ::2] + blocks[::2, 1::2] + blocks[1::2, 1::2] + 2) // 4
    laid = (
        black + ((plane - black) * weight + OPAQUE // 2) // OPAQUE
        for plane, weight, black in ((y, cover, 16), (u, few, 128), (v, few, 128))
    )
    return _from_planes([plane.astype(np.uint8) for plane in laid])


def planes(frame: VideoFrame) -> list[NDArray[np.uint8]]:
    """Return the planes of a yuv420p frame as writable views: (height, width), then twice half of both."""
    return [_rows(plane)[:, : plane.width] for plane in frame.planes]


def _rows(plane: VideoPlane) -> NDArray[np.uint8]:
    """Return a plane with the padding at the end of its rows: (height, bytes of a row)."""
    data: NDArray[np.uint8] = np.frombuffer(memoryview(plane), np.uint8)
    return data[: plane.line_size * plane.height].reshape(plane.height, plane.line_size)


def _without_odd_edges(frame: VideoFrame) -> VideoFrame:
    """Leave out the last row and column where their number is odd; a single one stays."""
    width, height = (length if length == 1 else length - length % 2 for length in (frame.width, frame.height))
    y, u, v = planes(frame)
    half = slice(0, (height + 1) // 2), slice(0, (width + 1) // 2)
    return _from_planes([y[:height, :width], u[half], v[half]])


def _from_planes(arrays: Sequence[NDArray[np.uint8]]) -> VideoFrame:
    height, width = arrays[0].shape
    frame = VideoFrame(width, height, PIXELS)
    for plane, array in zip(planes(frame), arrays, strict=True):
        plane[:] = array
    return frame


def _lay(frame: VideoFrame, placement: Placement, border: tuple[int, int, int]) -> VideoFrame:
    """Lay a picture on its canvas."""
    canvas = VideoFrame(*placement.canvas, PIXELS)
    for index, (source, plane) in enumerate(zip(planes(frame), planes(canvas), strict=True)):
        part = 2 if index else 1
        x, y = placement.x // part, placement.y // part
        rows = slice(max(0, y), min(plane.shape[0], y + source.shape[0]))
        columns = slice(max(0, x), min(plane.shape[1], x + source.shape[1]))
        plane[:] = border[index]
        plane[rows, columns] = source[rows.start - y : rows.stop - y, columns.start - x : columns.stop - x]
    return canvas
