"""A recipe written out again: the same without changes, checked like any other with them."""

from __future__ import annotations

from pathlib import Path

import pytest

import artdag_common.steps.registry  # noqa: F401  (the step types become known)
from artdag_common.cid import cid_of
from artdag_common.domain.graph import Graph
from artdag_common.domain.recipe_changes import Parameters, blame, changed_source, differences, written
from artdag_common.domain.recipe_yaml import parse_recipe
from artdag_common.errors import InvalidRecipeError, InvalidRequestError

EXAMPLES = sorted((Path(__file__).resolve().parents[3] / "examples" / "recipes").glob("*.yaml"))
FIXED = f"""
name: "1e3"
version: 1.10
description: "no, ❤ \\u007e yes"
on_failure: continue
registry:
  assets:
    cat: {{cid: {cid_of(b"cat")}}}
dag:
  nodes:
    - {{id: fixed, type: SOURCE, config: {{asset: cat}}}}
    - {{id: many, type: SOURCE_LIST, config: {{cids: [{cid_of(b"a")}, {cid_of(b"b")}]}}}}
    - {{id: given, type: SOURCE, config: {{input: true, name: the film, default: cat, type: video}}}}
    - {{id: music, type: ANALYZE, inputs: [given], config: {{features: [beats, scene_changes]}}}}
    - {{id: cut, type: SEGMENT, inputs: [given], config: {{start: 0.1, end: 0.3}}}}
    - id: over
      type: LAYER
      inputs: [cut, fixed]
      config: {{inputs: [{{}}, {{position: [4, 5], opacity: {{bind: music.beats, decay: 0.125}}}}]}}
    - {{id: each, type: MAP, inputs: [many], config: {{operation: RESIZE, width: 64, height: 36}}}}
    - {{id: slices, type: SLICE_ON, inputs: {{items: [each], timing: music}}, config: {{every: 2}}}}
    - {{id: all, type: SEQUENCE, inputs: [over, slices], config: {{transition: {{type: fade, duration: 1.0e-07}}}}}}
  output: all
"""


def read(text: str | bytes) -> Graph:
    """A recipe."""
    return parse_recipe(text)


@pytest.mark.parametrize("text", [*(path.read_text() for path in EXAMPLES), FIXED])
def test_without_changes_it_is_the_same_recipe(text: str) -> None:
    graph = read(text)
    assert read(written(graph, {}, graph.name)).canonical() == graph.canonical()


def test_a_changed_parameter_is_the_only_difference_but_for_the_name() -> None:
    graph = read(FIXED)
    changes: Parameters = {
        "cut": {"duration": 2},
        "each": {"mode": "pad"},
        "over": {"inputs.1.opacity": 0.5},
        "slices": {"every": 4},
    }
    changed = read(changed_source(graph, changes))
    assert changed.name == "1e3, changed"
    assert differences(graph, changed) == {
        "cut": {"duration": {"from": 0.2, "to": 2.0}},
        "each": {"mode": {"from": "fit", "to": "pad"}},
        "slices": {"every": {"from": 2, "to": 4}},
        "over": differences(graph, changed)["over"],
    }
    assert differences(graph, changed)["over"].keys() == {"bind", "inputs"}
    again = read(changed_source(changed, changes))
    assert again.canonical() == changed.canonical(), "the name is not made longer and longer"
    assert changed.on_failure == "continue"


def test_another_effect_begins_with_its_own_parameters() -> None:
    graph = read(next(path for path in EXAMPLES if path.name == "effects.yaml").read_text())
    changed = read(changed_source(graph, {"glow": {"effect": "invert"}}))
    assert next(node for node in changed.nodes if node.id == "glow").config["effect"] == "invert"


def refusal(text: str, changes: Parameters) -> InvalidRequestError:
    """What is said of changes that break a rule."""
    graph = read(text)
    try:
        read(changed_source(graph, changes))
    except InvalidRecipeError as error:
        return blame(graph, error.problems)
    except InvalidRequestError as error:
        return error
    raise AssertionError("nothing was refused")


@pytest.mark.parametrize(
    ("changes", "field", "said"),
    [
        ({"cutt": {"duration": 2}}, "parameters.cutt", "did you mean 'cut'?"),
        ({"given": {"duration": 2}}, "parameters.given", "is a SOURCE, which has no parameters"),
        ({"cut": {"lenght": 2, "offset": 1}}, "parameters.cut.lenght", "SEGMENT has no parameter 'lenght'"),
        ({"cut": {"duraton": 2}}, "parameters.cut.duraton", "did you mean 'duration'?"),
        ({"cut": {"duration": -2}}, "parameters.cut.duration", "greater than 0"),
        ({"each": {"mode": "fitt"}}, "parameters.each.mode", "did you mean 'fit'?"),
        ({"over": {"inputs.7.opacity": 1}}, "parameters.over.inputs.7.opacity", "name the whole parameter 'inputs'"),
        ({"all": {"transition.type": "fad"}}, "parameters.all.transition.type", "did you mean 'fade'?"),
        ({"cut": {"start": 3}}, "parameters.cut", "they say the same"),
    ],
)
def test_what_is_wrong_names_node_parameter_and_the_nearest(changes: Parameters, field: str, said: str) -> None:
    error = refusal(FIXED.replace("start: 0.1, end: 0.3", "offset: 0.1, duration: 0.2"), changes)
    assert error.values["problems"][0]["field"] == field
    assert said in error.message
    assert field in error.message
