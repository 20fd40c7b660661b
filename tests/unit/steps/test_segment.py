"""SEGMENT."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from artdag_common.errors import StepInputError
from artdag_common.media.probe import probe
from artdag_common.media.soundtrack import sound_duration
from artdag_common.steps.registry import find_step_type
from tests.unit.media.counted import RATE_HZ, loudest, noise, numbers_of, write_counted
from tests.unit.steps.running import run_step


@pytest.mark.parametrize(
    ("config", "frames"),
    [
        ({"offset": 0.5, "duration": 0.2}, range(15, 21)),
        ({"start": 0.5, "end": 0.7}, range(15, 21)),
        ({"offset": 1.9}, range(57, 60)),
        ({"duration": 0.1}, range(3)),
        ({"offset": 1, "duration": 99}, range(30, 60)),
        ({"offset": 1, "duration": 0.001}, range(30, 31)),
    ],
)
def test_the_very_frames_are_cut_out(tmp_path: Path, silent: Path, config: dict[str, Any], frames: range) -> None:
    assert numbers_of(run_step(tmp_path / "out", "SEGMENT", config, silent)) == list(frames)


def test_sound_is_cut_where_the_pictures_are(tmp_path: Path, clicking: Path) -> None:
    output = run_step(tmp_path / "out", "SEGMENT", {"offset": 1.2, "duration": 0.6}, clicking)
    facts = probe(output)
    assert (facts.frames, facts.audio_codec, facts.sample_rate) == (18, "aac", RATE_HZ)
    # the click of 1.5 s is heard at 0.3 s; AAC blurs it by a few samples
    assert abs(loudest(output, slice(0, 28_000)) - 14_400) <= 3


def test_sound_alone_is_cut_to_the_sample(tmp_path: Path, music: Path) -> None:
    output = run_step(tmp_path / "out", "SEGMENT", {"offset": 0.25, "duration": 0.5001}, music)
    assert probe(output).duration == pytest.approx(24_005 / RATE_HZ, abs=1e-9)
    assert abs(loudest(output, slice(0, 24_000)) - 12_000) <= 3


@pytest.mark.parametrize("offset", [2.0, 7.5])
def test_an_offset_beyond_the_end_is_refused(tmp_path: Path, silent: Path, music: Path, offset: float) -> None:
    for media, end in ((silent, "2"), (music, "1.5")):
        with pytest.raises(StepInputError, match=rf"offset {offset:g} s is beyond the end at {end} s"):
            run_step(tmp_path / "out", "SEGMENT", {"offset": offset}, media)


def test_what_is_no_media_is_refused_and_leaves_nothing(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"no film")
    with pytest.raises(StepInputError, match="media: the file cannot be read"):
        run_step(tmp_path / "out", "SEGMENT", {}, tmp_path / "a")
    assert not list((tmp_path / "out").iterdir())


def test_a_film_that_ends_early_is_refused_and_leaves_no_short_one(tmp_path: Path, silent: Path) -> None:
    whole = run_step(tmp_path / "whole", "SEGMENT", {}, silent).read_bytes()
    (tmp_path / "half.mp4").write_bytes(whole[: len(whole) * 3 // 4])
    with pytest.raises(StepInputError, match=r"ends early: \d+ of its 60 frames"):
        run_step(tmp_path / "out", "SEGMENT", {}, tmp_path / "half.mp4")
    assert not list((tmp_path / "out").iterdir())


def test_both_ways_to_say_it_are_one_parameter_set() -> None:
    kind = find_step_type("SEGMENT")
    assert kind.canonical_config({"start": 0.1, "end": 0.3}) == kind.canonical_config({"offset": 0.1, "duration": 0.2})


@pytest.mark.parametrize(
    ("config", "reason"),
    [
        ({"start": 1, "offset": 1}, "offset or start, not both"),
        ({"end": 1, "duration": 1}, "duration or end, not both"),
        ({"start": 2, "end": 1}, "end 1 s is not after the beginning at 2 s"),
        ({"offset": -1}, "greater than or equal to 0"),
        ({"duration": 0}, "greater than 0"),
        ({"offset": float("nan")}, "finite|greater"),
        ({"precise": False}, "Extra inputs"),
    ],
)
def test_wrong_parameters_are_refused(config: dict[str, Any], reason: str) -> None:
    with pytest.raises(ValidationError, match=reason):
        find_step_type("SEGMENT").canonical_config(config)


def test_a_film_without_sound_stays_without(tmp_path: Path, silent: Path) -> None:
    facts = probe(run_step(tmp_path / "out", "SEGMENT", {}, silent))
    assert (facts.frames, facts.audio_codec) == (60, "")


def test_sound_that_ends_early_is_filled_up_to_the_pictures(tmp_path: Path) -> None:
    path = write_counted(tmp_path / "a.mov", 30, sound=noise(4800))
    output = run_step(tmp_path / "out", "SEGMENT", {"offset": 0.5}, path)
    assert sound_duration(output) == Fraction(1, 2)
