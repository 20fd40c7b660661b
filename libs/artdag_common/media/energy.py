"""Loudness over time."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

WINDOW_MS = 50
BLOCK = 1200  # windows measured at once
SILENCE = 10 ** (-70 / 20)
"""Root mean square below which a window counts as silent: 70 dB under full scale."""


@dataclass(frozen=True, slots=True)
class Energy:
    """Loudness in windows that follow each other without overlap.

    Attributes:
        times: shape (windows,), seconds, the middle of each window, ascending.
        values: shape (windows,), root mean square, 0 to 1, where 1 is the loudest window of the track. All are 0 if
            even the loudest is silent.
    """

    times: NDArray[np.float64]
    values: NDArray[np.float64]


def energy(samples: NDArray[np.float32], rate_hz: int) -> Energy:
    """Measure the loudness of a track in windows of :data:`WINDOW_MS`.

    Args:
        samples: shape (n,), mono, -1 to 1, n ≥ 1.
        rate_hz: samples per second.

    Returns:
        The last window holds what is left, and may be shorter.
    """
    size = rate_hz * WINDOW_MS // 1000
    starts = np.arange(0, len(samples), size)
    ends = np.minimum(starts + size, len(samples))
    sums = [
        np.add.reduceat(np.square(block, dtype=np.float64), np.arange(0, len(block), size))
        for block in (samples[begin : begin + size * BLOCK] for begin in range(0, len(samples), size * BLOCK))
    ]
    values = np.sqrt(np.concatenate(sums) / (ends - starts))
    loudest = values.max()
    values = values / loudest if loudest >= SILENCE else np.zeros_like(values)
    return Energy((starts + ends) / 2 / rate_hz, values)
