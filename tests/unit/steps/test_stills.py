"""Stills in steps: one frame, held where a step says or shows how long."""

from __future__ import annotations

from pathlib import Path

import pytest
from PIL import Image

from tests.unit.media.counted import numbered, numbers_of
from tests.unit.steps.running import run_step


@pytest.fixture
def still(tmp_path: Path) -> Path:
    """The number 77, PNG."""
    Image.fromarray(numbered(77)).save(tmp_path / "still.png")
    return tmp_path / "still.png"


def test_a_segment_holds_a_still_for_its_duration(still: Path, tmp_path: Path) -> None:
    assert numbers_of(run_step(tmp_path / "out", "SEGMENT", {"duration": 2}, still)) == [77] * 50


def test_a_still_is_held_under_a_sound(still: Path, music: Path, tmp_path: Path) -> None:
    shown = numbers_of(run_step(tmp_path / "out", "MUX", {}, still, music))
    assert shown == [77] * 38  # 1.5 s at 25 a second, to the nearest frame


def test_a_still_in_a_row_is_one_frame(silent: Path, still: Path, tmp_path: Path) -> None:
    assert numbers_of(run_step(tmp_path / "out", "SEQUENCE", {}, silent, still)) == [*range(60), 77]


@pytest.mark.parametrize("name", ["LAYER", "BLEND"])
def test_a_still_over_a_film_stays(silent: Path, still: Path, tmp_path: Path, name: str) -> None:
    assert len(numbers_of(run_step(tmp_path / "out", name, {}, silent, still))) == 60


@pytest.mark.parametrize(
    ("name", "config"), [("RESIZE", {"width": 64, "height": 64, "mode": "pad"}), ("EFFECT", {"effect": "invert"})]
)
def test_frame_wise_steps_make_one_frame_of_one(still: Path, tmp_path: Path, name: str, config: dict[str, int]) -> None:
    assert len(numbers_of(run_step(tmp_path / "out", name, config, still))) == 1
