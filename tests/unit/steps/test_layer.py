"""LAYER."""

from __future__ import annotations

from collections.abc import Mapping
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from PIL import Image
from pydantic import ValidationError

from artdag_common.errors import StepConfigError, StepInputError
from artdag_common.media.compose import Layer, layer_stage
from artdag_common.media.encode import PictureShape
from artdag_common.media.picture import Picture
from artdag_common.media.pictures import ColourTags, planes
from artdag_common.media.probe import probe
from artdag_common.media.resize import blank
from artdag_common.media.rgb import RgbBridge
from artdag_common.steps.registry import find_step_type
from tests.unit.media.counted import loudest, numbers_of, write_counted
from tests.unit.steps.running import run_step

TAGS = ColourTags(2, 2, 2)
SIZE = (64, 36)


def film(path: Path, lumas: list[int], size: tuple[int, int] = SIZE, rate: int = 30) -> Path:
    """Write frames of one grey each, losslessly."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=rate, options={"qp": "0"})
        stream.width, stream.height, stream.pix_fmt = *size, "yuv420p"
        for number, luma in enumerate(lumas):
            frame = blank(size, (luma, 90, 160))
            frame.pts, frame.time_base = number, Fraction(1, rate)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


def layered(
    layers: list[Layer], overlays: list[Path], frames: int = 1, curves: Mapping[str, list[float]] | None = None
) -> list[list[np.ndarray]]:
    """Lay overlays above frames of luma 50; give the planes of each."""
    bridge = RgbBridge(TAGS)
    pictures = (Picture(bridge, n, blank(SIZE, (50, 128, 128))) for n in range(frames))
    stage = layer_stage(layers, overlays, PictureShape(SIZE, Fraction(30), TAGS), curves or {})
    assert stage.shape.size == SIZE
    return [[plane.copy() for plane in planes(picture.yuv())] for picture in stage.frames(pictures)]


@pytest.mark.parametrize("position", [(0, 0), (10, 4), (11, 5), (-6, -4), (60, 30), (63, 35), (200, 0), (-100, 9)])
def test_an_overlay_lies_where_it_should(tmp_path: Path, position: tuple[int, int]) -> None:
    over = film(tmp_path / "a.mp4", [200], (16, 8))
    [[y, u, v]] = layered([Layer(), Layer(position)], [over])
    expected = [np.full((36, 64), 50), np.full((18, 32), 128), np.full((18, 32), 128)]
    (x, top), values = position, (200, 90, 160)
    for index, plane in enumerate(expected):
        part = 2 if index else 1
        left, above = x // part, top // part
        for row in range(above, above + 8 // part):
            for column in range(left, left + 16 // part):
                if 0 <= row < plane.shape[0] and 0 <= column < plane.shape[1]:
                    plane[row, column] = values[index]
    assert all(np.array_equal(one, other) for one, other in zip((y, u, v), expected, strict=True))


def test_opacity_mixes_in_256_parts(tmp_path: Path) -> None:
    over = film(tmp_path / "a.mp4", [200])
    for opacity, luma in ((0, 50), (0.25, (50 * 192 + 200 * 64 + 128) // 256), (0.5, 125), (1, 200)):
        [[y, _, _]] = layered([Layer(), Layer(opacity=opacity)], [over])
        assert set(y.flat) == {luma}


def test_scale_changes_the_size(tmp_path: Path) -> None:
    over = film(tmp_path / "a.mp4", [200], (16, 8))
    for scale, size in ((0.5, (8, 4)), (2, (32, 16)), (0.3, (4, 2)), (0.01, (2, 2)), (8, (64, 36))):
        [[y, _, _]] = layered([Layer(), Layer(scale=scale)], [over])
        shown = y == 200
        assert (shown.sum(axis=1).max(), shown.sum(axis=0).max()) == size


def test_the_first_one_is_laid_on_black(tmp_path: Path) -> None:
    over = film(tmp_path / "a.mp4", [200], (16, 8))
    [[y, u, _]] = layered([Layer((32, 0), 0.5), Layer()], [over])
    assert set(y[:, 16:32].flat) == {16}
    assert set(y[:, 32:].flat) == {33}
    assert set(y[:8, :16].flat) == {200}
    assert set(u[:, 8:].flat) == {128}


def test_later_ones_lie_above(tmp_path: Path) -> None:
    overs = [film(tmp_path / f"{luma}.mp4", [luma]) for luma in (100, 150)]
    [[y, _, _]] = layered([Layer(), Layer(), Layer((32, 0))], overs)
    assert (set(y[:, :32].flat), set(y[:, 32:].flat)) == ({100}, {150})


def test_an_overlay_disappears_at_its_end_and_a_still_one_stays(tmp_path: Path) -> None:
    over = film(tmp_path / "a.mp4", [100, 110, 120])
    lumas = [int(y[0, 0]) for y, _, _ in layered([Layer(), Layer()], [over], 5)]
    assert lumas == [100, 110, 120, 50, 50]
    still = film(tmp_path / "b.mp4", [100])
    assert [int(y[0, 0]) for y, _, _ in layered([Layer(), Layer()], [still], 3)] == [100] * 3


def test_an_overlay_follows_the_rate_of_the_first(tmp_path: Path) -> None:
    over = film(tmp_path / "a.mp4", list(range(100, 160, 10)), rate=15)
    lumas = [int(y[0, 0]) for y, _, _ in layered([Layer(), Layer()], [over], 6)]
    assert lumas[::2] == [100, 110, 120]


def test_bound_parameters_have_a_value_at_each_frame(tmp_path: Path) -> None:
    over = film(tmp_path / "a.mp4", [200] * 3, (16, 8))
    curves = {
        "inputs.1.opacity": [1.0, 0.5, 0.0],
        "inputs.1.position.0": [0.0, 8.0, 0.0],
        "inputs.1.position.1": [4.0, 0.0, 0.0],
        "inputs.1.scale": [1.0, 2.0, 1.0],
    }
    bound = layered([Layer(), Layer()], [over], 3, curves)
    for n, layer in enumerate((Layer((0, 4)), Layer((8, 0), 0.5, 2), Layer(opacity=0))):
        [alone] = layered([Layer(), layer], [over])
        assert all(np.array_equal(one, other) for one, other in zip(bound[n], alone, strict=True))


@pytest.mark.parametrize("deliver", [True, False])
def test_size_length_and_sound_are_those_of_the_first(tmp_path: Path, clicking: Path, deliver: bool) -> None:
    over = write_counted(tmp_path / "a.mp4", 90, 25, (72, 90), first=100)
    config = {"inputs": [{}, {"position": [100, 0], "scale": 0.25}]}
    output = run_step(tmp_path / "out", "LAYER", config, clicking, over, deliver=deliver)
    facts = probe(output)
    assert (facts.width, facts.height, facts.frames, facts.frame_rate) == (128, 72, 60, 30)
    assert [number & 31 for number in numbers_of(output)] == [number & 31 for number in range(60)]
    assert abs(loudest(output, slice(0, 48_000)) - 24_000) <= 3


def test_one_input_alone_is_itself(tmp_path: Path, silent: Path) -> None:
    output = run_step(tmp_path / "out", "LAYER", {}, silent, deliver=False)
    assert numbers_of(output) == list(range(60))


def test_a_picture_file_can_lie_above(tmp_path: Path, silent: Path) -> None:
    Image.new("RGB", (128, 36), (255, 255, 255)).save(tmp_path / "a.png")
    output = run_step(tmp_path / "out", "LAYER", {}, silent, tmp_path / "a.png", deliver=False)
    with av.open(str(output)) as container:
        for frame in container.decode(video=0):
            assert planes(frame)[0][:36].min() >= 234
    assert probe(output).frames == 60


def test_what_does_not_fit_is_refused(tmp_path: Path, silent: Path, music: Path) -> None:
    with pytest.raises(StepConfigError, match="inputs: there are 3 entries for 2 inputs"):
        run_step(tmp_path / "out", "LAYER", {"inputs": [{}, {}, {}]}, silent, silent)
    with pytest.raises(StepInputError, match="layer 2: the file holds audio only"):
        run_step(tmp_path / "out", "LAYER", {}, silent, music)
    big = {"inputs": [{}, {"scale": 64}]}
    wide = film(tmp_path / "wide.mp4", [100], (512, 36))
    with pytest.raises(StepInputError, match="layer 2: the picture has 32768x2304 pixels"):
        run_step(tmp_path / "out", "LAYER", big, silent, wide)
    assert not list((tmp_path / "out").iterdir())


@pytest.mark.parametrize(
    "entry",
    [{"opacity": 1.1}, {"opacity": -1}, {"scale": 0}, {"scale": 65}, {"position": [0]}, {"position": [1, 2, 3]},
     {"position": [99_999, 0]}, {"opactiy": 1}],
)  # fmt: skip
def test_wrong_parameters_are_refused(entry: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        find_step_type("LAYER").canonical_config({"inputs": [entry]})
