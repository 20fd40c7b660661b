"""Counted films, and what has to be true of what a step made of them: to the frame and to the sample."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property
from pathlib import Path

import av
import numpy as np
from numpy.typing import NDArray

from tests.unit.media.counted import heard, lag, numbers_of, stamps_of, timed

FILMS = {
    "24": (Fraction(24), 48_000),
    "25": (Fraction(25), 44_100),
    "29.97": (Fraction(30_000, 1001), 48_000),
    "29.97 CD": (Fraction(30_000, 1001), 44_100),
    "30": (Fraction(30), 44_100),
    "60": (Fraction(60), 48_000),
}
"""Frames and samples a second."""

LAG = {True: 1.0, False: 0.5}
"""By how many samples sound may be off its pictures: where AAC was decoded, and where nothing was lost."""


def sample(time: Fraction, rate_hz: int) -> int:
    """Return the sample next to a time in seconds; halves go up."""
    return int((time * rate_hz + Fraction(1, 2)) // 1)


@dataclass(frozen=True)
class Film:
    """A film whose frames carry their number and whose samples their time, both from 0 on."""

    path: Path
    rate: Fraction
    rate_hz: int
    frames: int

    @cached_property
    def sound(self) -> NDArray[np.int16]:
        """All of its samples: shape (samples,)."""
        return timed(self.at(self.frames), self.rate_hz)[0]

    def at(self, frame: int) -> int:
        """Return the sample that is heard as a frame appears."""
        return sample(frame / self.rate, self.rate_hz)

    def heard(self, first: int, last: int) -> NDArray[np.int16]:
        """Return the samples of the frames ``first`` to ``last − 1``: as many as a film of so many has room for."""
        kept = self.sound[self.at(first) :][: self.at(last - first)]
        return np.pad(kept, (0, self.at(last - first) - len(kept)))


def silence(samples: int) -> NDArray[np.int16]:
    """Return samples of silence."""
    return np.zeros(samples, np.int16)


def assert_pictures(path: Path, rate: Fraction, numbers: Iterable[int]) -> None:
    """Exactly these frames, each at its time."""
    expected = list(numbers)
    assert numbers_of(path) == expected
    assert stamps_of(path) == [n / rate for n in range(len(expected))]


def assert_sound(path: Path, rate_hz: int, samples: NDArray[np.int16], deliver: bool) -> None:
    """Exactly these samples: each of them where nothing is lost, their number and places where AAC blurs them."""
    with av.open(str(path)) as container:
        stream = container.streams.audio[0]
        assert stream.codec_context.sample_rate == rate_hz
        assert stream.duration * stream.time_base == Fraction(len(samples), rate_hz)
    sound = heard(path)
    assert sound.start == 0
    if not deliver:
        assert np.array_equal(np.round(sound.samples[0] * 32_768), samples)
        return
    assert 0 <= sound.samples.shape[1] - len(samples) < 1024  # the last block is filled up
    decoded = sound.samples[0, : len(samples)] * 32_768
    error, loudness = np.abs(decoded - samples).mean(), np.abs(samples.astype(float)).mean()
    assert error < 0.1 * loudness + 20  # one sample off is half the loudness


def assert_in_sync(path: Path, shown: Sequence[tuple[int, Fraction]], rate: Fraction, deliver: bool) -> None:
    """As the frame of each place appears, the time is heard that goes with it, to the sample."""
    sound = heard(path)
    for place, time in shown:
        assert abs(lag(sound, float(place / rate), float(time))) <= LAG[deliver]
