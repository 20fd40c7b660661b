"""Moments at which something begins to sound: notes, drums, words."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from artdag_common.errors import AnalysisError
from artdag_common.media.beats import FRAME_RATE_HZ, RATE_HZ, SILENCE, begun, onset_strength

MIN_GAP_SECONDS = 0.05
"""Onsets closer than this are one."""

_LEAST = 0.35  # strength of the weakest onset, where 1 is the strongest within 3 s; noise at -30 dB reaches 0.32
_ABOVE_MEAN = 0.1  # how far a peak has to stand out from what surrounds it
_MEAN_BEFORE, _MEAN_AFTER = 10, 7  # frames that surround it
_EDGE = 3  # frames at the end, where the sound breaks off: that is no onset
_PEAK_REACH = 3  # frames on either side that no peak may be topped in


def find_onsets(samples: NDArray[np.float32]) -> NDArray[np.float64]:
    """Find the onsets of a track.

    Peaks of the onset strength that top their neighbours and stand out from the mean around them, as in Böck, Krebs and
    Schedl, "Evaluating the online capabilities of onset detection methods", ISMIR 2012; each is moved to where its rise
    begins.

    Args:
        samples: shape (n,), mono, finite, -1 to 1, at :data:`artdag_common.media.beats.RATE_HZ`.

    Returns:
        Shape (onsets,), seconds, ascending, at least :data:`MIN_GAP_SECONDS` apart; empty if nothing begins.

    Raises:
        AnalysisError: silence.
    """
    if max(float(samples.max()), -float(samples.min())) < SILENCE:
        raise AnalysisError("the sound is silent: nothing begins in it")
    strength = onset_strength(samples)
    times: list[float] = []
    for peak in _peaks(strength):
        at = max(0.0, begun(strength, int(peak))) / FRAME_RATE_HZ
        if not times or at - times[-1] >= MIN_GAP_SECONDS:
            times.append(at)
    end = len(samples) / RATE_HZ
    return np.array([at for at in times if at < end])


def _peaks(strength: NDArray[np.float64]) -> NDArray[np.intp]:
    """Frames that are onsets' peaks, ascending."""
    windows = np.lib.stride_tricks.sliding_window_view
    top = windows(np.pad(strength, _PEAK_REACH), 2 * _PEAK_REACH + 1).max(1)
    around = np.pad(strength, (_MEAN_BEFORE, _MEAN_AFTER), mode="edge")
    mean = windows(around, _MEAN_BEFORE + _MEAN_AFTER + 1).mean(1)
    inside = np.arange(len(strength)) < len(strength) - _EDGE
    return np.flatnonzero(inside & (strength >= top) & (strength >= _LEAST) & (strength >= mean + _ABOVE_MEAN))
