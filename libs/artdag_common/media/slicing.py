"""Exact numbers of frames out of footage of any length and rate: short footage begins again."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from itertools import repeat
from pathlib import Path

from av.video.frame import VideoFrame

from artdag_common.media.encode import PictureShape, VideoWriter
from artdag_common.media.pictures import Clip
from artdag_common.media.soundtrack import EncodedSound, Span, sound_shape
from artdag_common.media.timeline import nearest
from artdag_common.media.video import Progress


def cut_slice(
    footage: Path,
    output: Path,
    frames: int,
    rate: Fraction,
    start: int,
    position: Fraction | None,
    progress: Progress,
) -> Path:
    """Write ``frames`` frames of a video at ``rate``, from a frame or a share of the possible places on.

    Sound is cut and begins again where the pictures do, to the sample nearest to each frame's time.

    Args:
        start: frame of the footage at which it begins, counted at ``rate``; beyond the end it begins again.
        position: 0 to 1, below 1: the share of the places at which all frames follow each other; then ``start`` does
            not count.

    Raises:
        StepInputError: not a video.
    """
    clip = Clip(footage, "footage", rate)
    length = clip.timeline.frames
    begin = start % length if position is None else int(position * max(1, length - frames + 1))
    soundtrack = None
    if sound := sound_shape(footage, "footage"):
        spans, shown, samples = [], 0, 0
        for first, last in runs(begin, frames, length):
            shown += last - first
            end = nearest(shown / rate * sound.rate_hz)
            spans.append(Span(footage, clip.timeline.start + first / rate, end - samples, "footage"))
            samples = end
        soundtrack = EncodedSound(spans, sound)
    with VideoWriter(output, PictureShape(clip.size, rate, clip.tags), soundtrack) as writer:
        for done, picture in enumerate(_pictures(clip, begin, frames), 1):
            writer.write(picture)
            progress(done, frames)
    return output


def runs(begin: int, frames: int, length: int) -> Iterator[tuple[int, int]]:
    """Give the stretches of footage that follow each other, as first place and the one after the last.

    Args:
        begin: the first place shown, below ``length``.
        frames: how many are shown.
        length: of the footage, in frames.
    """
    while frames:
        count = min(frames, length - begin)
        yield begin, begin + count
        frames -= count
        begin = 0


def _pictures(clip: Clip, begin: int, frames: int) -> Iterator[VideoFrame]:
    if clip.timeline.frames == 1:  # a still is decoded once
        for picture in clip.pictures():
            yield from repeat(picture, frames)
        return
    for first, last in runs(begin, frames, clip.timeline.frames):
        yield from clip.pictures(first, last)
