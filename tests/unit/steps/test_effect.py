"""EFFECT and the effects."""

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
from pydantic import ValidationError

from artdag_common.cid import cid_of_file
from artdag_common.effects import dog
from artdag_common.effects.base import Effect, EffectParams
from artdag_common.effects.registry import EFFECTS, find_effect
from artdag_common.errors import StepError, UnknownEffectError
from artdag_common.media.affect import effect_stage
from artdag_common.media.probe import probe
from artdag_common.media.video import through
from artdag_common.steps.registry import find_step_type
from tests.unit.media.counted import loudest, numbered, numbers_of
from tests.unit.steps.running import run_step

GOLDEN = json.loads((Path(__file__).parents[2] / "golden" / "effects.json").read_text())["counted"]
KIND = find_step_type("EFFECT")


def frames_of(name: str, params: dict[str, Any], count: int) -> list[np.ndarray]:
    """Run an effect over ``count`` numbered frames."""
    effect = find_effect(name)
    checked = effect.params.model_validate(params)
    frames, state = [], {}
    for number in range(count):
        frame, state = effect.process_frame(numbered(number), checked, state)
        frames.append(frame.copy())
    return frames


@pytest.mark.parametrize("case", GOLDEN, ids=lambda case: case["effect"])
def test_effects_give_the_golden_pictures(case: dict[str, Any]) -> None:
    digest = hashlib.sha256()
    for frame in frames_of(case["effect"], case["params"], case["frames"]):
        digest.update(frame.tobytes())
    assert digest.hexdigest() == case["sha256"]


def test_invert_turns_every_number_into_its_opposite(tmp_path: Path, silent: Path) -> None:
    output = run_step(tmp_path / "out", "EFFECT", {"effect": "invert"}, silent)
    assert numbers_of(output) == [255 - number for number in range(60)]


def test_half_an_inversion_is_grey() -> None:
    (frame,) = frames_of("invert", {"intensity": 0.5}, 1)
    assert frame.min() >= 127
    assert frame.max() <= 128


def test_sound_stays_with_an_effect(tmp_path: Path, clicking: Path) -> None:
    output = run_step(tmp_path / "out", "EFFECT", {"effect": "dog"}, clicking)
    assert probe(output).frames == 60
    assert abs(loudest(output, slice(0, 48_000)) - 24_000) <= 3


def test_the_dog_moves_and_leaves_the_picture_to_be_seen_around_it() -> None:
    first, later = frames_of("dog", {}, 30)[0], frames_of("dog", {}, 30)[-1]
    assert np.abs(first.astype(int) - later).mean() > 1
    edge = first[:, :20].mean(axis=(0, 2))
    assert edge.max() - edge.min() < 40  # one bar of the number zero: dark
    assert frames_of("dog", {}, 2)[1][:, :14].mean() > edge.mean() + 40  # one: its first bar is bright


def test_the_dog_fits_pictures_of_any_shape() -> None:
    effect = find_effect("dog")
    params = effect.params()
    state: Any = {}
    for shape in ((2, 2, 3), (72, 20, 3), (20, 90, 3)):
        frame, state = effect.process_frame(np.zeros(shape, np.uint8), params, state)
        assert frame.shape == shape


def test_identity_has_nothing_to_do(tmp_path: Path, silent: Path) -> None:
    assert KIND.work_class(KIND.canonical_config({"effect": "identity"})) == "inline"
    assert KIND.work_class(KIND.canonical_config({"effect": "dog"})) == "cpu"
    assert run_step(tmp_path / "out", "EFFECT", {"effect": "identity"}, silent) == silent


def test_an_effect_is_known_by_its_source() -> None:
    config = KIND.canonical_config({"effect": "dog"})
    used = KIND.effect_used(config)
    assert used is not None
    assert (used.name, used.cid) == ("dog", cid_of_file(Path(dog.__file__)))
    assert used.cid in KIND.implementation(config)


def test_name_and_cid_and_defaults_say_the_same() -> None:
    by_name = KIND.canonical_config({"effect": "invert"})
    assert by_name == KIND.canonical_config({"effect": find_effect("invert").cid, "params": {"intensity": 1.0}})


@pytest.mark.parametrize(
    ("config", "reason"),
    [
        ({"effect": "dgo"}, "did you mean 'dog'"),
        ({"effect": "invert", "params": {"intensity": 2}}, "intensity='2'.*less than or equal to 1"),
        ({"effect": "invert", "params": {"strength": 1}}, "strength.*its parameters: intensity"),
        ({"effect": "identity", "params": {"a": 1}}, "its parameters: none"),
        ({}, "effect"),
    ],
)
def test_wrong_parameters_are_refused_before_anything_runs(config: dict[str, Any], reason: str) -> None:
    with pytest.raises(ValidationError, match=reason):
        KIND.canonical_config(config)


def test_an_unknown_effect_is_refused_with_the_known_ones() -> None:
    with pytest.raises(UnknownEffectError, match=r"known are .*dog.*identity.*invert"):
        find_effect("xyz")


def test_every_effect_says_what_it_is() -> None:
    for name, effect in EFFECTS.items():
        assert effect.name == name
        assert effect.version
        assert effect.author
        assert effect.description.endswith(".")
        assert all(field.description for field in effect.params.model_fields.values())


@pytest.mark.parametrize("broken", [np.zeros((2, 2, 3), np.uint8), np.zeros((72, 128, 3)), None])
def test_an_effect_that_gives_back_something_else_fails(tmp_path: Path, silent: Path, broken: Any) -> None:
    effect = Effect("odd", "1", "a", "b", EffectParams, lambda f, p, s: (broken, s), Path(__file__))
    with pytest.raises(StepError, match="effect 'odd' gave back"):
        through(
            silent,
            tmp_path / "a.mp4",
            [lambda shape, frames: effect_stage(effect, EffectParams(), shape, {})],
            lambda done, total: None,
        )
    assert not list(tmp_path.iterdir())


def test_the_registries_load_no_media_library() -> None:
    code = (
        "import sys; from artdag_common.steps.registry import find_step_type; "
        "kind = find_step_type('EFFECT'); kind.effect_used(kind.canonical_config({'effect': 'dog'})); "
        "print(*({'av', 'numpy', 'PIL'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=environment())
    assert done.stdout.split() == []


def environment() -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
