"""Videos one after the other: cut, cross-faded, or faded out and in."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import chain, islice
from pathlib import Path
from typing import Literal

import numpy as np
from av.video.frame import VideoFrame
from numpy.typing import NDArray

from artdag_common.errors import StepInputError
from artdag_common.media.encode import PictureShape, Soundtrack
from artdag_common.media.frame_pool import take_frame
from artdag_common.media.geometry import Mode, Size
from artdag_common.media.mix import MadeSound, Taker
from artdag_common.media.pictures import THREADS, Clip, Target, planes
from artdag_common.media.resize import blank, yuv_of
from artdag_common.media.soundtrack import EncodedSound, Sound, SoundShape, Span, joint_shape, read_sound, sound_shape
from artdag_common.media.timeline import nearest
from artdag_common.media.video import Progress, render

Kind = Literal["cut", "crossfade", "fade"]
TargetSize = Literal["first", "last", "largest", "explicit"]
WHOLE = 256
"""Weights of pictures are counted in this unit, so that their sums have 16 bits."""
ROWS = 48
"""Rows that are mixed at a time: 120 KB at 720p."""


@dataclass(frozen=True, slots=True)
class Transition:
    """How one clip goes over into the next, and in how many seconds; a cut takes none."""

    kind: Kind = "cut"
    duration: Fraction = Fraction(0)


@dataclass(frozen=True, slots=True)
class Look:
    """What all clips are brought to.

    Attributes:
        target_size: whose size all get; ``largest``: by area, the first of equals; ``explicit``: ``size``.
        mode: how the others come into it; ``fit`` is ``pad`` here, since all have to have one size.
        background: ``#rrggbb`` of borders, and of what is between two clips that fade.
    """

    target_size: TargetSize = "first"
    size: Size | None = None
    mode: Mode = "fit"
    background: str = "#000000"


@dataclass(frozen=True, slots=True)
class _Part:
    """A clip in its place.

    Attributes:
        begin: the output frame that shows its first picture.
        head, tail: frames of it that belong to the transition before and after it.
    """

    clip: Clip
    begin: int
    head: int
    tail: int

    @property
    def frames(self) -> int:
        return self.clip.timeline.frames

    @property
    def end(self) -> int:
        return self.begin + self.frames


def join(clips: Sequence[Path], output: Path, transition: Transition, look: Look, progress: Progress) -> Path:
    """Write videos one after the other, at the rate ``r`` and in the colours of the first.

    Of clips with ``L₁, L₂, …`` frames at that rate:

    * ``cut``: all frames of the one, then all of the next; ``ΣL`` in all.
    * ``crossfade``: the last ``d`` frames of the one and the first ``d`` of the next are shown together, ``ΣL − Σd``
      in all; ``d = ⌊duration·r + ½⌋``, at least 1 and at most half of the shorter clip, rounded down. Frame ``k`` of
      the ``d`` is ``⌊(a·(256 − w) + b·w + 128) / 256⌋`` in each plane, ``w = ⌊256·(k + 1)/(d + 1) + ½⌋``, so that both
      are seen in each of them. Sound is mixed from the one's, times ``cos(πt/2)``, and the next one's, times
      ``sin(πt/2)``, ``t = (n + ½)/m`` at sample ``n`` of the ``m`` in that time: together they keep their power.
    * ``fade``: the last ``d`` frames of the one go out to the background, then the first ``d`` of the next come in;
      ``ΣL`` in all. ``d = ⌊duration·r/2 + ½⌋``, within the same bounds: ``duration`` is that of both together. The
      weight of the picture is ``w`` as above, ``k`` counted backwards on the way out. Sound goes out and comes in
      along a straight line, ``t`` as above.

    Every clip's sound begins with its first picture and lasts exactly as long as its pictures: cut, or filled up with
    silence. It is that of the first clip that has sound, in rate, and of the widest in channels.

    Raises:
        StepInputError: one is not a video, or has one frame only where a transition needs two; the message says which.
    """
    found: list[Clip] = []
    threads = 1 if transition.kind == "crossfade" else THREADS  # where two are decoded at once
    for number, path in enumerate(clips, 1):
        found.append(Clip(path, f"clip {number}", found[0].timeline.rate if found else None, threads=threads))
    lead = found[0]
    size = look.size if look.target_size == "explicit" and look.size else _common_size(found, look.target_size)
    shape = PictureShape(size, lead.timeline.rate, lead.tags)
    parts = _parts(found, transition)
    target = Target(size, "pad" if look.mode == "fit" else look.mode, look.background, lead.tags.matrix)
    pictures: Iterator[VideoFrame]
    if transition.kind == "crossfade":
        pictures = _crossfaded(parts, target)
    elif transition.kind == "fade":
        pictures = _faded(parts, target, blank(size, yuv_of(look.background, lead.tags)))
    else:
        pictures = chain.from_iterable(part.clip.pictures(target=target) for part in parts)
    sound = _sound(parts, transition.kind, shape.rate)
    return render(output, shape, sound, pictures, parts[-1].end, progress)


def _common_size(clips: Sequence[Clip], target_size: TargetSize) -> Size:
    sizes = [clip.size for clip in clips]
    if target_size == "largest":
        return max(sizes, key=lambda size: size[0] * size[1])
    return sizes[0 if target_size == "first" else -1]


def _parts(clips: Sequence[Clip], transition: Transition) -> list[_Part]:
    """Lay the clips out."""
    parts: list[_Part] = []
    begin = head = 0
    for i, clip in enumerate(clips):
        tail = _length(clip, clips[i + 1], transition) if i + 1 < len(clips) else 0
        parts.append(_Part(clip, begin, head, tail))
        begin = parts[-1].end - (tail if transition.kind == "crossfade" else 0)
        head = tail
    return parts


def _length(one: Clip, other: Clip, transition: Transition) -> int:
    """Return how many frames of each of two clips belong to the transition between them."""
    if transition.kind == "cut":
        return 0
    for clip in (one, other):
        if clip.timeline.frames < 2:
            raise StepInputError(
                f"{clip.slot}: it has one frame; a {transition.kind} takes up to half of a clip, so it needs two at"
                " least: make it longer, or use the transition 'cut'",
                slot=clip.slot,
            )
    wanted = transition.duration * one.timeline.rate / (2 if transition.kind == "fade" else 1)
    return min(max(1, nearest(wanted)), one.timeline.frames // 2, other.timeline.frames // 2)


def _weight(place: int, count: int) -> int:
    return nearest(Fraction(WHOLE * (place + 1), count + 1))


def _crossfaded(parts: Sequence[_Part], target: Target) -> Iterator[VideoFrame]:
    own = parts[0].clip.pictures(target=target)
    for i, part in enumerate(parts):
        yield from islice(own, part.frames - part.head - part.tail)
        if i + 1 == len(parts):
            return
        coming = parts[i + 1].clip.pictures(target=target)
        for k, (one, other) in enumerate(zip(islice(own, part.tail), islice(coming, part.tail), strict=True)):
            yield mixed(one, other, _weight(k, part.tail))
        own = coming


def _faded(parts: Sequence[_Part], target: Target, background: VideoFrame) -> Iterator[VideoFrame]:
    for part in parts:
        for n, picture in enumerate(part.clip.pictures(target=target)):
            left = part.frames - 1 - n
            if n < part.head:
                yield mixed(background, picture, _weight(n, part.head))
            elif left < part.tail:
                yield mixed(background, picture, _weight(left, part.tail))
            else:
                yield picture


def mixed(one: VideoFrame, other: VideoFrame, weight: int) -> VideoFrame:
    """Return two yuv420p pictures of a size as one, the other's part of it ``weight`` of 256, rounded."""
    frame = take_frame(one.width, one.height)
    for plane, a, b in zip(planes(frame), planes(one), planes(other), strict=True):
        plane[:] = blended(a, b, weight)
    return frame


def blended(one: NDArray[np.uint8], other: NDArray[np.uint8], weight: int) -> NDArray[np.uint8]:
    """Return ``⌊(one·(256 − weight) + other·weight + 128) / 256⌋``, ``weight`` from 0 to 256."""
    result = np.empty(one.shape, np.uint8)
    for top in range(0, len(one), ROWS):
        rows = slice(top, top + ROWS)
        total = one[rows] * np.uint16(WHOLE - weight)
        total += other[rows] * np.uint16(weight)
        total += np.uint16(WHOLE // 2)
        total >>= np.uint16(8)
        result[rows] = total
    return result


def _sound(parts: Sequence[_Part], kind: Kind, rate: Fraction) -> Soundtrack | None:
    shape = joint_shape(sound_shape(part.clip.path, part.clip.slot) for part in parts)
    if shape is None:
        return None

    def at(frame: int) -> int:
        return nearest(frame / rate * shape.rate_hz)

    spans = [
        Span(
            part.clip.path if part.clip.sound else None,
            part.clip.timeline.start,
            at(part.end) - at(part.begin),
            part.clip.slot,
        )
        for part in parts
    ]
    if kind == "cut":
        return EncodedSound(spans, shape)
    heads = [at(part.begin + part.head) - at(part.begin) for part in parts]
    tails = [at(part.end) - at(part.end - part.tail) for part in parts]
    make = _overlapping if kind == "crossfade" else _apart
    return MadeSound(lambda: make(spans, heads, tails, shape), shape)


def _overlapping(
    spans: Sequence[Span], heads: Sequence[int], tails: Sequence[int], shape: SoundShape
) -> Iterator[Sound]:
    """Give sounds whose tails lie over the heads of those that follow."""
    leaving: Sound | None = None
    for span, head, tail in zip(spans, heads, tails, strict=True):
        taker = Taker(read_sound(span, shape), shape.channels)
        if leaving is not None:
            coming = taker.exactly(head)
            coming *= np.sin(_rise(head) * (np.pi / 2)).astype(np.float32)
            yield coming + leaving
        assert span.samples is not None
        yield from taker.upto(span.samples - head - tail)
        leaving = taker.exactly(tail)
        leaving *= np.cos(_rise(tail) * (np.pi / 2)).astype(np.float32)


def _apart(spans: Sequence[Span], heads: Sequence[int], tails: Sequence[int], shape: SoundShape) -> Iterator[Sound]:
    """Give sounds that come in and go out by themselves."""
    for span, head, tail in zip(spans, heads, tails, strict=True):
        taker = Taker(read_sound(span, shape), shape.channels)
        yield taker.exactly(head) * _rise(head).astype(np.float32)
        assert span.samples is not None
        yield from taker.upto(span.samples - head - tail)
        yield taker.exactly(tail) * _rise(tail)[::-1].astype(np.float32)


def _rise(count: int) -> NDArray[np.float64]:
    """Return the middles of ``count`` equal parts of 0 to 1."""
    return (np.arange(count) + 0.5) / max(1, count)
