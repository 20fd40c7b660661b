"""Bars are found where they begin."""

from __future__ import annotations

import numpy as np
import pytest

from artdag_common.media.beats import RATE_HZ
from artdag_common.media.downbeats import find_bars
from tests.unit.analysis.music import clicks, f_measure

SECONDS = 24


def waltz_or_march(beats: np.ndarray, meter: int, first: int) -> np.ndarray:
    """Bass drum and a new chord at the beginning of each bar, a tick on each other beat."""
    starts = beats[first::meter]
    track = clicks(np.setdiff1d(beats, starts), SECONDS, RATE_HZ) * np.float32(0.4)
    x = np.arange(len(track)) / RATE_HZ
    for bar, begin in enumerate(starts):
        at = x - begin
        kick = np.where(at >= 0, np.exp(-np.maximum(at, 0) * 22), 0) * np.sin(2 * np.pi * 60 * at)
        inside = (at >= 0) & (at < meter * 0.5)
        chord = np.sin(2 * np.pi * (220, 294, 330, 247)[bar % 4] * x) * inside
        track += (0.5 * kick + 0.15 * chord).astype(np.float32)
    return track


@pytest.mark.parametrize("meter", [3, 4])
@pytest.mark.parametrize("first", [0, 2])
def test_bars_of_three_and_four(meter: int, first: int) -> None:
    beats = np.arange(0.5, SECONDS - 0.3, 0.5)
    bars = find_bars(waltz_or_march(beats, meter, first), beats)
    assert bars.beats_per_bar == meter
    np.testing.assert_array_equal(bars.downbeat_times[1:-1], beats[first::meter][-len(bars.downbeat_times) + 1 : -1])
    assert f_measure(beats[first::meter], bars.downbeat_times) >= 0.95


def test_a_beat_too_many_does_not_put_later_bars_wrong() -> None:
    beats = np.arange(0.5, SECONDS - 0.3, 0.5)
    track = waltz_or_march(beats, 4, 0)
    bars = find_bars(track, np.insert(beats, 21, (beats[20] + beats[21]) / 2))
    assert f_measure(beats[::4], bars.downbeat_times) >= 0.9


def test_where_every_beat_is_like_the_next_there_are_four() -> None:
    beats = np.arange(0.5, SECONDS - 0.3, 0.5)
    bars = find_bars(clicks(beats, SECONDS, RATE_HZ), beats)
    assert bars.beats_per_bar == 4
    assert len(bars.downbeat_times) == pytest.approx(len(beats) / 4, abs=2)


@pytest.mark.parametrize("count", [1, 2, 5])
def test_a_few_beats_have_a_bar_too(count: int) -> None:
    beats = np.arange(count) * 0.5
    bars = find_bars(clicks(beats, 3, RATE_HZ), beats)
    assert bars.beats_per_bar == 4
    assert 1 <= len(bars.downbeat_times) <= 2
