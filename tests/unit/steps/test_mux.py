"""MUX."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from pydantic import ValidationError

from artdag_common.errors import StepInputError
from artdag_common.media.probe import probe
from artdag_common.media.soundtrack import sound_duration
from artdag_common.steps.registry import find_step_type
from tests.unit.media.counted import RATE_HZ, clicks, loudest, noise, numbers_of, write_counted, write_wav
from tests.unit.steps.running import run_step


def pictures(path: Path) -> list[tuple[int | None, bytes]]:
    with av.open(str(path)) as container:
        return [(packet.pts, bytes(packet)) for packet in container.demux(video=0) if packet.size]


def test_pictures_are_copied_and_longer_sound_is_cut_to_the_sample(tmp_path: Path, silent: Path) -> None:
    sound = write_wav(tmp_path / "long.wav", clicks(3 * RATE_HZ, [RATE_HZ]))
    output = run_step(tmp_path / "out", "MUX", {}, silent, sound)
    assert pictures(output) == pictures(silent)
    assert sound_duration(output) == 2
    assert abs(loudest(output, slice(0, 2 * RATE_HZ)) - RATE_HZ) <= 3


def test_longer_pictures_end_with_the_sound(tmp_path: Path, silent: Path, music: Path) -> None:
    output = run_step(tmp_path / "out", "MUX", {}, silent, music)
    assert numbers_of(output) == list(range(45))
    assert sound_duration(output) == Fraction(3, 2)


def test_neither_is_cut_when_the_longer_decides(tmp_path: Path, silent: Path, music: Path) -> None:
    output = run_step(tmp_path / "out", "MUX", {"shortest": False}, silent, music)
    assert pictures(output) == pictures(silent)
    assert sound_duration(output) == Fraction(3, 2)
    long = write_wav(tmp_path / "long.wav", noise(3 * RATE_HZ))
    again = run_step(tmp_path / "again", "MUX", {"shortest": False}, silent, long)
    assert probe(again).frames == 60
    assert sound_duration(again) == 3


def test_aac_is_copied_and_cut_at_the_sample(tmp_path: Path, silent: Path) -> None:
    aac = write_counted(tmp_path / "a.mp4", 90, sound=clicks(3 * RATE_HZ, [RATE_HZ]), sound_codec="aac")
    output = run_step(tmp_path / "out", "MUX", {}, silent, aac)
    with av.open(str(output)) as container, av.open(str(aac)) as source:
        copied = [bytes(packet) for packet in container.demux(audio=0) if packet.size]
        original = [bytes(packet) for packet in source.demux(audio=0) if packet.size]
    assert copied == original[: len(copied)]
    assert sound_duration(output) == 2
    assert abs(loudest(output, slice(0, 2 * RATE_HZ)) - RATE_HZ) <= 3


def test_the_inputs_can_stand_the_other_way_round(tmp_path: Path, silent: Path, music: Path) -> None:
    config = {"video_stream": 1, "audio_stream": 0}
    assert probe(run_step(tmp_path / "out", "MUX", config, music, silent)).frames == 45


def test_pictures_that_no_browser_plays_are_encoded(tmp_path: Path, music: Path) -> None:
    old = write_counted(tmp_path / "old.avi", 30, codec="mpeg4")
    output = run_step(tmp_path / "out", "MUX", {}, old, music)
    assert numbers_of(output) == list(range(30))
    assert sound_duration(output) == 1


def test_without_sound_or_pictures_it_is_refused(tmp_path: Path, silent: Path, music: Path) -> None:
    with pytest.raises(StepInputError, match="audio: the file holds no audio"):
        run_step(tmp_path / "out", "MUX", {}, silent, silent)
    with pytest.raises(StepInputError, match="video: the file holds audio only"):
        run_step(tmp_path / "out", "MUX", {}, music, music)


def test_what_goes_to_another_step_loses_nothing(tmp_path: Path, silent: Path) -> None:
    sound = noise(2 * RATE_HZ)
    output = run_step(tmp_path / "out", "MUX", {}, silent, write_wav(tmp_path / "a.wav", sound), deliver=False)
    assert pictures(output) == pictures(silent)
    with av.open(str(output)) as container:
        heard = np.concatenate([frame.to_ndarray().reshape(-1) for frame in container.decode(audio=0)])
    assert np.array_equal(heard, sound[0].astype(np.float32) / 32768)


def test_what_only_steps_read_is_encoded_for_people_and_copied_for_steps(
    tmp_path: Path, silent: Path, music: Path
) -> None:
    handed_on = run_step(tmp_path / "a", "EFFECT", {"effect": "invert"}, silent, deliver=False)
    config = {"shortest": False}
    assert pictures(run_step(tmp_path / "b", "MUX", config, handed_on, music, deliver=False)) == pictures(handed_on)
    delivered = run_step(tmp_path / "c", "MUX", config, handed_on, music)
    assert probe(delivered).profile == "High"
    assert numbers_of(delivered) == [255 - number for number in range(60)]


def test_both_may_come_from_one_input(tmp_path: Path, clicking: Path, music: Path) -> None:
    output = run_step(tmp_path / "out", "MUX", {"video_stream": 0, "audio_stream": 0}, clicking, music)
    assert numbers_of(output) == list(range(60))
    assert abs(loudest(output, slice(RATE_HZ, 2 * RATE_HZ)) - 3 * RATE_HZ // 2) <= 3


@pytest.mark.parametrize("config", [{"video_stream": 2}, {"audio_stream": -1}, {"shortest": "maybe"}, {"short": True}])
def test_wrong_parameters_are_refused(config: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        find_step_type("MUX").canonical_config(config)
