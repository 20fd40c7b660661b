"""BEAT_SYNC: the frame that its docstring names at every place, and the music from its first sample to its last."""

from __future__ import annotations

import itertools
import json
from bisect import bisect_right
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest

from tests.golden.exactness.films import Film, assert_in_sync, assert_pictures, assert_sound, sample
from tests.unit.media.counted import numbers_of, timed, write_wav
from tests.unit.steps.running import run_step

SECONDS = Fraction("2.345")
BEATS = ["0.137", "0.548", "0.959", "1.37", "1.371", "1.781", "2.192", "2.9"]


@pytest.fixture
def music(tmp_path: Path, film: Film) -> Path:
    return write_wav(tmp_path / "music.wav", timed(3 * film.rate_hz, film.rate_hz), film.rate_hz)


@pytest.fixture
def analysis(tmp_path: Path) -> Path:
    path = tmp_path / "analysis.json"
    audio = {"duration": float(SECONDS), "beats": {"beat_times": [float(beat) for beat in BEATS]}}
    path.write_text(json.dumps({"audio": audio, "video": {"scene_changes": [0.5, 1.1]}}))
    return path


def intervals(film: Film) -> Iterator[tuple[int, int]]:
    """Give the intervals between beats, by the docstring's own words."""
    length = sample(SECONDS, film.rate)
    frames = sorted({0, length} | {f for beat in BEATS if 0 < (f := sample(Fraction(beat), film.rate)) < length})
    yield from itertools.pairwise(frames)


def stretched(film: Film, begins: list[int], ease: Fraction) -> list[int]:
    shown = []
    ends = [*begins[1:], film.frames]
    for (g, end), a, b in zip(intervals(film), begins, ends, strict=True):
        for n in range(g, end):
            x = Fraction(2 * (n - g) + 1, 2 * (end - g))
            shown.append(a + int((b - a) * ((1 - ease) * x + ease * x * x)))
    return shown


@pytest.mark.parametrize("ease", ["0", "0.35"])
def test_stretch(tmp_path: Path, film: Film, deliver: bool, music: Path, analysis: Path, ease: str) -> None:
    inputs = film.path, analysis, music
    output = run_step(tmp_path / "out", "BEAT_SYNC", {"ease": float(ease)}, *inputs, deliver=deliver)
    m = len(list(intervals(film)))
    assert_pictures(output, film.rate, stretched(film, [i * film.frames // m for i in range(m)], Fraction(ease)))
    assert_music(output, film, deliver)


def test_stretch_by_scenes(tmp_path: Path, film: Film, music: Path, analysis: Path) -> None:
    output = run_step(tmp_path / "out", "BEAT_SYNC", {"parts": "cuts"}, film.path, analysis, music, deliver=False)
    shown = numbers_of(output)
    beats = [g for g, _ in intervals(film)]
    for scene in ("0.5", "1.1"):
        change = sample(Fraction(scene), film.rate)
        first = next(n for n, number in enumerate(shown) if number >= change)
        assert first in beats
    assert shown == sorted(shown)


def test_loop(tmp_path: Path, film: Film, deliver: bool, music: Path, analysis: Path) -> None:
    output = run_step(tmp_path / "out", "BEAT_SYNC", {"mode": "loop"}, film.path, analysis, music, deliver=deliver)
    assert_pictures(output, film.rate, [(n - g) % film.frames for g, end in intervals(film) for n in range(g, end)])
    assert_music(output, film, deliver)


def test_cut(tmp_path: Path, film: Film, deliver: bool, music: Path, analysis: Path) -> None:
    output = run_step(tmp_path / "out", "BEAT_SYNC", {"mode": "cut"}, film.path, analysis, music, deliver=deliver)
    starts = {g: numbers_of(output)[g] for g, _ in intervals(film)}
    shown = [(starts[g] + n - g) % film.frames for g, end in intervals(film) for n in range(g, end)]
    assert_pictures(output, film.rate, shown)
    assert len(set(starts.values())) >= len(starts) - 1
    assert_music(output, film, deliver)


@pytest.mark.parametrize("config", [{"strength": 1, "decay": 0.4}])
def test_pulse(tmp_path: Path, film: Film, deliver: bool, music: Path, analysis: Path, config: dict[str, Any]) -> None:
    inputs = film.path, analysis, music
    output = run_step(tmp_path / "out", "BEAT_SYNC", {"mode": "pulse"} | config, *inputs, deliver=deliver)
    assert_pictures(output, film.rate, [n % film.frames for n in range(sample(SECONDS, film.rate))])
    assert_music(output, film, deliver)


@pytest.mark.parametrize(("every", "offset"), [(2, "0"), (3, "-0.2"), (1, "0.123")])
def test_other_beats(tmp_path: Path, film: Film, analysis: Path, every: int, offset: str) -> None:
    config = {"mode": "loop", "every": every, "offset": float(offset)}
    output = run_step(tmp_path / "out", "BEAT_SYNC", config, film.path, analysis, deliver=False)
    length = sample(SECONDS, film.rate)
    frames = [sample(Fraction(beat) + Fraction(offset), film.rate) for beat in BEATS[::every]]
    begins = sorted({0} | {f for f in frames if 0 < f < length})
    assert numbers_of(output) == [(n - begins[bisect_right(begins, n) - 1]) % film.frames for n in range(length)]


def assert_music(output: Path, film: Film, deliver: bool) -> None:
    samples = timed(3 * film.rate_hz, film.rate_hz)[0, : sample(SECONDS, film.rate_hz)]
    assert_sound(output, film.rate_hz, samples, deliver)
    assert_in_sync(output, [(0, Fraction(0)), (40, 40 / film.rate)], film.rate, deliver)
