"""Beats on the grid of frames, and the footage stretched between them."""

from __future__ import annotations

import itertools
import json
from fractions import Fraction
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from artdag_common.media.beat_grid import beat_frames, length_in_frames, stretched

GOLDEN = json.loads((Path(__file__).parents[2] / "golden" / "beat_grid.json").read_text())

rates = st.sampled_from([Fraction(24), Fraction(25), Fraction(30), Fraction(30000, 1001), Fraction(60)])
times = st.lists(st.integers(0, 40_000).map(lambda ms: Fraction(ms, 1000)), max_size=80)


def test_the_golden_case_stays() -> None:
    for case in GOLDEN:
        rate = Fraction(case["rate"])
        length = length_in_frames(Fraction(case["duration"]), rate)
        grid = beat_frames(map(Fraction, case["beats"]), rate, length)
        assert grid == case["grid"]
        assert list(stretched(grid, case["source_length"])) == case["shown"]


def test_two_equal_intervals_show_half_of_the_source_each() -> None:
    assert list(stretched([0, 2, 6], 8)) == [1, 3, 4, 5, 6, 7]


def test_a_source_shorter_than_the_beats_are_many_repeats_its_frames() -> None:
    assert list(stretched([0, 1, 2, 3, 4], 2)) == [0, 0, 1, 1]


def test_beats_beyond_the_end_and_at_the_beginning_cut_nothing() -> None:
    assert beat_frames([Fraction(0), Fraction(1, 100), Fraction(1), Fraction(5)], Fraction(30), 60) == [0, 30, 60]


@given(times, st.integers(1, 40_000), rates)
def test_each_beat_is_met_within_half_a_frame(beats: list[Fraction], duration_ms: int, rate: Fraction) -> None:
    length = length_in_frames(Fraction(duration_ms, 1000), rate)
    grid = beat_frames(beats, rate, length)
    assert grid[0] == 0
    assert grid[-1] == length
    assert grid == sorted(set(grid))
    for beat in beats:
        if beat * rate < length - Fraction(1, 2):
            assert min(abs(frame - beat * rate) for frame in grid) <= Fraction(1, 2)


@given(times, st.integers(1, 40_000), rates, st.integers(1, 2000))
def test_the_result_is_as_long_as_it_has_to_be_and_never_goes_back(
    beats: list[Fraction], duration_ms: int, rate: Fraction, source_length: int
) -> None:
    length = length_in_frames(Fraction(duration_ms, 1000), rate)
    grid = beat_frames(beats, rate, length)
    shown = list(stretched(grid, source_length))
    assert len(shown) == length
    assert all(a <= b for a, b in itertools.pairwise(shown))
    assert shown[0] >= 0
    assert shown[-1] < source_length
    parts = len(grid) - 1
    for i, begin in enumerate(grid[:-1]):
        # a new part of the source begins exactly on the beat
        assert shown[begin] >= i * source_length // parts
        if begin:
            assert shown[begin - 1] <= max(0, i * source_length // parts)


@given(st.integers(1, 500))
def test_one_interval_as_long_as_the_source_shows_it_as_it_is(length: int) -> None:
    assert list(stretched([0, length], length)) == list(range(length))
