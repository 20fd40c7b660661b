"""Videos whose frames carry their number, sounds whose samples are known: what a step did can be counted."""

from __future__ import annotations

import wave
from collections.abc import Sequence
from fractions import Fraction
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
    gop: int = 7,
) -> Path:
    """Write a video whose frames carry the numbers from ``first`` on.

    Args:
        stamps: time of each frame in units of 1/rate; None: one after the other.
        rotation: degrees in the display matrix.
        sound: shape (channels, samples), 48 kHz.
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
            track = container.add_stream(sound_codec, rate=RATE_HZ, layout="mono" if len(sound) == 1 else "stereo")
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
                piece.sample_rate = RATE_HZ
                piece.pts = begin
                piece.time_base = Fraction(1, RATE_HZ)
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
