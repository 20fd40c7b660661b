"""Loudness over time."""

from __future__ import annotations

import numpy as np

from artdag_common.media.energy import energy

RATE_HZ = 22_000


def test_the_loudest_window_is_one_and_the_others_are_in_proportion() -> None:
    track = np.repeat(np.array([0.1, 0.4, 0.2, 0.0], np.float32), RATE_HZ // 20)
    found = energy(track, RATE_HZ)
    np.testing.assert_allclose(found.values, [0.25, 1, 0.5, 0], atol=1e-6)
    np.testing.assert_allclose(found.times, [0.025, 0.075, 0.125, 0.175])


def test_the_last_window_may_be_shorter() -> None:
    found = energy(np.full(1100 + 550, 0.5, np.float32), RATE_HZ)
    np.testing.assert_allclose(found.values, [1, 1])
    np.testing.assert_allclose(found.times, [0.025, 0.0625])


def test_silence_stays_silent() -> None:
    hiss = np.random.default_rng(5).standard_normal(RATE_HZ).astype(np.float32) * np.float32(1e-5)
    assert not energy(hiss, RATE_HZ).values.any()
