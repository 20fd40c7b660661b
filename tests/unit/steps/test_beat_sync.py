"""BEAT_SYNC."""

from __future__ import annotations

import json
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from artdag_common.errors import StepInputError
from artdag_common.media.beat_grid import beat_frames, stretched
from artdag_common.media.probe import probe
from artdag_common.media.soundtrack import sound_duration
from artdag_common.steps.registry import find_step_type
from tests.unit.media.counted import RATE_HZ, loudest, numbers_of
from tests.unit.steps.running import run_step


def analysis(folder: Path, document: Any) -> Path:
    path = folder / "analysis.json"
    path.write_text(json.dumps(document))
    return path


def beats(folder: Path, duration: float, *times: float) -> Path:
    return analysis(folder, {"audio": {"duration": duration, "beats": {"beat_times": times}}})


def test_a_new_part_of_the_film_begins_on_each_beat(tmp_path: Path, silent: Path) -> None:
    output = run_step(tmp_path / "out", "BEAT_SYNC", {}, silent, beats(tmp_path, 1.5, 0.5, 1.0))
    shown = numbers_of(output)
    assert shown == list(stretched([0, 15, 30, 45], 60))
    # thirds of sixty frames: the beats fall on the first of each
    assert [shown[0], shown[15], shown[30]] == [0, 20, 40]


def test_a_long_piece_slows_the_film_down_to_the_exact_length(tmp_path: Path, silent: Path) -> None:
    times = [round(0.137 + 0.411 * i, 3) for i in range(9)]
    output = run_step(tmp_path / "out", "BEAT_SYNC", {}, silent, beats(tmp_path, 4.0, *times))
    grid = beat_frames([Fraction(str(time)) for time in times], Fraction(30), 120)
    assert numbers_of(output) == list(stretched(grid, 60))


def test_the_music_is_heard(tmp_path: Path, silent: Path, music: Path) -> None:
    output = run_step(tmp_path / "out", "BEAT_SYNC", {}, silent, beats(tmp_path, 1.5, 0.5, 1.0), music)
    assert probe(output).frames == 45
    assert sound_duration(output) == Fraction(3, 2)
    assert abs(loudest(output, slice(RATE_HZ // 4, 3 * RATE_HZ // 4)) - RATE_HZ // 2) <= 3


def test_a_third_input_without_sound_leaves_it_silent(tmp_path: Path, silent: Path) -> None:
    output = run_step(tmp_path / "out", "BEAT_SYNC", {}, silent, beats(tmp_path, 1.5, 0.5), silent)
    assert probe(output).audio_codec == ""


@pytest.mark.parametrize(
    ("document", "reason"),
    [
        ({"features": ["metadata"], "video": {}}, "has no 'audio'"),
        ([1], "has no 'audio'"),
        ({"audio": {"duration": 2.0}}, "add 'beats' to the features of ANALYZE"),
        ({"audio": {"duration": 2.0, "beats": {"tempo": 120}}}, "add 'beats'"),
        ({"audio": {"duration": 2.0, "beats": {"beat_times": [0.1, "x"]}}}, "not all seconds"),
        ({"audio": {"duration": 0, "beats": {"beat_times": []}}}, "not all seconds"),
        ({"audio": {"duration": -1, "beats": {"beat_times": []}}}, "not all seconds"),
        ({"audio": {"duration": 1e9, "beats": {"beat_times": []}}}, "at most 86400 s"),
    ],
)
def test_an_analysis_without_beats_is_refused(tmp_path: Path, silent: Path, document: Any, reason: str) -> None:
    with pytest.raises(StepInputError, match=reason):
        run_step(tmp_path / "out", "BEAT_SYNC", {}, silent, analysis(tmp_path, document))


def test_what_is_no_analysis_is_refused(tmp_path: Path, silent: Path) -> None:
    with pytest.raises(StepInputError, match="analysis: not the output of ANALYZE"):
        run_step(tmp_path / "out", "BEAT_SYNC", {}, silent, silent)


def test_other_modes_are_refused() -> None:
    with pytest.raises(ValidationError, match="stretch"):
        find_step_type("BEAT_SYNC").canonical_config({"mode": "loop"})
