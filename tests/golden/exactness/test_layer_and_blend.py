"""LAYER and BLEND: frame n of one upon frame n of the other, with the sound of the first."""

from __future__ import annotations

from pathlib import Path

from tests.golden.exactness.films import Film, assert_in_sync, assert_pictures, assert_sound
from tests.unit.media.counted import write_counted
from tests.unit.steps.running import run_step


def test_an_overlay_shows_its_own_frames_until_it_ends(tmp_path: Path, film: Film, deliver: bool) -> None:
    other = write_counted(tmp_path / "other.mp4", 15, film.rate, first=120)
    output = run_step(tmp_path / "out", "LAYER", {}, film.path, other, deliver=deliver)
    assert_pictures(output, film.rate, [*range(120, 135), *range(15, film.frames)])
    assert_sound(output, film.rate_hz, film.sound, deliver)
    assert_in_sync(output, [(20, 20 / film.rate)], film.rate, deliver)


def test_an_overlay_beside_leaves_the_frames_below(tmp_path: Path, film: Film, deliver: bool) -> None:
    other = write_counted(tmp_path / "other.mp4", film.frames, film.rate, first=120)
    config = {"inputs": [{}, {"position": [0, 0], "scale": 0.25}]}  # a number is read in the middle
    output = run_step(tmp_path / "out", "LAYER", config, film.path, other, deliver=deliver)
    assert_pictures(output, film.rate, range(film.frames))


def test_the_lighter_of_two_has_the_bits_of_both(tmp_path: Path, film: Film, deliver: bool) -> None:
    other = write_counted(tmp_path / "other.mp4", film.frames, film.rate, first=100)
    config = {"mode": "lighten", "opacity": 1}
    output = run_step(tmp_path / "out", "BLEND", config, film.path, other, deliver=deliver)
    assert_pictures(output, film.rate, [n | (100 + n) for n in range(film.frames)])
    assert_sound(output, film.rate_hz, film.sound, deliver)
    assert_in_sync(output, [(20, 20 / film.rate)], film.rate, deliver)


def test_the_difference_with_itself_delayed_has_the_bits_that_differ(tmp_path: Path, film: Film) -> None:
    other = write_counted(tmp_path / "other.mp4", 10, film.rate, first=100)
    config = {"mode": "difference", "opacity": 1}
    output = run_step(tmp_path / "out", "BLEND", config, film.path, other, deliver=False)
    assert_pictures(output, film.rate, [*(n ^ (100 + n) for n in range(10)), *range(10, film.frames)])
