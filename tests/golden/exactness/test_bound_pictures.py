"""LAYER and BLEND with bound parameters, alone and in a chain: the value of each frame, on the frame that it is for."""

from __future__ import annotations

import json
from fractions import Fraction
from math import floor
from pathlib import Path
from typing import Any

import av
import numpy as np
import orjson
import pytest
from numpy.typing import NDArray

from artdag_common.cid import cid_of
from artdag_common.domain.plan import PlannedStep
from artdag_common.domain.recipe_yaml import parse_recipe
from artdag_common.domain.run import InputBinding
from artdag_common.media.pictures import Clip, planes
from artdag_common.media.rgb import RgbBridge
from services.planner.planning import compile_plan
from tests.golden.exactness.films import Film, assert_in_sync, assert_pictures, assert_sound, sample
from tests.unit.media.counted import numbers_of, write_counted
from tests.unit.steps.running import run_step

BEATS = [Fraction(1, 5), Fraction(7, 10), Fraction(13, 10)]
SECONDS = Fraction(16, 10)
ON_BEATS = {"input": 2, "feature": "beats", "range": [0, 1], "decay": 0.0001}  # a frame later nothing is left of one
RISING = {"input": 2, "feature": "energy", "range": [0.25, 1]}


@pytest.fixture
def analysis(tmp_path: Path) -> Path:
    """Beats, and an energy that rises from 0 to 1."""
    beats = {"beat_times": [float(beat) for beat in BEATS], "downbeat_times": []}
    energy = {"times": [0, float(SECONDS)], "values": [0, 1], "window_ms": 50}
    audio = {"duration": float(SECONDS), "beats": beats, "energy": energy}
    path = tmp_path / "analysis.json"
    path.write_text(json.dumps({"features": ["beats", "energy"], "audio": audio}))
    return path


def on_beat(film: Film, frame: int) -> bool:
    return frame in {sample(beat, film.rate) for beat in BEATS}


def parts(film: Film) -> list[int]:
    """Return the opacity at each frame while it rises from a quarter, in 256ths, as fractions say it is."""
    values = [Fraction(1, 4) + Fraction(3, 4) * (n / film.rate) / SECONDS for n in range(film.frames)]
    return [floor(256 * value + Fraction(1, 2)) for value in values]


def pictures(path: Path) -> list[list[NDArray[np.uint8]]]:
    """Return the planes of each frame."""
    with av.open(str(path)) as container:
        return [[plane.copy() for plane in planes(frame)] for frame in container.decode(video=0)]


def mixed(under: NDArray[np.uint8], over: NDArray[np.uint8], part: int) -> NDArray[np.uint8]:
    return ((under.astype(int) * (256 - part) + over.astype(int) * part + 128) // 256).astype(np.uint8)


def same(one: list[list[NDArray[np.uint8]]], other: list[list[NDArray[np.uint8]]]) -> bool:
    return len(one) == len(other) and all(
        np.array_equal(a, b) for left, right in zip(one, other, strict=True) for a, b in zip(left, right, strict=True)
    )


# --- alone ---


def test_an_overlay_is_seen_on_beats_only(tmp_path: Path, film: Film, analysis: Path, deliver: bool) -> None:
    other = write_counted(tmp_path / "other.mp4", film.frames, film.rate, first=120)
    config = {"inputs": [{}, {"opacity": 0}], "bind": {"inputs.1.opacity": ON_BEATS}}
    output = run_step(tmp_path / "out", "LAYER", config, film.path, other, analysis, deliver=deliver)
    assert_pictures(output, film.rate, [n + 120 * on_beat(film, n) for n in range(film.frames)])
    assert_sound(output, film.rate_hz, film.sound, deliver)
    assert_in_sync(output, [(20, 20 / film.rate)], film.rate, deliver)


def test_a_blend_is_seen_on_beats_only(tmp_path: Path, film: Film, analysis: Path, deliver: bool) -> None:
    other = write_counted(tmp_path / "other.mp4", film.frames, film.rate, first=100)
    config = {"mode": "lighten", "opacity": 0, "bind": {"opacity": ON_BEATS}}
    output = run_step(tmp_path / "out", "BLEND", config, film.path, other, analysis, deliver=deliver)
    assert_pictures(output, film.rate, [n | (100 + n) * on_beat(film, n) for n in range(film.frames)])
    assert_sound(output, film.rate_hz, film.sound, deliver)
    assert_in_sync(output, [(20, 20 / film.rate)], film.rate, deliver)


def test_an_overlay_comes_in_with_the_music_to_the_last_bit(tmp_path: Path, film: Film, analysis: Path) -> None:
    other = write_counted(tmp_path / "other.mp4", film.frames, film.rate, first=120)
    config = {"inputs": [{}, {"opacity": 0.25}], "bind": {"inputs.1.opacity": RISING}}
    output = run_step(tmp_path / "out", "LAYER", config, film.path, other, analysis, deliver=False)
    expected = [
        [mixed(under, over, part) for under, over in zip(below, above, strict=True)]
        for below, above, part in zip(pictures(film.path), pictures(other), parts(film), strict=True)
    ]
    assert same(pictures(output), expected)


def test_a_blend_comes_in_with_the_music_to_the_last_bit(tmp_path: Path, film: Film, analysis: Path) -> None:
    other = write_counted(tmp_path / "other.mp4", film.frames, film.rate, first=100)
    config = {"mode": "difference", "opacity": 0.25, "bind": {"opacity": RISING}}
    output = run_step(tmp_path / "out", "BLEND", config, film.path, other, analysis, deliver=False)
    bridge = RgbBridge(Clip(film.path).tags)
    films = [[bridge.rgb(frame) for frame in Clip(path).pictures()] for path in (film.path, other)]
    expected = []
    for under, over, part in zip(*films, parts(film), strict=True):
        apart = np.abs(under.astype(int) - over).astype(np.uint8)
        expected.append([plane.copy() for plane in planes(bridge.frame(mixed(under, apart, part)))])
    assert same(pictures(output), expected)


def test_an_overlay_jumps_on_beats(tmp_path: Path, film: Film, analysis: Path) -> None:
    """It hides the film on beats, and lies beside it at all other times."""
    other = write_counted(tmp_path / "other.mp4", film.frames, film.rate, first=120)
    bind = {"inputs.1.position.0": {**ON_BEATS, "range": [128, 0]}}
    config = {"inputs": [{}, {"position": [128, 0]}], "bind": bind}
    output = run_step(tmp_path / "out", "LAYER", config, film.path, other, analysis, deliver=False)
    assert_pictures(output, film.rate, [n + 120 * on_beat(film, n) for n in range(film.frames)])


# --- in a chain ---

RECIPE = """\
name: chain
inputs: {film: video, other: video, song: audio}
steps:
  - {id: music, type: ANALYZE, inputs: [song], config: {features: [beats, energy]}}
  - {id: plain, type: TRANSFORM, inputs: [film], config: {effects: {contrast: 0.9}}}
  - id: over
    type: LAYER
    inputs: [plain, other, film]
    config:
      inputs:
        - {}
        - {opacity: {bind: music.beats, decay: 0.0001}}
        - {position: [{bind: music.energy, range: [0, 128]}, 64], opacity: 0.5}
  - id: both
    type: BLEND
    inputs: [over, other]
    config: {mode: lighten, opacity: {bind: music.energy, range: [0, 0.3]}}
  - {id: out, type: TRANSFORM, inputs: [both], config: {effects: {hue: {bind: music.energy, range: [0, 20]}}}}
output: out
"""


def planned(text: str) -> tuple[PlannedStep, list[str]]:
    """Return the one chain of a recipe's plan, and the nodes that it reads."""
    inputs = [InputBinding(name, (cid_of(name.encode()),)) for name in ("film", "other", "song")]
    compiled = compile_plan(parse_recipe(text), inputs, "")
    (chain,) = (step for step in compiled.steps if step.type == "CHAIN")
    return chain, [compiled.steps[i].node for i in chain.inputs]


def in_one_pass(folder: Path, chain: PlannedStep, inputs: list[Path], deliver: bool) -> Path:
    return run_step(folder, "CHAIN", orjson.loads(chain.config), *inputs, deliver=deliver)


def as_files(folder: Path, chain: PlannedStep, inputs: list[Path], deliver: bool) -> Path:
    """Run the links of a chain as steps, with files in between that lose nothing."""
    media = inputs[0]
    links: list[dict[str, Any]] = orjson.loads(chain.config)["links"]
    for number, link in enumerate(links):
        others = [inputs[i] for i in link["inputs"]]
        last = deliver and number == len(links) - 1
        media = run_step(folder / str(number), link["type"], link["config"], media, *others, deliver=last)
    return media


@pytest.mark.parametrize("frames", [1, 15, 200], ids=["still", "shorter", "longer"])
def test_a_chain_is_its_steps_with_files_in_between(tmp_path: Path, film: Film, analysis: Path, frames: int) -> None:
    other = write_counted(tmp_path / "other.mp4", frames, film.rate, first=40)
    chain, reads = planned(RECIPE)
    assert [link["type"] for link in orjson.loads(chain.config)["links"]] == [
        "TRANSFORM",
        "LAYER",
        "BLEND",
        "TRANSFORM",
    ]
    assert reads == ["film", "other", "film", "music[beats]", "music[energy]"]
    inputs = [film.path, other, film.path, analysis, analysis]
    output = in_one_pass(tmp_path / "chain", chain, inputs, deliver=False)
    (tmp_path / "steps").mkdir()
    found = pictures(output)
    assert len(found) == film.frames
    assert same(found, pictures(as_files(tmp_path / "steps", chain, inputs, deliver=False)))
    assert_sound(output, film.rate_hz, film.sound, deliver=False)


COUNTED = """\
name: counted
inputs: {film: video, other: video, song: audio}
steps:
  - {id: music, type: ANALYZE, inputs: [song], config: {features: [beats]}}
  - {id: one, type: EFFECT, inputs: [film], config: {effect: invert}}
  - {id: both, type: BLEND, inputs: [one, other], config: {mode: lighten, opacity: 1}}
  - id: over
    type: LAYER
    inputs: [both, film]
    config: {inputs: [{}, {opacity: {bind: music.beats, decay: 0.0001}}]}
  - {id: out, type: EFFECT, inputs: [over], config: {effect: invert}}
output: out
"""


@pytest.mark.parametrize("frames", [1, 15, 200], ids=["still", "shorter", "longer"])
def test_in_a_chain_frames_still_meet_frames(
    tmp_path: Path, film: Film, analysis: Path, frames: int, deliver: bool
) -> None:
    """A shorter film above disappears at its end, of a longer one the rest is not seen, a still one stays."""
    other = write_counted(tmp_path / "other.mp4", frames, film.rate, first=10)
    chain, reads = planned(COUNTED)
    assert reads == ["film", "other", "film", "music"]
    output = in_one_pass(tmp_path / "out", chain, [film.path, other, film.path, analysis], deliver)
    expected = []
    for n in range(film.frames):
        above = 10 if frames == 1 else 10 + n if n < frames else 0
        expected.append(255 - n if on_beat(film, n) else 255 - ((255 - n) | above))
    assert_pictures(output, film.rate, expected)
    assert_sound(output, film.rate_hz, film.sound, deliver)
    assert_in_sync(output, [(20, 20 / film.rate)], film.rate, deliver)


def test_a_film_blended_with_itself_in_a_chain_is_itself(tmp_path: Path, film: Film) -> None:
    text = COUNTED.replace("inputs: [one, other]", "inputs: [film, film]").replace(
        "inputs: [both, film]", "inputs: [both]"
    )
    text = text.replace("  - {id: one, type: EFFECT, inputs: [film], config: {effect: invert}}\n", "")
    text = text.replace("{}, {opacity: {bind: music.beats, decay: 0.0001}}", "{}")
    chain, reads = planned(text)
    assert reads == ["film", "film"]
    output = in_one_pass(tmp_path / "out", chain, [film.path, film.path], deliver=False)
    assert numbers_of(output) == [255 - n for n in range(film.frames)]
