"""SLICE: exactly so many frames from a place on, the footage beginning again at its end, and their sound."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.golden.exactness.films import Film, assert_in_sync, assert_pictures
from tests.unit.media.counted import heard
from tests.unit.steps.running import run_step


@pytest.mark.parametrize(
    "config",
    [
        {"frames": 13, "start": 9},
        {"frames": 110, "start": 20},
        {"frames": 12, "position": 0.7},
    ],
)
def test_frames_follow_each_other_round_the_footage(
    tmp_path: Path, film: Film, deliver: bool, config: dict[str, Any]
) -> None:
    output = run_step(tmp_path / "out", "SLICE", config | {"rate": str(film.rate)}, film.path, deliver=deliver)
    frames, length = config["frames"], film.frames
    fits = max(1, length - frames + 1)
    begin = config["start"] % length if "start" in config else int(fits * 7 / 10)
    assert_pictures(output, film.rate, [(begin + j) % length for j in range(frames)])
    sound = heard(output)
    assert 0 <= sound.samples.shape[1] - film.at(frames) < (1024 if deliver else 1)
    if frames > 10:
        assert_in_sync(output, [(1, (begin + 1) / film.rate)], film.rate, deliver)
    if begin + frames > length + 10:
        again = length - begin + 2
        assert_in_sync(output, [(again, 2 / film.rate)], film.rate, deliver)
