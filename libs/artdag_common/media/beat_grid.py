"""Video time bent so that its cuts meet beats: whole numbers only, exact at any length, no drift."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from fractions import Fraction

from artdag_common.media.timeline import nearest


def length_in_frames(duration: Fraction, rate: Fraction) -> int:
    """Return the frames of ``duration`` seconds at ``rate`` frames a second, at least 1; halves go up."""
    return max(1, nearest(duration * rate))


def beat_frames(beats: Iterable[Fraction], rate: Fraction, length: int) -> list[int]:
    """Return the frames at which intervals begin, and the end.

    Each beat goes to the frame nearest to its own time, so that it is off by half a frame at most, however many came
    before it. Beats on one frame count once; those outside the film are left out.

    Args:
        beats: seconds, in any order.
        length: frames of the output, at least 1.

    Returns:
        Ascending frames, the first 0, the last ``length``.
    """
    inner = {nearest(beat * rate) for beat in beats}
    return sorted({0, length} | {frame for frame in inner if 0 < frame < length})


def stretched(grid: Sequence[int], source_length: int) -> Iterator[int]:
    """Give for each output frame the source frame that it shows: never going back.

    The source is cut into as many equal parts as there are intervals, and each part spread evenly over its interval:
    with ``m`` intervals, part ``i`` begins at ``⌊i·L/m⌋``, and the ``j``-th of its interval's ``M`` outputs shows the
    part's frame ``⌊(2j+1)·l/2M⌋``, the one under the middle of its share.

    Args:
        grid: as :func:`beat_frames` returns.
        source_length: frames of the source, at least 1.
    """
    parts = len(grid) - 1
    for i in range(parts):
        begin, end = i * source_length // parts, (i + 1) * source_length // parts
        outputs = grid[i + 1] - grid[i]
        for j in range(outputs):
            yield begin + (2 * j + 1) * (end - begin) // (2 * outputs)
