"""Sound for an output: spans of files and silence put together to the sample and encoded, or packets copied."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import numpy as np
from av.audio.frame import AudioFrame
from av.audio.resampler import AudioResampler
from av.audio.stream import AudioStream
from av.codec.context import Flags as CodecFlags
from av.container import InputContainer, OutputContainer
from av.packet import Packet
from numpy.typing import NDArray

from artdag_common.media.encode import (
    AUDIO_BITS_PER_SECOND,
    AUDIO_BLOCK,
    AUDIO_CODEC,
    LAYOUTS,
    LOSSLESS_AUDIO_CODEC,
    Soundtrack,
    audio_rate,
)
from artdag_common.media.limits import guard_seconds, guard_sound
from artdag_common.media.mixing import fits, mixed, sane
from artdag_common.media.probe import MP4, audio_stream, decoded, open_media, time_base
from artdag_common.media.still import picture_type
from artdag_common.media.timeline import nearest

SAMPLES = "fltp"
PREROLL_SECONDS = 2  # decoders need some sound before the first sample that is right

Sound = NDArray[np.float32]
"""Shape (channels, samples), -1 to 1."""


@dataclass(frozen=True, slots=True)
class Span:
    """A piece of sound.

    Attributes:
        path: the file that it is taken from; None: silence.
        start: seconds on the file's own clock; before its first sample there is silence.
        samples: length, filled up with silence where the file ends before; None: to the file's end.
        slot: the step's input, for messages.
    """

    path: Path | None
    start: Fraction
    samples: int | None
    slot: str = "media"


@dataclass(frozen=True, slots=True)
class SoundShape:
    """Samples a second, and 1 or 2 channels."""

    rate_hz: int
    channels: int


def sound_shape(path: Path, slot: str = "media") -> SoundShape | None:
    """Return the shape in which a file's sound is encoded: its own where browsers play it; None: it has none."""
    if picture_type(path):
        return None
    with open_media(path, slot) as container:
        stream = audio_stream(container)
        if stream is None:
            return None
        codec = stream.codec_context
        return SoundShape(audio_rate(codec.sample_rate), min(2, codec.channels))


def read_sound(span: Span, shape: SoundShape) -> Iterator[Sound]:
    """Give the samples of a span, in pieces of any length above 0."""
    left = span.samples
    if span.path is not None and left != 0:
        for piece in _decoded(span, shape):
            kept = piece if left is None else piece[:, :left]
            if kept.shape[1]:
                yield kept
            if left is not None:
                left -= kept.shape[1]
                if left == 0:
                    return
    while left:
        count = min(left, shape.rate_hz)
        yield np.zeros((shape.channels, count), np.float32)
        left -= count


def _decoded(span: Span, shape: SoundShape) -> Iterator[Sound]:
    """Give the file's samples from ``span.start`` on; gaps between time stamps are silence."""
    assert span.path is not None
    with open_media(span.path, span.slot) as container:
        stream = audio_stream(container)
        if stream is None:
            return
        # the one kind of file whose time stamps are exact after a seek, and which says where its sound ends
        exact = container.format.name == MP4
        unit = time_base(stream)
        if exact and span.start > 2 * PREROLL_SECONDS:
            container.seek(((span.start - PREROLL_SECONDS) / unit).__floor__(), stream=stream)
        end: int | None = None
        if exact and stream.duration:  # encoders fill their last block up; what was meant ends here
            last = (stream.start_time or 0) + stream.duration
            end = nearest((last * unit - span.start) * shape.rate_hz)
        written, cursor = 0, None  # samples given; place of the next decoded one on the same scale
        jitter = shape.rate_hz // 50
        for frame in _resampled(container, stream, shape, span.slot):
            data = sane(np.asarray(frame.to_ndarray(), np.float32))
            if frame.pts is not None and frame.time_base is not None:
                place = nearest((frame.pts * frame.time_base - span.start) * shape.rate_hz)
                if cursor is None or abs(place - cursor) > jitter:
                    guard_seconds(place / shape.rate_hz, "audio", span.slot)
                    cursor = place
            if cursor is None:
                cursor = 0
            if end is not None:
                data = data[:, : max(0, end - cursor)]
            if cursor > written:
                yield from read_sound(Span(None, Fraction(0), cursor - written), shape)
                written = cursor
            fresh = data[:, max(0, written - cursor) :]
            cursor += frame.samples
            if fresh.shape[1]:
                written += fresh.shape[1]
                yield fresh


def _resampled(container: InputContainer, stream: AudioStream, shape: SoundShape, slot: str) -> Iterator[AudioFrame]:
    resampler, kind = None, None
    for found in decoded(container, stream, slot):
        assert isinstance(found, AudioFrame)
        guard_sound(found.layout.nb_channels, found.sample_rate, slot)
        frame = found if fits(found, shape.channels) else mixed(found, shape.channels, slot)
        if resampler is None or kind != (frame.format.name, frame.sample_rate):
            if resampler is not None:
                yield from resampler.resample(None)
            kind = (frame.format.name, frame.sample_rate)
            resampler = AudioResampler(format=SAMPLES, layout=LAYOUTS[shape.channels], rate=shape.rate_hz)
        yield from resampler.resample(frame)
    if resampler is not None:
        yield from resampler.resample(None)


class EncodedSound:
    """Spans one after the other, encoded as AAC, or kept as samples."""

    def __init__(self, spans: Sequence[Span], shape: SoundShape) -> None:
        """All spans are brought into ``shape``."""
        self._spans = spans
        self._shape = shape
        self.rate_hz = shape.rate_hz

    def attach(self, container: OutputContainer, lossless: bool) -> AudioStream:
        """Add the stream to the file."""
        codec = LOSSLESS_AUDIO_CODEC if lossless else AUDIO_CODEC
        stream = container.add_stream(codec, rate=self._shape.rate_hz, layout=LAYOUTS[self._shape.channels])
        assert isinstance(stream, AudioStream)
        if not lossless:
            stream.codec_context.bit_rate = AUDIO_BITS_PER_SECOND
        stream.codec_context.flags |= int(CodecFlags.bitexact)
        return stream

    def packets(self, stream: AudioStream) -> Iterator[Packet[AudioStream]]:
        """Encode block by block."""
        done = 0
        for block in in_blocks((p for span in self._spans for p in read_sound(span, self._shape)), AUDIO_BLOCK):
            layout = LAYOUTS[self._shape.channels]
            if stream.codec_context.name == LOSSLESS_AUDIO_CODEC:  # which takes the channels side by side
                frame = AudioFrame.from_ndarray(np.ascontiguousarray(block.T).reshape(1, -1), "flt", layout)
            else:
                frame = AudioFrame.from_ndarray(block, SAMPLES, layout)
            frame.sample_rate = self._shape.rate_hz
            frame.time_base = Fraction(1, self._shape.rate_hz)
            frame.pts = done
            done += block.shape[1]
            yield from stream.encode(frame)
        if done:
            yield from stream.encode(None)


def in_blocks(pieces: Iterable[Sound], length: int) -> Iterator[Sound]:
    """Cut pieces anew into blocks of ``length`` samples; the last one may be shorter."""
    held: list[Sound] = []
    count = 0
    for piece in pieces:
        held.append(piece)
        count += piece.shape[1]
        if count < length:
            continue
        joined = np.concatenate(held, axis=1)
        whole = count - count % length
        for begin in range(0, whole, length):
            yield np.ascontiguousarray(joined[:, begin : begin + length])
        held, count = [joined[:, whole:]], count - whole
    if count:
        yield np.ascontiguousarray(np.concatenate(held, axis=1))


class CopiedSound:
    """AAC packets taken over as they are."""

    def __init__(
        self, path: Path, rate_hz: int, start: Fraction, duration: Fraction | None = None, slot: str = "media"
    ) -> None:
        """Take over ``duration`` seconds (None: all) from ``start`` on, the time on the file's clock that becomes 0."""
        self.rate_hz = rate_hz
        self._path = path
        self._start = start
        self._duration = duration
        self._slot = slot

    def attach(self, container: OutputContainer, lossless: bool) -> AudioStream:
        """Add the stream to the file."""
        with open_media(self._path, self._slot) as source:
            stream = audio_stream(source)
            assert stream is not None
            return container.add_stream_from_template(stream)

    def packets(self, stream: AudioStream) -> Iterator[Packet[AudioStream]]:
        """Give the packets, moved in time."""
        with open_media(self._path, self._slot) as source:
            origin = audio_stream(source)
            assert origin is not None
            unit = time_base(origin)
            shift = nearest(self._start / unit)
            end = None if self._duration is None else nearest(self._duration / unit)
            for packet in source.demux(origin):
                if not packet.size or packet.pts is None or packet.dts is None:
                    continue
                packet.pts -= shift
                packet.dts -= shift
                if end is not None:
                    if packet.pts >= end:
                        return
                    packet.duration = min(packet.duration or 0, end - packet.pts)
                packet.stream = stream
                yield packet


def sound_of(path: Path, start: Fraction, duration: Fraction | None = None, slot: str = "media") -> Soundtrack | None:
    """Return the sound of a file: copied where it is AAC in MP4, else encoded; None: it has none.

    Args:
        start: the time on the file's clock that becomes 0.
        duration: seconds after which it is cut; None: to the end.
    """
    shape = sound_shape(path, slot)
    if shape is None:
        return None
    if _copies(path, slot):
        return CopiedSound(path, shape.rate_hz, start, duration, slot)
    samples = None if duration is None else nearest(duration * shape.rate_hz)
    return EncodedSound([Span(path, start, samples, slot)], shape)


def sound_start(path: Path, slot: str = "media") -> Fraction:
    """Return the time on a file's clock at which its sound begins."""
    if picture_type(path):
        return Fraction(0)
    with open_media(path, slot) as container:
        stream = audio_stream(container)
        return (stream.start_time or 0) * time_base(stream) if stream is not None else Fraction(0)


def sound_duration(path: Path, slot: str = "media") -> Fraction:
    """Return how many seconds a file sounds, counted by decoding it; 0: it has no audio."""
    shape = sound_shape(path, slot)
    if shape is None:
        return Fraction(0)
    span = Span(path, sound_start(path, slot), None, slot)
    return Fraction(sum(piece.shape[1] for piece in read_sound(span, shape)), shape.rate_hz)


def _copies(path: Path, slot: str) -> bool:
    """Return whether a file's sound can be taken over as it is: AAC-LC of one or two channels in MP4."""
    with open_media(path, slot) as container:
        stream = audio_stream(container)
        if stream is None:
            return False
        codec = stream.codec_context
        return (
            container.format.name == MP4
            and codec.name == AUDIO_CODEC
            and codec.profile == "LC"
            and codec.channels in LAYOUTS
        )


def joint_shape(shapes: Iterable[SoundShape | None]) -> SoundShape | None:
    """Return the shape for sounds in a row: the first one's rate, as many channels as the widest; None: no sound."""
    found = [shape for shape in shapes if shape is not None]
    if not found:
        return None
    return SoundShape(found[0].rate_hz, max(shape.channels for shape in found))
