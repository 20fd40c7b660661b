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


LAYERED = "{inputs: [{opacity: %s}, {position: [%s, 20], scale: %s}]}"
BEATS, ENERGY, WAY = (
    "{bind: music.beats, range: [0.5, 1]}",
    "{bind: music.energy, range: [2, 0.5]}",
    "{bind: music.energy, range: [-8, 8]}",
)


def test_what_stands_in_a_list_is_bound_too() -> None:
    text = (RECIPE % ("LAYER", LAYERED % (BEATS, WAY, ENERGY))).replace("inputs: part", "inputs: [part, video, part]")
    node = parse_recipe(text).nodes[-1]
    assert node.inputs == ("part", "video", "part", "music")
    assert {name: bound["bind"] for name, bound in node.config["bind"].items()} == {
        "inputs.0.opacity": "music.beats",
        "inputs.1.position.0": "music.energy",
        "inputs.1.scale": "music.energy",
    }
    assert node.config["inputs"] == [
        {"position": [0.0, 0.0], "opacity": 0.5, "scale": 1.0},
        {"position": [-8.0, 20.0], "opacity": 1.0, "scale": 2.0},
    ]


def test_plans_carry_what_stands_in_a_list() -> None:
    text = (RECIPE % ("LAYER", LAYERED % (BEATS, WAY, ENERGY))).replace("inputs: part", "inputs: [part, video, part]")
    bound = tuple(InputBinding(name, (cid_of(name.encode()),)) for name in ("video", "audio"))
    compiled = compile_plan(parse_recipe(text), bound, "")
    step = compiled.steps[compiled.output]
    nodes = [compiled.steps[i].node for i in step.inputs]
    assert nodes == ["part", "video", "part", "music[beats]", "music[energy]"]
    bind = orjson.loads(step.config)["bind"]
    assert {name: each["input"] for name, each in bind.items()} == {
        "inputs.0.opacity": 3,
        "inputs.1.position.0": 4,
        "inputs.1.scale": 4,
    }


def test_the_opacity_of_a_blend_is_bound() -> None:
    text = (RECIPE % ("BLEND", "{mode: add, opacity: {bind: music.energy}}")).replace(
        "inputs: part", "inputs: [part, video]"
    )
    node = parse_recipe(text).nodes[-1]
    assert node.inputs == ("part", "video", "music")
    assert (node.config["opacity"], list(node.config["bind"])) == (0.0, ["opacity"])


def test_a_binding_that_two_parameters_share_is_one_of_each() -> None:
    shared = "{inputs: [{opacity: &o {bind: music.energy}}, {opacity: *o}]}"
    text = (RECIPE % ("LAYER", shared)).replace("inputs: part", "inputs: [part, video]")
    node = parse_recipe(text).nodes[-1]
    assert list(node.config["bind"]) == ["inputs.0.opacity", "inputs.1.opacity"]
    assert [each["opacity"] for each in node.config["inputs"]] == [0.0, 0.0]


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
        ("LAYER", "{inputs: [{opacity: {bind: music.energy, range: [0, 2]}}]}", "inputs[0].opacity", "or equal to 1"),
        ("LAYER", "{inputs: [{scale: {bind: music.energy}}]}", "inputs[0].scale", "greater than 0"),
        ("LAYER", "{inputs: [{bind: music.energy}]}", "inputs[0]", "dictionary"),
        ("LAYER", "{inputs: [{opactiy: {bind: music.energy}}]}", "inputs[0].opactiy", "'opacity'"),
        ("LAYER", "{inputs: [{position: {bind: music.energy}}]}", "inputs[0].position", "tuple"),
        ("LAYER", "{inputs: {bind: music.energy}}", "inputs", "tuple"),
        ("LAYER", "{inputs: [{position: [0, {bind: musik.energy}]}]}", "inputs[0].position[1].bind", "'music'"),
        ("TRANSFORM", "{effects: {blur: [{bind: music.energy}]}}", "effects.blur", "number"),
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


@pytest.mark.parametrize("inputs", ["[part]", "[part, video, part]", "{base: part, top: [video, part]}"])
@pytest.mark.parametrize("opacity", ["0.3", "{bind: music.energy}"])
def test_a_blend_reads_two_pictures(inputs: str, opacity: str) -> None:
    text = (RECIPE % ("BLEND", f"{{opacity: {opacity}}}")).replace("inputs: part", f"inputs: {inputs}")
    (problem,) = problems_of(text)
    assert problem["field"] == "steps[2].inputs"
    assert problem["problem"].startswith("BLEND takes 2 inputs (base, top), not")


@pytest.mark.parametrize(
    ("kind", "config", "inputs", "field", "problem"),
    [
        ("LAYER", "{inputs: [{}, {opacity: {bind: music.energy}}]}", "part", "inputs",
         "there are 2 entries for 1 input; leave out the last one"),
        ("LAYER", "{inputs: [{}, {}, {}, {}]}", "[part, video]", "inputs",
         "there are 4 entries for 2 inputs; leave out the last 2"),
        ("AUDIO_MIX", "{gains: [1, 1, 1]}", "[part, video]", "gains",
         "there are 3 for 2 inputs; give one for each, or none"),
    ],
)  # fmt: skip
def test_entries_that_do_not_fit_the_inputs_are_refused(
    kind: str, config: str, inputs: str, field: str, problem: str
) -> None:
    (found,) = problems_of((RECIPE % (kind, config)).replace("inputs: part", f"inputs: {inputs}"))
    assert (found["line"], found["field"], found["problem"]) == (9, f"steps[2].config.{field}", problem)


def test_each_item_of_a_map_is_one_input() -> None:
    text = RECIPE % ("MAP", "{items: [video], operation: LAYER, inputs: [{scale: 0.5}, {}]}")
    text = text.replace("    inputs: part\n", "").replace("id: out", "id: each")
    (found,) = problems_of(text.replace("output: out", "  - {id: all, type: SEQUENCE, inputs: each}\noutput: all"))
    assert found["field"] == "steps[2].config.inputs"
    assert found["problem"] == "there are 2 entries for 1 input; leave out the last one"


def test_a_list_that_a_run_binds_may_be_long_enough() -> None:
    text = (RECIPE % ("LAYER", "{inputs: [{}, {}, {}]}")).replace("inputs: part", "inputs: [part, clips]")
    graph = parse_recipe(text.replace("video: video", 'video: video, clips: "video[]"'))
    assert len(graph.nodes[-1].config["inputs"]) == 3


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


def test_the_logo_example_plans() -> None:
    """A film blended with itself, and a logo above it, in one pass."""
    graph = parse_recipe((EXAMPLES / "logo.yaml").read_text())
    bound = tuple(InputBinding(name, (cid_of(name.encode()),)) for name in ("video", "logo", "audio"))
    compiled = compile_plan(graph, bound, "")
    nodes = [step.node for step in compiled.steps]
    (chain,) = (step for step in compiled.steps if step.type == "CHAIN")
    assert [nodes[i] for i in chain.inputs] == ["video", "video", "music[energy]", "logo", "music[beats]"]
    links = orjson.loads(chain.config)["links"]
    assert [(link["type"], link["inputs"]) for link in links] == [("BLEND", [1, 2]), ("LAYER", [3, 4])]
    assert [list(link["config"]["bind"]) for link in links] == [["opacity"], ["inputs.1.scale"]]
    assert compiled.steps[compiled.output].node == "result"
