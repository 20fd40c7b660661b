"""Beats on the grid of frames, and the footage stretched between them."""

from __future__ import annotations

import itertools
import json
import math
from fractions import Fraction
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from artdag_common.media.beat_grid import (
    ONE,
    beat_frames,
    beat_places,
    chosen,
    jumped,
    length_in_frames,
    looped,
    parts,
    pulses,
    stretched,
)

GOLDEN = json.loads((Path(__file__).parents[2] / "golden" / "beat_grid.json").read_text())

rates = st.sampled_from([Fraction(24), Fraction(25), Fraction(30), Fraction(30000, 1001), Fraction(60)])
GOLDEN_STARTS = [187, 601, 170, 764, 75, 619, 234, 554, 358, 123]

eases = st.integers(0, 100).map(lambda hundredths: Fraction(hundredths, 100))
times = st.lists(st.integers(0, 40_000).map(lambda ms: Fraction(ms, 1000)), max_size=80)


@st.composite
def grids(draw: st.DrawFn) -> list[int]:
    """Any grid: of one frame, of one interval, with a beat on every frame, with beats nowhere near the end."""
    length = draw(st.integers(1, 600))
    return sorted({0, length, *draw(st.lists(st.integers(0, length), max_size=60))})


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


@given(grids(), st.integers(1, 800), eases, st.lists(st.integers(-5, 900), max_size=40))
def test_a_stretched_source_never_goes_back_however_it_is_eased_and_cut(
    grid: list[int], source_length: int, ease: Fraction, cuts: list[int]
) -> None:
    shown = list(stretched(grid, source_length, ease, cuts))
    bounds = parts(grid, source_length, cuts)
    assert len(shown) == grid[-1]
    assert all(a <= b for a, b in itertools.pairwise(shown))
    assert shown[0] >= 0
    assert shown[-1] < source_length
    for (begin, end), (first, last) in zip(itertools.pairwise(grid), itertools.pairwise(bounds), strict=True):
        assert all(first <= place < max(last, first + 1) for place in shown[begin:end])


def test_ease_begins_slowly_and_comes_fast_into_the_beat() -> None:
    steady, eased = ([*stretched([0, 30], 300, ease)] for ease in (Fraction(0), Fraction(1, 2)))
    speeds = [b - a for a, b in itertools.pairwise(eased)]
    assert {b - a for a, b in itertools.pairwise(steady)} == {10}
    assert speeds == sorted(speeds)
    assert (speeds[0], speeds[-1]) == (5, 15)
    assert list(stretched([0, 4], 64, Fraction(1))) == [1, 9, 25, 49]  # 64·x² at x = 1/8, 3/8, 5/8, 7/8


@given(grids(), st.integers(1, 800), st.lists(st.integers(-5, 900), max_size=40))
def test_cuts_begin_parts(grid: list[int], source_length: int, cuts: list[int]) -> None:
    bounds = parts(grid, source_length, cuts)
    inner = {cut for cut in cuts if 0 < cut < source_length}
    assert len(bounds) == len(grid)
    assert (bounds[0], bounds[-1]) == (0, source_length)
    assert bounds == sorted(bounds)
    if len(inner) <= len(grid) - 2:
        assert inner <= set(bounds)  # each cut is on a beat
    else:
        assert set(bounds[1:-1]) <= inner  # each beat has a cut


@pytest.mark.parametrize(
    ("cuts", "expected"),
    [
        ([], [0, 25, 50, 75, 100]),
        ([48], [0, 24, 48, 74, 100]),  # the beat half way is the nearest; equal parts on both sides
        ([1, 2, 3], [0, 1, 2, 3, 100]),  # as many as beats: each has its own
        ([98], [0, 32, 65, 98, 100]),
        ([80, 90, 95], [0, 80, 90, 95, 100]),  # the first leaves beats for the others
        ([10, 20, 45, 55, 77], [0, 20, 45, 77, 100]),  # more than beats: the nearest ones
        ([0, 100, 300, -4], [0, 25, 50, 75, 100]),
    ],
)
def test_cuts_take_the_nearest_beats(cuts: list[int], expected: list[int]) -> None:
    assert parts([0, 10, 20, 30, 40], 100, cuts) == expected


@given(grids(), st.integers(1, 800), st.integers(0, 2**64 - 1))
def test_each_interval_of_a_cut_plays_on_from_its_own_start(grid: list[int], source_length: int, seed: int) -> None:
    shown = list(jumped(grid, source_length, seed))
    assert len(shown) == grid[-1]
    assert all(0 <= place < source_length for place in shown)
    before = None
    for begin, end in itertools.pairwise(grid):
        interval = shown[begin:end]
        assert interval == [(interval[0] + j) % source_length for j in range(end - begin)]
        places = max(1, source_length - (end - begin) + 1)
        assert interval[0] < places  # it fits, if it can
        if before is not None and places > 3:
            assert abs(interval[0] - before) > places // 4  # the jump is seen
        before = (interval[-1] + 1) % source_length


def test_a_seed_gives_the_same_cuts_for_ever_and_another_one_others() -> None:
    grid = list(range(0, 301, 30))
    starts = [list(jumped(grid, 900, seed))[::30] for seed in (1, 1, 2)]
    assert starts[0] == starts[1] == GOLDEN_STARTS
    assert starts[2] != starts[0]


def test_starts_are_spread_over_the_source() -> None:
    starts = list(jumped(list(range(0, 20_001, 10)), 400, 5))[::10]
    counts = [sum(low <= start < low + 98 for start in starts) for low in range(0, 391, 98)]
    assert min(counts) > 350


@given(grids(), st.integers(1, 800))
def test_a_loop_begins_again_on_each_beat(grid: list[int], source_length: int) -> None:
    shown = list(looped(grid, source_length))
    assert shown == [(n - max(g for g in grid if g <= n)) % source_length for n in range(grid[-1])]


@given(times, st.integers(1, 40_000), rates)
def test_places_are_the_beats_own_frames_and_nothing_else(
    beats: list[Fraction], duration_ms: int, rate: Fraction
) -> None:
    length = length_in_frames(Fraction(duration_ms, 1000), rate)
    places = beat_places(beats, rate, length)
    assert places == sorted(set(places))
    assert all(0 <= place < length for place in places)
    for place in places:
        assert min(abs(place - beat * rate) for beat in beats) <= Fraction(1, 2)
    assert beat_frames(beats, rate, length) == sorted({0, length, *places})


def test_no_beat_is_one_interval() -> None:
    assert beat_frames([], Fraction(25), 50) == [0, 50]
    assert beat_places([], Fraction(25), 50) == []


def test_beats_that_are_moved_before_the_beginning_do_not_count() -> None:
    beats = chosen([Fraction(1), Fraction(2), Fraction(3)], offset=Fraction(-3, 2))
    assert beat_places(beats, Fraction(10), 100) == [5, 15]
    assert beat_frames(beats, Fraction(10), 100) == [0, 5, 15, 100]


def test_every_other_beat_is_counted_from_the_first_whatever_their_order() -> None:
    beats = [Fraction(n) for n in (3, 1, 2, 2, 5, 4)]
    assert chosen(beats, 2) == [1, 3, 5]
    assert chosen(beats, 3, Fraction(1, 2)) == [Fraction(3, 2), Fraction(9, 2)]
    assert chosen(beats, 9) == [1]
    assert chosen([], 2) == []


@given(st.lists(st.integers(0, 299), max_size=30), st.integers(0, 100), st.integers(1, 3000))
def test_a_pulse_is_highest_on_the_beat_and_falls_until_the_next(
    beats: list[int], hundredths: int, decay_hundredths: int
) -> None:
    places = sorted(set(beats))
    strength, decay = Fraction(hundredths, 100), Fraction(decay_hundredths, 100)
    heights = list(pulses(places, 300, strength, decay))
    assert len(heights) == 300
    for n, height in enumerate(heights):
        latest = max((place for place in places if place <= n), default=None)
        expected = 0.0 if latest is None else ONE * float(strength) * math.exp((latest - n) / float(decay))
        assert abs(height - expected) <= 0.5 + 1e-6


def test_a_pulse_falls_to_a_third_in_its_time() -> None:
    heights = list(pulses([2], 6, Fraction(1, 2), Fraction(3)))
    assert heights == [0, 0, 2048, 1467, 1051, 753]  # 2048·e^(−k/3)
