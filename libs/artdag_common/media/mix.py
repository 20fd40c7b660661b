"""Sound that is made on the way: mixed from several files, or by whoever gives its samples."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from fractions import Fraction
from itertools import zip_longest
from pathlib import Path

import numpy as np
from av.audio.frame import AudioFrame
from av.audio.stream import AudioStream
from av.container import OutputContainer
from av.packet import Packet

from artdag_common.errors import StepInputError
from artdag_common.media.encode import AUDIO_BLOCK, LAYOUTS, LOSSLESS_AUDIO_CODEC, SoundWriter
from artdag_common.media.pictures import Clip
from artdag_common.media.probe import open_media, video_stream
from artdag_common.media.soundtrack import (
    SAMPLES,
    EncodedSound,
    Sound,
    SoundShape,
    Span,
    in_blocks,
    joint_shape,
    read_sound,
    sound_shape,
    sound_start,
)
from artdag_common.media.video import Progress

FULL = np.float32(1)


class MadeSound:
    """Samples encoded as AAC, or kept as they are."""

    def __init__(self, pieces: Callable[[], Iterable[Sound]], shape: SoundShape) -> None:
        """``pieces`` gives the samples, in pieces of any length."""
        self._pieces = pieces
        self._shape = shape
        self.rate_hz = shape.rate_hz

    def attach(self, container: OutputContainer, lossless: bool) -> AudioStream:
        """Add the stream to the file."""
        return EncodedSound([], self._shape).attach(container, lossless)

    def packets(self, stream: AudioStream) -> Iterator[Packet[AudioStream]]:
        """Encode block by block."""
        layout, rate_hz = LAYOUTS[self._shape.channels], self._shape.rate_hz
        done = 0
        for block in in_blocks((piece for piece in self._pieces() if piece.shape[1]), AUDIO_BLOCK):
            if stream.codec_context.name == LOSSLESS_AUDIO_CODEC:  # which takes the channels side by side
                frame = AudioFrame.from_ndarray(np.ascontiguousarray(block.T).reshape(1, -1), "flt", layout)
            else:
                frame = AudioFrame.from_ndarray(block, SAMPLES, layout)
            frame.sample_rate = rate_hz
            frame.time_base = Fraction(1, rate_hz)
            frame.pts = done
            done += block.shape[1]
            yield from stream.encode(frame)
        if done:
            yield from stream.encode(None)


class Taker:
    """Takes as many samples as are wanted out of pieces of any length."""

    def __init__(self, pieces: Iterator[Sound], channels: int) -> None:
        self._pieces = pieces
        self._held = np.zeros((channels, 0), np.float32)

    def upto(self, count: int) -> Iterator[Sound]:
        """Give the next ``count`` samples, or those that are left."""
        while count > 0:
            if not self._held.shape[1]:
                piece = next(self._pieces, None)
                if piece is None:
                    return
                self._held = piece
            taken, self._held = self._held[:, :count], self._held[:, count:]
            count -= taken.shape[1]
            yield taken

    def exactly(self, count: int) -> Sound:
        """Return the next ``count`` samples, in an array of the caller's own, with silence where they end."""
        whole = np.zeros((len(self._held), count), np.float32)
        at = 0
        for piece in self.upto(count):
            whole[:, at : at + piece.shape[1]] = piece
            at += piece.shape[1]
        return whole


def mix(paths: Sequence[Path], output: Path, gains: Sequence[float], normalize: bool, progress: Progress) -> Path:
    """Write the sum of several sounds, as audio alone.

    Sample ``n`` of the output is ``Σ gᵢ·xᵢ[n]``, cut off at −1 and 1; ``xᵢ[n]`` is the sample that is heard ``n``
    samples after the beginning of input ``i``: its first sample, or the first picture of a video. All are brought to
    the sample rate of the first input and to as many channels, one or two, as the widest of them has; a mono sound is
    heard on both sides. The output is as long as the longest; the others are silent where they have ended.

    Args:
        gains: one factor for each input, 0 or more.
        normalize: all gains are divided by their sum, where that is more than 1, so that nothing is ever cut off.

    Raises:
        StepInputError: one holds no audio; the message says which.
    """
    shapes = []
    for number, path in enumerate(paths, 1):
        shape = sound_shape(path, f"input {number}")
        if shape is None:
            raise StepInputError(
                f"input {number}: the file holds no audio; this step mixes sounds", slot=f"input {number}"
            )
        shapes.append(shape)
    joint = joint_shape(shapes)
    assert joint is not None
    spans = [Span(path, _begin(path, f"input {n}"), None, f"input {n}") for n, path in enumerate(paths, 1)]
    scale = max(1.0, sum(gains)) if normalize else 1.0
    factors = [np.float32(gain / scale) for gain in gains]
    with SoundWriter(output, MadeSound(lambda: _mixed(spans, factors, joint), joint)):
        progress(0, 0)
    return output


def _begin(path: Path, slot: str) -> Fraction:
    """Return the time on a file's clock from which it is heard: that of its first picture, if it has any."""
    with open_media(path, slot) as container:
        if video_stream(container) is None:
            return sound_start(path, slot)
    return Clip(path, slot).timeline.start


def _mixed(spans: Sequence[Span], factors: Sequence[np.float32], shape: SoundShape) -> Iterator[Sound]:
    for blocks in zip_longest(*(in_blocks(read_sound(span, shape), AUDIO_BLOCK) for span in spans)):
        total = np.zeros((shape.channels, max(block.shape[1] for block in blocks if block is not None)), np.float32)
        for block, factor in zip(blocks, factors, strict=True):  # in this order: sums of floats depend on it
            if block is not None:
                total[:, : block.shape[1]] += block * factor
        yield np.clip(total, -FULL, FULL)
