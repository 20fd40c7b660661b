"""SEGMENT: the frames from the one next to its beginning to the one next to its end, and the samples of their times."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import pytest

from tests.golden.exactness.films import Film, assert_in_sync, assert_pictures, assert_sound, sample
from tests.unit.media.counted import timed, write_counted, write_wav
from tests.unit.steps.running import run_step


@pytest.mark.parametrize(("offset", "duration"), [("0", None), ("0.333", "0.9"), ("1.2345", "9")])
def test_a_part(tmp_path: Path, film: Film, deliver: bool, offset: str, duration: str | None) -> None:
    config = {"offset": float(offset)} | ({"duration": float(duration)} if duration else {})
    output = run_step(tmp_path / "out", "SEGMENT", config, film.path, deliver=deliver)
    first = sample(Fraction(offset), film.rate)
    last = min(film.frames, sample(Fraction(offset) + Fraction(duration), film.rate) if duration else film.frames)
    assert_pictures(output, film.rate, range(first, last))
    assert_sound(output, film.rate_hz, film.heard(first, last), deliver)
    assert_in_sync(output, [(0, first / film.rate), (3, (first + 3) / film.rate)], film.rate, deliver)


@pytest.mark.parametrize("rate_hz", [44_100, 48_000])
def test_sound_alone(tmp_path: Path, rate_hz: int, deliver: bool) -> None:
    music = timed(rate_hz, rate_hz)
    path = write_wav(tmp_path / "music.wav", music, rate_hz)
    output = run_step(tmp_path / "out", "SEGMENT", {"start": 0.1234, "end": 0.87654}, path, deliver=deliver)
    first, last = (sample(Fraction(time), rate_hz) for time in ("0.1234", "0.87654"))
    assert_sound(output, rate_hz, music[0, first:last], deliver)


@pytest.mark.parametrize(("name", "sound_codec"), [("a.mov", "pcm_s16le"), ("a.mp4", "aac"), ("a.mkv", "flac")])
@pytest.mark.parametrize("rate_hz", [44_100, 48_000])
def test_far_into_a_long_film(tmp_path: Path, name: str, sound_codec: str, rate_hz: int, deliver: bool) -> None:
    """Far enough that sound and pictures are sought, not read up to."""
    rate, sound = Fraction(30_000, 1001), timed(8 * rate_hz, rate_hz)
    path = write_counted(tmp_path / name, 239, rate, sound=sound, sound_codec=sound_codec, rate_hz=rate_hz)
    output = run_step(tmp_path / "out", "SEGMENT", {"start": 6.2, "end": 7.4}, path, deliver=deliver)
    first, last = sample(Fraction("6.2"), rate), sample(Fraction("7.4"), rate)
    assert_pictures(output, rate, range(first, last))
    lossy = deliver or sound_codec == "aac"
    assert_in_sync(output, [(0, first / rate), (25, (first + 25) / rate)], rate, lossy)
