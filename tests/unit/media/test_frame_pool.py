"""Frames in memory that is used again, and only once nobody has it."""

from __future__ import annotations

import threading
from fractions import Fraction

import av.filter
import pytest
from av.video.frame import PictureType, VideoFrame

from artdag_common.media import frame_pool
from artdag_common.media.frame_pool import KEPT, take_frame
from artdag_common.media.pictures import PIXELS, UNSAID, planes

SIZE = 64, 36


def place(frame: VideoFrame) -> int:
    """Return where a frame's picture is in memory."""
    return int(frame.planes[0].buffer_ptr)


@pytest.fixture(autouse=True)
def _empty() -> None:
    frame_pool._kept.clear()


def test_the_memory_of_a_frame_that_nobody_has_is_used_again() -> None:
    frame = take_frame(*SIZE)
    before = place(frame)
    assert (frame.width, frame.height, frame.format.name) == (*SIZE, PIXELS)
    del frame
    assert place(take_frame(*SIZE)) == before


def test_one_that_somebody_has_or_looks_at_is_not() -> None:
    frame = take_frame(*SIZE)
    assert take_frame(*SIZE) is not frame
    frame_pool._kept.clear()
    y = planes(take_frame(*SIZE))[0]
    y[:] = 7
    other = take_frame(*SIZE)
    planes(other)[0][:] = 9
    assert (y == 7).all()


def test_of_one_that_a_filter_has_the_memory_is_not_used() -> None:
    """As of one that an encoder works on: the library has a reference that Python does not see."""
    graph = av.filter.Graph()
    source = graph.add_buffer(width=SIZE[0], height=SIZE[1], format=PIXELS, time_base=Fraction(1, 25))
    graph.link_nodes(source, graph.add("tpad", "start=1"), graph.add("buffersink")).configure()
    frame = take_frame(*SIZE)
    planes(frame)[0][:] = 7
    frame.pts = 0
    graph.push(frame)
    del frame
    planes(take_frame(*SIZE))[0][:] = 9
    graph.push(None)
    found = [graph.vpull() for _ in range(2)]
    assert (planes(found[-1])[0] == 7).all()


def test_what_was_said_of_the_picture_before_is_forgotten() -> None:
    frame = take_frame(*SIZE)
    before = place(frame)
    frame.pts, frame.pict_type, frame.colorspace, frame.color_range = 5, PictureType.I, 1, 2
    del frame
    again = take_frame(*SIZE)
    assert place(again) == before
    assert (again.pts, again.pict_type, again.colorspace, again.color_range) == (None, PictureType.NONE, UNSAID, 0)


def test_another_size_is_another_frame_and_few_are_kept() -> None:
    several = [take_frame(*SIZE) for _ in range(3 * KEPT)]
    assert len({place(each) for each in several}) == len(several)
    assert len(frame_pool._kept) == KEPT
    del several
    larger = take_frame(2 * SIZE[0], SIZE[1])
    assert (larger.width, larger.height) == (2 * SIZE[0], SIZE[1])
    assert len(frame_pool._kept) == KEPT


def test_two_threads_never_get_the_same() -> None:
    together, twice = threading.Barrier(4), []
    in_use: set[int] = set()

    def work() -> None:
        together.wait(60)
        for _ in range(2_000):
            frame = take_frame(*SIZE)
            if id(frame) in in_use:
                twice.append(id(frame))
            in_use.add(id(frame))
            in_use.discard(id(frame))

    threads = [threading.Thread(target=work) for _ in range(4)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    assert not twice
