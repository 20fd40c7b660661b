"""Tracks with known beats, made of bursts and noise; files of them; and the measure of how well beats were found."""

from __future__ import annotations

import wave
from collections.abc import Callable
from pathlib import Path

import av
import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


def beats_at(tempo: Callable[[float], float], seconds: float) -> Floats:
    """Beat times from 0.5 s on, where ``tempo`` gives beats per minute at a time."""
    times = [0.5]
    while (following := times[-1] + 60 / tempo(times[-1])) < seconds - 0.3:
        times.append(following)
    return np.array(times)


def clicks(beats: Floats, seconds: float, rate_hz: int) -> NDArray[np.float32]:
    """A tick at each beat, in noise."""
    rng = np.random.default_rng(1)
    track = rng.standard_normal(int(seconds * rate_hz)) * 0.02
    _place(track, beats, _burst(rate_hz, 1500, 0.025, 150), 0.6, rate_hz)
    return _full_scale(track)


def drums(beats: Floats, seconds: float, rate_hz: int) -> NDArray[np.float32]:
    """Kick and snare in turn, hats between, off-beat kicks and a bass line, played 8 ms off (standard deviation)."""
    rng = np.random.default_rng(2)
    track = rng.standard_normal(int(seconds * rate_hz)) * 0.01

    def played(times: Floats) -> Floats:
        return times + rng.normal(0, 0.008, len(times))

    spans = np.diff(beats)
    kick = _burst(rate_hz, 60, 0.18, 22)
    hats = np.sort(np.concatenate([beats[:-1], beats[:-1] + spans / 2]))
    _place(track, played(beats[0::2]), kick, 0.8, rate_hz)
    _place(track, played(beats[1::2]), _burst(rate_hz, 190, 0.12, 30, rng, 0.7), 0.6, rate_hz)
    _place(track, played(hats), _burst(rate_hz, 9000, 0.04, 90, rng, 0.95), 0.25, rate_hz)
    _place(track, played(beats[:-1][2::4] + spans[2::4] * 0.75), kick, 0.5, rate_hz)
    seconds_at = np.arange(len(track)) / rate_hz
    for bar, (begin, end) in enumerate(zip(beats[0::4], beats[4::4], strict=False)):
        inside = slice(int(begin * rate_hz), int(end * rate_hz))
        track[inside] += 0.2 * np.sin(2 * np.pi * (55, 65.4, 49, 73.4)[bar % 4] * seconds_at[inside])
    return _full_scale(track)


def write_wav(path: Path, track: NDArray[np.float32], rate_hz: int, channels: int = 1) -> Path:
    """Write a track as 16-bit WAV, the same in every channel."""
    with wave.open(str(path), "wb") as file:
        file.setnchannels(channels)
        file.setsampwidth(2)
        file.setframerate(rate_hz)
        file.writeframes(np.repeat(np.round(track * 32767).astype("<i2"), channels).tobytes())
    return path


def write_video(path: Path, frames: int = 25, sound: NDArray[np.float32] | None = None, late: float = 0.0) -> Path:
    """Write a small video at 25 frames a second; ``sound`` (48 kHz) begins ``late`` seconds after it."""
    with av.open(str(path), "w") as container:
        video = container.add_stream("libx264", rate=25, options={"preset": "ultrafast"})
        video.width, video.height, video.pix_fmt = 64, 48, "yuv420p"
        audio = container.add_stream("flac", rate=48_000, layout="mono") if sound is not None else None
        for index in range(frames):
            picture = np.full((48, 64, 3), index * 9 % 256, np.uint8)
            container.mux(video.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(video.encode(None))
        if audio is not None and sound is not None:
            whole = np.round(sound * 32767).astype(np.int16)
            for begin in range(0, len(whole), 4096):
                block = av.AudioFrame.from_ndarray(whole[None, begin : begin + 4096], format="s16", layout="mono")
                block.sample_rate = 48_000
                block.pts = begin + round(late * 48_000)
                container.mux(audio.encode(block))
            container.mux(audio.encode(None))
    return path


def f_measure(truth: Floats, found: Floats, tolerance: float = 0.07) -> float:
    """Harmonic mean of precision and recall: each true beat is met by at most one found beat within ±70 ms."""
    met = 0
    free = list(found)
    for beat in truth:
        if near := [each for each in free if abs(each - beat) <= tolerance]:
            free.remove(min(near, key=lambda each: abs(each - beat)))
            met += 1
    return 2 * met / (len(truth) + len(found))


def median_offset(truth: Floats, found: Floats) -> float:
    """Median seconds by which found beats come after the true beats next to them."""
    nearest = np.array([found[np.abs(found - beat).argmin()] - beat for beat in truth])
    return float(np.median(nearest[np.abs(nearest) <= 0.07]))


def _burst(
    rate_hz: int,
    hz: float,
    seconds: float,
    decay: float,
    rng: np.random.Generator | None = None,
    noise: float = 0.0,
) -> Floats:
    at = np.arange(int(rate_hz * seconds)) / rate_hz
    burst = np.sin(2 * np.pi * hz * at) * (1 - noise)
    if rng is not None:
        burst += rng.standard_normal(len(at)) * noise
    return burst * np.exp(-at * decay)


def _place(track: Floats, times: Floats, burst: Floats, gain: float, rate_hz: int) -> None:
    for time in times:
        begin = round(time * rate_hz)
        if 0 <= begin < len(track) - len(burst):
            track[begin : begin + len(burst)] += gain * burst


def _full_scale(track: Floats) -> NDArray[np.float32]:
    return (track / np.abs(track).max() * 0.9).astype(np.float32)
