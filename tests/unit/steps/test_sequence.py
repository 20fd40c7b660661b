"""SEQUENCE."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from pydantic import ValidationError

from artdag_common.errors import StepInputError
from artdag_common.media.pictures import planes
from artdag_common.media.probe import probe
from artdag_common.media.resize import blank
from artdag_common.media.soundtrack import sound_duration
from artdag_common.media.timeline import nearest
from artdag_common.steps.registry import find_step_type
from tests.unit.media.counted import RATE_HZ, loudest, numbers_of, write_counted
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
        ({"transition": {"type": "wipe"}}, "'cut', 'crossfade' or 'fade'"),
        ({"transition": {"type": "fade", "duration": 0}}, "greater than 0"),
        ({"transition": {"type": "fade", "duration": 61}}, "less than or equal to 60"),
        ({"transition": {"type": "fade", "lenght": 1}}, "Extra inputs"),
        ({"target_size": "explicit", "width": 64}, "needs width and height"),
        ({"width": 64, "height": 64}, "need target_size 'explicit'"),
        ({"background": "blurple"}, "is not a colour"),
    ],
)
def test_what_is_wrong_is_refused(config: dict[str, Any], reason: str) -> None:
    with pytest.raises(ValidationError, match=reason):
        find_step_type("SEQUENCE").canonical_config(config)


def test_a_cut_is_one_parameter_set_whatever_its_duration() -> None:
    kind = find_step_type("SEQUENCE")
    assert kind.canonical_config({"transition": {"type": "cut", "duration": 2}}) == kind.canonical_config({})


def grey(path: Path, frames: int, luma: int, rate: int = 30, sound: np.ndarray | None = None) -> Path:
    """Write frames of one grey, losslessly; sound: shape (channels, samples)."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=rate, options={"qp": "0"})
        stream.width, stream.height, stream.pix_fmt = 64, 36, "yuv420p"
        track = container.add_stream("pcm_s16le", rate=RATE_HZ, layout="mono") if sound is not None else None
        for number in range(frames):
            frame = blank((64, 36), (luma, 128, 128))
            frame.pts, frame.time_base = number, Fraction(1, rate)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
        if track is not None and sound is not None:
            piece = av.AudioFrame.from_ndarray(sound, "s16", "mono")
            piece.sample_rate = RATE_HZ
            container.mux(track.encode(piece))
            container.mux(track.encode(None))
    return path


def greys_of(path: Path) -> list[int]:
    """Read the luma of every frame, which has to be the same all over."""
    found = []
    with av.open(str(path)) as container:
        for frame in container.decode(video=0):
            luma = planes(frame)[0]
            assert luma.min() == luma.max()
            found.append(int(luma[0, 0]))
    return found


def samples_of(path: Path) -> np.ndarray:
    with av.open(str(path)) as container:
        return np.concatenate([frame.to_ndarray().reshape(-1) for frame in container.decode(audio=0)])


def crossfade(seconds: float) -> dict[str, Any]:
    return {"transition": {"type": "crossfade", "duration": seconds}}


def fade(seconds: float, **more: Any) -> dict[str, Any]:
    return {"transition": {"type": "fade", "duration": seconds}, **more}


def test_a_crossfade_shows_both_in_each_frame(tmp_path: Path) -> None:
    clips = [grey(tmp_path / f"{luma}.mp4", 10, luma) for luma in (40, 200, 100)]
    output = run_step(tmp_path / "out", "SEQUENCE", crossfade(0.1), *clips, deliver=False)
    # three frames each: 64, 128, 192 of 256 parts
    assert greys_of(output) == [40] * 7 + [80, 120, 160] + [200] * 4 + [175, 150, 125] + [100] * 7


def test_a_crossfade_keeps_count_of_the_frames(tmp_path: Path) -> None:
    """The frames that are shown alone are the very ones, from mixed rates and sizes too."""
    one = write_counted(tmp_path / "1.mp4", 20)
    other = write_counted(tmp_path / "2.mp4", 40, 60, first=100, size=(64, 36))
    output = run_step(tmp_path / "out", "SEQUENCE", crossfade(0.2), one, other)
    numbers = numbers_of(output)
    assert len(numbers) == 20 + 20 - 6
    assert numbers[:14] == list(range(14))
    assert numbers[20:] == list(range(112, 140, 2))


@pytest.mark.parametrize("deliver", [True, False])
def test_a_crossfade_of_sound_keeps_its_power_and_place(tmp_path: Path, deliver: bool) -> None:
    level = np.full((1, RATE_HZ), 8000, np.int16)
    one, other = (grey(tmp_path / f"{n}.mov", 30, 100, sound=level * (1 - 2 * n)) for n in (0, 1))
    output = run_step(tmp_path / "out", "SEQUENCE", crossfade(0.5), one, other, deliver=deliver)
    assert sound_duration(output) == Fraction(3, 2)
    if deliver:
        return
    samples = samples_of(output)
    t = (np.arange(RATE_HZ // 2) + 0.5) / (RATE_HZ // 2) * np.pi / 2
    expected = np.concatenate([np.ones(RATE_HZ // 2), np.cos(t) - np.sin(t), -np.ones(RATE_HZ // 2)]) * 8000 / 32768
    assert np.abs(samples - expected).max() < 1e-6


@pytest.mark.parametrize(("frames", "taken"), [(9, 4), (2, 1), (3, 1)])
def test_a_transition_takes_half_of_a_short_clip_at_most(tmp_path: Path, frames: int, taken: int) -> None:
    clips = [grey(tmp_path / "a.mp4", 20, 40), grey(tmp_path / "b.mp4", frames, 200), grey(tmp_path / "c.mp4", 20, 40)]
    output = run_step(tmp_path / "out", "SEQUENCE", crossfade(9), *clips, deliver=False)
    greys = greys_of(output)
    assert len(greys) == 40 + frames - 2 * taken
    assert greys.count(40) == 40 - 2 * taken
    assert greys.count(200) == frames - 2 * taken
    faded = greys_of(run_step(tmp_path / "faded", "SEQUENCE", fade(9), *clips, deliver=False))
    assert len(faded) == 40 + frames
    assert faded.count(40) == 40 - 2 * taken


@pytest.mark.parametrize("config", [crossfade(0.1), fade(0.1)])
def test_a_clip_of_one_frame_is_no_secret_cut(tmp_path: Path, silent: Path, config: dict[str, Any]) -> None:
    single = write_counted(tmp_path / "a.mp4", 1)
    with pytest.raises(StepInputError, match=r"clip 2: it has one frame.*needs two"):
        run_step(tmp_path / "out", "SEQUENCE", config, silent, single, silent)
    assert not list((tmp_path / "out").iterdir())


def test_a_fade_goes_out_to_the_background_and_comes_in(tmp_path: Path) -> None:
    clips = [grey(tmp_path / f"{luma}.mp4", 10, luma) for luma in (40, 200)]
    output = run_step(tmp_path / "out", "SEQUENCE", fade(0.2, background="white"), *clips, deliver=False)
    # three frames out and three in; white is 235
    assert greys_of(output) == [40] * 7 + [89, 138, 186] + [226, 218, 209] + [200] * 7


def test_the_sound_of_a_fade_goes_out_and_comes_in(tmp_path: Path) -> None:
    level = np.full((1, RATE_HZ), 8000, np.int16)
    one, other = (grey(tmp_path / f"{n}.mov", 30, 100, sound=level) for n in (0, 1))
    output = run_step(tmp_path / "out", "SEQUENCE", fade(0.5), one, other, deliver=False)
    samples = samples_of(output) / (8000 / 32768)
    part = nearest(Fraction(30, 4)) * RATE_HZ // 30  # whole frames
    rise = (np.arange(part) + 0.5) / part
    steady = np.ones(RATE_HZ - part)
    assert np.abs(samples - np.concatenate([steady, rise[::-1], rise, steady])).max() < 1e-5


@pytest.mark.parametrize("config", [crossfade(0.3), fade(0.6)])
def test_clips_without_sound_are_silent_between_others(
    tmp_path: Path, silent: Path, clicking: Path, config: dict[str, Any]
) -> None:
    output = run_step(tmp_path / "out", "SEQUENCE", config, silent, clicking, silent)
    lost = 9 if config["transition"]["type"] == "crossfade" else 0
    frames = probe(output).frames
    assert frames == 180 - 2 * lost
    assert sound_duration(output) == Fraction(frames, 30)
    click = (60 - lost) * 1600 + 24_000
    assert abs(loudest(output, slice(click - 20_000, click + 20_000)) - click) <= 3


def test_a_transition_of_one_clip_is_the_clip(tmp_path: Path, silent: Path) -> None:
    one, other = (
        run_step(tmp_path / str(i), "SEQUENCE", config, silent) for i, config in enumerate(({}, crossfade(1)))
    )
    assert one.read_bytes() == other.read_bytes()


def test_transitions_give_the_same_bytes_again(tmp_path: Path, clicking: Path) -> None:
    for config in (crossfade(0.4), fade(0.4)):
        kind = config["transition"]["type"]
        runs = {run_step(tmp_path / f"{kind}{n}", "SEQUENCE", config, clicking, clicking).read_bytes() for n in (0, 1)}
        assert len(runs) == 1
