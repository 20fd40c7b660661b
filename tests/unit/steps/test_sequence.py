"""SEQUENCE."""

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
from tests.unit.media.counted import loudest, numbers_of, write_counted
from tests.unit.steps.running import run_step


def test_clips_follow_each_other_frame_by_frame(tmp_path: Path) -> None:
    clips = [write_counted(tmp_path / f"{n}.mp4", n, first=20 * n) for n in (3, 1, 5)]
    output = run_step(tmp_path / "out", "SEQUENCE", {}, *clips)
    assert numbers_of(output) == [60, 61, 62, 20, 100, 101, 102, 103, 104]


def test_the_order_counts(tmp_path: Path) -> None:
    a, b = write_counted(tmp_path / "a.mp4", 2), write_counted(tmp_path / "b.mp4", 2, first=50)
    assert numbers_of(run_step(tmp_path / "out", "SEQUENCE", {}, b, a)) == [50, 51, 0, 1]


def test_other_rates_follow_the_first(tmp_path: Path) -> None:
    a, b = write_counted(tmp_path / "a.mp4", 5, 25), write_counted(tmp_path / "b.mp4", 50, 50, first=100)
    output = run_step(tmp_path / "out", "SEQUENCE", {}, a, b)
    assert probe(output).frame_rate == 25
    assert len(numbers_of(output)) == 5 + 25


def test_sound_starts_with_its_pictures_and_gaps_are_silent(tmp_path: Path, silent: Path, clicking: Path) -> None:
    output = run_step(tmp_path / "out", "SEQUENCE", {}, silent, clicking, silent)
    assert probe(output).frames == 180
    assert sound_duration(output) == 6
    assert abs(loudest(output, slice(96_000, 144_000)) - 120_000) <= 3
    assert abs(loudest(output, slice(144_000, 192_000)) - 168_000) <= 3


def test_clips_joined_again_and_again_do_not_drift(tmp_path: Path, clicking: Path) -> None:
    pair = run_step(tmp_path / "pair", "SEQUENCE", {}, clicking, clicking)
    four = run_step(tmp_path / "four", "SEQUENCE", {}, pair, pair)
    assert sound_duration(four) == Fraction(8)
    assert abs(loudest(four, slice(340_000, 384_000)) - (6 * 48_000 + 72_000)) <= 3


@pytest.mark.parametrize(
    ("config", "size"),
    [
        ({}, (64, 36)),
        ({"target_size": "last"}, (72, 128)),
        ({"target_size": "largest"}, (128, 72)),
        ({"target_size": "explicit", "width": 100, "height": 50, "resize_mode": "fill"}, (100, 50)),
    ],
)
def test_all_clips_get_one_size(tmp_path: Path, config: dict[str, Any], size: tuple[int, int]) -> None:
    sizes = ((64, 36), (128, 72), (72, 128))
    clips = [write_counted(tmp_path / f"{n}.mp4", 2, size=each) for n, each in enumerate(sizes)]
    facts = probe(run_step(tmp_path / "out", "SEQUENCE", config, *clips))
    assert (facts.width, facts.height, facts.frames) == (*size, 6)


def test_a_bad_clip_is_named(tmp_path: Path, silent: Path, music: Path) -> None:
    with pytest.raises(StepInputError, match="clip 2: the file holds audio only"):
        run_step(tmp_path / "out", "SEQUENCE", {}, silent, music)


@pytest.mark.parametrize(
    ("config", "reason"),
    [
        ({"transition": {"type": "crossfade", "duration": 1}}, "'crossfade' is not built yet"),
        ({"transition": {"type": "wipe"}}, "'wipe' is not a transition"),
        ({"target_size": "explicit", "width": 64}, "needs width and height"),
        ({"width": 64, "height": 64}, "need target_size 'explicit'"),
        ({"background": "blurple"}, "is not a colour"),
    ],
)
def test_what_is_not_built_or_wrong_is_refused(config: dict[str, Any], reason: str) -> None:
    with pytest.raises(ValidationError, match=reason):
        find_step_type("SEQUENCE").canonical_config(config)


def test_a_cut_is_one_parameter_set_whatever_its_duration() -> None:
    kind = find_step_type("SEQUENCE")
    assert kind.canonical_config({"transition": {"type": "cut", "duration": 2}}) == kind.canonical_config({})
