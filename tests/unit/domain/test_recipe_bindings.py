"""Bound parameters in recipes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import orjson
import pytest

from artdag_common.cid import cid_of
from artdag_common.domain.recipe_yaml import parse_recipe
from artdag_common.domain.run import InputBinding
from artdag_common.errors import InvalidRecipeError
from services.planner.planning import compile_plan

EXAMPLES = Path(__file__).parents[3] / "examples" / "recipes"
RECIPE = """\
name: bound
inputs: {video: video, audio: audio}
steps:
  - {id: music, type: ANALYZE, inputs: audio, config: {features: [beats, energy]}}
  - {id: part, type: SEGMENT, inputs: video}
  - id: out
    type: %s
    inputs: part
    config: %s
output: out
"""
INVERT = "{effect: invert, params: {intensity: %s}}"


def test_the_canonical_form_of_a_bound_parameter() -> None:
    node = parse_recipe(RECIPE % ("EFFECT", INVERT % "{bind: music.energy, range: [0.25, 1], smooth: 1}")).nodes[-1]
    assert node.inputs == ("part", "music")
    assert node.config == {
        "effect": "invert",
        "params": {"intensity": 0.25},
        "bind": {
            "params.intensity": {
                "bind": "music.energy",
                "range": [0.25, 1.0],
                "smooth": 1.0,
                "offset": 0.0,
                "on_event": None,
                "decay": 0.25,
                "noise": 0.0,
                "seed": 0,
            }
        },
    }


def test_parameters_of_other_steps_are_bound_too() -> None:
    node = parse_recipe(RECIPE % ("TRANSFORM", "{effects: {blur: {bind: music.beats, range: [0, 9]}}}")).nodes[-1]
    assert list(node.config["bind"]) == ["effects.blur"]
    assert node.config["effects"]["blur"] == 0.0


def test_defaults_written_out_say_the_same() -> None:
    written = "{bind: music.energy, range: [0, 1], smooth: 0, offset: 0.0, on_event: null, noise: 0, seed: 0}"
    short, long = (parse_recipe(RECIPE % ("EFFECT", INVERT % b)) for b in ("{bind: music.energy}", written))
    assert short.canonical() == long.canonical()


CASES = {
    "no node of this name": ("{bind: musik.energy}", ".bind", "did you mean 'music'"),
    "a node that is no analysis": ("{bind: part.energy}", ".bind", "'part' is a SEGMENT"),
    "a feature nobody asked for": ("{bind: music.onsets}", ".bind", "add onsets to its features"),
    "an event nobody asked for": ("{bind: music.energy, on_event: onsets}", ".bind", "add onsets to its features"),
    "a feature that is none": ("{bind: music.enrgy}", ".bind", "did you mean 'energy'"),
    "no feature": ("{bind: music}", ".bind", "<analysis node>.<feature>"),
    "an unknown key": ("{bind: music.energy, rnage: [0, 1]}", ".rnage", "did you mean 'range'"),
    "a range of one": ("{bind: music.energy, range: [0]}", ".range", "range is two numbers"),
    "a range of nothing": ("{bind: music.energy, range: [1, 1]}", ".range", "both ends of range are 1"),
    "a low end that is too low": ("{bind: music.energy, range: [-1, 1]}", "", "greater than or equal to 0"),
    "a high end that is too high": ("{bind: music.energy, range: [0, 2]}", "", "less than or equal to 1"),
    "an unknown event": ("{bind: music.energy, on_event: beat}", ".on_event", "did you mean 'beats'"),
    "a decay of no event": ("{bind: music.energy, decay: 1}", "", "no event, without on_event"),
    "a backward decay": ("{bind: music.beats, decay: -1}", ".decay", "greater than 0"),
    "too much noise": ("{bind: music.energy, noise: 2}", ".noise", "less than or equal to 1"),
}


@pytest.mark.parametrize("case", CASES)
def test_a_mistake_is_one_problem_at_its_place(case: str) -> None:
    binding, field, part = CASES[case]
    (problem,) = problems_of(RECIPE % ("EFFECT", INVERT % binding))
    assert (problem["line"], problem["field"]) == (9, f"steps[2].config.params.intensity{field}")
    assert part in problem["problem"], problem


@pytest.mark.parametrize(
    ("kind", "config", "field", "part"),
    [
        ("SEGMENT", "{offset: {bind: music.energy}}", "offset", "SEGMENT does not work frame by frame"),
        ("EFFECT", "{effect: {bind: music.energy}}", "effect", "string"),
        ("EFFECT", "{effect: invert, bind: {intensity: 1}}", "bind", "belongs to one parameter"),
        ("EFFECT", "{effect: invert, params: {a: [{bind: music.energy}]}}", "params.a[0]", "not one item of a list"),
        (
            "RESIZE",
            "{width: {bind: music.energy, range: [64, 128]}, height: 64}",
            "width",
            "is not a number that can change",
        ),
        ("TRANSFORM", "{effects: {speed: {bind: music.energy, range: [1, 2]}}}", "effects.speed", "frame by frame"),
        ("EFFECT", "{effect: invert, params: {intensty: {bind: music.energy}}}", "params.intensty", "'intensity'"),
    ],
)
def test_what_cannot_be_bound_is_refused(kind: str, config: str, field: str, part: str) -> None:
    (problem,) = problems_of(RECIPE % (kind, config))
    assert problem["field"] == f"steps[2].config.{field}"
    assert part in problem["problem"], problem


def problems_of(text: str) -> list[dict[str, Any]]:
    with pytest.raises(InvalidRecipeError) as refused:
        parse_recipe(text)
    return refused.value.problems


def test_a_step_that_works_by_frame_reads_one_thing() -> None:
    text = (RECIPE % ("EFFECT", "{effect: invert}")).replace("inputs: part", "inputs: [part, video]")
    (problem,) = problems_of(text)
    assert (problem["field"], problem["problem"]) == ("steps[2].inputs", "EFFECT takes 1 input (media), not 2")


def test_items_of_a_map_are_bound_like_single_steps() -> None:
    config = "{items: [video, part], operation: EFFECT, effect: invert, params: {intensity: {bind: music.beats}}}"
    text = RECIPE % ("MAP", config) + "\n"
    text = text.replace("    inputs: part\n", "").replace("id: out", "id: each")
    graph = parse_recipe(text.replace("output: out", "  - {id: all, type: SEQUENCE, inputs: each}\noutput: all"))
    bound = tuple(InputBinding(name, (cid_of(name.encode()),)) for name in ("video", "audio"))
    compiled = compile_plan(graph, bound, "")
    nodes = [step.node for step in compiled.steps]
    mapped = [step for step in compiled.steps if step.node.startswith("each[")]
    assert [[nodes[i] for i in step.inputs] for step in mapped] == [["video", "music[beats]"], ["part", "music[beats]"]]


def test_the_bound_example_plans() -> None:
    graph = parse_recipe((EXAMPLES / "bound.yaml").read_text())
    bound = tuple(InputBinding(name, (cid_of(name.encode()),)) for name in ("video", "audio"))
    compiled = compile_plan(graph, bound, "")
    nodes = [step.node for step in compiled.steps]
    (chain,) = (step for step in compiled.steps if step.type == "CHAIN")
    assert chain.node == "blocks"
    assert [nodes[i] for i in chain.inputs] == ["video", "music[beats]", "music[energy]"]
    links = orjson.loads(chain.config)["links"]
    assert [link["inputs"] for link in links] == [[1], [2]]
    assert [list(link["config"]["bind"]) for link in links] == [["params.intensity"], ["params.size"]]
    assert compiled.steps[compiled.output].node == "result"
