"""Every effect gives the pictures that it gave; ``python tests/golden/test_effects.py`` writes the hashes anew."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from artdag_common.effects.base import Effect, EffectParams
from artdag_common.effects.registry import EFFECTS, find_effect

FILE = Path(__file__).with_name("effects.json")
FRAMES = 4
Picture = NDArray[np.uint8]


def scene(number: int, width: int = 64, height: int = 48) -> Picture:
    """A frame with slopes, edges, colours and movement, of whole numbers alone."""
    y, x = np.mgrid[:height, :width]
    frame = np.stack([x * 255 // max(1, width - 1), y * 255 // max(1, height - 1), (x + y + 5 * number) % 256], axis=-1)
    frame[(x - 8 - 3 * number) ** 2 + (y - height // 2) ** 2 < 64] = (250, 230, 40)
    return frame.astype(np.uint8)


def other(effect: Effect) -> EffectParams:
    """Parameters that are not the defaults: each number half way between its bounds, the last of the choices."""
    values: dict[str, Any] = {}
    for name, rule in effect.params.model_json_schema().get("properties", {}).items():
        low = rule.get("minimum", rule.get("exclusiveMinimum"))
        high = rule.get("maximum", rule.get("exclusiveMaximum"))
        if low is not None and high is not None:
            middle = (low + high) / 2
            values[name] = round(middle) if rule["type"] == "integer" else middle
        elif "enum" in rule:
            values[name] = rule["enum"][-1]
        elif rule.get("type") == "boolean":
            values[name] = not rule["default"]
    return effect.params.model_validate(values)


def run(effect: Effect, params: EffectParams, frames: int = FRAMES, **size: int) -> list[Picture]:
    """Return copies of what the effect gives, made when it gave them."""
    state: Any = {}
    shown = []
    for number in range(frames):
        frame, state = effect.process_frame(scene(number, **size), params, state)
        shown.append(frame.copy())
    return shown


def digest(effect: Effect, params: EffectParams) -> str:
    return hashlib.sha256(b"".join(frame.tobytes() for frame in run(effect, params))).hexdigest()


def digests() -> dict[str, list[str]]:
    return {name: [digest(e, e.params()), digest(e, other(e))] for name, e in sorted(EFFECTS.items())}


def test_every_effect_gives_the_pictures_that_it_gave() -> None:
    golden = json.loads(FILE.read_text())["scene"]
    now = digests()
    assert {name for name in now if now[name] != golden.get(name)} == set()
    assert golden.keys() == now.keys()


def test_a_new_process_gives_the_same() -> None:
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join(path for path in sys.path if path),
        "PYTHONHASHSEED": "7",
    }
    done = subprocess.run(
        [sys.executable, __file__, "--print"], capture_output=True, text=True, check=True, env=environment
    )
    assert json.loads(done.stdout) == digests()


@pytest.mark.parametrize("name", sorted(EFFECTS))
@pytest.mark.parametrize(("width", "height"), [(2, 2), (3, 5), (63, 2), (2, 41), (64, 48)])
def test_any_size_will_do(name: str, width: int, height: int) -> None:
    effect = find_effect(name)
    for params in (effect.params(), other(effect)):
        for frame in run(effect, params, 3, width=width, height=height):
            assert frame.shape == (height, width, 3)
            assert frame.dtype == np.uint8


@pytest.mark.parametrize("name", sorted(EFFECTS))
def test_what_was_given_back_is_not_written_to_again(name: str) -> None:
    effect = find_effect(name)
    params, state = effect.params(), {}
    given: list[tuple[Picture, Picture]] = []
    for number in range(FRAMES):
        frame, state = effect.process_frame(scene(number), params, state)
        given.append((frame, frame.copy()))
    for frame, copy in given:
        assert np.array_equal(frame, copy)


@pytest.mark.parametrize("name", sorted(set(EFFECTS) - {"identity"}))
def test_an_effect_can_be_seen(name: str) -> None:
    effect = find_effect(name)
    for params in (effect.params(), other(effect)):
        frames = run(effect, params, 8)
        if any(not np.array_equal(frame, scene(number)) for number, frame in enumerate(frames)):
            return
    pytest.fail("neither the defaults nor other parameters change a frame")


@pytest.mark.parametrize("name", sorted(EFFECTS))
def test_parameters_may_change_on_the_way(name: str) -> None:
    """As they do when they are bound to music."""
    effect = find_effect(name)
    state: Any = {}
    for number in range(FRAMES):
        params = effect.params() if number % 2 else other(effect)
        frame, state = effect.process_frame(scene(number), params, state)
        assert frame.shape == (48, 64, 3)


if __name__ == "__main__":
    if "--print" in sys.argv:
        print(json.dumps(digests()))
    else:
        FILE.write_text(json.dumps({**json.loads(FILE.read_text()), "scene": digests()}, indent=1) + "\n")
