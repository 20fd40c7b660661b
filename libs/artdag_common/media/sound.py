"""Sound of a media file: what it says of itself, and its samples as one row for analysis."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import av
import numpy as np
from av.audio.frame import AudioFrame
from av.audio.stream import AudioStream
from av.container import InputContainer
from av.error import FFmpegError
from numpy.typing import NDArray

from artdag_common.errors import StepInputError
from artdag_common.media.probe import audio_stream, open_media, time_base

MAX_SECONDS = 2 * 3600
"""Two hours: 0.6 GB of samples at 22 kHz, and as much again while they are worked on."""

_BLOCK = 8192  # samples that come out of the resampler at once: small blocks take longer


@dataclass(frozen=True, slots=True)
class SoundFacts:
    """The first audio track of a file.

    Attributes:
        duration: seconds, as the file declares it; without a declaration, from its packets.
        sample_rate: Hz.
    """

    duration: float
    sample_rate: int
    channels: int


def sound_facts(path: Path, slot: str = "media") -> SoundFacts:
    """Return what a file says of its first audio track. Nothing is decoded.

    Args:
        slot: the step's input, for messages.

    Raises:
        StepInputError: no media file, or no audio in it.
    """
    with open_media(path, slot) as container:
        stream = _track(container, slot)
        codec = stream.codec_context
        return SoundFacts(_duration(container, stream), codec.sample_rate, codec.channels)


def load_sound(path: Path, rate_hz: int, slot: str = "media") -> NDArray[np.float32]:
    """Decode the first audio track of a file, mixed to mono: the mean of its channels.

    Args:
        rate_hz: samples per second that the track is resampled to.
        slot: the step's input, for messages.

    Returns:
        Shape (n,), n ≥ 1, finite, full scale at ±1. The first sample is at the file's time 0: a track that begins
        later is preceded by zeros.

    Raises:
        StepInputError: no media file, no audio in it, beyond the limits or :data:`MAX_SECONDS`, or damaged.
    """
    samples = np.empty(MAX_SECONDS * rate_hz, np.float32)  # memory is taken up only as it is written
    count = 0
    for block in sound_blocks(path, rate_hz, slot):
        samples[count : count + len(block)] = block
        count += len(block)
    return samples[:count]


def sound_blocks(path: Path, rate_hz: int, slot: str = "media") -> Iterator[NDArray[np.float32]]:
    """Decode as :func:`load_sound` does, and give the samples in blocks of any length, in order.

    Raises:
        StepInputError: as there, when the iterator gets to it.
    """
    count = 0
    with open_media(path, slot) as container:
        for block in _blocks(container, _track(container, slot), rate_hz, slot):
            count += len(block)
            if count > MAX_SECONDS * rate_hz:
                raise _too_long(slot)
            if not np.isfinite(block.sum()):  # files of floating-point samples may hold anything
                np.nan_to_num(block, copy=False, nan=0.0, posinf=1.0, neginf=-1.0)
            yield block
    if not count:
        raise StepInputError(f"{slot}: the audio is empty", slot=slot)


def _track(container: InputContainer, slot: str) -> AudioStream:
    stream = audio_stream(container)
    if stream is None:
        raise StepInputError(f"{slot}: the file has no audio", slot=slot)
    return stream


def _duration(container: InputContainer, stream: AudioStream) -> float:
    unit = time_base(stream)
    if stream.duration:
        return float(stream.duration * unit)
    first: int | None = None
    end = 0
    for packet in container.demux(stream):
        if packet.size and packet.pts is not None:
            first = packet.pts if first is None else min(first, packet.pts)
            end = max(end, packet.pts + (packet.duration or 0))
    return float((end - (first or 0)) * unit)


def _blocks(container: InputContainer, stream: AudioStream, rate_hz: int, slot: str) -> Iterator[NDArray[np.float32]]:
    """Yield mono samples from the container's time 0 on."""
    resampler = av.AudioResampler(format="flt", layout=stream.codec_context.layout, rate=rate_hz, frame_size=_BLOCK)
    skip: int | None = None  # samples before time 0 that are still to come
    for frame in container.decode(stream):
        assert isinstance(frame, AudioFrame)
        if skip is None:
            skip = _lead(container, frame, rate_hz)
            if -skip > MAX_SECONDS * rate_hz:
                raise _too_long(slot)
            if skip < 0:
                yield np.zeros(-skip, np.float32)
                skip = 0
        for samples in _resample(resampler, frame, slot):
            yield samples[skip:]
            skip = max(0, skip - len(samples))
    if skip is not None:
        for samples in _resample(resampler, None, slot):
            yield samples[skip:]


def _resample(resampler: av.AudioResampler, frame: AudioFrame | None, slot: str) -> list[NDArray[np.float32]]:
    """Return the mean of the channels, resampled. ``frame``: None for what the resampler still holds.

    The mean is taken here: the library's own mix to mono is louder than full scale. Interleaved, because planes of
    eight channels crash its conversion to an array.
    """
    try:
        frames = resampler.resample(frame)
    except FFmpegError:
        raise
    except ValueError as error:
        raise StepInputError(f"{slot}: the audio changes its sample rate or channels on the way", slot=slot) from error
    return [_mean(np.asarray(each.to_ndarray(), np.float32).reshape(each.samples, -1)) for each in frames]


def _mean(samples: NDArray[np.float32]) -> NDArray[np.float32]:
    """Mean over the channels of (samples, channels); several times as fast as NumPy's, which goes along short rows."""
    total = samples[:, 0].copy()
    for channel in range(1, samples.shape[1]):
        total += samples[:, channel]
    total /= np.float32(samples.shape[1])
    return total


def _lead(container: InputContainer, frame: AudioFrame, rate_hz: int) -> int:
    """Samples of the first frame that lie before the container's time 0; negative: it begins later."""
    if frame.time is None:
        return 0
    return round(((container.start_time or 0) / av.time_base - frame.time) * rate_hz)


def _too_long(slot: str) -> StepInputError:
    return StepInputError(f"{slot}: the audio lasts longer than {MAX_SECONDS} s, the most that is analysed", slot=slot)
