"""PART and JOIN: how a film is divided does not show in the result."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pytest

from artdag_common.effects.registry import EFFECTS
from artdag_common.errors import StepError
from artdag_common.media.encode import cell
from artdag_common.media.parts import length
from artdag_common.steps.registry import STEP_TYPES, find_step_type
from tests.unit.media.counted import RATE_HZ, numbers_of, write_counted
from tests.unit.steps.running import run_step
from tests.unit.steps.test_chain import link

RATES = (Fraction(30_000, 1001), Fraction(8))
CHAIN = [
    link("EFFECT", {"effect": "grain", "params": {"amount": 0.4, "seed": 5}}),
    link("TRANSFORM", {"effects": {"brightness": 0.1, "hue": 20, "blur": 1}}),
    link("EFFECT", {"effect": "zoom_pulse", "params": {"zoom": 1.1, "period": 9}}),
]


def film(folder: Path, rate: Fraction, frames: int) -> Path:
    rng = np.random.default_rng(3)
    sound = rng.integers(-9000, 9000, (2, int(frames / rate * RATE_HZ)), np.int16)
    return write_counted(folder / "film.mov", frames, rate, sound=sound)


def in_parts(folder: Path, links: Any, paths: Sequence[Path], bounds: Sequence[int], deliver: bool) -> Path:
    folder.mkdir(exist_ok=True)
    parts = [
        run_step(
            folder / f"part-{first}",
            "PART",
            {"links": links, "first": first, "frames": last - first},
            *paths,
            deliver=deliver,
        )
        for first, last in pairwise(bounds)
    ]
    return run_step(folder / "joined", "JOIN", {}, paths[0], *parts, deliver=deliver)


@pytest.mark.parametrize("deliver", [True, False])
@pytest.mark.parametrize("rate", RATES, ids=str)
def test_however_it_is_divided(tmp_path: Path, rate: Fraction, deliver: bool) -> None:
    size = cell(rate)
    frames = 2 * size + 1  # the last cell has one frame
    source = film(tmp_path, rate, frames)
    assert length(source) == (frames, size)
    whole = run_step(tmp_path / "whole", "CHAIN", {"links": CHAIN}, source, deliver=deliver)
    cells = [0, size, 2 * size, frames]
    assert in_parts(tmp_path / "a", CHAIN, [source], cells, deliver).read_bytes() == whole.read_bytes()
    assert in_parts(tmp_path / "b", CHAIN, [source], [0, 2 * size, frames], deliver).read_bytes() == whole.read_bytes()


def test_bound_parameters_have_the_values_of_the_film(tmp_path: Path) -> None:
    size = cell(Fraction(8))
    source = film(tmp_path, Fraction(8), 2 * size)
    beats = tmp_path / "beats.json"
    times = [0.5, 4.25, 9.75, 10.0, 17.125]
    beats.write_bytes(orjson.dumps({"features": ["beats"], "audio": {"beats": {"beat_times": times}}}))
    bound = {"input": 1, "feature": "beats", "range": [0.0, 0.5], "decay": 0.5}
    links = [{**link("TRANSFORM", {"effects": {}, "bind": {"effects.brightness": bound}}), "inputs": [1]}]
    whole = run_step(tmp_path / "whole", "CHAIN", {"links": links}, source, beats)
    assert in_parts(tmp_path, links, [source, beats], [0, size, 2 * size], True).read_bytes() == whole.read_bytes()


def test_a_part_holds_its_own_frames(tmp_path: Path) -> None:
    size = cell(Fraction(24))
    source = film(tmp_path, Fraction(24), size + 7)
    links = [link("EFFECT", {"effect": "rgb_shift", "params": {"amount": 0.0}})]
    part = run_step(tmp_path / "part", "PART", {"links": links, "first": size - 5, "frames": 9}, source)
    assert numbers_of(part) == [number % 256 for number in range(size - 5, size + 4)]


def test_a_part_is_missing(tmp_path: Path) -> None:
    size = cell(Fraction(8))
    source = film(tmp_path, Fraction(8), 2 * size)
    links = [link("EFFECT", {"effect": "invert"})]
    with pytest.raises(StepError, match=f"the parts have {size} frames, and the film has {2 * size}"):
        in_parts(tmp_path, links, [source], [0, size], True)


@pytest.mark.parametrize("name", [name for name, each in EFFECTS.items() if each.remembers != "frames"])
def test_effects_begin_in_the_middle_of_a_film(name: str) -> None:
    """What they say they remember is all that they remember."""
    effect = EFFECTS[name]
    params = effect.params.model_validate(dict(effect.example))
    frames = np.random.default_rng(7).integers(0, 256, (12, 36, 64, 3), np.uint8)

    def changed(first: int) -> list[Any]:
        state: Any = {"number": first} if effect.remembers == "number" else {}
        found = []
        for frame in frames[first:]:
            after, state = effect.process_frame(frame.copy(), params, state)
            found.append(after.copy())
        return found

    assert np.array_equal(changed(0)[5:], changed(5))


def test_what_is_divided() -> None:
    def divisible(kind: str, config: dict[str, Any]) -> bool:
        found = find_step_type(kind)
        return found.divisible(found.params.model_validate(config))

    assert divisible("EFFECT", {"effect": "dog"})
    assert not divisible("EFFECT", {"effect": "echo"})
    assert divisible("TRANSFORM", {"effects": {"blur": 3}})
    assert not divisible("TRANSFORM", {"effects": {"speed": 2}})
    assert divisible("CHAIN", {"links": CHAIN})
    assert not divisible("CHAIN", {"links": [*CHAIN, link("EFFECT", {"effect": "trails"})]})
    others = set(STEP_TYPES) - {"EFFECT", "TRANSFORM", "CHAIN"}
    assert not any(STEP_TYPES[name].divisible(None) for name in others)
