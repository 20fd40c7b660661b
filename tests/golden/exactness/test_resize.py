"""RESIZE: every frame and every sample stay at their place."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest

from tests.golden.exactness.films import Film, assert_in_sync, assert_pictures, assert_sound
from tests.unit.media.counted import timed, write_counted
from tests.unit.steps.running import run_step


@pytest.mark.parametrize("config", [{"width": 64, "height": 36}, {"width": 200, "height": 120, "mode": "stretch"}])
def test_another_size(tmp_path: Path, film: Film, deliver: bool, config: dict[str, Any]) -> None:
    output = run_step(tmp_path / "out", "RESIZE", config, film.path, deliver=deliver)
    assert_pictures(output, film.rate, range(film.frames))
    assert_sound(output, film.rate_hz, film.sound, deliver)
    assert_in_sync(output, [(0, 0 / film.rate), (30, 30 / film.rate)], film.rate, deliver)


@pytest.mark.parametrize("rate_hz", [44_100, 48_000])
def test_sound_that_is_copied_or_decoded_stays_in_sync(tmp_path: Path, rate_hz: int, deliver: bool) -> None:
    """AAC, whose first block is put in front by its encoder, generation after generation."""
    rate, sound = Fraction(25), timed(2 * rate_hz, rate_hz)
    path = write_counted(tmp_path / "a.mp4", 50, rate, sound=sound, sound_codec="aac", rate_hz=rate_hz)
    for turn in range(4):
        path = run_step(tmp_path / str(turn), "RESIZE", {"width": 96, "height": 54}, path, deliver=deliver)
        assert_pictures(path, rate, range(50))
        assert_in_sync(path, [(0, Fraction(0)), (40, 40 / rate)], rate, deliver=True)
