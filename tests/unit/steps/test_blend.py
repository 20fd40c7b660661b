"""BLEND."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from pydantic import ValidationError

from artdag_common.errors import StepInputError
from artdag_common.media.blend import FORMULAS, BlendMode, blend_stage
from artdag_common.media.encode import PictureShape
from artdag_common.media.picture import Picture
from artdag_common.media.pictures import ColourTags
from artdag_common.media.probe import probe
from artdag_common.media.resize import blank
from artdag_common.media.rgb import RgbBridge
from artdag_common.steps.registry import find_step_type
from tests.unit.media.counted import loudest, numbers_of, write_counted
from tests.unit.steps.running import run_step

TAGS = ColourTags(2, 2, 2)
A, B = np.meshgrid(np.arange(256), np.arange(256), indexing="ij")


def by_255(product: np.ndarray) -> np.ndarray:
    return (2 * product + 255) // 510


EXPECTED: dict[str, np.ndarray] = {
    "multiply": by_255(A * B),
    "screen": 255 - by_255((255 - A) * (255 - B)),
    "overlay": np.where(A < 128, by_255(2 * A * B), 255 - by_255(2 * (255 - A) * (255 - B))),
    "add": np.minimum(255, A + B),
    "subtract": np.maximum(0, A - B),
    "average": (A + B + 1) // 2,
    "difference": np.abs(A - B),
    "lighten": np.maximum(A, B),
    "darken": np.minimum(A, B),
}


@pytest.mark.parametrize("mode", list(EXPECTED))
def test_each_mode_is_its_formula_for_all_values(mode: BlendMode) -> None:
    found = FORMULAS[mode](A.astype(np.uint8), B.astype(np.uint8))
    assert found.dtype == np.uint8
    assert np.array_equal(found, EXPECTED[mode])


def test_the_modes_are_those_of_the_step() -> None:
    assert set(EXPECTED) == set(FORMULAS)
    for mode in FORMULAS:
        find_step_type("BLEND").canonical_config({"mode": mode})


def greys(path: Path, lumas: list[int]) -> Path:
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=30, options={"qp": "0"})
        stream.width, stream.height, stream.pix_fmt = 64, 36, "yuv420p"
        for number, luma in enumerate(lumas):
            frame = blank((64, 36), (luma, 128, 128))
            frame.pts, frame.time_base = number, Fraction(1, 30)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


def blended(mode: BlendMode, opacity: float, top: Path, frames: int, curve: list[float] | None = None) -> list[int]:
    """Blend frames of the grey 128 with ``top``; give the red of each."""
    bridge = RgbBridge(TAGS)
    pictures = (Picture(bridge, n, array=np.full((36, 64, 3), 128, np.uint8)) for n in range(frames))
    shape = PictureShape((64, 36), Fraction(30), TAGS)
    stage = blend_stage(mode, opacity, top, shape, {} if curve is None else {"opacity": curve})
    return [int(picture.rgb()[18, 32, 0]) for picture in stage.frames(pictures)]


def test_opacity_is_how_much_of_the_blend_is_seen(tmp_path: Path) -> None:
    white = greys(tmp_path / "a.mp4", [235] * 2)
    assert blended("add", 0, white, 1) == [128]
    assert blended("add", 0.5, white, 1) == [(128 * 128 + 255 * 128 + 128) // 256]
    assert blended("add", 1, white, 1) == [255]
    assert blended("add", 0.3, white, 2, [0.0, 1.0]) == [128, 255]


def test_where_the_second_has_ended_the_first_is_itself_and_a_still_one_stays(tmp_path: Path) -> None:
    assert blended("lighten", 1, greys(tmp_path / "a.mp4", [235, 235]), 4) == [255, 255, 128, 128]
    assert blended("lighten", 1, greys(tmp_path / "b.mp4", [235]), 3) == [255] * 3


@pytest.mark.parametrize("deliver", [True, False])
def test_size_length_rate_and_sound_are_those_of_the_first(tmp_path: Path, clicking: Path, deliver: bool) -> None:
    top = write_counted(tmp_path / "a.mp4", 90, 25, (72, 90))
    output = run_step(tmp_path / "out", "BLEND", {"mode": "average"}, clicking, top, deliver=deliver)
    facts = probe(output)
    assert (facts.width, facts.height, facts.frames, facts.frame_rate) == (128, 72, 60, 30)
    assert abs(loudest(output, slice(0, 48_000)) - 24_000) <= 3
    again = run_step(tmp_path / "again", "BLEND", {"mode": "average"}, clicking, top, deliver=deliver)
    assert output.read_bytes() == again.read_bytes()


def test_frames_meet_frames(tmp_path: Path) -> None:
    """A film darkened by itself is itself; by one that is a frame late it is what both have in common."""
    film = write_counted(tmp_path / "a.mp4", 30)
    late = write_counted(tmp_path / "b.mp4", 30, first=1)
    config = {"mode": "darken", "opacity": 1}
    assert numbers_of(run_step(tmp_path / "same", "BLEND", config, film, film)) == list(range(30))
    assert numbers_of(run_step(tmp_path / "late", "BLEND", config, film, late)) == [n & (n + 1) for n in range(30)]
    config = {"mode": "lighten", "opacity": 1}
    assert numbers_of(run_step(tmp_path / "light", "BLEND", config, film, late)) == [n | (n + 1) for n in range(30)]


def test_a_bad_input_is_named(tmp_path: Path, silent: Path, music: Path) -> None:
    with pytest.raises(StepInputError, match="top: the file holds audio only"):
        run_step(tmp_path / "out", "BLEND", {}, silent, music)


@pytest.mark.parametrize("config", [{"mode": "burn"}, {"opacity": 1.5}, {"opacity": float("nan")}, {"opactiy": 1}])
def test_wrong_parameters_are_refused(config: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        find_step_type("BLEND").canonical_config(config)
