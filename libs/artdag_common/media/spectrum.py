"""Loudness of bass, middle and treble over time."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from artdag_common.media.energy import SILENCE, WINDOW_MS

RATE_HZ = 44_100
"""Samples per second that are looked at: enough for 20 kHz."""
BANDS_HZ = {"bass": (20, 200), "mid": (200, 2_000), "high": (2_000, 20_000)}
"""Bounds of each band, the upper one excluded."""

_STEP = RATE_HZ * WINDOW_MS // 1000
_SIZE = 4096  # samples of a spectrum, 93 ms: shorter ones cannot tell 20 Hz from nothing
_BATCH = 256  # spectra taken at once


@dataclass(frozen=True, slots=True)
class Spectrum:
    """Loudness of each band, in windows as those of :class:`artdag_common.media.energy.Energy`.

    Attributes:
        times: shape (windows,), seconds, the middle of each window, ascending.
        bands: for each of :data:`BANDS_HZ`, shape (windows,): root mean square of what sounds in the band, 0 to 1,
            where 1 is the loudest window of *that* band. All are 0 if even that is silent.
    """

    times: NDArray[np.float64]
    bands: dict[str, NDArray[np.float64]]


def spectrum(blocks: Iterable[NDArray[np.float32]]) -> Spectrum:
    """Measure the loudness of bass, middle and treble every :data:`artdag_common.media.energy.WINDOW_MS`.

    A spectrum is taken over 93 ms around the middle of each window (Hann), so that it reaches a little into the next.

    Args:
        blocks: mono samples, -1 to 1, at :data:`RATE_HZ`, in order and of any length; at least one sample in all. Only
            a few seconds are held.
    """
    bins_hz = np.fft.rfftfreq(_SIZE, 1 / RATE_HZ)
    bounds = [np.searchsorted(bins_hz, band) for band in BANDS_HZ.values()]
    hann = np.hanning(_SIZE).astype(np.float32)
    scale = 2 / (np.square(hann, dtype=np.float64).sum() * _SIZE)  # Parseval: sums of power become mean squares
    lead = (_SIZE - _STEP) // 2
    rest = np.zeros(lead, np.float32)  # before the track there is silence
    gathered: list[NDArray[np.float32]] = []
    powers: list[NDArray[np.float64]] = []
    held = total = 0

    def measure(samples: NDArray[np.float32]) -> int:
        """Measure all windows that ``samples`` holds whole; give how many."""
        windows = max(0, (len(samples) - _SIZE) // _STEP + 1)
        frames = np.lib.stride_tricks.sliding_window_view(samples, _SIZE)[::_STEP] if windows else ()
        for begin in range(0, windows, _BATCH):
            bins = np.fft.rfft(frames[begin : begin + _BATCH] * hann, axis=1)
            power = np.square(bins.real, dtype=np.float64) + np.square(bins.imag, dtype=np.float64)
            powers.append(np.stack([power[:, low:high].sum(1) * scale for low, high in bounds], axis=1))
        return windows

    for block in blocks:
        gathered.append(block)
        held += len(block)
        total += len(block)
        if held >= _STEP * _BATCH:
            samples = np.concatenate([rest, *gathered])
            rest = samples[measure(samples) * _STEP :]
            gathered, held = [], 0
    count = -(-total // _STEP)
    done = sum(len(each) for each in powers)
    samples = np.concatenate([rest, *gathered])
    missing = (count - done - 1) * _STEP + _SIZE - len(samples)
    measure(np.pad(samples, (0, max(0, missing))))

    loudness = np.sqrt(np.concatenate(powers)[:count])
    starts = np.arange(count) * _STEP
    times = (starts + np.minimum(starts + _STEP, total)) / 2 / RATE_HZ
    return Spectrum(times, {name: _scaled(loudness[:, at]) for at, name in enumerate(BANDS_HZ)})


def _scaled(values: NDArray[np.float64]) -> NDArray[np.float64]:
    loudest = float(values.max())
    return values / loudest if loudest >= SILENCE else np.zeros_like(values)
