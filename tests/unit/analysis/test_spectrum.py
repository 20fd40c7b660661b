"""Loudness of bass, middle and treble."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest

from artdag_common.media.energy import energy
from artdag_common.media.spectrum import RATE_HZ, spectrum


def tone(hz: float, seconds: float, gain: float = 0.5) -> np.ndarray:
    return (gain * np.sin(2 * np.pi * hz * np.arange(round(seconds * RATE_HZ)) / RATE_HZ)).astype(np.float32)


def pieces(track: np.ndarray, size: int) -> Iterator[np.ndarray]:
    return (track[begin : begin + size] for begin in range(0, len(track), size))


@pytest.mark.parametrize(("hz", "band"), [(60, "bass"), (180, "bass"), (440, "mid"), (1_800, "mid"), (6_000, "high")])
def test_a_tone_is_in_its_band_and_while_it_sounds(hz: float, band: str) -> None:
    quiet = np.zeros(RATE_HZ, np.float32)
    found = spectrum([np.concatenate([quiet, tone(hz, 1), quiet])])
    during = (found.times > 1.1) & (found.times < 1.9)
    before = found.times < 0.9
    assert found.bands[band][during].min() > 0.98
    assert found.bands[band][before].max() < 0.001


def test_halves_are_halves() -> None:
    found = spectrum([np.concatenate([tone(440, 1), tone(440, 1, 0.25)])])
    assert found.bands["mid"][30] == pytest.approx(0.5, abs=0.01)


def test_times_are_those_of_energy() -> None:
    track = tone(440, 1.23)
    found = spectrum([track])
    np.testing.assert_array_equal(found.times, energy(track, RATE_HZ).times)
    assert all(len(values) == len(found.times) == 25 for values in found.bands.values())


@pytest.mark.parametrize("size", [1_000, 44_100, 700_000])
def test_how_the_sound_is_cut_into_blocks_does_not_matter(size: int) -> None:
    track = np.random.default_rng(8).standard_normal(15 * RATE_HZ).astype(np.float32) * np.float32(0.1)
    whole, cut = spectrum([track]), spectrum(pieces(track, size))
    np.testing.assert_array_equal(whole.times, cut.times)
    for band in whole.bands:
        np.testing.assert_allclose(whole.bands[band], cut.bands[band], atol=1e-9)


@pytest.mark.parametrize("samples", [1, 2_204, 2_206])
def test_very_short_sounds_have_a_spectrum(samples: int) -> None:
    found = spectrum([tone(440, 1)[:samples] + np.float32(0.1)])
    assert len(found.times) == -(-samples // 2_205)


def test_silence_stays_silent() -> None:
    found = spectrum([np.zeros(RATE_HZ, np.float32)])
    assert not any(values.any() for values in found.bands.values())
