"""How often a minute the motion of a video swells: steps of a dancer, swings of a pendulum, cuts on a beat."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

from artdag_common.errors import AnalysisError

Floats = NDArray[np.float64]

MIN_SECONDS = 4
SLOWEST_BPM, FASTEST_BPM = 40, 240

_RATE_HZ = 60  # changes a second that the tempo is looked for in, whatever the video's rate
_STEP_BPM = 0.25
_PERIODS = 4  # periods over which the motion has to repeat
_USUAL_BPM = 110
_UNUSUAL = 0.15  # cost of a tempo an octave from the usual one
_TREND_SECONDS = 3
_OUTLIER = 3.0  # times the 90th percentile: greater changes, as at a cut, count as much as this
_LEAST_CHANGE = 0.05  # of 255: less is a still picture
_LEAST_REPEAT = 0.25  # correlation of the motion with itself, a period later


def find_motion_tempo(changes: Sequence[float], rate: Fraction) -> float:
    """Find the tempo at which a video's motion repeats.

    The autocorrelation of the change between frames, averaged over one to four periods of each tempo in question; the
    tempo with the highest average, less a cost for unusual ones, is taken.

    Args:
        changes: mean change of each frame from the one before, 0 to 255; the first is 0.
        rate: frames a second.

    Returns:
        Beats per minute, 40 to 240. A swing to and fro moves twice: it counts as two.

    Raises:
        AnalysisError: fewer than :data:`MIN_SECONDS` of video, nothing moves, or nothing in it repeats.
    """
    seconds = float(len(changes) / rate)
    if seconds < MIN_SECONDS:
        raise AnalysisError(f"the tempo of motion needs at least {MIN_SECONDS} s of video; there are {seconds:.2f} s")
    motion = np.asarray(changes[1:], np.float64)
    greatest = _OUTLIER * float(np.percentile(motion, 90))
    if float(motion.max()) < _LEAST_CHANGE:
        raise AnalysisError("nothing moves in the video: its motion has no tempo")
    motion = np.minimum(motion, greatest) if greatest > 0 else motion
    at = np.arange(0, len(motion) / float(rate), 1 / _RATE_HZ)
    even = np.interp(at, np.arange(len(motion)) / float(rate), motion)
    likeness = _autocorrelation(even - _trend(even))
    tempos = np.arange(SLOWEST_BPM, FASTEST_BPM + _STEP_BPM, _STEP_BPM)
    lags = 60 * _RATE_HZ / tempos
    repeats = np.zeros(len(tempos))
    counted = np.zeros(len(tempos))
    for period in range(1, _PERIODS + 1):
        inside = lags * period < len(likeness) - 1
        repeats += np.where(inside, np.interp(lags * period, np.arange(len(likeness)), likeness), 0.0)
        counted += inside
    repeats /= np.maximum(counted, 1)
    # of tempos that explain the motion alike, the slower ones are multiples of the period: the cost decides
    best = int((repeats - _UNUSUAL * np.log2(tempos / _USUAL_BPM) ** 2).argmax())
    if repeats[best] < _LEAST_REPEAT:
        raise AnalysisError("the motion of the video repeats at no tempo")
    return float(tempos[best])


def _trend(values: Floats) -> Floats:
    """Mean over three seconds around each value, fewer at the ends."""
    reach = _TREND_SECONDS * _RATE_HZ // 2
    total = np.concatenate([[0.0], np.cumsum(values)])
    index = np.arange(len(values))
    low, high = np.maximum(0, index - reach), np.minimum(len(values), index + reach + 1)
    trend: Floats = (total[high] - total[low]) / (high - low)
    return trend


def _autocorrelation(values: Floats) -> Floats:
    """Correlation of values with themselves, ``lag`` later, for lags up to half of their length; 1 at 0."""
    size = 1 << (2 * len(values)).bit_length()
    power = np.abs(np.fft.rfft(values, size)) ** 2
    sums = np.fft.irfft(power, size)[: len(values) // 2]
    means = sums / (len(values) - np.arange(len(sums)))
    correlation: Floats = means / means[0] if means[0] > 0 else means
    return correlation
