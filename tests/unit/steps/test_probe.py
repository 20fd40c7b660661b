"""PROBE as a step."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from pydantic import ValidationError

from artdag_common.errors import StepInputError
from artdag_common.steps.registry import find_step_type
from tests.unit.media.counted import RATE_HZ, write_counted, write_wav
from tests.unit.steps.running import Context


def probed(media: Path, folder: Path) -> dict[str, Any]:
    """Run the step and return its document."""
    kind = find_step_type("PROBE")
    assert kind.run is not None
    output = kind.run(Context(folder), kind.params.model_validate_json(kind.canonical_config({})), media)
    document: dict[str, Any] = json.loads(output.read_text())
    return document


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Where the step writes."""
    (tmp_path / "out").mkdir()
    return tmp_path / "out"


def test_a_film_with_sound(tmp_path: Path, folder: Path) -> None:
    sound = np.zeros((2, RATE_HZ), np.int16)
    media = write_counted(tmp_path / "a.mp4", 25, 25, (160, 90), sound=sound, sound_codec="aac")
    found = probed(media, folder)
    assert found["duration"] == pytest.approx(1, abs=0.05)
    video = found["video"]
    assert (video["width"], video["height"], video["frames"], video["frame_rate"]) == (160, 90, 25, 25)
    assert (video["codec"], video["pix_fmt"]) == ("h264", "yuv420p")
    assert found["audio"] == {"sample_rate": RATE_HZ, "channels": 2, "codec": "aac"}


def test_sound_alone_and_a_still(tmp_path: Path, folder: Path) -> None:
    found = probed(write_wav(tmp_path / "a.wav", np.zeros((1, RATE_HZ // 2), np.int16)), folder)
    assert found["duration"] == 0.5
    assert (found["video"], found["audio"]["channels"]) == (None, 1)
    Image.new("RGB", (40, 30)).save(tmp_path / "a.png")
    found = probed(tmp_path / "a.png", folder)
    assert (found["video"]["width"], found["video"]["frames"], found["audio"]) == (40, 1, None)


def test_what_is_no_media_fails(tmp_path: Path, folder: Path) -> None:
    (tmp_path / "a.mp4").write_bytes(b"\0\0\0\x18ftypisom" + bytes(100))
    with pytest.raises(StepInputError):
        probed(tmp_path / "a.mp4", folder)
    with pytest.raises(ValidationError):
        find_step_type("PROBE").canonical_config({"width": 3})
