"""Cuts are found at the frame where they are, and pans, flashes and dissolves are not taken for cuts."""

from __future__ import annotations

from fractions import Fraction
from itertools import accumulate
from pathlib import Path

import numpy as np
import pytest

from artdag_common.errors import AnalysisError, StepInputError
from artdag_common.media.scenes import find_cuts, look
from tests.unit.analysis.music import clicks, write_wav
from tests.unit.analysis.pictures import scene, write_pictures


def ignore(done: int, total: int) -> None:
    """Progress that nobody watches."""


def test_cuts_of_a_film(tmp_path: Path) -> None:
    lengths = [20, 7, 31, 12, 5, 25]
    film = [picture for number, length in enumerate(lengths) for picture in scene(number, length)]
    ticks: list[tuple[int, int]] = []
    seen = look(write_pictures(tmp_path / "film.mp4", film), lambda done, total: ticks.append((done, total)))
    assert seen.cuts == list(accumulate(lengths))[:-1]
    assert seen.rate == Fraction(25)
    assert len(seen.changes) == 100
    assert seen.changes[0] == 0
    assert ticks == [(done, 100) for done in range(1, 101)]


def test_a_pan_a_shake_and_a_dissolve_are_no_cuts(tmp_path: Path) -> None:
    pan = scene(1, 25, shift=6)
    shake = [np.roll(picture, (-1) ** index * 8, axis=0) for index, picture in enumerate(pan)]
    other = scene(2, 25)
    mixed = [
        (first * (1 - at) + second * at).astype(np.uint8)
        for first, second, at in zip(shake, other, np.linspace(0, 1, 25), strict=True)
    ]
    assert look(write_pictures(tmp_path / "pan.mp4", pan + mixed), ignore).cuts == []


@pytest.mark.parametrize("frames", [1, 2])
def test_a_flash_is_no_cut(tmp_path: Path, frames: int) -> None:
    film = scene(3, 40)
    for index in range(20, 20 + frames):
        film[index] = np.full_like(film[index], 235)
    assert look(write_pictures(tmp_path / "flash.mp4", film), ignore).cuts == []


def test_a_cut_to_colours_of_the_same_brightness_is_one() -> None:
    row = np.concatenate([np.full(2304, 120), np.full(576, 60), np.full(576, 190)]).astype(np.int16)
    other = np.concatenate([np.full(2304, 122), np.full(576, 190), np.full(576, 60)]).astype(np.int16)
    assert list(find_cuts([row] * 10 + [other] * 10)) == [10]


def test_the_last_frame_may_be_a_scene() -> None:
    dark, light = np.full(3456, 30, np.int16), np.full(3456, 200, np.int16)
    assert list(find_cuts([dark] * 9 + [light])) == [9]
    assert list(find_cuts([dark, light])) == [1]
    assert list(find_cuts([dark])) == []


def test_what_is_no_moving_picture_is_refused(tmp_path: Path) -> None:
    sound = write_wav(tmp_path / "sound.wav", clicks(np.array([0.5]), 1, 8_000), 8_000)
    with pytest.raises(StepInputError, match="audio only"):
        look(sound, ignore)
    with pytest.raises(AnalysisError, match="one picture only"):
        look(write_pictures(tmp_path / "one.mp4", scene(1, 1)), ignore)
