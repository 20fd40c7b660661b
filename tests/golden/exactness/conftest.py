"""The films that all go through every step."""

from __future__ import annotations

from fractions import Fraction

import pytest

from tests.golden.exactness.films import FILMS, Film, sample
from tests.unit.media.counted import timed, write_counted


@pytest.fixture(scope="session", params=FILMS)
def film(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Film:
    """A good second and a half, with sound, in each of the usual rates."""
    rate, rate_hz = FILMS[request.param]
    frames = int(rate * Fraction(16, 10))
    sound = timed(sample(frames / rate, rate_hz), rate_hz)
    path = tmp_path_factory.mktemp("films") / "film.mov"
    return Film(write_counted(path, frames, rate, sound=sound, rate_hz=rate_hz), rate, rate_hz, frames)


@pytest.fixture(params=[True, False], ids=["delivered", "handed on"])
def deliver(request: pytest.FixtureRequest) -> bool:
    """For people, or for the next step."""
    return bool(request.param)
