"""CHAIN, and what steps hand on to each other."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

from artdag_common.errors import UnplayableOutputError
from artdag_common.media.check import check_output
from artdag_common.media.probe import probe
from artdag_common.steps.registry import find_step_type
from tests.unit.media.counted import numbers_of
from tests.unit.steps.running import run_step


def link(kind: str, config: dict[str, Any]) -> dict[str, Any]:
    found = find_step_type(kind)
    canonical = found.canonical_config(config)
    return {"type": kind, "config": found.params.model_validate_json(canonical).model_dump(mode="json"),
            "implementation": found.implementation(canonical)}  # fmt: skip


def invert(intensity: float = 1.0) -> dict[str, Any]:
    return link("EFFECT", {"effect": "invert", "params": {"intensity": intensity}})


def pictures(path: Path) -> np.ndarray:
    with av.open(str(path)) as container:
        return np.stack([frame.to_ndarray() for frame in container.decode(video=0)])


def sound(path: Path) -> np.ndarray:
    with av.open(str(path)) as container:
        return np.concatenate([frame.to_ndarray() for frame in container.decode(audio=0)], axis=1)


def test_what_is_handed_on_loses_nothing(tmp_path: Path, clicking: Path) -> None:
    """Ten generations of a step that leaves every picture and sample as they are."""
    first = run_step(tmp_path / "0", "SEGMENT", {}, clicking, deliver=False)
    last = first
    for turn in range(1, 10):
        last = run_step(tmp_path / str(turn), "SEGMENT", {}, last, deliver=False)
    assert np.array_equal(pictures(first), pictures(clicking))
    assert np.array_equal(pictures(last), pictures(first))
    assert np.array_equal(sound(last), sound(first))
    assert check_output(last) == "video/quicktime"


def test_what_is_delivered_plays_in_browsers(tmp_path: Path, clicking: Path) -> None:
    handed_on = run_step(tmp_path / "a", "EFFECT", {"effect": "invert"}, clicking, deliver=False)
    delivered = run_step(tmp_path / "b", "EFFECT", {"effect": "invert"}, handed_on)
    facts = probe(delivered)
    assert (facts.video_codec, facts.profile, facts.pix_fmt, facts.audio_codec) == ("h264", "High", "yuv420p", "aac")
    assert numbers_of(delivered) == list(range(60))


def test_what_was_handed_on_is_no_delivery(tmp_path: Path, silent: Path) -> None:
    handed_on = run_step(tmp_path / "a", "SEGMENT", {}, silent, deliver=False)
    renamed = tmp_path / "renamed.mp4"
    with av.open(str(handed_on)) as source, av.open(str(renamed), "w") as copy:
        stream = copy.add_stream_from_template(source.streams.video[0])
        for packet in source.demux(source.streams.video[0]):
            if packet.dts is not None:
                packet.stream = stream
                copy.mux(packet)
    with pytest.raises(UnplayableOutputError, match="High 4:4:4 Predictive"):
        check_output(renamed)


def test_a_chain_is_its_steps_one_after_the_other(tmp_path: Path, clicking: Path) -> None:
    output = run_step(tmp_path / "out", "CHAIN", {"links": [invert(), invert(), invert()]}, clicking)
    assert numbers_of(output) == [255 - number for number in range(60)]
    assert probe(output).audio_codec == "aac"


def test_a_chain_loses_nothing_between_its_steps(tmp_path: Path, silent: Path) -> None:
    """Twice inverted in one pass is the picture that one conversion to RGB and back gives."""
    twice = run_step(tmp_path / "twice", "CHAIN", {"links": [invert(), invert()]}, silent, deliver=False)
    none = run_step(tmp_path / "none", "CHAIN", {"links": [invert(0.0)]}, silent, deliver=False)
    assert np.array_equal(pictures(twice), pictures(none))


def test_a_chain_of_one_is_the_step(tmp_path: Path, silent: Path) -> None:
    chained = run_step(tmp_path / "chained", "CHAIN", {"links": [invert()]}, silent)
    alone = run_step(tmp_path / "alone", "EFFECT", {"effect": "invert"}, silent)
    assert chained.read_bytes() == alone.read_bytes()


def test_for_whom_a_step_is_made_is_part_of_what_it_is() -> None:
    kind = find_step_type("SEGMENT")
    config = kind.canonical_config({})
    assert kind.implementation(config, deliver=True) != kind.implementation(config)
