"""Videos from file to file: written picture by picture, cut, run through stages. Frames stream; none is kept."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing
from fractions import Fraction
from itertools import count, repeat
from pathlib import Path

from av.video.frame import VideoFrame

from artdag_common.errors import StepInputError
from artdag_common.media.encode import PictureShape, Soundtrack, SoundWriter, VideoWriter
from artdag_common.media.picture import Picture
from artdag_common.media.pictures import AS_SHOWN, THREADS, Clip, Target
from artdag_common.media.pipeline import ahead
from artdag_common.media.probe import has_pictures
from artdag_common.media.rgb import RgbBridge
from artdag_common.media.soundtrack import EncodedSound, Span, sound_duration, sound_of, sound_shape, sound_start
from artdag_common.media.stage import MakeStage
from artdag_common.media.timeline import nearest

Progress = Callable[[int, int], None]
"""Takes frames done and frames in all (0: not known)."""
MANY = 4
"""Stages, and videos that they read: so many that the encoder waits for them anyway, and can spare them memory."""


def render(
    output: Path,
    shape: PictureShape,
    soundtrack: Soundtrack | None,
    pictures: Iterable[VideoFrame],
    total: int,
    progress: Progress,
    lean: bool = False,
) -> Path:
    """Write ``pictures``, ``total`` of them, with a sound (None: silent). ``lean``: see :class:`VideoWriter`."""
    with closing(ahead(pictures)) as ready, VideoWriter(output, shape, soundtrack, lean) as writer:
        for done, picture in enumerate(ready, 1):
            writer.write(picture)
            progress(done, total)
    return output


def shape_of(clip: Clip, target: Target = AS_SHOWN) -> PictureShape:
    """Return what the pictures of a clip have in common."""
    return PictureShape(clip.canvas(target), clip.timeline.rate, clip.tags)


def staged(
    pictures: Iterable[VideoFrame], shape: PictureShape, total: int, makers: Sequence[MakeStage], first: int = 0
) -> tuple[PictureShape, Iterator[VideoFrame]]:
    """Return the shape and the pictures that come out of stages, one after the other.

    Args:
        pictures: yuv420p of ``shape``, of a film of ``total``.
        first: the number of the first of them in that film.
    """
    bridge = RgbBridge(shape.tags)
    passing: Iterator[Picture] = map(Picture, repeat(bridge), count(first), pictures)
    for make in makers:
        stage = make(shape, total)
        shape, passing = stage.shape, stage.frames(passing)
    return shape, map(Picture.yuv, passing)


def through(
    media: Path,
    output: Path,
    makers: Sequence[MakeStage],
    progress: Progress,
    part: tuple[int, int] | None = None,
    beside: Sequence[Path] = (),
) -> Path:
    """Run a video through stages one after the other, in one pass; its sound stays.

    Args:
        part: the first frame, and the one after the last, of a part that is written alone, and without sound.
        beside: other videos that the stages read. As those take longer, and all hold pictures, ``media`` is decoded by
            one thread then.

    Raises:
        StepInputError: not a video, or it ends before the part does.
        StepError: a stage gives back something other than a picture of its shape.
    """
    clip = Clip(media, threads=1 if beside else THREADS)
    total = clip.timeline.frames
    first, last = part or (0, total)
    if last > total:
        raise StepInputError(f"{clip.slot}: frames {first} to {last - 1} of a film that has {total}", slot=clip.slot)
    sound = None if part else sound_of(media, clip.timeline.start)
    with closing(ahead(clip.pictures(first, last))) as decoded:
        shape, pictures = staged(decoded, shape_of(clip), total, makers, first)
        lean = len(makers) + len(beside) >= MANY
        return render(output, shape, sound, pictures, last - first, progress, lean)


def cut(media: Path, output: Path, offset: Fraction, duration: Fraction | None, progress: Progress) -> Path:
    """Write a time range of a video, or of a file that holds audio only.

    With ``r`` frames a second and ``L`` of them, output frame ``n`` is source frame ``f + n``, for ``f ≤ f + n < l``:
    ``f = ⌊offset·r + ½⌋``, ``l = min(L, ⌊(offset + duration)·r + ½⌋)``, at least one frame. The sound is the samples
    from ``⌊f/r·h + ½⌋`` on, ``⌊(l − f)/r·h + ½⌋`` of them, of the ``h`` that are heard in a second, counted from the
    first picture; silence where there are none. Audio alone is cut in the same way, its samples taking the place of the
    frames.

    Args:
        offset: seconds from the beginning.
        duration: seconds; None, or more than there is: to the end.

    Raises:
        StepInputError: not a media file, or it ends before ``offset``.
    """
    if not has_pictures(media):
        return cut_sound(media, output, offset, duration, progress)
    clip = Clip(media, hold=None if duration is None else offset + duration)
    timeline = clip.timeline
    first, last = span_of(clip, offset, duration)
    soundtrack = None
    if sound := sound_shape(media):
        begin, end = first / timeline.rate, last / timeline.rate
        samples = nearest((end - begin) * sound.rate_hz)  # as many as a film of these frames has room for
        soundtrack = EncodedSound([Span(media, timeline.start + begin, samples)], sound)
    return render(output, shape_of(clip), soundtrack, clip.pictures(first, last), last - first, progress)


def span_of(clip: Clip, offset: Fraction, duration: Fraction | None) -> tuple[int, int]:
    """Return the first frame of a time range of a clip, and the one after its last.

    Raises:
        StepInputError: the clip ends before ``offset``.
    """
    try:
        return clip.timeline.span(offset, duration)
    except ValueError as error:
        raise StepInputError(f"{clip.slot}: {error}", slot=clip.slot, offset=float(offset)) from error


def cut_sound(media: Path, output: Path, offset: Fraction, duration: Fraction | None, progress: Progress) -> Path:
    """Write a time range of a file that holds audio only; see :func:`cut`."""
    shape = sound_shape(media)
    assert shape is not None
    length = sound_duration(media)
    first = nearest(offset * shape.rate_hz)
    end = nearest(length * shape.rate_hz)
    if first >= end:
        raise StepInputError(
            f"media: offset {float(offset):g} s is beyond the end at {float(length):g} s",
            slot="media",
            offset=float(offset),
        )
    last = end if duration is None else min(end, nearest((offset + duration) * shape.rate_hz))
    start = sound_start(media) + Fraction(first, shape.rate_hz)
    span = Span(media, start, max(1, last - first))
    with SoundWriter(output, EncodedSound([span], shape)):
        progress(0, 0)
    return output
