"""The tempo at which motion swells."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from artdag_common.errors import AnalysisError
from artdag_common.media.motion_tempo import find_motion_tempo
from artdag_common.media.scenes import look
from tests.unit.analysis.pictures import scene, write_pictures


def swells(bpm: float, seconds: float, rate: Fraction) -> list[float]:
    """Changes that are great just after each beat, with noise."""
    at = np.arange(int(seconds * rate)) / float(rate)
    noise = np.random.default_rng(1).normal(0, 0.3, len(at))
    return list(np.maximum(0, 6 * np.exp(-((at * bpm / 60) % 1) * 6) + 1 + noise))


@pytest.mark.parametrize("bpm", [72, 96, 128, 150])
@pytest.mark.parametrize("rate", [Fraction(25), Fraction(30_000, 1001), Fraction(60)])
def test_regular_motion_has_its_tempo(bpm: float, rate: Fraction) -> None:
    assert find_motion_tempo(swells(bpm, 12, rate), rate) == pytest.approx(bpm, rel=0.01)


def test_a_cut_does_not_outweigh_the_motion() -> None:
    changes = swells(96, 12, Fraction(25))
    changes[130] = changes[131] = 200.0
    assert find_motion_tempo(changes, Fraction(25)) == pytest.approx(96, rel=0.01)


def test_a_swing_moves_twice(tmp_path: Path) -> None:
    """One swing to and fro a second: 120 a minute."""
    picture = scene(5, 1)[0]
    film = [np.roll(picture, round(20 * np.sin(2 * np.pi * index / 25)), axis=1) for index in range(200)]
    seen = look(write_pictures(tmp_path / "swing.mp4", film), lambda done, total: None)
    assert find_motion_tempo(seen.changes, seen.rate) == pytest.approx(120, rel=0.01)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        pytest.param([0.0] * 200, "nothing moves", id="still"),
        pytest.param([0.0, *[5.0] * 50], r"at least 4 s of video; there are 2\.04 s", id="short"),
        pytest.param(list(np.random.default_rng(2).uniform(0, 9, 500)), "repeats at no tempo", id="noise"),
        pytest.param([0.0, *[5.0] * 499], "repeats at no tempo", id="a steady pan"),
    ],
)
def test_what_has_no_tempo_is_refused(changes: list[float], reason: str) -> None:
    with pytest.raises(AnalysisError, match=reason):
        find_motion_tempo(changes, Fraction(25))
