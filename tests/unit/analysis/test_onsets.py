"""Onsets are found where something begins, and nowhere else."""

from __future__ import annotations

import numpy as np
import pytest

from artdag_common.errors import AnalysisError
from artdag_common.media.beats import RATE_HZ
from artdag_common.media.onsets import MIN_GAP_SECONDS, find_onsets
from tests.unit.analysis.music import clicks, f_measure, median_offset

IRREGULAR = np.array([0.4, 0.71, 1.3, 1.45, 2.2, 2.31, 3.05, 3.9, 4.0, 4.62, 5.5])


def test_each_click_is_found_once() -> None:
    found = find_onsets(clicks(IRREGULAR, 6, RATE_HZ))
    assert len(found) == len(IRREGULAR)
    np.testing.assert_allclose(found, IRREGULAR, atol=0.015)


def test_notes_that_follow_each_other_without_a_gap_begin_too() -> None:
    x = np.arange(6 * RATE_HZ) / RATE_HZ
    hz = np.array([0, *IRREGULAR])
    pitches = np.array([262, 330, 392, 523, 440, 349, 294, 494, 311, 370, 466, 277])
    tone = 0.4 * np.sin(2 * np.pi * np.cumsum(pitches[np.searchsorted(hz, x, "right") - 1]) / RATE_HZ)
    found = find_onsets(tone.astype(np.float32))
    assert f_measure(IRREGULAR, found, 0.05) >= 0.9
    assert abs(median_offset(IRREGULAR, found)) <= 0.015


def test_onsets_ascend_keep_their_distance_and_lie_inside() -> None:
    noise = np.random.default_rng(9).standard_normal(5 * RATE_HZ + 77).astype(np.float32)
    found = find_onsets(noise)
    assert (np.diff(found) >= MIN_GAP_SECONDS).all()
    assert ((found >= 0) & (found < len(noise) / RATE_HZ)).all()


def test_a_tone_begins_once() -> None:
    tone = 0.5 * np.sin(2 * np.pi * 440 * np.arange(5 * RATE_HZ) / RATE_HZ)
    np.testing.assert_allclose(find_onsets(tone.astype(np.float32)), [0], atol=0.015)


def test_silence_is_refused() -> None:
    with pytest.raises(AnalysisError, match="silent"):
        find_onsets(np.zeros(3 * RATE_HZ, np.float32))
