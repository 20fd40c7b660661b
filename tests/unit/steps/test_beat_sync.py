"""BEAT_SYNC."""

from __future__ import annotations

import json
import math
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from av.video.frame import VideoFrame
from pydantic import ValidationError

from artdag_common.errors import StepInputError
from artdag_common.media import beat_sync
from artdag_common.media.beat_grid import ONE, beat_frames, jumped, looped, stretched
from artdag_common.media.beat_sync import pulsed
from artdag_common.media.pictures import Clip, planes
from artdag_common.media.probe import probe
from artdag_common.media.soundtrack import sound_duration
from artdag_common.steps.registry import find_step_type
from tests.unit.media.counted import RATE_HZ, heard, lag, loudest, numbers_of, timed, write_counted
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


def test_ease_runs_into_the_beats(tmp_path: Path, silent: Path) -> None:
    output = run_step(tmp_path / "out", "BEAT_SYNC", {"ease": 0.8}, silent, beats(tmp_path, 2.0, 1.0))
    shown = numbers_of(output)
    assert shown == list(stretched([0, 30, 60], 60, Fraction(4, 5)))
    assert shown[:4] == [0, 0, 0, 1]
    assert shown[26:32] == [24, 25, 27, 29, 30, 30]


def test_scene_changes_begin_on_beats(tmp_path: Path, silent: Path) -> None:
    music = {"audio": {"duration": 2.0, "beats": {"beat_times": [0.5, 1.0, 1.5]}}}
    both = analysis(tmp_path, music | {"video": {"scene_changes": [0.3, 1.7]}})
    (tmp_path / "scenes.json").write_text(json.dumps({"video": {"scene_changes": [0.2]}}))
    own = run_step(tmp_path / "own", "BEAT_SYNC", {"parts": "cuts"}, silent, both)
    assert [numbers_of(own)[frame] for frame in (15, 45)] == [9, 51]
    inputs = (silent, both, silent, tmp_path / "scenes.json")
    given = run_step(tmp_path / "given", "BEAT_SYNC", {"parts": "cuts"}, *inputs)
    assert numbers_of(given)[15] == 6
    with pytest.raises(StepInputError, match="'scene_changes' to the features of ANALYZE"):
        run_step(tmp_path / "none", "BEAT_SYNC", {"parts": "cuts"}, silent, analysis(tmp_path, music))


def test_a_cut_jumps_on_each_beat(tmp_path: Path, silent: Path) -> None:
    output = run_step(tmp_path / "out", "BEAT_SYNC", {"mode": "cut"}, silent, beats(tmp_path, 2.0, 0.4, 0.9, 1.5))
    assert numbers_of(output) == list(jumped([0, 12, 27, 45, 60], 60, 1))  # the seed of the tests is 1


def test_a_loop_begins_again_on_each_beat(tmp_path: Path, silent: Path) -> None:
    output = run_step(tmp_path / "out", "BEAT_SYNC", {"mode": "loop"}, silent, beats(tmp_path, 3.0, 0.4, 0.5))
    assert numbers_of(output) == [*range(12), *range(3), *range(60), *range(15)]


@pytest.mark.parametrize("mode", ["cut", "loop", "stretch"])
def test_pictures_that_are_too_many_to_be_held_are_sought(
    tmp_path: Path, silent: Path, monkeypatch: pytest.MonkeyPatch, mode: str
) -> None:
    document = beats(tmp_path, 2.5, 0.4, 0.9, 1.5, 1.6)
    held = run_step(tmp_path / "held", "BEAT_SYNC", {"mode": mode}, silent, document)
    monkeypatch.setattr(beat_sync, "HELD_BYTES", 0)
    monkeypatch.setattr(beat_sync, "SKIPPED_SECONDS", Fraction(1, 10))
    sought = run_step(tmp_path / "sought", "BEAT_SYNC", {"mode": mode}, silent, document)
    assert held.read_bytes() == sought.read_bytes()


def test_a_long_source_is_not_decoded_from_its_beginning_for_each_beat(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(beat_sync, "HELD_BYTES", 0)
    monkeypatch.setattr(beat_sync, "SKIPPED_SECONDS", Fraction(1, 5))
    path = write_counted(tmp_path / "long.mp4", 250, gop=10)
    decoded = 0

    def counting(self: Clip, *args: Any) -> Any:
        nonlocal decoded
        for each in placed(self, *args):
            decoded += 1
            yield each

    placed = Clip._placed
    monkeypatch.setattr(Clip, "_placed", counting)
    times = [n / 5 for n in range(1, 15)]
    output = run_step(tmp_path / "out", "BEAT_SYNC", {"mode": "cut"}, path, beats(tmp_path, 3.0, *times))
    assert numbers_of(output) == list(jumped([0, *range(6, 90, 6), 90], 250, 1))
    assert decoded < 15 * (10 + 6 + 2)  # of each interval: up to a group before it, itself, the next


def test_a_still_can_be_cut_looped_and_stretched(tmp_path: Path) -> None:
    still = write_counted(tmp_path / "still.mp4", 1, first=77)
    for mode in ("stretch", "cut", "loop", "pulse"):
        output = run_step(tmp_path / mode, "BEAT_SYNC", {"mode": mode}, still, beats(tmp_path, 0.5, 0.2))
        assert numbers_of(output) == [77] * 15


def luma(path: Path) -> list[float]:
    with av.open(str(path)) as container:
        return [float(planes(frame)[0].mean()) for frame in container.decode(video=0)]


def test_a_pulse_lights_up_on_the_beat_and_dies_away(tmp_path: Path) -> None:
    dark = write_counted(tmp_path / "dark.mov", 1, first=0)  # of one colour: nearer, it looks the same
    config = {"mode": "pulse", "strength": 1, "decay": 0.1}
    output = run_step(tmp_path / "out", "BEAT_SYNC", config, dark, beats(tmp_path, 2.0, 0.5, 1.0), deliver=False)
    light = [value - 16 for value in luma(output)]
    assert light[:15] == light[:1] * 15  # nothing before the first beat
    assert light[15] == light[30] == pytest.approx(1.5 * light[0], abs=0.5)
    assert light[18] == pytest.approx(light[0] * (1 + 0.5 * math.exp(-1)), abs=0.5)
    assert light[15:30] == sorted(light[15:30], reverse=True)
    assert light[30:45] == light[15:30]
    assert light[59] == light[0]


def test_a_pulse_is_half_again_as_bright_and_an_eighth_larger() -> None:
    frame = VideoFrame(64, 64, "yuv420p")
    y, u, v = planes(frame)
    y[:], u[:], v[:] = 16, 100, 150
    y[:, 28:36] = 116
    result = pulsed(frame, ONE)
    y, u, v = planes(result)
    assert (u == 128 - 42).all()
    assert (v == 128 + 33).all()
    row = y[32].astype(int) - 16
    assert row.max() == 150
    assert abs(row.sum() - 9 * 150) < 9  # eight columns, an eighth wider
    assert np.array_equal(row, row[::-1])
    assert np.array_equal(y, np.broadcast_to(y[32], (64, 64)))


def test_without_a_height_the_picture_is_left_alone() -> None:
    frame = VideoFrame(16, 16, "yuv420p")
    assert pulsed(frame, 0) is frame


def test_a_pulse_stays_within_the_range() -> None:
    frame = VideoFrame(16, 16, "yuv420p")
    for plane, value in zip(planes(frame), (235, 16, 240), strict=True):
        plane[:] = value
    assert [int(plane.max()) for plane in planes(pulsed(frame, ONE))] == [235, 16, 240]


def test_every_other_beat_later_by_a_quarter(tmp_path: Path, silent: Path) -> None:
    config = {"mode": "loop", "every": 2, "offset": 0.25}
    output = run_step(tmp_path / "out", "BEAT_SYNC", config, silent, beats(tmp_path, 2.0, 0.25, 0.5, 0.75, 1.0))
    assert numbers_of(output) == list(looped([0, 15, 30, 60], 60))


@pytest.mark.parametrize(("use", "grid"), [("downbeats", [0, 30, 60]), ("onsets", [0, 12, 60]), ("beats", [0, 15, 60])])
def test_other_events_can_be_used(tmp_path: Path, silent: Path, use: str, grid: list[int]) -> None:
    counted = {"beat_times": [0.5], "downbeat_times": [1.0]}
    document = analysis(tmp_path, {"audio": {"duration": 2.0, "beats": counted, "onsets": [0.4]}})
    output = run_step(tmp_path / "out", "BEAT_SYNC", {"mode": "loop", "use": use}, silent, document)
    assert numbers_of(output) == list(looped(grid, 60))


def test_the_music_is_heard(tmp_path: Path, silent: Path, music: Path) -> None:
    output = run_step(tmp_path / "out", "BEAT_SYNC", {}, silent, beats(tmp_path, 1.5, 0.5, 1.0), music)
    assert probe(output).frames == 45
    assert sound_duration(output) == Fraction(3, 2)
    assert abs(loudest(output, slice(RATE_HZ // 4, 3 * RATE_HZ // 4)) - RATE_HZ // 2) <= 3


@pytest.mark.parametrize(("name", "codec"), [("a.ts", "aac"), ("a.mkv", "flac"), ("a.mkv", "libmp3lame")])
def test_music_is_heard_from_where_its_beats_are_counted(tmp_path: Path, silent: Path, name: str, codec: str) -> None:
    """Whatever the file's clock shows at its beginning: of a transport stream never 0."""
    music = write_counted(tmp_path / name, 30, sound=timed(RATE_HZ), sound_codec=codec)
    output = run_step(tmp_path / "out", "BEAT_SYNC", {}, silent, beats(tmp_path, 0.9, 0.5), music)
    with av.open(str(music)) as container:
        begin = container.start_time / 1_000_000
    assert abs(lag(heard(output), 0.5, 0.5) - lag(heard(music), begin + 0.5, 0.5)) <= 1


def test_a_third_input_without_sound_leaves_it_silent(tmp_path: Path, silent: Path) -> None:
    output = run_step(tmp_path / "out", "BEAT_SYNC", {}, silent, beats(tmp_path, 1.5, 0.5), silent)
    assert probe(output).audio_codec == ""


@pytest.mark.parametrize(
    ("document", "reason"),
    [
        ({"features": ["metadata"], "video": {}}, "has no audio.beats.beat_times: add 'beats'"),
        ([1], "has no audio.beats.beat_times"),
        ({"audio": {"duration": 2.0}}, "add 'beats' to the features of ANALYZE"),
        ({"audio": {"duration": 2.0, "beats": {"tempo": 120}}}, "add 'beats'"),
        ({"audio": {"duration": 2.0, "beats": {"beat_times": [0.1, "x"]}}}, "not all numbers"),
        ({"audio": {"duration": 0, "beats": {"beat_times": []}}}, "audio lasts 0 s"),
        ({"audio": {"duration": -1, "beats": {"beat_times": []}}}, "audio lasts -1 s"),
        ({"audio": {"duration": 1e9, "beats": {"beat_times": []}}}, "at most 86400 s"),
    ],
)
def test_an_analysis_without_beats_is_refused(tmp_path: Path, silent: Path, document: Any, reason: str) -> None:
    with pytest.raises(StepInputError, match=reason):
        run_step(tmp_path / "out", "BEAT_SYNC", {}, silent, analysis(tmp_path, document))


def test_what_is_no_analysis_is_refused(tmp_path: Path, silent: Path) -> None:
    with pytest.raises(StepInputError, match="analysis: not the output of ANALYZE"):
        run_step(tmp_path / "out", "BEAT_SYNC", {}, silent, silent)


@pytest.mark.parametrize(
    ("config", "reason"),
    [
        ({"mode": "bounce"}, "'stretch', 'cut', 'loop' or 'pulse'"),
        ({"mode": "loop", "ease": 0.5}, r"ease \(0.5\) belongs to mode 'stretch'; the mode here is 'loop'"),
        ({"strength": 1}, "strength .* belongs to mode 'pulse'"),
        ({"mode": "pulse", "parts": "cuts"}, "parts .* belongs to mode 'stretch'"),
        ({"seed": 3}, "seed .* belongs to mode 'cut'"),
        ({"ease": 1.5}, "less than or equal to 1"),
        ({"every": 0}, "greater than or equal to 1"),
        ({"mode": "pulse", "decay": 0}, "greater than or equal to 0.001"),
        ({"offset": float("inf")}, "finite|less than"),
        ({"use": "bars"}, "'beats', 'downbeats' or 'onsets'"),
    ],
)
def test_wrong_parameters_are_refused(config: dict[str, Any], reason: str) -> None:
    with pytest.raises(ValidationError, match=reason):
        find_step_type("BEAT_SYNC").canonical_config(config)
