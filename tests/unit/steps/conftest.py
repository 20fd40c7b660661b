"""Small media that the tests of all steps share."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.unit.media.counted import RATE_HZ, clicks, write_counted, write_wav


@pytest.fixture(scope="session")
def silent(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Sixty numbered frames, two seconds, without sound."""
    return write_counted(tmp_path_factory.mktemp("media") / "silent.mp4", 60)


@pytest.fixture(scope="session")
def clicking(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Sixty numbered frames with a click at 0.5 s and at 1.5 s, in PCM."""
    sound = clicks(2 * RATE_HZ, [RATE_HZ // 2, 3 * RATE_HZ // 2])
    return write_counted(tmp_path_factory.mktemp("media") / "clicking.mov", 60, sound=sound)


@pytest.fixture(scope="session")
def music(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A second and a half of clicks, every half second, without pictures."""
    sound = clicks(3 * RATE_HZ // 2, [0, RATE_HZ // 2, RATE_HZ])
    return write_wav(tmp_path_factory.mktemp("media") / "music.wav", sound)
