"""SEGMENT."""

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
from tests.unit.media.counted import RATE_HZ, clicks, loudest, noise, numbers_of, stamps_of, write_counted
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
    with pytest.raises(StepInputError, match="ends early"):
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
        ({"precise": "sometimes"}, "valid boolean"),
        ({"lenght": 1}, "Extra inputs"),
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


def packets_of(path: Path) -> list[bytes]:
    with av.open(str(path)) as container:
        return [bytes(packet) for packet in container.demux(video=0) if packet.size]


@pytest.mark.parametrize("deliver", [True, False])
@pytest.mark.parametrize(
    ("config", "wanted"),
    [
        ({"offset": 0.5, "duration": 0.2}, range(15, 21)),
        ({"offset": 0.5}, range(15, 60)),
        ({"offset": 0.46, "duration": 0.1}, range(14, 17)),  # frame 14 is a key frame
        ({"duration": 0.1}, range(3)),
        ({"start": 1.9, "end": 99}, range(57, 60)),
        ({}, range(60)),
    ],
)
def test_a_copy_begins_at_a_key_frame_and_decodes_nothing(
    tmp_path: Path, silent: Path, config: dict[str, Any], wanted: range, deliver: bool
) -> None:
    with av.open(str(silent)) as container:
        keys = [number for number, frame in enumerate(container.decode(video=0)) if frame.key_frame]
    assert 14 in keys
    output = run_step(tmp_path / "out", "SEGMENT", {**config, "precise": False}, silent, deliver=deliver)
    numbers = numbers_of(output)
    assert numbers[0] == max(key for key in keys if key <= wanted[0])
    assert numbers == list(range(numbers[0], numbers[-1] + 1))
    assert wanted[-1] <= numbers[-1] <= min(59, wanted[-1] + 4)  # up to where the stream can be parted
    stored, copied = packets_of(silent), packets_of(output)
    at = stored.index(copied[0])
    assert copied == stored[at : at + len(copied)]
    assert stamps_of(output) == [Fraction(n, 30) for n in range(len(numbers))]


@pytest.mark.parametrize("deliver", [True, False])
def test_the_sound_of_a_copy_is_cut_where_its_pictures_are(tmp_path: Path, deliver: bool) -> None:
    sound = clicks(2 * RATE_HZ, [RATE_HZ // 2, 3 * RATE_HZ // 2])
    media = write_counted(tmp_path / "a.mp4", 60, sound=sound, sound_codec="aac")
    config = {"offset": 0.6, "duration": 1.2, "precise": False}
    output = run_step(tmp_path / "out", "SEGMENT", config, media, deliver=deliver)
    numbers = numbers_of(output)
    assert numbers[0] == 14
    assert sound_duration(output) == Fraction(len(numbers), 30)
    click = RATE_HZ // 2 - 14 * RATE_HZ // 30
    assert abs(loudest(output, slice(0, RATE_HZ // 2)) - click) <= 3
    assert abs(loudest(output, slice(RATE_HZ // 2, RATE_HZ + RATE_HZ // 3)) - click - RATE_HZ) <= 3


def test_a_copy_of_a_delivery_begins_where_it_should(tmp_path: Path, clicking: Path) -> None:
    """B-frames, and a sound that was padded by its encoder."""
    delivered = run_step(tmp_path / "whole", "SEGMENT", {}, clicking)
    output = run_step(tmp_path / "out", "SEGMENT", {"offset": 1, "duration": 0.5, "precise": False}, delivered)
    numbers = numbers_of(output)
    assert numbers == list(range(len(numbers)))  # the only key frame is the first
    assert 45 <= len(numbers) <= 60
    assert abs(loudest(output, slice(0, RATE_HZ)) - RATE_HZ // 2) <= 3


def test_sound_alone_is_cut_to_the_sample_without_precision_too(tmp_path: Path, music: Path) -> None:
    configs = [{"offset": 0.25, "duration": 0.5001, "precise": precise} for precise in (True, False)]
    one, other = (run_step(tmp_path / str(i), "SEGMENT", config, music) for i, config in enumerate(configs))
    assert one.read_bytes() == other.read_bytes()


@pytest.mark.parametrize(
    ("name", "options", "reason"),
    [
        ("a.mkv", {}, "the file is Matroska.*not MP4"),
        ("a.mp4", {"codec": "mpeg4"}, "the video is mpeg4"),
        ("a.mp4", {"pix_fmt": "yuv444p"}, "yuv444p, not h264 High yuv420p"),
        ("a.mp4", {"rotation": 90}, "stored turned"),
    ],
)
def test_what_cannot_be_copied_is_refused(tmp_path: Path, name: str, options: dict[str, Any], reason: str) -> None:
    media = write_counted(tmp_path / name, 9, **options)
    with pytest.raises(StepInputError, match=f"'precise: false'.*{reason}.*leave precise at true"):
        run_step(tmp_path / "out", "SEGMENT", {"precise": False}, media)


def test_a_copy_from_beyond_the_end_is_refused(tmp_path: Path, silent: Path) -> None:
    with pytest.raises(StepInputError, match="offset 2 s is beyond the end at 2 s"):
        run_step(tmp_path / "out", "SEGMENT", {"offset": 2, "precise": False}, silent)


def test_nothing_is_lost_where_the_output_goes_to_another_step(tmp_path: Path, silent: Path) -> None:
    output = run_step(tmp_path / "out", "SEGMENT", {"offset": 0.5, "duration": 0.2}, silent, deliver=False)
    with av.open(str(output)) as container, av.open(str(silent)) as source:
        cut = [frame.to_ndarray() for frame in container.decode(video=0)]
        whole = [frame.to_ndarray() for frame in source.decode(video=0)]
    assert all(np.array_equal(one, other) for one, other in zip(cut, whole[15:21], strict=True))
