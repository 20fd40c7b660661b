"""EFFECT with an effect that a user uploaded: planned by its CID, checked, run isolated."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydantic import ValidationError

from artdag_common.cid import cid_of
from artdag_common.domain.recipe_yaml import effect_recipe, parse_recipe
from artdag_common.effects import uploaded
from artdag_common.effects.registry import find_effect
from artdag_common.errors import CidMismatchError, EffectFailedError, InvalidRecipeError
from artdag_common.isolation.frames import run_frames, seed_of
from artdag_common.media.probe import probe
from artdag_common.steps.registry import find_step_type
from tests.unit.media.counted import loudest, numbers_of
from tests.unit.steps.running import run_step

KIND = find_step_type("EFFECT")
HEADER = """\
# /// script
# dependencies = [{needs}]
# [tool.artdag]
# name = "{name}"
# version = "1"
# author = "Ann"
# description = "Adds to every channel."
# kind = "{kind}"
# [tool.artdag.params.amount]
# type = "int"
# default = 1
# min = -255
# max = 255
# ///
"""
ADD = HEADER.format(name="add", kind="frame", needs='"numpy"') + (
    "def process_frame(frame, params, state):\n"
    "    count = (state or {'count': 0})['count']\n"
    "    return frame.astype(int).__add__(params.amount).clip(0, 255).astype('uint8'), {'count': count + 1}\n"
)
FLIP = HEADER.format(name="flip", kind="frame", needs="") + (
    "def process_frame(frame, params, state):\n    return 255 - frame, state\n"
)
TAIL = (
    HEADER.format(name="tail", kind="media", needs='"av"')
    + """
from fractions import Fraction
import av

def process(inputs, output, params, ctx):
    with av.open(str(inputs[0])) as source, av.open(str(output), "w", format="matroska") as target:
        stream = target.add_stream("ffv1", rate=30)
        frames = list(source.decode(video=0))[-params["amount"]:]
        stream.width, stream.height, stream.pix_fmt = frames[0].width, frames[0].height, "yuv420p"
        for done, frame in enumerate(frames, 1):
            frame.pts, frame.time_base = done - 1, Fraction(1, 30)
            target.mux(stream.encode(frame))
            ctx.progress(done, len(frames))
        target.mux(stream.encode())
"""
)


@pytest.fixture
def shelf(tmp_path: Path) -> Iterator[Path]:
    """Where uploaded effects are."""
    folder = tmp_path / "content"
    folder.mkdir()
    for text in (ADD, FLIP, TAIL):
        (folder / cid_of(text.encode())).write_text(text)
    uploaded.look_in(lambda cid: folder / cid if (folder / cid).exists() else None)
    yield folder
    uploaded.look_in(lambda cid: None)


def config_of(text: str, **params: Any) -> dict[str, Any]:
    return {"effect": cid_of(text.encode()), "params": params}


@pytest.mark.usefixtures("shelf")
def test_frames_go_through_it_in_order_and_the_sound_stays(tmp_path: Path, clicking: Path) -> None:
    output = run_step(tmp_path / "out", "EFFECT", config_of(FLIP), clicking)
    assert numbers_of(output) == [255 - number for number in range(60)]
    assert abs(loudest(output, slice(0, 48_000)) - 24_000) <= 3


@pytest.mark.usefixtures("shelf")
def test_it_gives_the_same_bytes_each_time(tmp_path: Path, silent: Path) -> None:
    first, second = (run_step(tmp_path / name, "EFFECT", config_of(ADD, amount=40), silent) for name in ("a", "b"))
    assert first.read_bytes() == second.read_bytes()


@pytest.mark.usefixtures("shelf")
def test_an_effect_of_files_writes_what_it_likes(tmp_path: Path, silent: Path) -> None:
    output = run_step(tmp_path / "out", "EFFECT", config_of(TAIL, amount=7), silent)
    assert numbers_of(output) == list(range(53, 60))
    assert probe(output).frames == 7


@pytest.mark.usefixtures("shelf")
def test_its_cid_is_part_of_the_cache_id() -> None:
    cid = cid_of(ADD.encode())
    config = KIND.canonical_config(config_of(ADD))
    assert config == f'{{"effect":"{cid}","params":{{"amount":1}}}}'
    assert cid in KIND.implementation(config)
    assert KIND.work_class(config) == "cpu"
    used = KIND.effect_used(config)
    assert used is not None
    assert (used.name, used.cid) == ("add", cid)


@pytest.mark.usefixtures("shelf")
@pytest.mark.parametrize("params", [{"amount": 256}, {"amount": 0.5}, {"amuont": 1}])
def test_its_parameters_are_checked_before_anything_runs(params: dict[str, Any]) -> None:
    with pytest.raises(ValidationError, match=r"params of effect 'add'.*its parameters: amount"):
        KIND.canonical_config(config_of(ADD, **params))


def test_a_file_that_was_changed_is_not_run(shelf: Path, tmp_path: Path, silent: Path) -> None:
    config = config_of(ADD)
    KIND.canonical_config(config)
    (shelf / config["effect"]).write_text(ADD.replace("Ann", "Eve"))
    with pytest.raises(CidMismatchError, match="holds something else"):
        run_step(tmp_path / "out", "EFFECT", config, silent)
    assert not list((tmp_path / "out").iterdir())


def test_a_failing_effect_leaves_nothing(shelf: Path, tmp_path: Path, silent: Path) -> None:
    text = FLIP.replace("return 255 - frame, state", "return frame[int(frame[0, 0, 0]) // 0], state")
    cid = cid_of(text.encode())
    (shelf / cid).write_text(text)
    with pytest.raises(EffectFailedError, match=r"effect 'flip' failed: ZeroDivisionError.*\(line 16: return frame"):
        run_step(tmp_path / "out", "EFFECT", {"effect": cid}, silent)
    assert not list((tmp_path / "out").iterdir())


@pytest.mark.usefixtures("shelf")
def test_a_bound_parameter_has_another_value_at_each_frame() -> None:
    effect = find_effect(cid_of(ADD.encode()))
    frames = iter([np.zeros((4, 6, 3), np.uint8)] * 5)
    curves = {"params.amount": [0.0, 10.4, 20.6, 30.0, 40.0]}
    given = run_frames(effect, effect.params(), frames, curves)
    assert [int(frame.max()) for frame in given] == [0, 10, 21, 30, 40]


@pytest.mark.usefixtures("shelf")
def test_chance_is_the_same_for_the_same_effect_and_parameters() -> None:
    add, flip = (find_effect(cid_of(text.encode())) for text in (ADD, FLIP))
    seeds = {seed_of(add, add.params()), seed_of(add, add.params.model_validate({"amount": 2}))}
    seeds |= {seed_of(add, add.params()), seed_of(flip, flip.params())}
    assert len(seeds) == 3


@pytest.mark.usefixtures("shelf")
def test_an_effect_that_is_not_waited_for_is_ended(silent: Path) -> None:
    effect = find_effect(cid_of(ADD.encode()))
    frames = run_frames(effect, effect.params(), iter([np.zeros((2, 2, 3), np.uint8)] * 9), {})
    assert next(frames).shape == (2, 2, 3)
    frames.close()  # type: ignore[attr-defined]
    assert next(frames, None) is None


# --- in recipes ---

RECIPE = """\
name: uploaded
registry: {effects: {%s}}
inputs: {picture: video}
steps:
  - {id: apply, type: EFFECT, inputs: picture, config: {effect: %s, params: {amount: 3}}}
output: apply
"""


@pytest.mark.usefixtures("shelf")
def test_recipes_name_it_by_cid_or_by_a_name_of_their_registry() -> None:
    cid = cid_of(ADD.encode())
    forms = [("", cid), (f"brighter: {{cid: {cid}}}", "brighter")]
    graphs = [parse_recipe(RECIPE % form) for form in forms]
    assert graphs[0].canonical() == graphs[1].canonical()
    assert graphs[0].nodes[1].config == {"effect": cid, "params": {"amount": 3}}
    assert f'"effect": "{cid}"' in effect_recipe(cid) or f"effect: {cid}" in effect_recipe(cid).replace('"', "")


def test_a_recipe_with_an_effect_that_is_not_here_is_refused() -> None:
    with pytest.raises(InvalidRecipeError) as refused:
        parse_recipe(RECIPE % ("", cid_of(b"nowhere")))
    assert [problem["field"] for problem in refused.value.problems] == ["steps[0].config.effect"]
