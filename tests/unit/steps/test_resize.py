"""RESIZE."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from PIL import Image
from pydantic import ValidationError

from artdag_common.errors import StepInputError
from artdag_common.media.pictures import planes
from artdag_common.media.probe import probe
from artdag_common.steps.registry import find_step_type
from tests.unit.media.counted import loudest, number_in, numbers_of
from tests.unit.steps.running import run_step


@pytest.mark.parametrize(
    ("mode", "size"), [("fit", (64, 36)), ("pad", (64, 64)), ("fill", (64, 64)), ("stretch", (64, 64))]
)
def test_each_mode_gives_its_size(tmp_path: Path, silent: Path, mode: str, size: tuple[int, int]) -> None:
    output = run_step(tmp_path / "out", "RESIZE", {"width": 64, "height": 64, "mode": mode}, silent)
    facts = probe(output)
    assert (facts.width, facts.height, facts.frames) == (*size, 60)
    if mode != "fill":
        assert numbers_of(output) == list(range(60))


def test_the_border_has_the_colour_asked_for(tmp_path: Path, silent: Path) -> None:
    config = {"width": 128, "height": 128, "mode": "pad", "background": "white"}
    with av.open(str(run_step(tmp_path / "out", "RESIZE", config, silent))) as container:
        luma = next(container.decode(video=0)).to_ndarray(format="gray")
    assert luma[:24].min() > 225
    assert luma[-24:].min() > 225
    assert number_in(luma) == 0


def test_sound_stays(tmp_path: Path, clicking: Path) -> None:
    config = {"width": 64, "height": 36}
    once = run_step(tmp_path / "once", "RESIZE", config, clicking)  # PCM is encoded
    again = run_step(tmp_path / "again", "RESIZE", config, once)  # AAC is copied
    for output in (once, again):
        assert abs(loudest(output, slice(0, 48_000)) - 24_000) <= 3
        assert abs(loudest(output, slice(48_000, 96_000)) - 72_000) <= 3
    assert packets(once) == packets(again)


def packets(path: Path) -> list[tuple[int | None, bytes]]:
    with av.open(str(path)) as container:
        return [(packet.pts, bytes(packet)) for packet in container.demux(audio=0) if packet.size]


def test_an_odd_size_is_refused_with_the_even_ones_beside_it() -> None:
    with pytest.raises(ValidationError, match=r"641 is odd.*640 or 642"):
        find_step_type("RESIZE").canonical_config({"width": 641, "height": 360})


@pytest.mark.parametrize(
    "config", [{"width": 0, "height": 2}, {"width": 64}, {"width": 64, "height": 64, "mode": "zoom"}, {"width": 20_000}]
)
def test_wrong_parameters_are_refused(config: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        find_step_type("RESIZE").canonical_config(config)


def test_each_spelling_of_a_colour_has_one_cache_id() -> None:
    configs = [{"width": 64, "height": 64, "background": c} for c in ("white", "#FFF", "#ffffff")]
    assert len({find_step_type("RESIZE").canonical_config(config) for config in configs}) == 1


def test_sound_alone_is_refused(tmp_path: Path, music: Path) -> None:
    with pytest.raises(StepInputError, match="audio only"):
        run_step(tmp_path / "out", "RESIZE", {"width": 64, "height": 64}, music)


def test_a_picture_of_two_by_two_can_be_written(tmp_path: Path) -> None:
    Image.new("RGB", (1, 3), (200, 30, 60)).save(tmp_path / "tiny.png")
    output = run_step(tmp_path / "out", "RESIZE", {"width": 2, "height": 2, "mode": "stretch"}, tmp_path / "tiny.png")
    facts = probe(output)
    assert (facts.width, facts.height, facts.frames) == (2, 2, 1)


@pytest.mark.parametrize("deliver", [True, False])
def test_it_fuses_with_other_steps(tmp_path: Path, silent: Path, deliver: bool) -> None:
    """In a chain a step of another size comes after it, and its own step gives the same."""
    links = []
    boxes = (64, 64, "pad"), (32, 48, "stretch")
    for config in ({"width": width, "height": height, "mode": mode} for width, height, mode in boxes):
        kind = find_step_type("RESIZE")
        canonical = kind.canonical_config(config)
        params = kind.params.model_validate_json(canonical).model_dump(mode="json")
        links.append({"type": "RESIZE", "config": params, "implementation": kind.implementation(canonical)})
    fused = run_step(tmp_path / "fused", "CHAIN", {"links": links}, silent, deliver=deliver)
    first = run_step(tmp_path / "first", "RESIZE", links[0]["config"], silent, deliver=False)
    second = run_step(tmp_path / "second", "RESIZE", links[1]["config"], first, deliver=deliver)
    assert (probe(fused).width, probe(fused).height) == (32, 48)
    assert luma_of(fused) == luma_of(second)


def luma_of(path: Path) -> list[bytes]:
    with av.open(str(path)) as container:
        return [frame.to_ndarray().tobytes() for frame in container.decode(video=0)]


def test_the_very_pixels_of_a_border(tmp_path: Path, silent: Path) -> None:
    config = {"width": 128, "height": 80, "mode": "pad", "background": "red"}
    output = run_step(tmp_path / "out", "RESIZE", config, silent, deliver=False)
    with av.open(str(output)) as container, av.open(str(silent)) as source:
        for padded, plain in zip(container.decode(video=0), source.decode(video=0), strict=True):
            y, u, v = planes(padded)
            assert np.array_equal(y[4:76], planes(plain)[0])
            assert {(int(a), int(b), int(c)) for a, b, c in zip(y[0, ::2], u[0], v[0], strict=True)} == {(81, 90, 240)}
            assert set(y[76:].flat) == {81}
