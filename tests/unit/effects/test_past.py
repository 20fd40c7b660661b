"""Frames gone by, kept in a file; and echo, which looks back at them."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from artdag_common.effects import past
from artdag_common.effects.past import Past
from artdag_common.effects.registry import find_effect

SHAPE = (5, 7, 3)


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    past.keep_in(tmp_path)
    yield tmp_path
    past.keep_in(None)


def picture(number: int) -> NDArray[np.uint8]:
    return np.random.default_rng(number).integers(0, 256, SHAPE, np.uint8)


def test_the_oldest_comes_first_to_the_byte(folder: Path) -> None:
    kept = Past(SHAPE)
    for number in range(4):
        kept.add(picture(number))
    seen = []
    for left in range(3, -1, -1):
        seen.append(kept.oldest())
        kept.forget_all_but(left)
    assert len(kept) == 0
    assert all(np.array_equal(found, picture(number)) for number, found in enumerate(seen))


def test_the_room_of_what_is_forgotten_is_used_again(folder: Path) -> None:
    kept = Past(SHAPE)
    for number in range(50):
        kept.add(picture(number))
        kept.forget_all_but(3)
    assert np.array_equal(kept.oldest(), picture(47))
    assert os.fstat(kept._file.fileno()).st_size == 4 * np.prod(SHAPE)
    assert not list(folder.iterdir())  # the file has no name, so that none is left, however the process ends


def test_a_frame_with_gaps_between_its_rows_is_kept_as_it_looks(folder: Path) -> None:
    kept = Past((5, 3, 3))
    kept.add(picture(1)[:, ::2][:, :3])
    assert np.array_equal(kept.oldest(), picture(1)[:, [0, 2, 4]])


def test_files_are_where_they_are_to_be(tmp_path: Path) -> None:
    past.keep_in(tmp_path / "not there")
    try:
        with pytest.raises(FileNotFoundError):
            Past(SHAPE)
    finally:
        past.keep_in(None)


def test_echo_looks_back_as_far_as_its_delay_says_at_each_frame(folder: Path) -> None:
    """Also where the delay grows from one frame to the next, and where it falls to one."""
    echo = find_effect("echo")
    state: Any = {}
    given: list[NDArray[np.uint8]] = []
    for number, delay in enumerate([3, 3, 3, 3, 3, 4, 4, 16, 2, 1, 3, 3, 3, 16]):
        frame, state = echo.process_frame(picture(number), echo.params(feedback=0.5, delay=delay), state)
        given.append(frame.copy())
        kept = kept_before(number, [3, 3, 3, 3, 3, 4, 4, 16, 2, 1, 3, 3, 3, 16])
        before = given[number - min(delay, kept)] if kept else None
        expected = picture(number).astype(int)
        if before is not None:
            expected = (expected * 128 + before.astype(int) * 128) >> 8
        assert np.array_equal(frame, expected)


def kept_before(number: int, delays: list[int]) -> int:
    """Return how many frames echo still has before a frame: one more than the delay before it, at most."""
    kept = 0
    for delay in delays[:number]:
        kept = min(kept, delay) + 1
    return kept
