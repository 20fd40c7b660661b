"""Pictures copied from file to file, packet by packet: under another sound, or from a key frame on."""

from __future__ import annotations

from array import array
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from math import ceil
from pathlib import Path

import numpy as np
from av.container import InputContainer
from av.packet import Packet
from av.video.stream import VideoStream

from artdag_common.errors import StepInputError
from artdag_common.media.check import LOSSLESS_PROFILES, PROFILES
from artdag_common.media.encode import LOSSLESS, MediaFile, Soundtrack
from artdag_common.media.pictures import PIXELS, Clip
from artdag_common.media.probe import MP4, has_pictures, open_media, turn_of, video_stream
from artdag_common.media.soundtrack import EncodedSound, Span, sound_duration, sound_of, sound_shape, sound_start
from artdag_common.media.timeline import nearest
from artdag_common.media.video import Progress, cut_sound, render, shape_of, span_of


@dataclass(frozen=True, slots=True)
class _Stretch:
    """Packets to copy: those from ``first`` to ``last`` (excluded), counted as they are stored, and shown from
    ``begin`` to ``end``, time stamps of the stream."""

    first: int
    last: int
    begin: int
    end: int


def mux(video: Path, sound: Path, output: Path, shortest: bool, progress: Progress) -> Path:
    """Put a video under a sound.

    The pictures are copied where a browser plays them as they are, else encoded: output frame ``n`` is frame ``n`` of
    the video. Both begin together: the first sample is heard with the first frame.

    Args:
        shortest: end with the shorter of the two. Pictures that have to be cut short are encoded anew, to end at the
            right frame, ``⌊seconds of sound · rate + ½⌋`` of them; a difference of less than a frame is let be.

    Raises:
        StepInputError: no video in the one, no audio in the other.
    """
    if sound_shape(sound, "audio") is None:
        raise StepInputError("audio: the file holds no audio; this step needs some", slot="audio")
    clip = Clip(video, "video")
    if clip.still:
        clip = Clip(video, "video", hold=sound_duration(sound, "audio"))
    timeline = clip.timeline
    frames, cut_at = timeline.frames, None
    if shortest:
        length = sound_duration(sound, "audio")
        if length > timeline.duration:
            cut_at = timeline.duration
        elif timeline.duration - length >= 1 / timeline.rate:
            frames = max(1, nearest(length * timeline.rate))
    start = timeline.start if sound == video else sound_start(sound, "audio")
    soundtrack = sound_of(sound, start, cut_at, "audio")
    if frames < timeline.frames or obstacle(clip, output.suffix == LOSSLESS):
        return render(output, shape_of(clip), soundtrack, clip.pictures(0, frames), frames, progress)
    return _copy(clip, output, soundtrack, None, progress)


def copy_from_key(media: Path, output: Path, offset: Fraction, duration: Fraction | None, progress: Progress) -> Path:
    """Write a time range of a video without decoding it: its packets, from a key frame on.

    The first picture is the last key frame at or before frame ``f`` of :func:`artdag_common.media.video.cut`. The last
    one is frame ``l − 1`` or, where later pictures are stored before it, the first one after it at which the stream
    can be parted: no picture after it is shown before one that is copied. Pictures that are stored after the key frame
    and shown before it need some that are not copied: they are left out. The sound is cut to the sample, at the
    instants at which the first copied picture appears and the last one goes. Audio alone is cut to the sample too.

    Raises:
        StepInputError: not a media file; it ends before ``offset``; or its pictures cannot be copied: no H.264 of 8
            bits in 4:2:0 that browsers play, not in MP4, or turned; the message says which.
    """
    if not has_pictures(media):
        return cut_sound(media, output, offset, duration, progress)
    clip = Clip(media)
    reason = obstacle(clip, output.suffix == LOSSLESS)
    stretch = None if reason else _stretch(clip, *span_of(clip, offset, duration))
    if stretch is None:
        reason = reason or "no key frame is shown at or before that time"
        raise StepInputError(
            f"media: with 'precise: false' pictures are copied, and these cannot be: {reason}; leave precise at true",
            slot="media",
        )
    soundtrack = None
    if sound := sound_shape(media):
        unit = clip.timeline.unit
        samples = max(1, nearest((stretch.end - stretch.begin) * unit * sound.rate_hz))
        soundtrack = EncodedSound([Span(media, stretch.begin * unit, samples)], sound)
    return _copy(clip, output, soundtrack, stretch, progress)


def obstacle(clip: Clip, lossless: bool) -> str:
    """Return why a file's pictures cannot be taken over as they are: only H.264 of 8 bits, 4:2:0, upright, in MP4 can.

    What browsers do not play (``lossless``) goes to other steps only. Empty: they can.
    """
    if clip.picture:
        return "the file is a picture"
    with open_media(clip.path, clip.slot) as container:
        stream = video_stream(container)
        assert stream is not None
        codec = stream.codec_context
        profiles = LOSSLESS_PROFILES if lossless else PROFILES
        if container.format.name != MP4:
            return f"the file is {container.format.long_name}, not MP4"
        if (codec.name, codec.pix_fmt) != ("h264", PIXELS) or codec.profile not in profiles:
            found = " ".join(filter(None, (codec.name, codec.profile, codec.pix_fmt)))
            return f"the video is {found}, not h264 High {PIXELS}"
        if clip.size != (codec.width, codec.height) or turn_of(stream):
            return "the pictures are stored turned, in an odd size, or with pixels that are not square"
        return "" if clip.timeline.stamped else "the video has no time stamps"


def _stretch(clip: Clip, first: int, last: int) -> _Stretch | None:
    """Find what to copy to show the frames ``first`` to ``last`` (excluded); None: no key frame comes before."""
    stamps, keys = array("q"), bytearray()
    with open_media(clip.path, clip.slot) as container:
        for packet in packets(container):
            assert packet.pts is not None
            stamps.append(packet.pts)
            keys.append(packet.is_keyframe and not packet.is_discard)
    shown = np.frombuffer(stamps, np.int64)
    able = np.flatnonzero((np.frombuffer(keys, np.uint8) > 0) & (shown < _limit(clip, first + 1)))
    if not able.size:
        return None
    begin = int(able[-1])
    inside = (shown[begin:] >= shown[begin]) & (shown[begin:] < _limit(clip, last))
    wanted = int(np.flatnonzero(inside)[-1])  # stored last of those to be shown; counted from the key frame
    latest = np.maximum.accumulate(shown[begin:])  # of those up to here
    earliest = np.minimum.accumulate(shown[:begin:-1])[::-1]  # of those after here
    parted = np.flatnonzero(latest[wanted:-1] < earliest[wanted:])
    if parted.size:
        end = wanted + int(parted[0])
        return _Stretch(begin, begin + end + 1, int(shown[begin]), int(earliest[end]))
    stop = clip.timeline.origin + nearest(clip.timeline.duration / clip.timeline.unit)
    return _Stretch(begin, len(shown), int(shown[begin]), max(stop, int(latest[-1]) + 1))


def _limit(clip: Clip, place: int) -> int:
    """Return the first time stamp that lies at or after a place of the grid."""
    timeline = clip.timeline
    return timeline.origin + ceil((place - Fraction(1, 2)) / timeline.rate / timeline.unit)


def packets(container: InputContainer) -> Iterator[Packet[VideoStream]]:
    """Give the packets of the video, as they are stored."""
    source = video_stream(container)
    assert source is not None
    for packet in container.demux(source):
        if packet.size and packet.pts is not None and packet.dts is not None:
            yield packet


def _copy(
    clip: Clip, output: Path, soundtrack: Soundtrack | None, stretch: _Stretch | None, progress: Progress
) -> Path:
    """Copy packets: those of a stretch, or all."""
    begin = stretch.begin if stretch else clip.timeline.origin
    total = _count(clip, stretch) if stretch else clip.timeline.frames
    with open_media(clip.path, clip.slot) as container, MediaFile(output, soundtrack) as file:
        source = video_stream(container)
        assert source is not None
        stream = file.container.add_stream_from_template(source)
        file.begin()
        for done, packet in enumerate(_chosen(container, stretch), 1):
            assert packet.pts is not None
            assert packet.dts is not None
            packet.pts -= begin
            packet.dts -= begin
            packet.stream = stream
            file.mux(packet)
            progress(done, total)
    return output


def _count(clip: Clip, stretch: _Stretch) -> int:
    with open_media(clip.path, clip.slot) as container:
        return sum(1 for _ in _chosen(container, stretch))


def _chosen(container: InputContainer, stretch: _Stretch | None) -> Iterator[Packet[VideoStream]]:
    for number, packet in enumerate(packets(container)):
        if stretch is None:
            yield packet
        elif number >= stretch.last:
            return
        elif number >= stretch.first and packet.pts is not None and packet.pts >= stretch.begin:
            yield packet
