"""Any number of channels as one or two."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from artdag_common.errors import StepInputError
from artdag_common.media.mixing import SIDES, USUAL, fits, mixed, sane
from artdag_common.media.probe import probe
from artdag_common.media.soundtrack import SoundShape, Span, read_sound, sound_shape
from tests.unit.media.counted import RATE_HZ, noise, write_wav


def framed(rows: np.ndarray, layout: str, kind: str = "flt") -> av.AudioFrame:
    """Return samples, shape (channels, samples), as a frame."""
    packed = np.ascontiguousarray(rows.T.reshape(1, -1))
    frame = av.AudioFrame.from_ndarray(packed, format=kind, layout=layout)
    frame.sample_rate, frame.pts, frame.time_base = RATE_HZ, 480, Fraction(1, RATE_HZ)
    return frame


def alone(layout: str, index: int, count: int) -> np.ndarray:
    """Return what comes of full scale on one channel of a layout: left and right."""
    rows = np.zeros((count, 64), np.float32)
    rows[index] = 1
    return mixed(framed(rows, layout), 2).to_ndarray()[:, -1]


def test_mono_is_as_loud_on_two_sides() -> None:
    row = np.linspace(-1, 1, 64, dtype=np.float32)[None]
    both = mixed(framed(row, "mono"), 2).to_ndarray()
    assert np.array_equal(both, np.vstack([row, row]))


def test_stereo_as_mono_is_the_mean() -> None:
    rows = np.array([[1.0] * 64, [0.5] * 64], np.float32)
    assert np.allclose(mixed(framed(rows, "stereo"), 1).to_ndarray(), 0.75)


@pytest.mark.parametrize(("layout", "count"), [("2.1", 3), ("quad", 4), ("5.1", 6), ("7.1", 8), ("22.2", 24)])
def test_full_scale_on_all_channels_stays_full_scale(layout: str, count: int) -> None:
    loud = mixed(framed(np.ones((count, 64), np.float32), layout), 2).to_ndarray()
    assert np.abs(loud).max() == pytest.approx(1, abs=1e-6)


def test_channels_go_to_their_side() -> None:
    front_left, front_right, centre, low, back_left, back_right = (alone("5.1", i, 6) for i in range(6))
    assert front_left[0] > 0.4
    assert front_left[1] == front_right[0] == 0
    assert centre[0] == centre[1] == pytest.approx(front_left[0] * 0.5**0.5)
    assert not low.any()
    assert back_left[0] == pytest.approx(front_left[0] * 0.5**0.5)
    assert back_left[1] == back_right[0] == 0


def test_time_and_rate_stay() -> None:
    made = mixed(framed(np.ones((6, 64), np.float32), "5.1"), 2)
    assert (made.pts, made.time_base, made.sample_rate, made.samples) == (480, Fraction(1, RATE_HZ), RATE_HZ, 64)
    assert fits(made, 2)
    assert not fits(made, 1)


def test_every_usual_channel_has_its_side() -> None:
    assert all(len(names) == count and set(names) <= set(SIDES) for count, names in USUAL.items())


@pytest.mark.parametrize("channels", [1, 2, 3, 4, 5, 6, 7, 8, 9, 16, 64, 65, 128, 255])
def test_files_of_any_number_of_channels_are_read(tmp_path: Path, channels: int) -> None:
    level = np.full((channels, 4800), 16_384, np.int16)
    path = write_wav(tmp_path / "a.wav", level)
    assert probe(path).channels == channels
    shape = sound_shape(path)
    assert shape == SoundShape(RATE_HZ, min(2, channels))
    heard = np.concatenate(list(read_sound(Span(path, Fraction(0), None), shape)), axis=1)
    assert heard.shape == (shape.channels, 4800)
    assert np.allclose(heard, heard[:, :1])
    assert 0.3 < heard.min() <= heard.max() <= 0.5 + 1e-6


def test_channels_without_names_count_alike_on_both_sides(tmp_path: Path) -> None:
    sound = np.zeros((100, 480), np.int16)
    sound[7] = 32_000
    path = write_wav(tmp_path / "a.wav", sound)
    heard = np.concatenate(list(read_sound(Span(path, Fraction(0), None), SoundShape(RATE_HZ, 2))), axis=1)
    assert np.allclose(heard, 32_000 / 32_768 / 100)


@pytest.mark.parametrize(("kind", "type_", "half"), [("u8", np.uint8, 192), ("s32", np.int32, 2**30), ("flt", None, 0)])
def test_many_channels_of_every_kind_of_sample(kind: str, type_: type | None, half: int) -> None:
    rows = np.full((70, 32), 0.5, np.float32) if type_ is None else np.full((70, 32), half, type_)
    heard = mixed(framed(rows, "70 channels", kind), 2).to_ndarray()
    assert np.allclose(heard, 0.5)


def test_many_channels_kept_apart_are_refused() -> None:
    frame = av.AudioFrame(format="fltp", layout="65 channels", samples=16)
    frame.sample_rate = RATE_HZ
    with pytest.raises(StepInputError, match="65 channels, each by itself; at most 64"):
        mixed(frame, 2)


def test_samples_that_are_no_numbers_are_silence() -> None:
    odd = np.array([[0.5, np.nan, np.inf, -np.inf, 1e30]], np.float32)
    assert sane(odd).tolist() == [[0.5, 0, 16, -16, 16]]
    usual = noise(100).astype(np.float32) / 32_768
    assert sane(usual) is usual
