"""Videos that run faster or slower."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from fractions import Fraction
from itertools import islice
from pathlib import Path

import numpy as np
from av.audio.frame import AudioFrame
from av.error import BlockingIOError as NothingYet
from av.error import EOFError as NothingMore
from av.filter import Graph
from av.video.frame import VideoFrame

from artdag_common.media.encode import LAYOUTS, Soundtrack
from artdag_common.media.mix import MadeSound, Taker
from artdag_common.media.pictures import Clip
from artdag_common.media.soundtrack import SAMPLES, Sound, SoundShape, Span, read_sound, sound_shape
from artdag_common.media.stage import MakeStage
from artdag_common.media.timeline import nearest
from artdag_common.media.video import Progress, render, shape_of, staged


def sped(media: Path, output: Path, speed: Fraction, makers: Sequence[MakeStage], progress: Progress) -> Path:
    """Write a video at another speed, at its own rate ``r``, and run through stages.

    Of ``L`` source frames, ``N = max(1, ⌊L/speed + ½⌋)`` are written; output frame ``j`` shows source frame
    ``⌊j·speed⌋``: slower, frames are shown again; faster, some are left out. The sound keeps its pitch (``atempo`` of
    the media library, which shifts each sound by a few hundredths of a second at most) and has exactly
    ``⌊N/r·h + ½⌋`` samples of the ``h`` a second: cut, or filled up with silence.

    Raises:
        StepInputError: not a video.
    """
    clip = Clip(media)
    total = max(1, nearest(clip.timeline.frames / speed))
    shape, pictures = staged(_picked(clip.pictures(), speed, total), shape_of(clip), total, makers)
    return render(output, shape, _sound(clip, speed, total), pictures, total, progress)


def _picked(pictures: Iterable[VideoFrame], speed: Fraction, total: int) -> Iterator[VideoFrame]:
    numbered = enumerate(pictures)
    at, picture = next(numbered)
    for place in range(total):
        if (wanted := int(place * speed)) > at:
            at, picture = next(islice(numbered, wanted - at - 1, None))
        yield picture


def _sound(clip: Clip, speed: Fraction, frames: int) -> Soundtrack | None:
    shape = sound_shape(clip.path)
    if shape is None:
        return None
    timeline = clip.timeline
    heard = nearest(timeline.duration * shape.rate_hz)
    written = nearest(frames / timeline.rate * shape.rate_hz)
    span = Span(clip.path, timeline.start, heard)

    def pieces() -> Iterator[Sound]:
        taker = Taker(_stretched(read_sound(span, shape), shape, speed), shape.channels)
        left = written
        while left:  # a second at a time, since all of it may be long
            count = min(left, shape.rate_hz)
            yield taker.exactly(count)
            left -= count

    return MadeSound(pieces, shape)


def _stretched(pieces: Iterable[Sound], shape: SoundShape, speed: Fraction) -> Iterator[Sound]:
    layout, unit = LAYOUTS[shape.channels], Fraction(1, shape.rate_hz)
    graph = Graph()
    last = graph.add_abuffer(sample_rate=shape.rate_hz, format=SAMPLES, layout=layout, time_base=unit)
    for tempo in tempos(speed):
        link = graph.add("atempo", f"{float(tempo):.9f}")
        last.link_to(link)
        last = link
    sink = graph.add("abuffersink")
    last.link_to(sink)
    graph.configure()
    done = 0
    for piece in pieces:
        frame = AudioFrame.from_ndarray(np.ascontiguousarray(piece), SAMPLES, layout)
        frame.sample_rate, frame.time_base, frame.pts = shape.rate_hz, unit, done
        done += piece.shape[1]
        graph.push(frame)
        yield from _ready(graph, shape.channels)
    graph.push(None)
    yield from _ready(graph, shape.channels)


def _ready(graph: Graph, channels: int) -> Iterator[Sound]:
    while True:
        try:
            frame = graph.pull()
        except (NothingYet, NothingMore):
            return
        assert isinstance(frame, AudioFrame)
        sound = np.asarray(frame.to_ndarray(), np.float32)
        yield sound.reshape(-1, channels).T  # the filter gives the channels of a sample side by side


def tempos(speed: Fraction) -> list[Fraction]:
    """Return factors of 0.5 to 2, whose product is ``speed``: beyond them ``atempo`` leaves out samples."""
    found = []
    while speed > 2:
        found.append(Fraction(2))
        speed /= 2
    while speed < Fraction(1, 2):
        found.append(Fraction(1, 2))
        speed *= 2
    return [*found, speed] if speed != 1 or not found else found
