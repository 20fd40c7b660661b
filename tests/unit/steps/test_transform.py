"""TRANSFORM."""

from __future__ import annotations

import math
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from av.video.frame import VideoFrame
from pydantic import ValidationError

from artdag_common.errors import StepConfigError, StepInputError
from artdag_common.media.encode import PictureShape
from artdag_common.media.picture import Picture
from artdag_common.media.pictures import PIXELS, ColourTags, planes
from artdag_common.media.probe import probe
from artdag_common.media.rgb import RgbBridge
from artdag_common.media.soundtrack import sound_duration
from artdag_common.media.speed import tempos
from artdag_common.media.transform import colour_table, light_table, look_up, sharpened, transform_stage, turn
from artdag_common.steps.registry import find_step_type
from tests.unit.media.counted import RATE_HZ, loudest, noise, numbers_of, write_counted
from tests.unit.steps.running import run_step

NEUTRAL = {
    "saturation": 1.0, "contrast": 1.0, "brightness": 0.0, "gamma": 1.0, "hue": 0.0, "blur": 0.0, "sharpen": 0.0,
}  # fmt: skip
TAGS = ColourTags(1, 1, 1)


def adjusted(effects: dict[str, float], *frames: VideoFrame, curves: dict[str, list[float]] | None = None) -> list[Any]:
    """Run frames through the stage; give the three planes of each."""
    shape = PictureShape((frames[0].width, frames[0].height), Fraction(30), TAGS)
    bridge = RgbBridge(TAGS)
    stage = transform_stage(NEUTRAL | effects, shape, curves or {})
    pictures: Iterator[Picture] = (Picture(bridge, number, frame) for number, frame in enumerate(frames))
    return [[plane.copy() for plane in planes(picture.yuv())] for picture in stage.frames(pictures)]


def random_frame(width: int = 64, height: int = 36, seed: int = 1) -> VideoFrame:
    frame = VideoFrame(width, height, PIXELS)
    for index, plane in enumerate(planes(frame)):
        plane[:] = np.random.default_rng(seed + index).integers(16, 236, plane.shape)
    return frame


def test_nothing_to_do_leaves_the_picture_itself(tmp_path: Path, silent: Path) -> None:
    frame = random_frame()
    shape = PictureShape((64, 36), Fraction(30), TAGS)
    picture = Picture(RgbBridge(TAGS), 0, frame)
    assert list(transform_stage(NEUTRAL, shape, {}).frames(iter([picture]))) == [picture]
    output = run_step(tmp_path / "out", "TRANSFORM", {}, silent, deliver=False)
    assert frames_of(output) == frames_of(silent)


def frames_of(path: Path) -> list[bytes]:
    with av.open(str(path)) as container:
        return [frame.to_ndarray().tobytes() for frame in container.decode(video=0)]


@pytest.mark.parametrize(
    ("effects", "formula"),
    [
        ({"contrast": 1.3}, lambda x: (x - 0.5) * 1.3 + 0.5),
        ({"contrast": 0.0}, lambda x: 0.5),
        ({"brightness": -0.2}, lambda x: x - 0.2),
        ({"gamma": 2.2}, lambda x: x ** (1 / 2.2)),
        ({"contrast": 0.7, "brightness": 0.1, "gamma": 0.45}, lambda x: ((x - 0.5) * 0.7 + 0.6) ** (1 / 0.45)),
    ],
)
def test_light_follows_its_formula_and_leaves_colour(effects: dict[str, float], formula: Any) -> None:
    frame = random_frame()
    [[y, u, v]] = adjusted(effects, frame)
    old_y, old_u, old_v = planes(frame)
    for before, after in zip(old_y.flat, y.flat, strict=True):
        assert abs(after - (16 + 219 * min(1, max(0, formula((before - 16) / 219))))) <= 0.5 + 1e-6
    assert np.array_equal(u, old_u)
    assert np.array_equal(v, old_v)


def test_extremes_of_light() -> None:
    assert set(light_table(10_000, 10_000, 10_000).tolist()) == {235}
    assert set(light_table(10_000, -10_000, 1_000).tolist()) == {16}
    assert light_table(10_000, 0, 10_000)[16:236].tolist() == list(range(16, 236))


@pytest.mark.parametrize(("hue", "saturation"), [(30, 1), (90, 1), (-45, 0.5), (180, 2), (359.9, 1), (0, 1.5), (77, 0)])
def test_colour_is_turned_and_stretched(hue: float, saturation: float) -> None:
    frame = random_frame()
    [[y, u, v]] = adjusted({"hue": hue, "saturation": saturation}, frame)
    old_y, old_u, old_v = (plane.astype(float) for plane in planes(frame))
    a, b = saturation * math.cos(math.radians(hue)), saturation * math.sin(math.radians(hue))
    dx, dy = old_u - 128, old_v - 128
    assert np.abs(u - np.clip(128 + a * dx - b * dy, 16, 240)).max() <= 0.51
    assert np.abs(v - np.clip(128 + b * dx + a * dy, 16, 240)).max() <= 0.51
    assert np.array_equal(y, old_y)


def test_turns_are_exact() -> None:
    assert turn(0, 10_000) == (65_536, 0)
    assert turn(900_000, 10_000) == (0, 65_536)
    assert turn(1_800_000, 20_000) == (-131_072, 0)
    assert turn(600_000, 10_000) == (32_768, 56_756)
    assert colour_table(0)[[16, 128, 240]].tolist() == [128, 128, 128]


@pytest.mark.parametrize("shape", [(4, 6), (3, 5), (1, 1)])
def test_tables_are_looked_up_the_same_at_odd_and_even_sizes(shape: tuple[int, int]) -> None:
    height, width = shape
    padded = np.random.default_rng(2).integers(0, 256, (height, width + 10), np.uint8)  # as rows of frames may be
    plane, table = padded[:, :width], np.random.default_rng(3).permutation(256).astype(np.uint8)
    out = np.zeros_like(padded)
    look_up(plane, table, out[:, :width])
    assert np.array_equal(out[:, :width], table[plane])
    assert not out[:, width:].any()


def mean(plane: np.ndarray, radius: int, up: bool) -> np.ndarray:
    """Return the mean of the square around each value, rounded down or up, counted one by one."""
    padded = np.pad(plane.astype(int), radius, mode="edge")
    side = 2 * radius + 1
    windows = np.lib.stride_tricks.sliding_window_view(padded, (side, side)).sum((2, 3))
    return np.asarray(-(-windows // side**2) if up else windows // side**2)


@pytest.mark.parametrize(("blur", "luma", "chroma"), [(1, 1, 1), (2.4, 2, 1), (3, 3, 2), (7, 7, 4), (200, 9, 5)])
def test_blur_is_two_means(blur: float, luma: int, chroma: int) -> None:
    frame = random_frame()  # 36 lines: a quarter is 9
    [blurred] = adjusted({"blur": blur}, frame)
    for radius, before, after in zip((luma, chroma, chroma), planes(frame), blurred, strict=True):
        assert np.array_equal(after, mean(mean(before, radius, up=False), radius, up=True))


def test_blur_keeps_the_brightness_and_tiny_pictures() -> None:
    frame = random_frame(320, 180)
    [[y, _, _]] = adjusted({"blur": 5}, frame)
    assert abs(y.mean() - planes(frame)[0].mean()) < 0.2
    tiny = random_frame(2, 2)
    [[y, _, _]] = adjusted({"blur": 5}, tiny)
    assert np.array_equal(y, planes(tiny)[0])


@pytest.mark.parametrize("amount", [0.5, 1, 5])
def test_sharpening_adds_what_a_small_blur_takes_away(amount: float) -> None:
    luma = planes(random_frame())[0].astype(int)
    padded = np.pad(luma, 1, mode="edge")
    rows = padded[:-2] + 2 * padded[1:-1] + padded[2:]
    around = rows[:, :-2] + 2 * rows[:, 1:-1] + rows[:, 2:]
    expected = np.clip(luma + (int(amount * 256) * (16 * luma - around) + 2048 >> 12), 16, 235)
    assert np.array_equal(sharpened(luma.astype(np.uint8), int(amount * 256)), expected)
    [[y, u, _]] = adjusted({"sharpen": amount}, random_frame())
    assert np.array_equal(y, expected)
    assert np.array_equal(u, planes(random_frame())[1])


def test_bound_parameters_have_a_value_at_each_frame() -> None:
    frames = [random_frame(seed=n) for n in range(3)]
    curves = {"effects.brightness": [0.0, 0.1, -0.1], "effects.blur": [0.0, 2.0, 1.0], "effects.hue": [0.0, 90.0, 0.0]}
    bound = adjusted({}, *frames, curves=curves)
    for n, frame in enumerate(frames):
        [alone] = adjusted({name.removeprefix("effects."): curve[n] for name, curve in curves.items()}, frame)
        assert all(np.array_equal(one, other) for one, other in zip(bound[n], alone, strict=True))
    assert np.array_equal(bound[0][0], planes(frames[0])[0])


def test_speed_cannot_be_bound() -> None:
    with pytest.raises(StepConfigError, match=r"effects\.speed cannot change from frame to frame"):
        adjusted({}, random_frame(), curves={"effects.speed": [1.5]})


def test_pictures_that_were_given_are_not_written_to() -> None:
    frame = random_frame()
    before = [plane.copy() for plane in planes(frame)]
    adjusted({"contrast": 1.5, "saturation": 0.5, "hue": 10, "blur": 2, "sharpen": 1}, frame)
    assert all(np.array_equal(one, other) for one, other in zip(before, planes(frame), strict=True))


@pytest.mark.parametrize("deliver", [True, False])
def test_all_at_once_is_a_film_with_its_sound(tmp_path: Path, clicking: Path, deliver: bool) -> None:
    effects = {
        "saturation": 1.2, "contrast": 1.1, "brightness": 0.05, "gamma": 1.1, "hue": 20, "blur": 1, "sharpen": 0.5,
    }  # fmt: skip
    output = run_step(tmp_path / "out", "TRANSFORM", {"effects": effects}, clicking, deliver=deliver)
    assert numbers_of(output) == list(range(60))
    assert abs(loudest(output, slice(0, 48_000)) - 24_000) <= 3
    again = run_step(tmp_path / "again", "TRANSFORM", {"effects": effects}, clicking, deliver=deliver)
    assert output.read_bytes() == again.read_bytes()


@pytest.mark.parametrize(
    ("speed", "numbers"),
    [
        (2, list(range(0, 60, 2))),
        (0.5, [n // 2 for n in range(120)]),
        (0.25, [n // 4 for n in range(240)]),
        (1.5, [n * 3 // 2 for n in range(40)]),
        (7, [0, 7, 14, 21, 28, 35, 42, 49, 56]),
        (100, [0]),
    ],
)
def test_speed_shows_the_very_frames(tmp_path: Path, silent: Path, speed: float, numbers: list[int]) -> None:
    output = run_step(tmp_path / "out", "TRANSFORM", {"effects": {"speed": speed}}, silent)
    assert numbers_of(output) == numbers
    assert probe(output).frame_rate == 30


@pytest.mark.parametrize("deliver", [True, False])
@pytest.mark.parametrize("speed", [0.3, 0.5, 1.25, 2, 5])
def test_sound_runs_along_and_lasts_as_long(tmp_path: Path, clicking: Path, speed: float, deliver: bool) -> None:
    output = run_step(tmp_path / "out", "TRANSFORM", {"effects": {"speed": speed}}, clicking, deliver=deliver)
    frames = probe(output).frames
    assert sound_duration(output) == Fraction(nearest_samples(frames), RATE_HZ)
    second = int(1.5 * RATE_HZ / speed)
    found = loudest(output, slice(int(RATE_HZ / speed), nearest_samples(frames)))
    assert abs(found - second) < RATE_HZ // 20 / min(1, speed)


def nearest_samples(frames: int) -> int:
    return frames * RATE_HZ // 30


def test_pitch_stays(tmp_path: Path) -> None:
    t = np.arange(2 * RATE_HZ) / RATE_HZ
    tone = (np.sin(2 * np.pi * 440 * t) * 12_000).astype(np.int16)[None]
    media = write_counted(tmp_path / "a.mov", 60, sound=tone)
    output = run_step(tmp_path / "out", "TRANSFORM", {"effects": {"speed": 0.5}}, media, deliver=False)
    with av.open(str(output)) as container:
        samples = np.concatenate([frame.to_ndarray().reshape(-1) for frame in container.decode(audio=0)])
    middle = samples[RATE_HZ : 3 * RATE_HZ]
    crossings = int(np.sum((middle[:-1] < 0) & (middle[1:] >= 0)))
    assert abs(crossings / 2 - 440) < 5


def test_speed_and_colour_in_one_pass(tmp_path: Path, silent: Path) -> None:
    effects = {"speed": 2, "contrast": 0.8}
    fast = run_step(tmp_path / "fast", "TRANSFORM", {"effects": {"speed": 2}}, silent, deliver=False)
    both = run_step(tmp_path / "both", "TRANSFORM", {"effects": effects}, silent, deliver=False)
    after = run_step(tmp_path / "after", "TRANSFORM", {"effects": {"contrast": 0.8}}, fast, deliver=False)
    assert frames_of(both) == frames_of(after)
    assert frames_of(both) != frames_of(fast)


def test_speed_is_no_work_frame_by_frame() -> None:
    kind = find_step_type("TRANSFORM")
    assert kind.frame_wise(kind.params.model_validate({"effects": {"contrast": 2}}))
    assert not kind.frame_wise(kind.params.model_validate({"effects": {"speed": 2}}))


def test_tempos_multiply_to_the_speed() -> None:
    for speed in (Fraction(1, 100), Fraction(1, 2), Fraction(9, 7), Fraction(2), Fraction(100)):
        found = tempos(speed)
        assert math.prod(found, start=Fraction(1)) == speed
        assert all(Fraction(1, 2) <= each <= 2 for each in found)


def test_sound_that_ends_early_stays_in_time(tmp_path: Path) -> None:
    media = write_counted(tmp_path / "a.mov", 30, sound=noise(4800))
    output = run_step(tmp_path / "out", "TRANSFORM", {"effects": {"speed": 0.5}}, media)
    assert sound_duration(output) == 2


@pytest.mark.parametrize(
    "effects",
    [{"saturation": 2.1}, {"contrast": -0.1}, {"brightness": 1.5}, {"gamma": 0}, {"speed": 0}, {"speed": 101},
     {"blur": -1}, {"sharpen": 9}, {"hue": 400}, {"satturation": 1}, {"hue": float("nan")}],
)  # fmt: skip
def test_wrong_parameters_are_refused(effects: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        find_step_type("TRANSFORM").canonical_config({"effects": effects})


@pytest.mark.parametrize("speed", [1, 2])
def test_sound_alone_is_refused(tmp_path: Path, music: Path, speed: int) -> None:
    with pytest.raises(StepInputError, match="audio only"):
        run_step(tmp_path / "out", "TRANSFORM", {"effects": {"speed": speed}}, music)
