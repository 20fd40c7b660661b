"""MUX: the frames of one, the samples of the other, both from their beginning."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.golden.exactness.films import Film, assert_in_sync, assert_pictures, assert_sound, sample
from tests.unit.media.counted import heard, lag, timed, write_counted, write_wav
from tests.unit.steps.running import run_step


def test_longer_music_ends_with_the_pictures(tmp_path: Path, film: Film, deliver: bool) -> None:
    music = write_wav(tmp_path / "music.wav", timed(3 * film.rate_hz, film.rate_hz), film.rate_hz)
    output = run_step(tmp_path / "out", "MUX", {}, film.path, music, deliver=deliver)
    assert_pictures(output, film.rate, range(film.frames))
    assert_sound(output, film.rate_hz, film.sound, deliver)
    assert_in_sync(output, [(0, 0 / film.rate), (20, 20 / film.rate)], film.rate, deliver)


def test_longer_pictures_end_with_the_music(tmp_path: Path, film: Film, deliver: bool) -> None:
    samples = timed(film.rate_hz, film.rate_hz)
    music = write_wav(tmp_path / "music.wav", samples, film.rate_hz)
    output = run_step(tmp_path / "out", "MUX", {}, film.path, music, deliver=deliver)
    assert_pictures(output, film.rate, range(sample(1, film.rate)))
    assert_sound(output, film.rate_hz, samples[0], deliver)


@pytest.mark.parametrize("rate_hz", [44_100, 48_000])
def test_copied_sound_stays_where_it_was(tmp_path: Path, film: Film, rate_hz: int) -> None:
    music = write_counted(
        tmp_path / "music.mp4", 60, sound=timed(2 * rate_hz, rate_hz), sound_codec="aac", rate_hz=rate_hz
    )
    output = run_step(tmp_path / "out", "MUX", {}, film.path, music)
    assert_pictures(output, film.rate, range(film.frames))
    assert_in_sync(output, [(0, 0 / film.rate), (20, 20 / film.rate)], film.rate, deliver=True)
    assert abs(lag(heard(output), 1.0, 1.0) - lag(heard(music), 1.0, 1.0)) < 1 / 8  # the very packets


def test_music_of_a_film_that_begins_late_begins_with_the_pictures(tmp_path: Path, film: Film, deliver: bool) -> None:
    late = write_counted(tmp_path / "late.ts", 60, sound=timed(96_000), sound_codec="ac3", codec="mpeg2video")
    begin = heard(late).start
    ahead = lag(heard(late), float(begin) + 0.5, 0.5) / 48_000  # what its encoder has put in front
    output = run_step(tmp_path / "out", "MUX", {}, film.path, late, deliver=deliver)
    assert abs(lag(heard(output), 0.5, 0.5 - ahead)) <= (1 if deliver else 0.5)


def test_a_film_with_its_own_sound_stays_as_it_is(tmp_path: Path, film: Film, deliver: bool) -> None:
    output = run_step(tmp_path / "out", "MUX", {}, film.path, film.path, deliver=deliver)
    assert_pictures(output, film.rate, range(film.frames))
    assert_sound(output, film.rate_hz, film.sound, deliver)


def test_pictures_that_go_on_after_the_music(tmp_path: Path, film: Film, deliver: bool) -> None:
    samples = timed(film.rate_hz, film.rate_hz)
    music = write_wav(tmp_path / "music.wav", samples, film.rate_hz)
    output = run_step(tmp_path / "out", "MUX", {"shortest": False}, film.path, music, deliver=deliver)
    assert_pictures(output, film.rate, range(film.frames))
    assert_sound(output, film.rate_hz, samples[0], deliver)
