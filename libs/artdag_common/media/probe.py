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
from av.error import ArgumentError, FFmpegError
from av.frame import Frame
from av.stream import Disposition, Stream
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from artdag_common.errors import StepInputError
from artdag_common.media import limits
from artdag_common.media.geometry import Size, display_size
from artdag_common.media.limits import MAX_SECONDS as MAX_SECONDS
from artdag_common.media.limits import guard_size
from artdag_common.media.still import PictureFacts, picture_facts, picture_type
from artdag_common.media.timeline import UNKNOWN_RATE, Timeline, constant_rate, nearest
from artdag_common.media.wholeness import check_whole

# Formats that name other files or addresses (playlists, concatenations) stay out: a file that somebody uploads must
# not make this server read another. Text is not taken for pictures either; pictures are read by still.py.
FORMATS = (
    "mov,mp4,matroska,webm,avi,mpegts,mpeg,flv,ogg,asf,mxf,dv,ivf,yuv4mpegpipe,wav,w64,aiff,caf,flac,mp3,aac,ac3,eac3,"
    "au,wv"
)
MP4 = "mov,mp4,m4a,3gp,3g2,mj2"
"""What the library calls MP4, QuickTime and their kin."""
OPTIONS = {
    "protocol_whitelist": "file",
    "format_whitelist": FORMATS,
    "max_pixels": str(limits.MAX_PIXELS),  # for the pictures that are decoded to find out what a stream is
}
CLAIM_SECONDS = 1
"""How far what a file says of its sound's length may be from what its packets say. Beyond it, the packets count."""


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
        StepInputError: it is not a media file but for example a picture, holds nothing usable, breaks a limit, or is
            damaged.
    """
    if kind := picture_type(path):
        raise StepInputError(f"{slot}: the file is a picture ({kind}); this step needs sound or film", slot=slot)
    check_whole(path, slot)
    try:
        with _open(path, slot) as container:
            _guard(container, slot)
            yield container
    except FFmpegError as error:
        head = "cannot be read as video or audio" if isinstance(error, ValueError) else "cannot be read"
        raise StepInputError(f"{slot}: the file {head}: {error.strerror or error}", slot=slot) from error


def _open(path: Path | str, slot: str) -> InputContainer:
    try:
        container = av.open(str(path), options=OPTIONS, metadata_errors="replace")
    except ArgumentError as error:  # what FORMATS leaves out
        raise StepInputError(
            f"{slot}: the file is none of the kinds that are read here: video, audio or pictures", slot=slot
        ) from error
    for stream in container.streams.video:
        if stream.codec_context is not None:  # pictures that grow on the way are refused by the decoder
            stream.codec_context.options = {"max_pixels": str(limits.MAX_PIXELS)}
    return container


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
    if picture_type(path):
        return _picture(picture_facts(path, slot))
    with open_media(path, slot) as container:
        video, audio = video_stream(container), audio_stream(container)
        sound = (
            (audio.codec_context.sample_rate, audio.codec_context.channels, audio.codec_context.name) if audio else ()
        )
        if video is None:
            assert audio is not None
            duration = float(audio_duration(container, audio))
            limits.guard_seconds(duration, "audio", slot)
            return MediaFacts(duration, 0, 0, None, "", "", "", 0, *sound)
        codec = video.codec_context
        width, height = shown_size(video, slot=slot)
        profile, pix_fmt = codec.profile or "", codec.pix_fmt or ""
        timeline = scan(container, video, slot=slot)
        duration = float(timeline.duration)
        return MediaFacts(duration, width, height, timeline.rate, codec.name, profile, pix_fmt, timeline.frames, *sound)


def has_pictures(path: Path, slot: str = "media") -> bool:
    """Return whether a media file has pictures, by its outline alone.

    Raises:
        StepInputError: see :func:`open_media`.
    """
    if picture_type(path):
        return True
    with open_media(path, slot) as container:
        return video_stream(container) is not None


def _picture(found: PictureFacts) -> MediaFacts:
    timeline = picture_timeline(found)
    width, height = display_size(*found.size, None, 0)
    return MediaFacts(float(timeline.duration), width, height, timeline.rate, found.codec, "", "rgb24", timeline.frames)


def picture_timeline(found: PictureFacts, rate: Fraction | None = None, hold: Fraction | None = None) -> Timeline:
    """Lay a picture file on a grid.

    A still is one frame, at 25 a second unless ``rate`` says otherwise; pictures that move get the rate at which the
    one shown for the shortest time is one frame long.

    Args:
        rate: frames a second of the grid; None: its own.
        hold: seconds that a still is shown; None: one frame.

    Raises:
        StepInputError: longer than a day.
    """
    if not found.durations:
        own = rate or UNKNOWN_RATE
        return Timeline(0, 1 / own, own, 1 if hold is None else max(1, nearest(hold * own)))
    own = rate or constant_rate(1 / min(found.durations))
    length = sum(found.durations, Fraction(0))
    limits.guard_seconds(float(length), "video", "media")
    return Timeline.between(0, nearest(length * 1000), Fraction(1, 1000), own)


def shown_size(stream: VideoStream, rotation: int | None = None, slot: str = "media") -> Size:
    """Return width and height as shown; see :func:`artdag_common.media.geometry.display_size`.

    Raises:
        StepInputError: beyond the limits.
    """
    codec = stream.codec_context
    turned = turn_of(stream, slot) if rotation is None else rotation
    size = display_size(codec.width, codec.height, stream.sample_aspect_ratio, turned)
    guard_size(*size, slot)
    return size


def decoded(container: InputContainer, stream: AudioStream | VideoStream, slot: str = "media") -> Iterator[Frame]:
    """Decode a stream.

    Raises:
        StepInputError: it is encrypted.
    """
    for packet in container.demux(stream):
        if packet.has_sidedata("encryption_info"):
            raise StepInputError(f"{slot}: the {stream.type} is encrypted; decrypt it first", slot=slot)
        for frame in packet.decode():
            if isinstance(frame, Frame):
                yield frame


def turn_of(stream: VideoStream, slot: str = "media") -> int:
    """Return by how many degrees, counter-clockwise, decoded pictures have to be turned to stand upright.

    The display matrix reaches us on decoded frames only, so the first one is decoded from a second handle.

    Raises:
        StepInputError: the stream is encrypted.
    """
    with _open(stream.container.name, slot) as container:
        found = container.streams[stream.index]
        assert isinstance(found, VideoStream)
        frame = next(decoded(container, found, slot), None)
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
    with _open(container.name, slot) as again:
        count = sum(1 for _ in again.decode(again.streams[stream.index]))
    if not count:
        raise StepInputError(f"{slot}: the video has no frames", slot=slot)
    return _bounded(replace(Timeline.between(0, count, 1 / own, rate), stamped=False), slot)


def _bounded(timeline: Timeline, slot: str) -> Timeline:
    limits.guard_seconds(float(timeline.duration), "video", slot)
    return timeline


def audio_duration(container: InputContainer, stream: AudioStream) -> Fraction:
    """Return how many seconds a sound lasts: as the file says where its packets bear that out, else by its packets.

    Reads ``container`` to its end. A header may say anything, and that of an MP3 is often an estimate; but only it
    knows of the silence that encoders add at both ends.
    """
    unit, end, first = time_base(stream), 0, None
    for packet in container.demux(stream):
        if packet.size and packet.pts is not None:
            first = packet.pts if first is None else min(first, packet.pts)
            end = max(end, packet.pts + (packet.duration or 0))
    counted = (end - (first or 0)) * unit
    claimed = (stream.duration or 0) * unit
    return claimed if claimed > 0 and abs(claimed - counted) <= CLAIM_SECONDS else counted


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
        limits.guard_sound(sound.channels, sound.sample_rate, slot)
