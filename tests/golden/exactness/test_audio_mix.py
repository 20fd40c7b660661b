"""AUDIO_MIX: sample n of each, added."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.golden.exactness.films import Film, assert_sound
from tests.unit.media.counted import heard, lag, timed, write_wav
from tests.unit.steps.running import run_step


def test_samples_are_added_where_they_are(tmp_path: Path, film: Film, deliver: bool) -> None:
    samples = timed(film.rate_hz, film.rate_hz, start=5)
    other = write_wav(tmp_path / "other.wav", samples, film.rate_hz)
    config = {"gains": [0.5, 0.25]}
    output = run_step(tmp_path / "out", "AUDIO_MIX", config, film.path, other, deliver=deliver)
    expected = film.sound * 0.5
    expected[: samples.shape[1]] += samples[0] * 0.25
    if deliver:
        assert_sound(output, film.rate_hz, np.round(expected).astype(np.int16), deliver)
    else:
        assert np.abs(heard(output).samples[0] * 32_768 - expected).max() < 0.01


@pytest.mark.parametrize("turned", [False, True])
def test_gains_are_made_smaller_together(tmp_path: Path, film: Film, turned: bool) -> None:
    quiet = write_wav(tmp_path / "quiet.wav", np.zeros((1, 100), np.int16), film.rate_hz)
    inputs, gains = ((quiet, film.path), (1, 3)) if turned else ((film.path, quiet), (3, 1))
    output = run_step(tmp_path / "out", "AUDIO_MIX", {"gains": gains}, *inputs, deliver=False)
    assert np.abs(heard(output).samples[0] * 32_768 - film.sound * 0.75).max() < 0.01


@pytest.mark.parametrize("rates", [(48_000, 44_100), (44_100, 48_000)])
def test_another_sample_rate_keeps_its_times(tmp_path: Path, rates: tuple[int, int], deliver: bool) -> None:
    one = write_wav(tmp_path / "one.wav", np.zeros((1, rates[0] // 2), np.int16), rates[0])
    other = write_wav(tmp_path / "other.wav", timed(2 * rates[1], rates[1]), rates[1])
    output = run_step(tmp_path / "out", "AUDIO_MIX", {}, one, other, deliver=deliver)
    sound = heard(output)
    assert sound.rate_hz == rates[0]
    for at in (0.1, 1.0, 1.8):
        assert abs(lag(sound, at, at)) <= (1 if deliver else 0.5)
