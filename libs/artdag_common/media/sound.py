"""Sound of a media file: what it says of itself, and its samples as one row for analysis."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

import av
import av.filter
import numpy as np
from av.audio.frame import AudioFrame
from av.audio.stream import AudioStream
from av.container import InputContainer
from numpy.typing import NDArray

from artdag_common.errors import StepInputError
from artdag_common.media.probe import audio_stream, open_media, time_base

MAX_SECONDS = 2 * 3600
"""Two hours: 0.6 GB of samples at 22 kHz, and as much again while they are worked on."""

_BLOCK = 8192  # samples that are given at once: small blocks take longer
_PUSHED = 16  # frames that go into the filters before samples are asked for: an answer of "not yet" takes long


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
    frames = (frame for frame in container.decode(stream) if isinstance(frame, AudioFrame))
    first = next(frames, None)
    if first is None:
        return
    skip = _lead(container, first, rate_hz)  # samples before time 0 that are still to come
    if -skip > MAX_SECONDS * rate_hz:
        raise _too_long(slot)
    if skip < 0:
        yield np.zeros(-skip, np.float32)
        skip = 0
    graph = _to_mono(first, rate_hz)
    kind = _kind(first)
    for count, frame in enumerate(chain([first], frames), 1):
        if _kind(frame) != kind:
            raise StepInputError(f"{slot}: the audio changes its sample rate or channels on the way", slot=slot)
        graph.push(frame)
        if count % _PUSHED == 0:
            for samples in _pulled(graph):
                yield samples[skip:]
                skip = max(0, skip - len(samples))
    graph.push(None)
    for samples in _pulled(graph):
        yield samples[skip:]
        skip = max(0, skip - len(samples))


def _to_mono(frame: AudioFrame, rate_hz: int) -> av.filter.Graph:
    """Set up what makes frames like this one into the mean of their channels, resampled.

    The mean is asked for by its weights: the library's own mix to mono is louder than full scale. It comes first, so
    that one channel is resampled and not all.
    """
    count = frame.layout.nb_channels
    mean = "+".join(f"{1 / count!r}*c{channel}" for channel in range(count))
    graph = av.filter.Graph()
    graph.link_nodes(
        graph.add_abuffer(
            sample_rate=frame.sample_rate, format=frame.format, layout=frame.layout, time_base=frame.time_base
        ),
        graph.add("aformat", "sample_fmts=fltp"),
        graph.add("pan", f"mono|c0={mean}"),
        graph.add("aresample", str(rate_hz)),
        graph.add("asetnsamples", f"n={_BLOCK}:p=0"),
        graph.add("abuffersink"),
    ).configure()
    return graph


def _pulled(graph: av.filter.Graph) -> Iterator[NDArray[np.float32]]:
    """Yield the samples that are ready."""
    with suppress(BlockingIOError, EOFError):
        while True:
            frame = graph.pull()
            assert isinstance(frame, AudioFrame)
            yield np.asarray(frame.to_ndarray(), np.float32)[0]


def _kind(frame: AudioFrame) -> tuple[str, str, int]:
    return frame.format.name, frame.layout.name, frame.sample_rate


def _lead(container: InputContainer, frame: AudioFrame, rate_hz: int) -> int:
    """Samples of the first frame that lie before the container's time 0; negative: it begins later."""
    if frame.time is None:
        return 0
    return round(((container.start_time or 0) / av.time_base - frame.time) * rate_hz)


def _too_long(slot: str) -> StepInputError:
    return StepInputError(f"{slot}: the audio lasts longer than {MAX_SECONDS} s, the most that is analysed", slot=slot)
