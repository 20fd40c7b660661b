"""What steps do with video: cut, resize, join, stretch, put under sound, run an effect. Frames stream; none is kept."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any, Literal

import numpy as np
from av.video.frame import VideoFrame

from artdag_common.effects.base import Effect, EffectParams
from artdag_common.errors import StepError, StepInputError
from artdag_common.media.beat_grid import beat_frames, length_in_frames, stretched
from artdag_common.media.encode import Mp4File, PictureShape, Soundtrack, SoundWriter, VideoWriter
from artdag_common.media.geometry import Mode, Size
from artdag_common.media.pictures import AS_SHOWN, PIXELS, Clip, Rgb, RgbBridge, Target
from artdag_common.media.probe import MAX_SECONDS, MP4, open_media, probe, turn_of, video_stream
from artdag_common.media.soundtrack import (
    EncodedSound,
    Span,
    joint_shape,
    sound_duration,
    sound_of,
    sound_shape,
    sound_start,
)
from artdag_common.media.timeline import nearest

Progress = Callable[[int, int], None]
"""Takes frames done and frames in all (0: not known)."""

TargetSize = Literal["first", "last", "largest", "explicit"]


def _render(
    output: Path,
    shape: PictureShape,
    soundtrack: Soundtrack | None,
    pictures: Iterable[VideoFrame],
    total: int,
    progress: Progress,
) -> Path:
    with VideoWriter(output, shape, soundtrack) as writer:
        for done, picture in enumerate(pictures, 1):
            writer.write(picture)
            progress(done, total)
    return output


def _shape(clip: Clip, target: Target = AS_SHOWN) -> PictureShape:
    return PictureShape(clip.canvas(target), clip.timeline.rate, clip.tags)


def cut(media: Path, output: Path, offset: Fraction, duration: Fraction | None, progress: Progress) -> Path:
    """Write a time range of a video, or of a file that holds audio only.

    Bounds snap to frames (audio alone: to samples); the sound is cut at the same instants as the pictures.

    Args:
        offset: seconds from the beginning.
        duration: seconds; None, or more than there is: to the end.

    Raises:
        StepInputError: not a media file, or it ends before ``offset``.
    """
    if not probe(media).frames:
        return _cut_sound(media, output, offset, duration, progress)
    clip = Clip(media)
    timeline = clip.timeline
    try:
        first, last = timeline.span(offset, duration)
    except ValueError as error:
        raise StepInputError(f"media: {error}", slot="media", offset=float(offset)) from error
    soundtrack = None
    if sound := sound_shape(media):
        begin, end = first / timeline.rate, last / timeline.rate
        samples = nearest(end * sound.rate_hz) - nearest(begin * sound.rate_hz)
        soundtrack = EncodedSound([Span(media, timeline.start + begin, samples)], sound)
    return _render(output, _shape(clip), soundtrack, clip.pictures(first, last), last - first, progress)


def _cut_sound(media: Path, output: Path, offset: Fraction, duration: Fraction | None, progress: Progress) -> Path:
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


def resize(media: Path, output: Path, size: Size, mode: Mode, background: str, progress: Progress) -> Path:
    """Write a video in another size; its sound stays.

    Args:
        size: width and height of the box, even.
        mode: see :func:`artdag_common.media.geometry.place`.
        background: ``#rrggbb`` of the border of ``pad``.

    Raises:
        StepInputError: not a video.
    """
    clip = Clip(media)
    target = Target(size, mode, background)
    return _render(
        output,
        _shape(clip, target),
        sound_of(media, clip.timeline.start),
        clip.pictures(target=target),
        clip.timeline.frames,
        progress,
    )


def join(
    clips: Sequence[Path],
    output: Path,
    target_size: TargetSize,
    size: Size | None,
    mode: Mode,
    background: str,
    progress: Progress,
) -> Path:
    """Write videos one after the other, at the rate and in the colours of the first.

    The sound of each lasts exactly as long as its pictures: cut, or filled up with silence.

    Args:
        target_size: whose size all get; ``largest``: by area, the first of equals; ``explicit``: ``size``.
        mode: how the others come into it; ``fit`` is ``pad`` here, since all have to have one size.
        background: ``#rrggbb`` of the border.

    Raises:
        StepInputError: one is not a video; the message says which.
    """
    outlines: list[Clip] = []
    for number, path in enumerate(clips, 1):
        rate = outlines[0].timeline.rate if outlines else None
        outlines.append(Clip(path, f"clip {number}", rate))
    lead = outlines[0]
    if target_size == "explicit":
        assert size is not None
    else:
        size = _common_size(outlines, target_size)
    target = Target(size, "pad" if mode == "fit" else mode, background, lead.tags.matrix)
    rate = lead.timeline.rate
    total = sum(clip.timeline.frames for clip in outlines)
    return _render(
        output,
        PictureShape(size, rate, lead.tags),
        _joint_sound(outlines, rate),
        (picture for clip in outlines for picture in clip.pictures(target=target)),
        total,
        progress,
    )


def _common_size(clips: Sequence[Clip], target_size: TargetSize) -> Size:
    sizes = [clip.size for clip in clips]
    if target_size == "largest":
        return max(sizes, key=lambda size: size[0] * size[1])
    return sizes[0 if target_size == "first" else -1]


def _joint_sound(clips: Sequence[Clip], rate: Fraction) -> Soundtrack | None:
    shape = joint_shape(sound_shape(clip.path, clip.slot) for clip in clips)
    if shape is None:
        return None
    spans, frames, samples = [], 0, 0
    for clip in clips:
        frames += clip.timeline.frames
        end = nearest(frames / rate * shape.rate_hz)
        path = clip.path if clip.sound else None
        spans.append(Span(path, clip.timeline.start, end - samples, clip.slot))
        samples = end
    return EncodedSound(spans, shape)


def stretch_to_beats(
    video: Path, output: Path, beats: Sequence[Fraction], duration: Fraction, music: Path | None, progress: Progress
) -> Path:
    """Write ``duration`` seconds in which equal parts of a video each last from one beat to the next.

    Args:
        beats: seconds.
        duration: seconds, above 0: that of the music.
        music: what is heard, from its time 0 on, from which beats are counted; None, or without audio: silent.

    Raises:
        StepInputError: not a video, or more than a day long.
    """
    if duration > MAX_SECONDS:
        raise StepInputError(
            f"analysis: the audio claims to last {float(duration):.0f} s; at most {MAX_SECONDS} s are written"
        )
    clip = Clip(video, "video")
    rate = clip.timeline.rate
    length = length_in_frames(duration, rate)
    shown = stretched(beat_frames(beats, rate, length), clip.timeline.frames)
    soundtrack = None
    if music is not None and (sound := sound_shape(music, "music")):
        span = Span(music, Fraction(0), max(1, nearest(duration * sound.rate_hz)), "music")
        soundtrack = EncodedSound([span], sound)
    return _render(output, _shape(clip), soundtrack, _picked(clip.pictures(), shown), length, progress)


def _picked(pictures: Iterable[VideoFrame], places: Iterable[int]) -> Iterator[VideoFrame]:
    """Give the pictures at ``places``, which never go back."""
    numbered = enumerate(pictures)
    at, picture = next(numbered)
    for place in places:
        while at < place:
            at, picture = next(numbered)
        yield picture


def mux(video: Path, sound: Path, output: Path, shortest: bool, progress: Progress) -> Path:
    """Put a video under a sound.

    The pictures are copied where a browser plays them as they are, else encoded. Both begin together.

    Args:
        shortest: end with the shorter of the two. Pictures that have to be cut short are encoded anew, to end at the
            right frame; a difference of less than a frame is let be.

    Raises:
        StepInputError: no video in the one, no audio in the other.
    """
    clip = Clip(video, "video")
    timeline = clip.timeline
    if sound_shape(sound, "audio") is None:
        raise StepInputError("audio: the file holds no audio; this step needs some", slot="audio")
    frames, cut_at = timeline.frames, None
    if shortest:
        length = sound_duration(sound, "audio")
        if length > timeline.duration:
            cut_at = timeline.duration
        elif timeline.duration - length >= 1 / timeline.rate:
            frames = max(1, nearest(length * timeline.rate))
    start = timeline.start if sound == video else sound_start(sound, "audio")
    soundtrack = sound_of(sound, start, cut_at, "audio")
    if frames < timeline.frames or not _plays(clip):
        return _render(output, _shape(clip), soundtrack, clip.pictures(0, frames), frames, progress)
    return _copy_video(clip, output, soundtrack, progress)


def _plays(clip: Clip) -> bool:
    """Return whether browsers play a file's pictures as they are: H.264 of 8 bits, 4:2:0, upright, in MP4."""
    with open_media(clip.path, clip.slot) as container:
        stream = video_stream(container)
        assert stream is not None
        codec = stream.codec_context
        return (
            container.format.name == MP4
            and (codec.name, codec.pix_fmt) == ("h264", PIXELS)
            and clip.size == (codec.width, codec.height)
            and clip.timeline.stamped
            and not turn_of(stream)
        )


def _copy_video(clip: Clip, output: Path, soundtrack: Soundtrack | None, progress: Progress) -> Path:
    with open_media(clip.path, clip.slot) as container, Mp4File(output, soundtrack) as file:
        source = video_stream(container)
        assert source is not None
        stream = file.container.add_stream_from_template(source)
        file.begin()
        done = 0
        for packet in container.demux(source):
            if not packet.size or packet.pts is None or packet.dts is None:
                continue
            packet.pts -= clip.timeline.origin
            packet.dts -= clip.timeline.origin
            time = packet.dts * clip.timeline.unit
            packet.stream = stream
            file.mux(packet)
            file.sound_until(time)
            done += 1
            progress(done, clip.timeline.frames)
    return output


def apply_effect(media: Path, output: Path, effect: Effect, params: EffectParams, progress: Progress) -> Path:
    """Run an effect over every frame of a video; its sound stays.

    Raises:
        StepInputError: not a video.
        StepError: the effect gives back something other than a frame of the same size.
    """
    clip = Clip(media)
    return _render(
        output,
        _shape(clip),
        sound_of(media, clip.timeline.start),
        _affected(clip, effect, params),
        clip.timeline.frames,
        progress,
    )


def _affected(clip: Clip, effect: Effect, params: EffectParams) -> Iterator[VideoFrame]:
    bridge = RgbBridge(clip.tags)
    state: Any = {}
    for picture in clip.pictures():
        before = bridge.rgb(picture)
        shape = before.shape
        after, state = effect.process_frame(before, params, state)
        _check_frame(effect, after, shape)
        yield bridge.frame(after)


def _check_frame(effect: Effect, frame: Rgb, shape: tuple[int, ...]) -> None:
    if not isinstance(frame, np.ndarray) or frame.dtype != np.uint8 or frame.shape != shape:
        given = f"{frame.dtype} {frame.shape}" if isinstance(frame, np.ndarray) else type(frame).__name__
        raise StepError(f"effect {effect.name!r} gave back {given}; it has to be uint8 {shape}, as the frame it got")
