"""What BEAT_SYNC does with a video: time bent, or pictures lit up, on the beats of a piece of music."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import numpy as np
from av.video.frame import VideoFrame
from numpy.typing import NDArray

from artdag_common.errors import StepInputError
from artdag_common.media.beat_grid import (
    ONE,
    beat_frames,
    beat_places,
    jumped,
    length_in_frames,
    looped,
    pulses,
    stretched,
)
from artdag_common.media.encode import Soundtrack
from artdag_common.media.frame_pool import take_frame
from artdag_common.media.pictures import Clip, planes
from artdag_common.media.probe import MAX_SECONDS, open_media
from artdag_common.media.soundtrack import EncodedSound, Span, sound_shape
from artdag_common.media.timeline import nearest
from artdag_common.media.video import Progress, render, shape_of

SKIPPED_SECONDS = Fraction(2)
"""What lies further ahead in the source is sought, not decoded up to."""
ROWS = 48
"""Rows that are changed at a time: 60 KB at 720p."""
HELD_BYTES = 32_000_000
"""A source whose pictures take no more than this is decoded once, however often it is shown."""


@dataclass(frozen=True, slots=True)
class Music:
    """What a video is brought to.

    Attributes:
        beats: seconds from the beginning of ``sound``; those that count.
        duration: seconds, above 0.
        sound: a file; None, or without audio: the result is silent.
    """

    beats: Sequence[Fraction]
    duration: Fraction
    sound: Path | None = None


class _Film:
    """A film in the making: as long as the music, at the rate of the video."""

    def __init__(self, video: Path, music: Music) -> None:
        if music.duration > MAX_SECONDS:
            raise StepInputError(
                f"analysis: the audio claims to last {float(music.duration):.0f} s; at most {MAX_SECONDS} s are"
                " written",
                slot="analysis",
            )
        self.clip = Clip(video, "video")
        self.rate = self.clip.timeline.rate
        self.source_length = self.clip.timeline.frames
        self.length = length_in_frames(music.duration, self.rate)
        self.grid = beat_frames(music.beats, self.rate, self.length)
        self._music = music

    def write(self, output: Path, pictures: Iterable[VideoFrame], progress: Progress) -> Path:
        return render(output, shape_of(self.clip), _heard(self._music), pictures, self.length, progress)


def stretch_to_beats(
    video: Path, output: Path, music: Music, ease: Fraction, cuts: Sequence[Fraction], progress: Progress
) -> Path:
    """Write a video whose parts each last from one beat to the next; see :func:`..beat_grid.stretched`.

    Args:
        ease: 0 to 1.
        cuts: seconds of the video at which parts had best begin; none: equal parts.

    Raises:
        StepInputError: not a video, or the music is more than a day long.
    """
    film = _Film(video, music)
    places = [nearest(cut * film.rate) for cut in cuts]
    return film.write(output, _shown(film.clip, stretched(film.grid, film.source_length, ease, places)), progress)


def cut_at_beats(video: Path, output: Path, music: Music, seed: int, progress: Progress) -> Path:
    """Write a video that jumps to another place on each beat; see :func:`..beat_grid.jumped`.

    Raises:
        StepInputError: not a video, or the music is more than a day long.
    """
    film = _Film(video, music)
    return film.write(output, _shown(film.clip, jumped(film.grid, film.source_length, seed)), progress)


def loop_at_beats(video: Path, output: Path, music: Music, progress: Progress) -> Path:
    """Write a video that begins again on each beat; see :func:`..beat_grid.looped`.

    Raises:
        StepInputError: not a video, or the music is more than a day long.
    """
    film = _Film(video, music)
    return film.write(output, _shown(film.clip, looped(film.grid, film.source_length)), progress)


def pulse_at_beats(
    video: Path, output: Path, music: Music, strength: Fraction, decay: Fraction, progress: Progress
) -> Path:
    """Write a video at its own speed, from its beginning and again at its end, that lights up on each beat.

    Frame ``n`` shows source frame ``n mod L``, changed as :func:`pulsed` says by the height that
    :func:`..beat_grid.pulses` gives.

    Args:
        strength: of the pulse on the beat, 0 to 1.
        decay: seconds in which it falls to 1/e.

    Raises:
        StepInputError: not a video, or the music is more than a day long.
    """
    film = _Film(video, music)
    shown = _shown(film.clip, looped([0, film.length], film.source_length))
    places = beat_places(music.beats, film.rate, film.length)
    heights = pulses(places, film.length, strength, decay * film.rate)
    return film.write(output, map(pulsed, shown, heights), progress)


def pulsed(picture: VideoFrame, height: int) -> VideoFrame:
    """Return a picture at a height of a pulse, in units of 1/4096: brighter and a little nearer; at 0, itself.

    At height ``h``, 0 to 1, light and colour are ``1 + h/2`` times what they were, within their range, and the picture
    is ``1 + h/8`` times as large about its centre. Places between pixels are read to 1/256 of one, by the four pixels
    around. Whole numbers only, so that every processor gives the same.
    """
    if not height:
        return picture
    result = take_frame(picture.width, picture.height)
    # black and white of the luma, and no colour in the middle of the chroma
    ranges = ((16, 16, 235), (128, 16, 240), (128, 16, 240))
    for source, target, (zero, low, high) in zip(planes(picture), planes(result), ranges, strict=True):
        levels = np.arange(256) - zero
        brighter = np.clip(zero + (levels * (2 * ONE + height) + ONE) // (2 * ONE), low, high).astype(np.uint8)
        for top in range(0, len(source), ROWS):
            rows = slice(top, top + ROWS)
            target[rows] = np.take(brighter, _nearer(_nearer(source, height, 0, rows), height, 1))
    return result


def _nearer(plane: NDArray[np.uint8], height: int, axis: int, part: slice = slice(None)) -> NDArray[np.uint8]:
    """Return those rows (axis 0) or columns (axis 1) of ``part`` of a plane in which they are drawn apart about the
    middle."""
    count = plane.shape[axis]
    scale = 8 * ONE + height
    place = 256 * ((2 * np.arange(count) + 1 - count) * 8 * ONE + (count - 1) * scale)
    place = ((place + scale) // (2 * scale))[part]  # of the row that is seen, in 1/256
    before = place >> 8
    share = (place & 255).astype(np.uint16).reshape((-1, 1) if axis == 0 else (1, -1))
    mixed: NDArray[np.uint16] = np.take(plane, before, axis) * (256 - share)
    mixed += np.take(plane, np.minimum(before + 1, count - 1), axis) * share
    mixed += 128
    mixed >>= 8
    return mixed.astype(np.uint8)


def _heard(music: Music) -> Soundtrack | None:
    """Return the music, from the time on from which its beats are counted."""
    if music.sound is None or not (shape := sound_shape(music.sound, "music")):
        return None
    samples = max(1, nearest(music.duration * shape.rate_hz))
    return EncodedSound([Span(music.sound, _beginning(music.sound), samples, "music")], shape)


def _beginning(path: Path) -> Fraction:
    """Return the time on a file's clock that analysis counts from: that of whatever of it comes first."""
    with open_media(path, "music") as container:
        return Fraction(container.start_time or 0, 1_000_000)


def _shown(clip: Clip, places: Iterable[int]) -> Iterator[VideoFrame]:
    """Give the pictures at ``places``, in their order; where it goes back, or far ahead, the source is sought there."""
    width, height = clip.size
    if clip.timeline.frames * width * height * 3 // 2 <= HELD_BYTES:
        held = list(clip.pictures())
        yield from (held[place] for place in places)
        return
    timeline = clip.timeline
    far = nearest(SKIPPED_SECONDS * timeline.rate) if timeline.stamped else timeline.frames  # else nothing to seek by
    pictures: Iterator[VideoFrame] = iter(())
    picture: VideoFrame | None = None
    at = -1
    for place in places:
        if picture is None or not 0 <= place - at <= far:
            pictures, at = clip.pictures(place), place
            picture = next(pictures)
        while at < place:
            picture = next(pictures)
            at += 1
        yield picture
