"""SEQUENCE with transitions: which frames are seen alone, which together, and where each clip's sound is."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.golden.exactness.films import Film, assert_in_sync, sample
from tests.unit.media.counted import heard, numbers_of, stamps_of, timed, write_counted
from tests.unit.steps.running import run_step


@pytest.fixture
def following(tmp_path: Path, film: Film) -> Path:
    """A film of twenty frames whose numbers go on from 128, so that the highest bit tells the two apart."""
    sound = timed(sample(20 / film.rate, film.rate_hz), film.rate_hz, start=7)
    return write_counted(tmp_path / "b.mov", 20, film.rate, first=128, sound=sound, rate_hz=film.rate_hz)


def sequence(seconds: float, kind: str) -> dict[str, Any]:
    return {"transition": {"type": kind, "duration": seconds}}


@pytest.mark.parametrize("seconds", ["0.2", "0.1", "30"])
def test_a_crossfade_shows_both_for_its_frames(
    tmp_path: Path, film: Film, following: Path, deliver: bool, seconds: str
) -> None:
    config = sequence(float(seconds), "crossfade")
    output = run_step(tmp_path / "out", "SEQUENCE", config, film.path, following, deliver=deliver)
    d = min(max(1, sample(Fraction(seconds), film.rate)), film.frames // 2, 10)
    alone = film.frames - d
    numbers = numbers_of(output)
    assert len(numbers) == film.frames + 20 - d
    assert stamps_of(output) == [n / film.rate for n in range(len(numbers))]
    assert numbers[:alone] == list(range(alone))
    assert numbers[film.frames :] == list(range(128 + d, 148))
    assert_in_sync(output, [(3, 3 / film.rate)], film.rate, deliver)
    end = film.at(len(numbers))
    sound = heard(output).samples[0] * 32_768
    assert 0 <= len(sound) - end < (1024 if deliver else 1)
    if not deliver:
        assert np.abs(sound[: film.at(alone)] - film.sound[: film.at(alone)]).max() < 0.01
        # the second begins with its first frame: where that is, to the sample
        rest = timed(sample(20 / film.rate, film.rate_hz), film.rate_hz, start=7)[0]
        own = rest[film.at(film.frames) - film.at(alone) :]
        after = sound[film.at(film.frames) :]
        assert abs(len(after) - len(own)) <= 1
        both = min(len(after), len(own))
        assert np.abs(after[:both] - own[:both]).max() < 0.01


def test_a_fade_keeps_every_frame(tmp_path: Path, film: Film, following: Path, deliver: bool) -> None:
    output = run_step(tmp_path / "out", "SEQUENCE", sequence(0.2, "fade"), film.path, following, deliver=deliver)
    d = max(1, sample(Fraction(1, 10), film.rate))
    numbers = numbers_of(output)
    assert len(numbers) == film.frames + 20
    assert numbers[: film.frames - d] == list(range(film.frames - d))
    assert numbers[film.frames + d :] == list(range(128 + d, 148))
    assert_in_sync(output, [(3, 3 / film.rate)], film.rate, deliver)
