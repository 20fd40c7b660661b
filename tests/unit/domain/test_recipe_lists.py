"""MAP, RANDOM_SLICE and SLICE_ON in recipes: both forms, the canonical one, and what is wrong with others."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import orjson
import pytest

from artdag_common.cid import cid_of
from artdag_common.domain.graph import Graph, Node
from artdag_common.domain.recipe_yaml import parse_recipe
from artdag_common.domain.run import InputBinding
from artdag_common.errors import InvalidRecipeError
from artdag_common.steps.registry import STEP_TYPES
from services.planner.planning import compile_plan

EXAMPLES = Path(__file__).parents[3] / "examples" / "recipes"
RECIPE = """\
name: cut
inputs: {music: audio, clips: "video[]", extra: video}
steps:
  - {id: beats, type: ANALYZE, inputs: music, config: {features: [beats]}}
  - {id: part, type: SEGMENT, inputs: music}
  - %s
  - {id: out, type: SEQUENCE, inputs: cuts}
output: out
"""
PLAIN = "{id: cuts, type: RANDOM_SLICE, inputs: [clips, beats]}"


def node_of(text: str) -> Node:
    return next(node for node in parse_recipe(RECIPE % text).nodes if node.id == "cuts")


@pytest.mark.parametrize(
    "text",
    [
        "{id: cuts, type: RANDOM_SLICE, inputs: [beats, clips]}",
        "{id: cuts, type: RANDOM_SLICE, inputs: {items: clips, timing: beats}}",
        "{id: cuts, type: RANDOM_SLICE, config: {items: [clips], timing: beats}}",
        "{id: cuts, type: RANDOM_SLICE, inputs: clips, config: {timing: beats, feature: beats, rate: 30.0}}",
        "{id: cuts, type: MAP, inputs: [clips], config: {operation: RANDOM_SLICE, timing: beats}}",
        "{id: cuts, type: MAP, inputs: clips, config: {operation: RANDOM_SLICE, timing: beats, config: {every: 1}}}",
        "{id: cuts, type: MAP, inputs: {items: [clips], timing: beats}, config: {operation: RANDOM_SLICE, every: 1}}",
        "{id: cuts, type: MAP, config: {items: clips, operation: RANDOM_SLICE, timing: beats, feature: beats}}",
    ],
)
def test_all_ways_to_write_slices_are_one_recipe(text: str) -> None:
    assert parse_recipe(RECIPE % text).canonical() == parse_recipe(RECIPE % PLAIN).canonical()


def test_the_canonical_form_of_slices() -> None:
    assert node_of(
        "{id: cuts, type: SLICE_ON, inputs: [clips, extra, beats], config: {seed_from: extra, every: 4}}"
    ) == Node(
        "cuts",
        "SLICE_ON",
        {
            "items": ["clips", "extra"],
            "timing": "beats",
            "seed_from": "extra",
            "feature": "beats",
            "every": 4,
            "rate": "30",
            "order": "cycle",
            "seed": 0,
        },
        ("clips", "extra", "beats", "extra"),
    )


def test_the_canonical_form_of_a_map() -> None:
    in_config = "{id: cuts, type: MAP, inputs: clips, config: {operation: RESIZE, config: {width: 64, height: 36}}}"
    beside = "{id: cuts, type: MAP, config: {items: clips, operation: RESIZE, width: 64, height: 36}}"
    node = node_of(in_config)
    assert node == node_of(beside)
    assert (node.type, node.inputs, node.config["items"]) == ("MAP", ("clips",), ["clips"])
    assert node.config["operation"] == "RESIZE"
    assert node.config["config"] == {"width": 64, "height": 36, "mode": "fit", "background": "#000000"}


def test_a_node_named_in_the_config_is_read_before() -> None:
    text = RECIPE % "{id: cuts, type: RANDOM_SLICE, config: {items: late, timing: beats}}"
    late = "  - {id: late, type: MAP, inputs: clips, config: {operation: SEGMENT, duration: 1}}\noutput"
    order = [node.id for node in parse_recipe(text.replace("output", late)).nodes]
    assert order.index("late") < order.index("cuts") < order.index("out")


CASES = {
    "no timing": ("{id: cuts, type: RANDOM_SLICE, inputs: [clips]}", "inputs", "needs 'timing'"),
    "no items": ("{id: cuts, type: SLICE_ON, inputs: [beats]}", "inputs", "needs 'items'"),
    "two timings": (
        "{id: cuts, type: SLICE_ON, inputs: {items: clips, timing: [beats, beats]}}",
        "inputs.timing[1]",
        "one node",
    ),
    "timing named twice": (
        "{id: cuts, type: SLICE_ON, inputs: [clips, beats], config: {timing: beats}}",
        "config.timing",
        "among the inputs already",
    ),
    "a timing that is no node": (
        "{id: cuts, type: SLICE_ON, inputs: clips, config: {timing: beast}}",
        "config.timing",
        "did you mean 'beats'",
    ),
    "a timing that is no analysis": (
        "{id: cuts, type: SLICE_ON, inputs: clips, config: {timing: part}}",
        "config.timing",
        "'part' is a SEGMENT",
    ),
    "a timing that is a number": (
        "{id: cuts, type: SLICE_ON, inputs: clips, config: {timing: 7}}",
        "config.timing",
        "id of a node",
    ),
    "a feature nobody asked for": (
        "{id: cuts, type: SLICE_ON, inputs: clips, config: {timing: beats, feature: onsets}}",
        "config.timing",
        "add onsets to its features",
    ),
    "a feature that is none": (
        "{id: cuts, type: SLICE_ON, inputs: [clips, beats], config: {feature: beat}}",
        "config.feature",
        "did you mean 'beats'",
    ),
    "a group of none": (
        "{id: cuts, type: MAP, inputs: clips, config: {operation: SLICE_ON, timing: beats, config: {every: 0}}}",
        "config.config.every",
        "greater than or equal to 1",
    ),
    "an unknown slot": (
        "{id: cuts, type: SLICE_ON, inputs: {items: clips, beats: beats}}",
        "inputs.beats",
        "no slot 'beats'",
    ),
    "no operation": ("{id: cuts, type: MAP, inputs: clips}", "config.operation", "missing"),
    "an unknown operation": (
        "{id: cuts, type: MAP, inputs: clips, config: {operation: RESIZ}}",
        "config.operation",
        "did you mean 'RESIZE'",
    ),
    "an operation on two": (
        "{id: cuts, type: MAP, inputs: clips, config: {operation: MUX}}",
        "config.operation",
        "MUX is none that takes one input",
    ),
    "a map of maps": (
        "{id: cuts, type: MAP, inputs: clips, config: {operation: MAP}}",
        "config.operation",
        "none that takes one input",
    ),
    "an unknown parameter in the config": (
        "{id: cuts, type: MAP, inputs: clips, config: {operation: SEGMENT, config: {ofset: 1}}}",
        "config.config.ofset",
        "did you mean 'offset'",
    ),
    "an unknown parameter beside it": (
        "{id: cuts, type: MAP, inputs: clips, config: {operation: SEGMENT, ofset: 1}}",
        "config.ofset",
        "did you mean 'offset'",
    ),
    "parameters in both places": (
        "{id: cuts, type: MAP, inputs: clips, config: {operation: SEGMENT, offset: 1, config: {duration: 1}}}",
        "config.offset",
        "beside 'config'",
    ),
    "timing without slices": (
        "{id: cuts, type: MAP, inputs: clips, config: {operation: SEGMENT, timing: beats}}",
        "config.timing",
        "RANDOM_SLICE and SLICE_ON only",
    ),
    "a chain": ("{id: cuts, type: CHAIN, inputs: clips}", "type", "unknown step type 'CHAIN'"),
}


@pytest.mark.parametrize("case", CASES)
def test_a_mistake_is_one_problem_at_its_place(case: str) -> None:
    text, field, part = CASES[case]
    (problem,) = problems_of(RECIPE % text)
    assert (problem["line"], problem["field"]) == (6, f"steps[2].{field}")
    assert part in problem["problem"], problem


def problems_of(text: str) -> list[dict[str, Any]]:
    with pytest.raises(InvalidRecipeError) as refused:
        parse_recipe(text)
    return refused.value.problems


def test_slices_are_no_output() -> None:
    (problem,) = problems_of((RECIPE % PLAIN).replace("output: out", "output: cuts"))
    assert "a RANDOM_SLICE gives several" in problem["problem"]


def test_a_timing_that_depends_on_slices_is_refused() -> None:
    more = (
        "  - {id: late, type: ANALYZE, inputs: out, config: {features: [beats]}}\n"
        "  - {id: again, type: RANDOM_SLICE, inputs: [clips, late]}\noutput"
    )
    (problem,) = problems_of((RECIPE % PLAIN).replace("output", more))
    assert problem["field"] == "steps[5].inputs[1]"
    assert "'late' depends on 'cuts'" in problem["problem"]


@pytest.mark.parametrize("name", ["MAP", "RANDOM_SLICE", "SLICE_ON", "SLICE"])
def test_the_lists_are_step_types(name: str) -> None:
    assert STEP_TYPES[name].version == 1


# --- the example ---


def test_the_beat_cut_example_plans() -> None:
    graph = parse_recipe((EXAMPLES / "beat-cut.yaml").read_text())
    clips = tuple(cid_of(name) for name in (b"one", b"two"))
    bound = (InputBinding("music", (cid_of(b"music"),)), InputBinding("clips", clips))
    document = {"audio": {"duration": 4.0, "beats": {"beat_times": [0.5 * i for i in range(8)]}}}
    compiled = compile_plan(Graph.from_canonical(_document(graph)), bound, "", {"beats": document})
    types = [step.type for step in compiled.steps]
    assert types == ["SOURCE"] * 3 + ["ANALYZE", "SLICE", "SLICE", "SEQUENCE", "MUX"]
    assert [step.label for step in compiled.steps[4:6]] == ["beat-cut.cuts.slice[0]", "beat-cut.cuts.slice[1]"]
    assert all('"frames":60' in step.config for step in compiled.steps[4:6])
    assert compiled.steps[compiled.output].deliver


def _document(graph: Graph) -> dict[str, Any]:
    read: dict[str, Any] = orjson.loads(graph.canonical())
    return read


def test_the_music_of_a_beat_sync_may_be_left_to_the_planner() -> None:
    more = "  - {id: cut, type: BEAT_SYNC, inputs: {video: extra, analysis: beats, scenes: beats}}\noutput"
    graph = parse_recipe((RECIPE % PLAIN).replace("output", more))
    assert graph.nodes[-1].inputs == ("extra", "beats", "beats")
