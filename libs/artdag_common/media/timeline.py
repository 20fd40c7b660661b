"""Frames on a grid of constant rate: whole numbers and fractions, no media library."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction

MIN_RATE, MAX_RATE = Fraction(1), Fraction(120)
COMMON_RATES = (
    *(Fraction(n * 1000, 1001) for n in (24, 30, 48, 60, 120)),
    *(Fraction(n) for n in (10, 12, 15, 20, 24, 25, 30, 48, 50, 60, 100, 120)),
)
UNKNOWN_RATE = Fraction(25)


def nearest(value: Fraction) -> int:
    """Return the whole number next to ``value``; halves go up."""
    return (value + Fraction(1, 2)).__floor__()


def seconds(value: float) -> Fraction:
    """Return the number of seconds that somebody wrote: 0.1 is a tenth, not its nearest binary fraction."""
    return Fraction(str(value))


def constant_rate(average: Fraction | None) -> Fraction:
    """Return the rate at which video of this average rate is read and written.

    Within a two-thousandth of a common rate it is that rate, since containers round time stamps; beyond 1 to 120
    frames a second it is the nearer bound.
    """
    if not average or average <= 0:
        return UNKNOWN_RATE
    rate = min(MAX_RATE, max(MIN_RATE, average))
    common = min(COMMON_RATES, key=lambda each: abs(each - rate))
    if abs(common - rate) * 2000 <= rate:
        return common
    return rate.limit_denominator(1001)


@dataclass(frozen=True, slots=True)
class Timeline:
    """A video stream laid on a grid.

    Attributes:
        origin: time stamp of the first frame, in units of ``unit``.
        unit: seconds.
        rate: frames of the grid a second.
        frames: length in frames, at least 1.
        stamped: False: the stream has no time stamps; its frames count as their own.
    """

    origin: int
    unit: Fraction
    rate: Fraction
    frames: int
    stamped: bool = True

    @classmethod
    def between(cls, first: int, end: int, unit: Fraction, rate: Fraction) -> Timeline:
        """Lay out a stream whose first frame is shown at ``first`` and whose last one until ``end``."""
        return cls(first, unit, rate, max(1, nearest((end - first) * unit * rate)))

    @property
    def start(self) -> Fraction:
        """Seconds on the file's own clock at which the first frame is shown."""
        return self.origin * self.unit

    @property
    def duration(self) -> Fraction:
        """Seconds."""
        return self.frames / self.rate

    def place(self, stamp: int) -> int:
        """Return the place on the grid of a frame with this time stamp."""
        return nearest((stamp - self.origin) * self.unit * self.rate)

    def stamp(self, place: int) -> int:
        """Return the time stamp of a place on the grid, rounded down."""
        return self.origin + (place / self.rate / self.unit).__floor__()

    def span(self, offset: Fraction, duration: Fraction | None) -> tuple[int, int]:
        """Return the first frame of a time range and the one after its last; at least one frame.

        Bounds snap to the nearest frame; a range that goes on beyond the end is cut short there.

        Raises:
            ValueError: the range begins at or after the end.
        """
        first = nearest(offset * self.rate)
        if first >= self.frames:
            raise ValueError(f"offset {float(offset):g} s is beyond the end at {float(self.duration):g} s")
        last = self.frames if duration is None else min(self.frames, nearest((offset + duration) * self.rate))
        return first, max(first + 1, last)
