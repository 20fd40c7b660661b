"""Sizes, colours and rates."""

from __future__ import annotations

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from artdag_common.media.colour import limited_yuv, parse_colour
from artdag_common.media.geometry import Mode, Placement, display_size, place
from artdag_common.media.timeline import Timeline, constant_rate

sides = st.integers(1, 2000).map(lambda n: 2 * n)
sizes = st.tuples(sides, sides)


@pytest.mark.parametrize(
    ("mode", "expected"),
    [
        ("fit", Placement((320, 180), (320, 180))),
        ("pad", Placement((320, 180), (320, 320), 0, 70)),
        ("fill", Placement((568, 320), (320, 320), -124, 0)),
        ("stretch", Placement((320, 320), (320, 320))),
    ],
)
def test_a_wide_picture_comes_into_a_square(mode: Mode, expected: Placement) -> None:
    assert place((640, 360), (320, 320), mode) == expected


@given(sizes, sizes, st.sampled_from(["fit", "fill", "stretch", "pad"]))
def test_every_number_is_even_and_the_canvas_as_asked(size: tuple[int, int], box: tuple[int, int], mode: Mode) -> None:
    placement = place(size, box, mode)
    numbers = (*placement.scaled, *placement.canvas, placement.x, placement.y)
    assert all(number % 2 == 0 for number in numbers)
    assert min(*placement.scaled, *placement.canvas) >= 2
    if mode != "fit":
        assert placement.canvas == box
    if mode == "fill":
        assert placement.scaled[0] >= box[0]
        assert placement.scaled[1] >= box[1]
    if mode in ("fit", "pad"):
        assert placement.scaled[0] <= box[0]
        assert placement.scaled[1] <= box[1]


def test_an_odd_size_loses_its_last_row_and_column() -> None:
    assert display_size(129, 73, None, 0) == (128, 72)


def test_wide_pixels_become_square_and_a_turned_picture_stands_up() -> None:
    assert display_size(720, 576, Fraction(16, 15), 0) == (768, 576)
    assert display_size(1920, 1080, Fraction(1), 90) == (1080, 1920)


@pytest.mark.parametrize(
    ("text", "colour"), [("Black", "#000000"), ("#0AF", "#00aaff"), ("#12aB34", "#12ab34"), (" teal ", "#008080")]
)
def test_each_spelling_of_a_colour_is_one(text: str, colour: str) -> None:
    assert parse_colour(text) == colour


def test_a_wrong_colour_is_refused_with_the_nearest_right_one() -> None:
    with pytest.raises(ValueError, match="did you mean 'black'"):
        parse_colour("blak")


def test_colours_keep_to_the_limited_range() -> None:
    assert limited_yuv("#000000") == (16, 128, 128)
    assert limited_yuv("#ffffff") == (235, 128, 128)
    assert limited_yuv("#ff0000") == (81, 90, 240)  # as tables of BT.601 give it
    assert limited_yuv("#ff0000", bt709=True) == (63, 102, 240)


@pytest.mark.parametrize(
    ("average", "rate"),
    [
        (Fraction(30), Fraction(30)),
        (Fraction(2997, 100), Fraction(30000, 1001)),
        (Fraction(30001, 1000), Fraction(30)),
        (Fraction(1, 7), Fraction(1)),
        (Fraction(90_000), Fraction(120)),
        (Fraction(37, 2), Fraction(37, 2)),
        (None, Fraction(25)),
        (Fraction(0), Fraction(25)),
    ],
)
def test_a_rate_is_brought_within_reason(average: Fraction | None, rate: Fraction) -> None:
    assert constant_rate(average) == rate


def test_a_span_snaps_to_frames_and_ends_with_the_film() -> None:
    timeline = Timeline(0, Fraction(1, 15360), Fraction(30), 90)
    assert timeline.span(Fraction(1), Fraction(1)) == (30, 60)
    assert timeline.span(Fraction("1.016"), Fraction("0.001")) == (30, 31)
    assert timeline.span(Fraction("2.5"), Fraction(9)) == (75, 90)
    assert timeline.span(Fraction(2), None) == (60, 90)
    with pytest.raises(ValueError, match="offset 3 s is beyond the end at 3 s"):
        timeline.span(Fraction(3), None)
