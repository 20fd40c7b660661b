"""AUDIO_MIX."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from pydantic import ValidationError

from artdag_common.errors import StepConfigError, StepInputError
from artdag_common.media.check import check_output
from artdag_common.media.probe import probe
from artdag_common.media.soundtrack import sound_duration
from artdag_common.steps.registry import find_step_type
from tests.unit.media.counted import RATE_HZ, clicks, loudest, noise, write_counted, write_wav
from tests.unit.steps.running import run_step


def samples_of(path: Path) -> np.ndarray:
    """Read all samples: shape (samples, channels)."""
    with av.open(str(path)) as container:
        channels = container.streams.audio[0].codec_context.channels
        return np.concatenate([frame.to_ndarray().reshape(-1, channels) for frame in container.decode(audio=0)])


def wav(path: Path, sound: np.ndarray, rate_hz: int = RATE_HZ) -> Path:
    return write_wav(path, sound.astype(np.int16), rate_hz)


@pytest.mark.parametrize(
    ("config", "factors"),
    [
        ({}, (0.5, 0.5)),
        ({"normalize": False}, (1, 1)),
        ({"gains": [0.25, 0.5]}, (0.25, 0.5)),  # they add up to less than 1
        ({"gains": [3, 1]}, (0.75, 0.25)),
        ({"gains": [0, 1], "normalize": False}, (0, 1)),
        ({"gains": [2, 0.5], "normalize": False}, (2, 0.5)),
    ],
)
def test_each_sample_is_the_sum(tmp_path: Path, config: dict[str, Any], factors: tuple[float, float]) -> None:
    sounds = [np.random.default_rng(n).integers(-12_000, 12_000, (1, 5000)) for n in (1, 2)]
    paths = [wav(tmp_path / f"{n}.wav", sound) for n, sound in enumerate(sounds)]
    output = run_step(tmp_path / "out", "AUDIO_MIX", config, *paths, deliver=False)
    expected = sum(sound[0] * factor / 32768 for sound, factor in zip(sounds, factors, strict=True))
    assert np.abs(samples_of(output)[:, 0] - expected).max() < 1e-6


def test_what_is_too_loud_is_cut_off_unless_normalized(tmp_path: Path) -> None:
    loud = wav(tmp_path / "a.wav", np.full((1, 3000), 30_000))
    plain = run_step(tmp_path / "plain", "AUDIO_MIX", {"normalize": False}, loud, loud, loud, deliver=False)
    assert samples_of(plain).max() == 1
    tamed = run_step(tmp_path / "tamed", "AUDIO_MIX", {}, loud, loud, loud, deliver=False)
    assert np.abs(samples_of(tamed) - 30_000 / 32768).max() < 1e-6


@pytest.mark.parametrize("deliver", [True, False])
def test_the_longest_decides_and_each_is_in_its_place(tmp_path: Path, deliver: bool) -> None:
    short = wav(tmp_path / "short.wav", clicks(RATE_HZ // 2, [4800]))
    long = wav(tmp_path / "long.wav", clicks(2 * RATE_HZ, [70_000]))
    output = run_step(tmp_path / "out", "AUDIO_MIX", {}, short, long, deliver=deliver)
    assert sound_duration(output) == 2
    assert abs(loudest(output, slice(0, RATE_HZ)) - 4800) <= 3
    assert abs(loudest(output, slice(RATE_HZ, 2 * RATE_HZ)) - 70_000) <= 3
    assert check_output(output) == ("audio/mp4" if deliver else "video/quicktime")
    assert probe(output).frames == 0


def test_rate_is_that_of_the_first_and_channels_are_those_of_the_widest(tmp_path: Path) -> None:
    mono = wav(tmp_path / "mono.wav", np.full((1, 22_050), 8000), 22_050)
    sides = np.stack([np.full(RATE_HZ, 8000), np.full(RATE_HZ, -8000)])
    stereo = wav(tmp_path / "stereo.wav", sides)
    output = run_step(tmp_path / "out", "AUDIO_MIX", {"normalize": False}, mono, stereo, deliver=False)
    assert (probe(output).sample_rate, probe(output).channels) == (22_050, 2)
    assert sound_duration(output) == 1
    middle = samples_of(output)[5000:15_000]
    assert np.abs(middle - [16_000 / 32768, 0]).max() < 1e-3


def test_the_sound_of_a_film_counts_from_its_first_picture(tmp_path: Path, clicking: Path) -> None:
    quiet = wav(tmp_path / "a.wav", noise(4800) // 100)
    output = run_step(tmp_path / "out", "AUDIO_MIX", {}, quiet, clicking)
    assert probe(output).frames == 0
    assert sound_duration(output) == Fraction(2)
    assert abs(loudest(output, slice(0, RATE_HZ)) - 24_000) <= 3


def test_it_gives_the_same_bytes_again(tmp_path: Path, clicking: Path, music: Path) -> None:
    runs = [run_step(tmp_path / str(n), "AUDIO_MIX", {}, clicking, music).read_bytes() for n in (0, 1)]
    assert runs[0] == runs[1]


def test_what_does_not_fit_is_refused(tmp_path: Path, silent: Path, music: Path) -> None:
    with pytest.raises(StepInputError, match="input 2: the file holds no audio"):
        run_step(tmp_path / "out", "AUDIO_MIX", {}, music, silent)
    with pytest.raises(StepConfigError, match="gains: there are 3 for 2 inputs"):
        run_step(tmp_path / "out", "AUDIO_MIX", {"gains": [1, 1, 1]}, music, music)


@pytest.mark.parametrize("config", [{"gains": [-1, 1]}, {"gains": ["loud", 1]}, {"gains": [101, 1]}, {"gain": [1, 1]}])
def test_wrong_parameters_are_refused(config: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        find_step_type("AUDIO_MIX").canonical_config(config)


def test_a_film_is_no_part_of_the_output(tmp_path: Path, music: Path) -> None:
    film = write_counted(tmp_path / "a.mp4", 30, sound=noise(RATE_HZ), sound_codec="aac")
    output = run_step(tmp_path / "out", "AUDIO_MIX", {}, film, music)
    with av.open(str(output)) as container:
        assert not container.streams.video
