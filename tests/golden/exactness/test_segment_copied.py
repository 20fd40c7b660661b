"""SEGMENT, not precise: stored pictures from a key frame on, and the samples of just these."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import pytest

from tests.golden.exactness.films import Film, assert_in_sync, assert_pictures, assert_sound, sample
from tests.unit.media.counted import numbers_of
from tests.unit.steps.running import run_step

GOP = 7


@pytest.mark.parametrize(("offset", "duration"), [("0", None), ("0.5", "0.4"), ("0.81", "0.3")])
def test_pictures_are_copied_from_the_key_frame_before(
    tmp_path: Path, film: Film, deliver: bool, offset: str, duration: str | None
) -> None:
    config = {"precise": False, "offset": float(offset)} | ({"duration": float(duration)} if duration else {})
    output = run_step(tmp_path / "out", "SEGMENT", config, film.path, deliver=deliver)
    numbers = numbers_of(output)
    wanted = sample(Fraction(offset), film.rate)
    assert numbers == list(range(numbers[0], numbers[-1] + 1))
    assert wanted - GOP <= numbers[0] <= wanted
    end = film.frames if duration is None else sample(Fraction(offset) + Fraction(duration), film.rate)
    assert end - 1 <= numbers[-1] <= min(film.frames - 1, end + 3)
    assert_pictures(output, film.rate, numbers)
    assert_in_sync(output, [(2, (numbers[0] + 2) / film.rate)], film.rate, deliver)
    samples = sample(len(numbers) / film.rate, film.rate_hz)
    assert_sound(output, film.rate_hz, film.sound[film.at(numbers[0]) :][:samples], deliver)
