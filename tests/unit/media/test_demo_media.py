"""The media of the demo."""

from __future__ import annotations

import hashlib
import wave
from pathlib import Path

import numpy as np
import pytest

from artdag_cli.demo_media import CAT_FRAMES, CAT_RATE, CAT_SIZE, DRUM_BEATS, DRUM_RATE_HZ, make_cat, make_drums
from artdag_common.media.check import check_output
from artdag_common.media.pictures import Clip, planes
from artdag_common.media.probe import probe


@pytest.fixture(scope="module")
def cat(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("cat") / "cat.mp4"
    make_cat(path)
    return path


def test_the_cat_is_a_film_that_browsers_play(cat: Path) -> None:
    assert check_output(cat) == "video/mp4"
    facts = probe(cat)
    assert ((facts.width, facts.height), facts.frame_rate, facts.frames) == (CAT_SIZE, CAT_RATE, CAT_FRAMES)


def test_the_cat_moves_in_every_frame(cat: Path) -> None:
    before = None
    for picture in Clip(cat).pictures():
        luma = planes(picture)[0].astype(int)
        if before is not None:
            assert np.abs(luma - before).mean() > 0.5
        before = luma


def test_the_cat_is_the_same_each_time(tmp_path: Path) -> None:
    for name in ("a.mp4", "b.mp4"):
        make_cat(tmp_path / name, frames=12)
    assert (tmp_path / "a.mp4").read_bytes() == (tmp_path / "b.mp4").read_bytes()


def test_the_drums_are_the_same_each_time(tmp_path: Path) -> None:
    for name in ("a", "b"):
        make_drums(tmp_path / name)
    first, second = (hashlib.sha256((tmp_path / name).read_bytes()).hexdigest() for name in ("a", "b"))
    assert first == second


def test_a_drum_is_struck_on_each_beat(tmp_path: Path) -> None:
    make_drums(tmp_path / "a.wav")
    with wave.open(str(tmp_path / "a.wav")) as file:
        assert (file.getframerate(), file.getnframes()) == (DRUM_RATE_HZ, 8 * DRUM_RATE_HZ)
        sound = np.frombuffer(file.readframes(file.getnframes()), "<i2").astype(float)
    assert np.abs(sound).max() > 16_000
    assert tuple(0.125 + 0.5 * beat for beat in range(16)) == DRUM_BEATS
    window = DRUM_RATE_HZ // 100
    for beat in DRUM_BEATS:
        at = round(beat * DRUM_RATE_HZ)
        struck = np.square(sound[at : at + window]).mean()
        assert struck > 4 * np.square(sound[at - window : at]).mean()
