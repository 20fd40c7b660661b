"""Many channels as one or two, never louder than full scale.

The media library's own mix is not used: made from floating-point samples it is up to 5 dB louder than full scale with
5.1 channels, puts a mono sound 3 dB softer on two sides, and knows neither channels without names nor more than 64.
"""

from __future__ import annotations

import math
from functools import cache

import numpy as np
from av.audio.format import AudioFormat
from av.audio.frame import AudioFrame
from av.audio.resampler import AudioResampler
from numpy.typing import NDArray

from artdag_common.errors import StepInputError

LAYOUTS = {1: "mono", 2: "stereo"}
PLANAR, PACKED = "fltp", "flt"
MOST_KEPT_APART = 64
"""Channels that the library brings from one plane each into one row."""
LOUDEST = 16.0
"""24 dB above full scale: samples beyond it are damage, and encoders refuse them."""

HALF = math.sqrt(0.5)  # half the power
SIDES: dict[str, tuple[float, float]] = {
    "FL": (1, 0), "FR": (0, 1), "DL": (1, 0), "DR": (0, 1), "FC": (HALF, HALF), "LFE": (0, 0), "LFE2": (0, 0),
    "FLC": (HALF, 0), "FRC": (0, HALF), "BL": (HALF, 0), "BR": (0, HALF), "BC": (0.5, 0.5),
    "SL": (HALF, 0), "SR": (0, HALF), "WL": (HALF, 0), "WR": (0, HALF), "SDL": (HALF, 0), "SDR": (0, HALF),
    "TC": (0.5, 0.5), "TFL": (HALF, 0), "TFC": (0.5, 0.5), "TFR": (0, HALF), "TBL": (HALF, 0), "TBC": (0.5, 0.5),
    "TBR": (0, HALF), "TSL": (HALF, 0), "TSR": (0, HALF), "BFL": (HALF, 0), "BFC": (0.5, 0.5), "BFR": (0, HALF),
}  # fmt: skip
"""How much of a channel goes to the left and to the right: ITU-R BS.775-4, annex 4. That of low tones is left out."""

USUAL = {
    1: ("FC",),
    2: ("FL", "FR"),
    3: ("FL", "FR", "FC"),
    4: ("FL", "FR", "BL", "BR"),
    5: ("FL", "FR", "FC", "BL", "BR"),
    6: ("FL", "FR", "FC", "LFE", "BL", "BR"),
    7: ("FL", "FR", "FC", "LFE", "BC", "SL", "SR"),
    8: ("FL", "FR", "FC", "LFE", "BL", "BR", "SL", "SR"),
}
"""What so many channels without names are taken for: the order of WAV files."""

SCALE = {"u8": 2.0**7, "s16": 2.0**15, "s32": 2.0**31, "s64": 2.0**63, "flt": 1.0, "dbl": 1.0}
KINDS = {"u8": np.uint8, "s16": np.int16, "s32": np.int32, "s64": np.int64, "flt": np.float32, "dbl": np.float64}

Sound = NDArray[np.float32]
"""Shape (channels, samples), -1 to 1."""


def fits(frame: AudioFrame, channels: int) -> bool:
    """Return whether a frame has one or two channels already, and as many as asked for."""
    return channels in LAYOUTS and frame.layout.name == LAYOUTS[channels]


def mixed(frame: AudioFrame, channels: int, slot: str = "media") -> AudioFrame:
    """Return a frame in one or two channels of floating-point samples, at the same time and rate.

    Raises:
        StepInputError: more than 64 channels from a codec that keeps them apart.
    """
    rows = _rows(frame, slot)
    weights = _weights(tuple(channel.name for channel in frame.layout.channels), len(rows))
    left, right = (_sum(rows, side) for side in weights)
    sides = np.stack([left, right]) if channels == 2 else ((left + right) * np.float32(0.5))[None]
    made = AudioFrame.from_ndarray(np.ascontiguousarray(sides), format=PLANAR, layout=LAYOUTS[channels])
    made.sample_rate, made.pts, made.time_base = frame.sample_rate, frame.pts, frame.time_base
    return made


def sane(sound: Sound) -> Sound:
    """Return the samples with what is no number silenced, and what is far beyond full scale cut off."""
    if not sound.size or np.abs(sound).max() <= LOUDEST:  # false where there is a NaN
        return sound
    return np.clip(np.nan_to_num(sound, nan=0.0), -LOUDEST, LOUDEST)


@cache
def _weights(names: tuple[str, ...], count: int) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Return the weights of the channels on the left and on the right; each side's add up to 1 at most."""
    if not all(name in SIDES for name in names) or len(names) != count:
        names = USUAL.get(count, ())
    if count == 1:
        return (1.0,), (1.0,)
    if not names:  # nothing is known of them: all alike
        return (1 / count,) * count, (1 / count,) * count
    left, right = zip(*(SIDES[name] for name in names), strict=True)
    loudest = max(1.0, sum(left), sum(right))
    return tuple(each / loudest for each in left), tuple(each / loudest for each in right)


def _sum(rows: Sound, weights: tuple[float, ...]) -> NDArray[np.float32]:
    """Add up channel by channel, in order: sums of a matrix product differ from processor to processor."""
    total = np.zeros(rows.shape[1], np.float32)
    for row, weight in zip(rows, weights, strict=True):
        if weight:
            total += row * np.float32(weight)
    return total


def _rows(frame: AudioFrame, slot: str) -> Sound:
    """Return a frame's samples: shape (channels, samples)."""
    count, kind = frame.layout.nb_channels, frame.format
    if count <= MOST_KEPT_APART:
        resampler = AudioResampler(format=PACKED, layout=frame.layout, rate=frame.sample_rate)
        packed = [each for source in (frame, None) for each in resampler.resample(source)]
        samples = np.concatenate([each.to_ndarray().reshape(-1, count) for each in packed])
        return np.asarray(samples.T, np.float32)
    if kind.is_planar or kind.name not in KINDS:
        raise StepInputError(
            f"{slot}: the audio has {count} channels, each by itself; at most {MOST_KEPT_APART} of those are read",
            slot=slot,
        )
    return _unpacked(frame, kind, count)


def _unpacked(frame: AudioFrame, kind: AudioFormat, count: int) -> Sound:
    whole = frame.samples * count
    samples = np.frombuffer(memoryview(frame.planes[0]), KINDS[kind.name])[:whole].reshape(-1, count)
    middle = SCALE["u8"] if kind.name == "u8" else 0.0
    return np.asarray(((samples - middle) / SCALE[kind.name]).T, np.float32)
