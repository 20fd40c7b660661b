"""TRANSFORM: every frame at its place; at another speed the frames that its docstring names."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from tests.golden.exactness.films import Film, assert_in_sync, assert_pictures, assert_sound, sample
from tests.unit.media.counted import RATE_HZ, clicks, heard, write_counted
from tests.unit.steps.running import run_step


def test_adjusted_pictures_stay_where_they_are(tmp_path: Path, film: Film, deliver: bool) -> None:
    config = {"effects": {"contrast": 0.8, "hue": 30, "blur": 2}}
    output = run_step(tmp_path / "out", "TRANSFORM", config, film.path, deliver=deliver)
    assert_pictures(output, film.rate, range(film.frames))
    assert_sound(output, film.rate_hz, film.sound, deliver)
    assert_in_sync(output, [(0, 0 / film.rate), (20, 20 / film.rate)], film.rate, deliver)


@pytest.mark.parametrize("speed", ["0.5", "1.3"])
def test_another_speed(tmp_path: Path, film: Film, deliver: bool, speed: str) -> None:
    config = {"effects": {"speed": float(speed)}}
    output = run_step(tmp_path / "out", "TRANSFORM", config, film.path, deliver=deliver)
    length = max(1, sample(film.frames / Fraction(speed), Fraction(1)))
    assert_pictures(output, film.rate, [int(j * Fraction(speed)) for j in range(length)])
    sound = heard(output)
    assert sound.start == 0
    assert 0 <= sound.samples.shape[1] - sample(length / film.rate, film.rate_hz) < (1024 if deliver else 1)


@pytest.mark.parametrize("speed", ["0.5", "2", "0.8"])
def test_sound_at_another_speed_stays_with_its_pictures(tmp_path: Path, speed: str) -> None:
    """A click is heard where its frame is seen, but for the little that keeping the pitch takes."""
    path = write_counted(tmp_path / "click.mov", 90, 30, sound=clicks(3 * RATE_HZ, range(72_000, 72_040)))
    output = run_step(tmp_path / "out", "TRANSFORM", {"effects": {"speed": float(speed)}}, path, deliver=False)
    sound = heard(output)
    at = int(np.argmax(np.abs(sound.samples[0]))) / RATE_HZ
    assert abs(at - 1.5 / float(speed)) < 0.05
