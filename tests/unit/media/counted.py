"""Videos whose frames carry their number, sounds whose samples are known: what a step did can be counted."""

from __future__ import annotations

import wave
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache
from pathlib import Path

import av
import numpy as np
from numpy.typing import NDArray

BITS = 8
SIZE = (128, 72)
RATE_HZ = 48_000


def numbered(number: int, size: tuple[int, int] = SIZE) -> NDArray[np.uint8]:
    """Draw a number as upright bars, white for 1: shape (height, width, 3)."""
    width, height = size
    bars = [(number >> bit) & 1 for bit in range(BITS)]
    row = np.array([bars[x * BITS // width] for x in range(width)], np.uint8) * 200 + 28
    return np.repeat(np.repeat(row[None, :, None], height, axis=0), 3, axis=2)


def number_in(luma: NDArray[np.uint8]) -> int:
    """Read the number from the luma of a frame."""
    height, width = luma.shape
    row = luma[height // 2 - 2 : height // 2 + 2].mean(axis=0)
    return sum(int(row[(2 * bit + 1) * width // (2 * BITS)] > 125) << bit for bit in range(BITS))


def numbers_of(path: Path) -> list[int]:
    """Read the numbers of all frames of a file."""
    with av.open(str(path)) as container:
        return [number_in(frame.to_ndarray(format="gray")) for frame in container.decode(video=0)]


def stamps_of(path: Path) -> list[Fraction]:
    """Read the times of all frames of a file, in seconds."""
    with av.open(str(path)) as container:
        return [frame.pts * frame.time_base for frame in container.decode(video=0)]


def write_counted(
    path: Path,
    frames: int,
    rate: Fraction | int = 30,
    size: tuple[int, int] = SIZE,
    *,
    first: int = 0,
    stamps: Sequence[int] | None = None,
    pix_fmt: str = "yuv420p",
    codec: str = "libx264",
    rotation: int = 0,
    sound: NDArray[np.int16] | None = None,
    sound_codec: str = "pcm_s16le",
    rate_hz: int = RATE_HZ,
    gop: int = 7,
) -> Path:
    """Write a video whose frames carry the numbers from ``first`` on.

    Args:
        stamps: time of each frame in units of 1/rate; None: one after the other.
        rotation: degrees in the display matrix.
        sound: shape (channels, samples).
        rate_hz: samples of ``sound`` a second.
        gop: frames from one key frame to the next.
    """
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=rate)
        stream.width, stream.height = size
        stream.pix_fmt = pix_fmt
        stream.codec_context.time_base = 1 / Fraction(rate)
        stream.codec_context.gop_size = gop
        stream.codec_context.bit_rate = 2_000_000
        track = None
        if sound is not None:
            track = container.add_stream(sound_codec, rate=rate_hz, layout="mono" if len(sound) == 1 else "stereo")
        if rotation:
            stream.set_display_rotation(rotation)
        for number in range(frames):
            frame = av.VideoFrame.from_ndarray(numbered(first + number, size), format="rgb24")
            frame = frame.reformat(format=pix_fmt)
            frame.pts = stamps[number] if stamps else number
            frame.time_base = 1 / Fraction(rate)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
        if track is not None and sound is not None:
            for begin in range(0, sound.shape[1], 1024):
                block = np.ascontiguousarray(sound[:, begin : begin + 1024].T.reshape(1, -1))
                piece = av.AudioFrame.from_ndarray(block, format="s16", layout="mono" if len(sound) == 1 else "stereo")
                piece.sample_rate = rate_hz
                piece.pts = begin
                piece.time_base = Fraction(1, rate_hz)
                container.mux(track.encode(piece))
            container.mux(track.encode(None))
    return path


def clicks(samples: int, at: Sequence[int]) -> NDArray[np.int16]:
    """Make silence with a click at each given sample: shape (1, samples)."""
    sound = np.zeros((1, samples), np.int16)
    sound[0, list(at)] = 24_000
    return sound


def noise(samples: int, channels: int = 1) -> NDArray[np.int16]:
    """Make noise that is the same each time: shape (channels, samples)."""
    return np.random.default_rng(11).integers(-12_000, 12_000, (channels, samples)).astype(np.int16)


def timed(samples: int, rate_hz: int = RATE_HZ, start: float = 0.0) -> NDArray[np.int16]:
    """Make sound whose samples tell their time: shape (1, samples).

    Thirty-two tones that do not fit together, so that no stretch of it sounds like another. It is the same sound at
    every rate, see :func:`lag`.

    Args:
        start: seconds that the first sample has.
    """
    return _timed(samples, rate_hz, start).copy()


@lru_cache(maxsize=32)
def _timed(samples: int, rate_hz: int, start: float) -> NDArray[np.int16]:
    return np.round(_tones(start + np.arange(samples) / rate_hz) * 32_768).astype(np.int16)[None]


HERTZ, PHASES = np.random.default_rng(7).uniform([[150], [0]], [[5000], [2 * np.pi]], (2, 32))


def _tones(times: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the sound of :func:`timed` at any times, −0.4 to 0.4."""
    found = np.zeros_like(times)
    for hertz, phase in zip(HERTZ, PHASES, strict=True):
        found += np.sin(2 * np.pi * hertz * times + phase)
    return found / 80


@dataclass(frozen=True, slots=True)
class Heard:
    """The sound of a file as a player gives it out.

    Attributes:
        samples: shape (channels, samples), −1 to 1.
        start: the time of the first sample on the file's clock, in seconds.
    """

    samples: NDArray[np.float32]
    rate_hz: int
    start: Fraction


def heard(path: Path) -> Heard:
    """Decode the sound of a file. Its samples have to follow each other without a gap."""
    with av.open(str(path)) as container:
        frames = list(container.decode(audio=0))
    start = frames[0].pts * frames[0].time_base
    rate_hz, rows, count = frames[0].sample_rate, [], 0
    for frame in frames:
        assert abs(frame.pts * frame.time_base - start - Fraction(count, rate_hz)) < Fraction(1, 500)
        count += frame.samples
        data = frame.to_ndarray()
        if not frame.format.is_planar:
            data = data.reshape(frame.samples, -1).T
        rows.append(data if data.dtype.kind == "f" else data / np.float32(32_768))
    return Heard(np.concatenate(rows, axis=1), rate_hz, start)


def lag(sound: Heard, at: float, time: float, window: int = 2048) -> float:
    """Return by how many samples :func:`timed` sound is late, to 1/16 of one: at ``at`` s, ``time`` should be heard.

    Looks 2048 samples to either side.
    """
    first = round((at - float(sound.start)) * sound.rate_hz)
    piece = sound.samples[0, first : first + window].astype(float)
    assert len(piece) == window, f"the sound ends within {window} samples of {at} s"
    begin = time + (float(sound.start) + first / sound.rate_hz - at)  # of the piece's first sample
    reach = 2048
    wide = _tones(begin + np.arange(-reach, window + reach) / sound.rate_hz)
    coarse = reach - int(np.argmax(np.correlate(wide, piece, "valid")))
    assert np.corrcoef(piece, wide[reach - coarse :][:window])[0, 1] > 0.9, f"at {at} s there is something else"
    # the same tones a little later are a sum of their sines and cosines now
    angles = np.outer(2 * np.pi * HERTZ, begin + (np.arange(window) - coarse) / sound.rate_hz) + PHASES[:, None]
    sines, cosines = np.sin(angles) @ piece, np.cos(angles) @ piece
    sixteenths = np.arange(-16, 17) / 16
    turns = np.outer(sixteenths / sound.rate_hz, 2 * np.pi * HERTZ)
    return coarse + float(sixteenths[np.argmax(np.cos(turns) @ sines - np.sin(turns) @ cosines)])


def write_wav(path: Path, sound: NDArray[np.int16], rate_hz: int = RATE_HZ) -> Path:
    """Write a WAV file."""
    with wave.open(str(path), "wb") as file:
        file.setnchannels(sound.shape[0])
        file.setsampwidth(2)
        file.setframerate(rate_hz)
        file.writeframes(sound.T.astype("<i2").tobytes())
    return path


def loudest(path: Path, within: slice) -> int:
    """Return the loudest sample of a file within a range."""
    with av.open(str(path)) as container:
        rows = [frame.to_ndarray()[0] for frame in container.decode(audio=0)]
    return within.start + int(np.argmax(np.abs(np.concatenate(rows)[within])))
