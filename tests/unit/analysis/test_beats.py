"""Beats are found where they were put."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from artdag_common.errors import AnalysisError
from artdag_common.media.beats import RATE_HZ, find_beats, follow_pulse
from tests.unit.analysis.music import beats_at, clicks, drums, f_measure, median_offset

SECONDS = 30.0


@pytest.mark.parametrize("track", [clicks, drums])
@pytest.mark.parametrize("bpm", [87, 100, 120, 174])
def test_steady_beats(track: Callable[..., np.ndarray], bpm: int) -> None:
    truth = beats_at(lambda t: bpm, SECONDS)
    found = find_beats(track(truth, SECONDS, RATE_HZ))
    assert f_measure(truth, found.times) >= 0.95
    assert abs(median_offset(truth, found.times)) <= 0.010
    assert found.tempo == pytest.approx(bpm, rel=0.01)


@pytest.mark.parametrize(
    "tempo",
    [
        pytest.param(lambda t: 95 + t, id="ramp up"),
        pytest.param(lambda t: 150 - t, id="ramp down"),
        pytest.param(lambda t: 100 if t < SECONDS / 2 else 140, id="step"),
    ],
)
def test_beats_follow_a_change_of_tempo(tempo: Callable[[float], float]) -> None:
    truth = beats_at(tempo, SECONDS)
    found = find_beats(drums(truth, SECONDS, RATE_HZ))
    assert f_measure(truth, found.times) >= 0.95
    assert abs(median_offset(truth, found.times)) <= 0.010


def test_beats_go_on_through_a_pause() -> None:
    truth = beats_at(lambda t: 120, SECONDS)
    track = drums(truth, SECONDS, RATE_HZ)
    at = np.arange(len(track)) / RATE_HZ
    track *= np.interp(at, [12.3, 12.4, 16.485, 16.495], [1, 0, 0, 1]).astype(np.float32)
    assert f_measure(truth, find_beats(track).times) >= 0.95


def test_no_beats_before_the_music_begins_or_after_it_ends() -> None:
    truth = beats_at(lambda t: 120, SECONDS)
    quiet = np.zeros(10 * RATE_HZ, np.float32)
    found = find_beats(np.concatenate([quiet, drums(truth, SECONDS, RATE_HZ), quiet]))
    assert f_measure(truth + 10, found.times) >= 0.95
    assert found.times[0] > 9.5
    assert found.times[-1] < 10 + SECONDS + 0.5


def test_the_level_does_not_matter() -> None:
    track = drums(beats_at(lambda t: 120, 10), 10, RATE_HZ)
    loud, quiet = find_beats(track), find_beats(track * np.float32(1 / 128))
    np.testing.assert_allclose(loud.times, quiet.times, atol=1e-4)


def test_confidence_tells_drums_from_noise() -> None:
    noise = np.random.default_rng(3).standard_normal(20 * RATE_HZ).astype(np.float32) * np.float32(0.1)
    beat = find_beats(drums(beats_at(lambda t: 120, 20), 20, RATE_HZ))
    assert 0 <= find_beats(noise).confidence < 0.6 < beat.confidence <= 1


@pytest.mark.parametrize("seconds", [2.0, 2.5, 3.3])
def test_a_few_seconds_suffice(seconds: float) -> None:
    truth = beats_at(lambda t: 150, seconds)
    assert f_measure(truth, find_beats(clicks(truth, seconds, RATE_HZ)).times) >= 0.95


@pytest.mark.parametrize("bpm", [87, 120, 174])
def test_a_beat_may_be_at_time_0(bpm: int) -> None:
    truth = np.arange(0, 9.8, 60 / bpm)
    found = find_beats(clicks(truth, 10, RATE_HZ)).times
    assert f_measure(truth, found) >= 0.95
    assert found[0] <= 0.03


def test_times_ascend_and_lie_inside_the_track() -> None:
    noise = np.random.default_rng(4).standard_normal(7 * RATE_HZ + 123).astype(np.float32)
    times = find_beats(noise).times
    assert (np.diff(times) > 0).all()
    assert times[0] >= 0
    assert times[-1] <= len(noise) / RATE_HZ


@pytest.mark.parametrize(
    ("samples", "reason"),
    [
        pytest.param(np.zeros(10 * RATE_HZ, np.float32), "silent", id="silence"),
        pytest.param(np.full(10 * RATE_HZ, 0.0005, np.float32), "silent", id="below -60 dB"),
        pytest.param(clicks(np.array([0.5, 1.0, 1.5]), 1.9, RATE_HZ), r"at least 2 s .* 1\.90 s", id="too short"),
        pytest.param(
            np.sin(2 * np.pi * 440 / RATE_HZ * np.arange(10 * RATE_HZ)).astype(np.float32),
            "no regular pulse",
            id="tone",
        ),
    ],
)
def test_what_has_no_beats_is_refused(samples: np.ndarray, reason: str) -> None:
    with pytest.raises(AnalysisError, match=reason):
        find_beats(samples)


def test_a_break_with_a_melody_of_its_own_does_not_lose_the_beat() -> None:
    """Ten seconds without drums, in which somebody sings at other times than beats."""
    truth = beats_at(lambda t: 120, 60)
    track = drums(truth, 60, RATE_HZ)
    track[25 * RATE_HZ : 35 * RATE_HZ] *= 0.02
    rng = np.random.default_rng(6)
    at = 25.1
    while at < 34.3:
        n = int(rng.uniform(0.15, 0.6) * RATE_HZ)
        note = np.sin(2 * np.pi * rng.uniform(400, 800) * np.arange(n) / RATE_HZ) * np.linspace(1, 0, n)
        note *= np.minimum(np.linspace(0, 8, n), 1)
        begin = int(at * RATE_HZ)
        track[begin : begin + n] += (0.25 * note).astype(np.float32)
        at += rng.uniform(0.2, 0.9)
    found = find_beats(track).times
    assert f_measure(truth, found) >= 0.97
    gap = (truth > 25) & (truth < 35)
    assert np.abs(found[:, None] - truth[gap]).min(0).max() <= 0.05


@pytest.mark.parametrize(("hint", "tempo"), [(None, 88), (90, 88), (170, 176), (46, 44)])
def test_a_hint_settles_the_octave(hint: float | None, tempo: float) -> None:
    """Clicks on beats and weaker ones between: each, every other, or both can be meant."""
    truth = beats_at(lambda t: 88, 24)
    track = clicks(truth, 24, RATE_HZ) + 0.5 * clicks(truth[:-1] + 30 / 88, 24, RATE_HZ)
    found = find_beats(track, hint)
    assert found.tempo == pytest.approx(tempo, rel=0.01)


def test_a_hint_need_not_be_exact_and_the_tempo_may_change() -> None:
    truth = beats_at(lambda t: 95 + t, SECONDS)
    found = find_beats(drums(truth, SECONDS, RATE_HZ), tempo_hint=100)
    assert f_measure(truth, found.times) >= 0.95


def test_off_beats_that_are_louder_than_beats() -> None:
    """Clicks on off-beats, fainter ones on beats, the first and the last of all."""
    beats = beats_at(lambda t: 100, 20)
    between = beats[:-1] + 0.3
    track = clicks(between, 20, RATE_HZ) + 0.4 * clicks(beats, 20, RATE_HZ)
    louder, meant = find_beats(track), find_beats(track, off_beat=True)
    assert f_measure(between, louder.times) >= 0.95
    assert f_measure(beats, meant.times) >= 0.95
    assert meant.times[[0, -1]] == pytest.approx(beats[[0, -1]], abs=0.03)
    assert (meant.tempo, meant.confidence) == (louder.tempo, louder.confidence)


def test_where_nothing_but_off_beats_sounds_beats_lie_between_them() -> None:
    between = beats_at(lambda t: 100, 20)
    louder, meant = (find_beats(clicks(between, 20, RATE_HZ), off_beat=off_beat).times for off_beat in (False, True))
    np.testing.assert_allclose(meant, (louder[:-1] + louder[1:]) / 2, atol=0.03)


def test_two_off_beats_have_too_few_beats_between() -> None:
    with pytest.raises(AnalysisError, match="off_beat: too little sound"):
        find_beats(clicks(np.array([0.5, 1.6]), 2.1, RATE_HZ), 55, off_beat=True)


def test_a_missing_beat_and_an_onset_between_do_not_mislead() -> None:
    """Onsets on a grid, one missing and one between: the path keeps to the grid, give or take a frame."""
    grid = np.arange(20, 400, 50)
    strength = np.zeros(400)
    strength[grid] = 1
    strength[220] = 0
    strength[245] = 0.5
    np.testing.assert_allclose(follow_pulse(strength), grid, atol=1)
