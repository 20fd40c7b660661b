"""Sound, counted in samples."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from artdag_common.errors import StepInputError
from artdag_common.media.encode import SoundWriter
from artdag_common.media.soundtrack import (
    EncodedSound,
    SoundShape,
    Span,
    in_blocks,
    joint_shape,
    read_sound,
    sound_duration,
    sound_shape,
)
from tests.unit.media.counted import RATE_HZ, noise, write_counted, write_wav

MONO = SoundShape(RATE_HZ, 1)


def samples(span: Span, shape: SoundShape = MONO) -> np.ndarray:
    return np.concatenate([np.zeros((shape.channels, 0), np.float32), *read_sound(span, shape)], axis=1)


@pytest.fixture(scope="module")
def sound() -> np.ndarray:
    return noise(5 * RATE_HZ)


@pytest.fixture(scope="module")
def wav(tmp_path_factory: pytest.TempPathFactory, sound: np.ndarray) -> Path:
    return write_wav(tmp_path_factory.mktemp("sound") / "noise.wav", sound)


@pytest.mark.parametrize(("first", "count"), [(0, 1), (1, 1023), (4801, 10_000), (239_000, 1000)])
def test_a_span_is_cut_to_the_sample(wav: Path, sound: np.ndarray, first: int, count: int) -> None:
    cut = samples(Span(wav, Fraction(first, RATE_HZ), count))
    assert np.array_equal(np.round(cut * 32768), sound[:, first : first + count])


def test_a_span_beyond_the_end_is_filled_with_silence(wav: Path, sound: np.ndarray) -> None:
    cut = samples(Span(wav, Fraction(239_900, RATE_HZ), 1000))
    assert np.array_equal(np.round(cut[:, :100] * 32768), sound[:, 239_900:])
    assert cut.shape == (1, 1000)
    assert not cut[:, 100:].any()


def test_a_span_before_the_beginning_starts_with_silence(wav: Path, sound: np.ndarray) -> None:
    cut = samples(Span(wav, Fraction(-50, RATE_HZ), 100))
    assert not cut[:, :50].any()
    assert np.array_equal(np.round(cut[:, 50:] * 32768), sound[:, :50])


def test_without_a_length_all_of_it_comes(wav: Path) -> None:
    assert samples(Span(wav, Fraction(0), None)).shape == (1, 5 * RATE_HZ)
    assert sound_duration(wav) == 5


def test_mono_becomes_stereo(wav: Path) -> None:
    cut = samples(Span(wav, Fraction(0), 500), SoundShape(RATE_HZ, 2))
    assert cut.shape == (2, 500)
    assert np.array_equal(cut[0], cut[1])


def test_what_the_encoder_filled_up_is_not_taken_for_sound(tmp_path: Path, wav: Path) -> None:
    with SoundWriter(tmp_path / "a.mp4", EncodedSound([Span(wav, Fraction(0), 10_001)], MONO)):
        pass
    assert sound_duration(tmp_path / "a.mp4") == Fraction(10_001, RATE_HZ)


def test_spans_and_silence_stand_at_their_samples(tmp_path: Path, wav: Path) -> None:
    spans = [Span(wav, Fraction(0), 3000), Span(None, Fraction(0), 4000), Span(wav, Fraction(1), 3000)]
    with SoundWriter(tmp_path / "a.mp4", EncodedSound(spans, MONO)):
        pass
    loud = np.abs(samples(Span(tmp_path / "a.mp4", Fraction(0), None)))[0]
    assert len(loud) == 10_000
    assert loud[500:2500].mean() > 0.1
    assert loud[4200:5800].mean() < 0.01
    assert loud[7500:9500].mean() > 0.1


def test_a_far_seek_finds_the_same_samples_as_reading_on(tmp_path: Path) -> None:
    path = write_counted(tmp_path / "long.mp4", 4, sound=noise(9 * RATE_HZ), sound_codec="aac")
    whole = samples(Span(path, Fraction(0), None))
    first = 8 * RATE_HZ + 123
    part = samples(Span(path, Fraction(first, RATE_HZ), 5000))
    assert np.array_equal(part, whole[:, first : first + 5000])


def test_a_gap_of_days_is_not_filled_with_silence(tmp_path: Path) -> None:
    path = tmp_path / "gap.mkv"
    with av.open(str(path), "w") as container:
        track = container.add_stream("pcm_s16le", rate=RATE_HZ, layout="mono")
        for begin in (0, 90_000 * RATE_HZ):
            piece = av.AudioFrame.from_ndarray(noise(1024), format="s16", layout="mono")
            piece.sample_rate, piece.pts, piece.time_base = RATE_HZ, begin, Fraction(1, RATE_HZ)
            container.mux(track.encode(piece))
        container.mux(track.encode(None))
    with pytest.raises(StepInputError, match="the audio claims to last 90000 s"):
        samples(Span(path, Fraction(0), None))


def test_a_rate_that_aac_does_not_know_becomes_a_usual_one(tmp_path: Path) -> None:
    path = write_wav(tmp_path / "odd.wav", noise(7000), 7000)
    assert sound_shape(path) == SoundShape(48_000, 1)
    assert abs(samples(Span(path, Fraction(0), None), MONO).shape[1] - 48_000) <= 64


def test_sounds_in_a_row_take_the_rate_of_the_first_and_the_widest_channels() -> None:
    assert joint_shape([None, SoundShape(44_100, 1), SoundShape(48_000, 2)]) == SoundShape(44_100, 2)
    assert joint_shape([None, None]) is None


@given(st.lists(st.integers(0, 40), max_size=12), st.integers(1, 16))
def test_blocks_hold_the_same_samples_in_the_same_order(lengths: list[int], block: int) -> None:
    pieces = (
        np.split(np.arange(sum(lengths), dtype=np.float32)[None], np.cumsum(lengths)[:-1], axis=1) if lengths else []
    )
    blocks = list(in_blocks(pieces, block))
    joined = np.concatenate([np.zeros((1, 0), np.float32), *blocks], axis=1)
    assert np.array_equal(joined[0], np.arange(sum(lengths)))
    assert all(each.shape[1] == block for each in blocks[:-1])
