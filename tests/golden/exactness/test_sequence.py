"""SEQUENCE: the frames of one clip after the other, each with its own sound."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from tests.golden.exactness.films import Film, assert_in_sync, assert_pictures, assert_sound, silence
from tests.unit.media.counted import RATE_HZ, heard, lag, timed, write_counted
from tests.unit.steps.running import run_step


def parts(folder: Path, film: Film, *bounds: tuple[int, int]) -> list[Path]:
    """Cut parts out of a film, by their frames, without loss."""
    return [
        run_step(
            folder / f"{first}-{last}",
            "SEGMENT",
            {"start": float(first / film.rate), "end": float(last / film.rate)},
            film.path,
            deliver=False,
        )
        for first, last in bounds
    ]


def test_parts_in_another_order(tmp_path: Path, film: Film, deliver: bool) -> None:
    third = film.frames // 3
    bounds = [(2 * third, film.frames), (0, third), (third, third + 1), (third + 1, 2 * third)]
    clips = parts(tmp_path, film, *bounds)
    output = run_step(tmp_path / "out", "SEQUENCE", {}, *clips, deliver=deliver)
    assert_pictures(output, film.rate, [n for bound in bounds for n in range(*bound)])
    # places are counted from the beginning of the whole: no clip's rounding adds to the next
    pieces, frames, samples = [], 0, 0
    for first, last in bounds:
        frames += last - first
        length = film.at(frames) - samples
        own = film.heard(first, last)
        pieces.append(np.concatenate([own, silence(1)])[:length])
        samples += length
    assert_sound(output, film.rate_hz, np.concatenate(pieces), deliver)
    shown = [(0, 2 * third / film.rate), (film.frames - 2 * third + 2, 2 / film.rate)]
    assert_in_sync(output, shown, film.rate, deliver)


def test_a_silent_clip_between(tmp_path: Path, film: Film, deliver: bool) -> None:
    quiet = write_counted(tmp_path / "quiet.mp4", 11, film.rate, first=100)
    output = run_step(tmp_path / "out", "SEQUENCE", {}, film.path, quiet, film.path, deliver=deliver)
    numbers = [*range(film.frames), *range(100, 111), *range(film.frames)]
    assert_pictures(output, film.rate, numbers)
    pause = film.at(film.frames + 11) - film.at(film.frames)
    end = film.at(2 * film.frames + 11) - film.at(film.frames + 11)
    again = np.concatenate([film.sound, silence(1)])[:end]
    assert_sound(output, film.rate_hz, np.concatenate([film.sound, silence(pause), again]), deliver)
    assert_in_sync(output, [(3, 3 / film.rate), (film.frames + 14, 3 / film.rate)], film.rate, deliver)


def test_a_clip_of_another_rate_keeps_its_times(tmp_path: Path, film: Film, deliver: bool) -> None:
    other = write_counted(tmp_path / "other.mov", 50, 50, first=60, sound=timed(RATE_HZ))
    output = run_step(tmp_path / "out", "SEQUENCE", {}, film.path, other, deliver=deliver)
    shown = [(film.frames + n, n / film.rate) for n in (1, int(film.rate) // 2)]
    assert_in_sync(output, shown, film.rate, deliver)


@pytest.mark.parametrize("rates", [(44_100, 48_000), (48_000, 44_100), (48_000, 22_050)])
def test_another_sample_rate_keeps_its_times(tmp_path: Path, rates: tuple[int, int], deliver: bool) -> None:
    one, other = (
        write_counted(tmp_path / f"{n}.mov", 50, 25, first=100 * n, sound=timed(2 * hz, hz), rate_hz=hz)
        for n, hz in enumerate(rates)
    )
    output = run_step(tmp_path / "out", "SEQUENCE", {}, one, other, one, deliver=deliver)
    assert_pictures(output, Fraction(25), [*range(50), *range(100, 150), *range(50)])
    for start in (0, 50, 100):
        shown = [(start + n, Fraction(n, 25)) for n in (1, 25, 47)]
        assert_in_sync(output, shown, Fraction(25), deliver)


def test_many_short_clips_do_not_drift(tmp_path: Path, film: Film, deliver: bool) -> None:
    clips = parts(tmp_path, film, *((n, n + 5) for n in range(0, 20, 5)))
    output = run_step(tmp_path / "out", "SEQUENCE", {}, *(clips * 6), deliver=deliver)
    assert_pictures(output, film.rate, [*range(20)] * 6)
    sound = heard(output)
    assert 0 <= sound.samples.shape[1] - film.at(120) < (1024 if deliver else 1)
    late = lag(sound, float(110 / film.rate), float(10 / film.rate), window=512)
    assert abs(late) <= (1 if film.rate_hz % film.rate == 0 else 1.5)  # each cut is at the sample next to its frame
