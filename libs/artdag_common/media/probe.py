"""What a media file holds. The one place where files that users brought are opened."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path

import av
from av.audio.stream import AudioStream
from av.container import InputContainer
from av.error import FFmpegError
from av.stream import Disposition, Stream
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from artdag_common.errors import StepInputError
from artdag_common.media.geometry import Size, display_size
from artdag_common.media.timeline import Timeline, constant_rate, nearest

MAX_SIDE = 16_384
"""Pixels of a side."""
MAX_PIXELS = 64_000_000
MAX_CHANNELS = 8
MAX_SAMPLE_RATE_HZ = 384_000
MAX_SECONDS = 24 * 3600

# Formats that name other files or addresses (playlists, concatenations) stay out: a file that somebody uploads must
# not make this server read another. Text is not taken for pictures either.
FORMATS = (
    "mov,mp4,matroska,webm,avi,mpegts,mpeg,flv,ogg,asf,mxf,dv,ivf,yuv4mpegpipe,gif,apng,wav,w64,aiff,caf,flac,mp3,aac,"
    "ac3,image2,png_pipe,jpeg_pipe,webp_pipe,bmp_pipe,tiff_pipe"
)
MP4 = "mov,mp4,m4a,3gp,3g2,mj2"
"""What the library calls MP4, QuickTime and their kin."""
OPTIONS = {"protocol_whitelist": "file", "format_whitelist": FORMATS}


@dataclass(frozen=True, slots=True)
class MediaFacts:
    """What a media file holds.

    Attributes:
        duration: seconds: of the video where there is one, else of the audio.
        width, height: pixels as shown: upright, square pixels, even; 0 without video.
        frame_rate: constant rate at which the video is read; None without video.
        frames: frames at that rate; 0 without video.
        pix_fmt: as FFmpeg names it, for example ``yuv420p``.
        sample_rate: Hz; 0 without audio.
    """

    duration: float
    width: int = 0
    height: int = 0
    frame_rate: Fraction | None = None
    video_codec: str = ""
    profile: str = ""
    pix_fmt: str = ""
    frames: int = 0
    sample_rate: int = 0
    channels: int = 0
    audio_codec: str = ""


@contextmanager
def open_media(path: Path, slot: str = "media") -> Iterator[InputContainer]:
    """Open a media file for reading. Errors of the library while it is open become ours.

    Args:
        slot: the step's input, for messages.

    Raises:
        StepInputError: it is not a media file, holds nothing usable, breaks a limit, or is damaged.
    """
    try:
        with av.open(str(path), options=OPTIONS, metadata_errors="replace") as container:
            _guard(container, slot)
            yield container
    except FFmpegError as error:
        head = "cannot be read as video or audio" if isinstance(error, ValueError) else "cannot be read"
        raise StepInputError(f"{slot}: the file {head}: {error.strerror or error}", slot=slot) from error


def video_stream(container: InputContainer) -> VideoStream | None:
    """Return the first video stream that is not a cover picture."""
    return next((s for s in container.streams.video if not s.disposition & Disposition.attached_pic), None)


def audio_stream(container: InputContainer) -> AudioStream | None:
    """Return the first audio stream."""
    return next(iter(container.streams.audio), None)


def time_base(stream: Stream) -> Fraction:
    """Return the unit of a stream's time stamps in seconds."""
    return stream.time_base or Fraction(1, 1_000_000)


def rate_of(stream: VideoStream) -> Fraction:
    """Return the constant rate at which a stream is read."""
    return constant_rate(stream.average_rate or stream.guessed_rate or stream.base_rate)


def probe(path: Path, slot: str = "media") -> MediaFacts:
    """Return what a media file holds.

    Raises:
        StepInputError: see :func:`open_media`; or a video stream without frames.
    """
    with open_media(path, slot) as container:
        video, audio = video_stream(container), audio_stream(container)
        sound = (
            (audio.codec_context.sample_rate, audio.codec_context.channels, audio.codec_context.name) if audio else ()
        )
        if video is None:
            assert audio is not None
            return MediaFacts(float(_audio_duration(container, audio)), 0, 0, None, "", "", "", 0, *sound)
        codec = video.codec_context
        width, height = shown_size(video)
        profile, pix_fmt = codec.profile or "", codec.pix_fmt or ""
        timeline = scan(container, video, slot=slot)
        duration = float(timeline.duration)
        return MediaFacts(duration, width, height, timeline.rate, codec.name, profile, pix_fmt, timeline.frames, *sound)


def shown_size(stream: VideoStream, rotation: int | None = None) -> Size:
    """Return width and height as shown; see :func:`artdag_common.media.geometry.display_size`."""
    codec = stream.codec_context
    turned = turn_of(stream) if rotation is None else rotation
    return display_size(codec.width, codec.height, stream.sample_aspect_ratio, turned)


def turn_of(stream: VideoStream) -> int:
    """Return by how many degrees, counter-clockwise, decoded pictures have to be turned to stand upright.

    The display matrix reaches us on decoded frames only, so the first one is decoded from a second handle.
    """
    with av.open(stream.container.name, options=OPTIONS, metadata_errors="replace") as container:
        frame = next(container.decode(container.streams[stream.index]), None)
        return quarter_turns(frame.rotation) if isinstance(frame, VideoFrame) else 0


def quarter_turns(degrees: int) -> int:
    """Return the multiple of 90 next to an angle, 0 to 270."""
    return round(degrees / 90) % 4 * 90


def scan(container: InputContainer, stream: VideoStream, rate: Fraction | None = None, slot: str = "media") -> Timeline:
    """Lay a video stream on a grid of constant frame rate, without decoding where its time stamps allow.

    Reads ``container`` to its end.

    Args:
        rate: frames a second of the grid; None: the stream's own.

    Raises:
        StepInputError: no frames, or longer than :data:`MAX_SECONDS`.
    """
    own, unit = rate_of(stream), time_base(stream)
    usual = max(1, nearest(1 / (own * unit)))
    first: int | None = None
    latest, end, started = -(2**63), 0, False
    seen = 0
    for packet in container.demux(stream):
        seen += packet.size > 0
        started = started or packet.is_keyframe
        if not packet.size or not started:
            continue
        if packet.pts is None:
            return _count(container, stream, own, rate or own, slot)
        if packet.is_discard:  # decoded because others need it, never shown
            continue
        first = packet.pts if first is None else min(first, packet.pts)
        if packet.pts >= latest:
            # only the last one's duration counts: MP4 stores the steps between decoding times, and with B-frames
            # those are other frames' durations
            latest, end = packet.pts, packet.pts + (packet.duration or usual)
    if first is None:
        raise StepInputError(f"{slot}: the video has no frames", slot=slot)
    listed = len(stream.index_entries)
    if container.format.name == MP4 and seen < listed:  # the one kind of file that lists its frames in front
        raise StepInputError(
            f"{slot}: the file ends early: {seen} of its {listed} frames are there; was it copied whole?", slot=slot
        )
    return _bounded(Timeline.between(first, end, unit, rate or own), slot)


def _count(container: InputContainer, stream: VideoStream, own: Fraction, rate: Fraction, slot: str) -> Timeline:
    """Lay out a stream without time stamps: its frames follow each other at its own rate."""
    with av.open(container.name, options=OPTIONS, metadata_errors="replace") as again:
        count = sum(1 for _ in again.decode(again.streams[stream.index]))
    if not count:
        raise StepInputError(f"{slot}: the video has no frames", slot=slot)
    return _bounded(replace(Timeline.between(0, count, 1 / own, rate), stamped=False), slot)


def _bounded(timeline: Timeline, slot: str) -> Timeline:
    if timeline.duration > MAX_SECONDS:
        raise StepInputError(
            f"{slot}: the video claims to last {float(timeline.duration):.0f} s; at most {MAX_SECONDS} s are read",
            slot=slot,
        )
    return timeline


def _audio_duration(container: InputContainer, stream: AudioStream) -> Fraction:
    if stream.duration:
        return stream.duration * time_base(stream)
    unit, end, first = time_base(stream), 0, None
    for packet in container.demux(stream):
        if packet.size and packet.pts is not None:
            first = packet.pts if first is None else min(first, packet.pts)
            end = max(end, packet.pts + (packet.duration or 0))
    return (end - (first or 0)) * unit


def _guard(container: InputContainer, slot: str) -> None:
    """Refuse what cannot be used and what would cost too much, before anything is decoded."""

    def refuse(reason: str) -> None:
        raise StepInputError(f"{slot}: {reason}", slot=slot)

    video, audio = video_stream(container), audio_stream(container)
    if video is None and audio is None:
        refuse("the file holds neither video nor audio")
    if video is not None:
        codec = video.codec_context
        if codec is None or not codec.width or not codec.height:
            refuse("the video's codec is not known here, or its size is missing")
        guard_size(codec.width, codec.height, slot)
    if audio is not None:
        sound = audio.codec_context
        if sound is None or not sound.sample_rate or not sound.channels:
            refuse("the audio's codec is not known here, or its sample rate is missing")
        if sound.channels > MAX_CHANNELS:
            refuse(f"the audio has {sound.channels} channels; at most {MAX_CHANNELS} are read")
        if sound.sample_rate > MAX_SAMPLE_RATE_HZ:
            refuse(f"the audio has {sound.sample_rate} samples a second; at most {MAX_SAMPLE_RATE_HZ} are read")


def guard_size(width: int, height: int, slot: str) -> None:
    """Refuse pictures beyond the limits.

    Raises:
        StepInputError: a side or the area is too large.
    """
    if max(width, height) > MAX_SIDE or width * height > MAX_PIXELS:
        raise StepInputError(
            f"{slot}: the picture has {width}x{height} pixels; at most {MAX_SIDE} a side and {MAX_PIXELS} in all"
            " are read",
            slot=slot,
        )
