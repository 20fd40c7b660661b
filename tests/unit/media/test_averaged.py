"""The mean of pixels around each, against its definition."""

from __future__ import annotations

import numpy as np
import pytest

from artdag_common.media.transform import averaged

SIZES = [(7, 9), (60, 50), (101, 33)]


@pytest.mark.parametrize("up", [False, True])
@pytest.mark.parametrize("radius", [1, 3, 7, 8, 20, 25, 128, 129])  # sums of 16 and of 32 bits, few and many
@pytest.mark.parametrize("size", SIZES)
def test_it_is_the_mean_of_the_square_around(size: tuple[int, int], radius: int, up: bool) -> None:
    plane = np.random.default_rng(radius).integers(0, 256, size, np.uint8)
    plane[: size[0] // 2] |= 0xF0  # sums near to the largest
    sums = np.pad(plane.astype(np.int64), radius, "edge")
    for axis in (0, 1):
        sums = np.lib.stride_tricks.sliding_window_view(sums, 2 * radius + 1, axis).sum(axis=-1)
    area = (2 * radius + 1) ** 2
    assert (averaged(plane, radius, up) == (sums + (area - 1 if up else 0)) // area).all()


def test_white_stays_white() -> None:
    plane = np.full((90, 70), 255, np.uint8)
    for radius in (7, 8, 128, 129, 180):
        assert (averaged(plane, radius) == 255).all()
