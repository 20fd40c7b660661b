"""What the pages of recipes are made of: graphs as lists, controls of parameters, estimates, readable sources."""

from __future__ import annotations

from typing import Any

import pytest
import yaml

from artdag_common.domain.recipe_yaml import parse_recipe
from artdag_common.effects.registry import EFFECTS
from artdag_common.steps import registry  # noqa: F401
from services.gateway.drawing import drawn
from services.gateway.estimating import estimate
from services.gateway.web import reference
from services.gateway.web.controls import Control, knobs, notch, parameters
from services.gateway.web.editor import FIRST, readable
from services.gateway.web.recipe import put_in, rest
from services.gateway.web.recipes import examples
from services.gateway.web.words import address

RULES: dict[str, Any] = {
    "$defs": {"Fade": {"properties": {"seconds": {"type": "number", "default": 0.5, "description": "How long"}}}},
    "properties": {
        "mode": {"enum": ["soft", "hard"], "type": "string", "default": "soft"},
        "size": {"anyOf": [{"type": "integer", "minimum": 2, "maximum": 64}, {"type": "null"}], "default": None},
        "share": {"type": "number", "exclusiveMinimum": 0},
        "places": {"type": "array", "prefixItems": [{"type": "number"}] * 2, "maxItems": 2, "default": [0.0, 0.0]},
        "names": {"type": "array", "items": {"type": "string"}, "default": []},
        "ink": {"type": "string", "pattern": "^#[0-9a-fA-F]{6}$", "default": "#000000"},
        "on": {"type": "boolean", "default": False},
        "fade": {"$ref": "#/$defs/Fade"},
        "layers": {"type": "array", "items": {"$ref": "#/$defs/Fade"}, "default": []},
    },
    "required": ["share"],
}
"""Parameters of every kind."""

INPUTS = "inputs:\n  a: {type: video}\n  b: {type: video}\n  music: {type: audio}\n"


def nodes_of(steps: str, output: str = "x") -> list[dict[str, Any]]:
    """Return the nodes of a recipe with these steps, as its page has them."""
    graph = parse_recipe(f"name: r\n{INPUTS}steps:\n{steps}output: {output}\n")
    return [{"id": n.id, "type": n.type, "config": n.config, "inputs": list(n.inputs)} for n in graph.nodes]


def controls_of(steps: str, node: str = "x") -> dict[str, Control]:
    """Return the controls of a node by name."""
    effects = {name: {"name": name, "params": each.params.model_json_schema()} for name, each in EFFECTS.items()}
    found = {each.node: each for each in knobs(nodes_of(steps), effects)}
    return {each.name: each for each in found[node].controls} if node in found else {}


def test_a_graph_has_a_list_for_each_fact() -> None:
    nodes = nodes_of("  - {id: m, type: BLEND, inputs: [a, b]}\n  - {id: x, type: NOOP, inputs: [m, a, m]}\n")
    graph = drawn(nodes, "x")
    places = {name: place for place, name in enumerate(graph["names"])}
    assert graph["inputs"][places["x"]] == [places["m"], places["a"]]
    assert [graph["levels"][places[each]] for each in ("a", "b", "m", "x")] == [0, 0, 1, 2]
    assert (graph["output"], graph["active"]) == (places["x"], False)


def test_a_number_with_a_range_is_a_slider() -> None:
    opacity = controls_of("  - {id: x, type: BLEND, inputs: [a, b], config: {opacity: 0.25}}\n")["opacity"]
    said = "0: the first video alone; 1: the blend alone"
    assert opacity == Control("opacity", "slider", 0.25, said, 0, 1, 0.01, default=0.5)


def test_a_number_without_a_sensible_range_is_a_field() -> None:
    found = controls_of("  - {id: x, type: SEGMENT, inputs: [a], config: {offset: 2}}\n")
    assert (found["offset"].kind, found["offset"].least, found["offset"].most) == ("number", 0, None)
    assert (found["duration"].kind, found["duration"].optional, found["duration"].value) == ("number", True, None)
    assert found["precise"].kind == "flag"
    assert "start" not in found, "another name of the same"
    size = controls_of("  - {id: x, type: RESIZE, inputs: [a], config: {width: 640, height: 360}}\n")
    assert (size["width"].kind, size["width"].whole, size["mode"].kind) == ("number", True, "choice")
    assert {"fit", "fill"} <= set(size["mode"].choices)
    seed = controls_of("  - {id: x, type: EFFECT, inputs: [a], config: {effect: glitch}}\n")["params.seed"]
    assert (seed.kind, seed.span) == ("number", "0 or more")
    assert found["duration"].span == "more than 0"


def test_a_slider_does_not_go_to_an_end_that_is_refused() -> None:
    layers = "  - {id: x, type: LAYER, inputs: [a, b], config: {inputs: [{scale: 2}]}}\n"
    scale = controls_of(layers)["inputs.0.scale"]
    assert (scale.kind, scale.span, scale.ends) == ("slider", "more than 0, up to 64", (0.1, 64))
    part = controls_of("  - {id: x, type: SLICE, inputs: [a], config: {frames: 9, position: 0.5}}\n")["position"]
    assert (part.kind, part.span, part.ends) == ("slider", "0 or more, less than 1", (0, 0.99))


def test_the_parameters_of_an_effect_come_first_with_what_they_do() -> None:
    found = controls_of("  - {id: x, type: EFFECT, inputs: [a], config: {effect: duotone, params: {amount: 0.5}}}\n")
    assert list(found) == ["params.shadows", "params.highlights", "params.contrast", "params.amount"]
    assert (found["params.shadows"].kind, found["params.amount"].value) == ("colour", 0.5)
    assert found["params.amount"].said.startswith("0: the picture as it is")
    assert (found["params.shadows"].label, found["params.shadows"].written) == ("shadows", '"#2b1a6f"')


def test_what_no_control_sets_is_shown_as_it_is_written() -> None:
    steps = (
        "  - {id: each, type: MAP, inputs: [a, b], config: {operation: EFFECT, config: {effect: invert}}}\n"
        "  - {id: x, type: SEQUENCE, inputs: [each]}\n"
    )
    nodes = {node["id"]: node for node in nodes_of(steps)}
    effects = {"invert": {"name": "invert", "params": EFFECTS["invert"].params.model_json_schema()}}
    controls = {each.node: each.controls for each in knobs(list(nodes.values()), effects)}
    assert rest(nodes["each"], controls["each"]) == {"operation": "EFFECT", "effect": "invert"}
    assert rest(nodes["x"], controls["x"]) == {}
    assert rest(nodes["each"], ())["params"] == {"intensity": 1.0}, "of an effect that is not to be seen"


def test_a_schema_is_told_in_words() -> None:
    found = {each.name: each for each in parameters(RULES)}
    assert {name: (each.takes, each.usual) for name, each in found.items()} == {
        "mode": ("soft, hard", '"soft"'),
        "size": ("a whole number, 2 to 64 or nothing", ""),
        "share": ("a number, more than 0", None),
        "places": ("a list of 2 numbers", "[0.0, 0.0]"),
        "names": ("a list of words", ""),
        "ink": ("a colour, #rrggbb", '"#000000"'),
        "on": ("true or false", "false"),
        "fade.seconds": ("a number", "0.5"),
        "layers[].seconds": ("a number", "0.5"),
    }
    assert found["fade.seconds"].said == "How long"


@pytest.mark.parametrize("entry", [*reference.step_types(), *reference.effects()], ids=lambda entry: str(entry.name))
def test_whatever_a_step_takes_is_explained(entry: reference.Entry) -> None:
    assert entry.said
    assert [each.name for each in entry.parameters if not each.said] == []


def test_step_types_are_told_with_their_inputs() -> None:
    reads = {each.name: each.reads for each in reference.step_types()}
    assert {"SOURCE", "SOURCE_LIST", "CHAIN", "ANALYSIS"} & reads.keys() == set()
    assert reads["BEAT_SYNC"] == "video, analysis; music, scenes"
    assert (reads["BLEND"], reads["EFFECT"], reads["MUX"]) == ("base, top", "media", "video, audio")
    assert (reads["LAYER"], reads["AUDIO_MIX"]) == ("layer, one or more", "sound, two or more")


def test_parameters_inside_others_are_named_with_dots() -> None:
    found = controls_of("  - {id: x, type: TRANSFORM, inputs: [a], config: {effects: {hue: 90}}}\n")
    assert (found["effects.hue"].value, found["effects.hue"].least) == (90, -360)
    layers = controls_of("  - {id: x, type: LAYER, inputs: [a, b], config: {inputs: [{}, {opacity: 0.5}]}}\n")
    assert (layers["inputs.1.opacity"].value, layers["inputs.0.opacity"].value) == (0.5, 1)
    assert (layers["inputs.1.position"].kind, layers["inputs.1.position"].value) == ("json", "[0.0, 0.0]")


def test_what_follows_the_music_is_only_shown() -> None:
    steps = (
        "  - {id: beat, type: ANALYZE, inputs: [music], config: {features: [energy]}}\n"
        "  - {id: x, type: EFFECT, inputs: [a], config: {effect: invert, params: {intensity: {bind: beat.energy}}}}\n"
    )
    assert controls_of(steps)["params.intensity"].kind == "bound"
    assert controls_of(steps)["params.intensity"].value == "beat.energy, from 0 to 1"
    features = controls_of(steps, "beat")["features"]
    assert (features.kind, features.value, features.usual) == ("words", "energy", "usually all")


def test_of_a_map_the_parameters_are_those_of_each_item() -> None:
    steps = (
        "  - {id: each, type: MAP, inputs: [a, b], config: {operation: EFFECT, config: {effect: invert}}}\n"
        "  - {id: x, type: SEQUENCE, inputs: [each]}\n"
    )
    assert list(controls_of(steps, "each")) == ["params.intensity"]
    assert {"transition.type", "transition.duration"} <= set(controls_of(steps))


@pytest.mark.parametrize("example", examples(), ids=lambda example: str(example.name))
def test_every_parameter_of_the_examples_keeps_its_value(example: Any) -> None:
    """What a form begins with is what the recipe says: sent unchanged, nothing changes."""
    graph = parse_recipe(example.source)
    nodes = [{"id": n.id, "type": n.type, "config": n.config, "inputs": list(n.inputs)} for n in graph.nodes]
    effects = {name: {"name": name, "params": each.params.model_json_schema()} for name, each in EFFECTS.items()}
    for each in knobs(nodes, effects):
        for control in each.controls:
            assert control.value is not None or control.optional, (each.node, control)
            if control.kind == "slider":
                assert control.least is not None
                assert control.most is not None
                assert control.step
                assert control.least <= control.value <= control.most
            if control.kind == "choice":
                assert control.value in control.choices or control.optional


@pytest.mark.parametrize(
    ("least", "most", "whole", "step"),
    [(0, 1, False, 0.01), (0, 4, False, 0.01), (0, 0.3, False, 0.001), (-360, 360, False, 1.0), (1, 120, True, 1.0)],
)
def test_a_slider_goes_by_a_power_of_ten(least: float, most: float, whole: bool, step: float) -> None:
    assert notch(least, most, whole) == step


def test_a_plan_is_estimated_only_by_what_is_known_of_all_its_kinds() -> None:
    steps = [
        {"type": "SOURCE", "status": "cached", "config": {}},
        {"type": "EFFECT", "status": "pending", "config": {"effect": "bloom"}},
        {"type": "EFFECT", "status": "cached", "config": {"effect": "dog"}},
        {"type": "MUX", "status": "pending", "config": {}},
    ]
    known = {("EFFECT", "bloom"): 1200.0, ("MUX", ""): 300.0}
    assert estimate(steps, known) == 1500.0
    assert estimate(steps, {("MUX", ""): 300.0}) is None
    assert estimate(steps[:1], known) is None


def test_what_a_program_wrote_is_read_in_lines_and_means_the_same() -> None:
    source = (
        '{"name": "n, changed", "version": "1.10", "dag": {"nodes": [{"id": "no", "type": "NOOP"}], "output": "no"}}'
    )
    shown = readable(source)
    assert shown.startswith("name: n, changed\nversion: '1.10'\n")
    assert yaml.safe_load(shown) == yaml.safe_load(source)
    assert readable(FIRST) == FIRST
    assert readable("{not: json}") == "{not: json}"


def test_a_new_recipe_begins_with_one_that_can_be_saved() -> None:
    assert parse_recipe(FIRST).output == "result"


def test_chosen_media_goes_into_the_first_input_that_takes_it() -> None:
    kinds = {
        "film": "video/mp4",
        "other": "video/webm",
        "third": "video/mp4",
        "song": "audio/wav",
        "text": "text/plain",
    }
    media = [{"cid": cid, "media_type": kind} for cid, kind in kinds.items()] + [{"cid": "lost", "media_type": ""}]
    wanted = (("a", "video", False), ("b", "video", False), ("more", "any", True), ("music", "audio", False))
    inputs = [{"name": name, "type": kind, "list": many} for name, kind, many in wanted]
    chosen: dict[str, Any] = {"a": [{"cid": "there already"}]}
    assert put_in(media, inputs, chosen) == []
    assert {name: [each["cid"] for each in found] for name, found in chosen.items() if found} == {
        "a": ["there already"],
        "b": ["film"],
        "more": ["other", "third", "song", "text", "lost"],
    }


def test_what_no_input_has_room_for_is_told() -> None:
    inputs = [{"name": "film", "type": "video", "list": False}]
    media = [
        {"cid": cid, "media_type": kind}
        for cid, kind in (("song", "audio/wav"), ("a", "video/mp4"), ("b", "video/mp4"))
    ]
    chosen: dict[str, Any] = {}
    assert [each["cid"] for each in put_in(media, inputs, chosen)] == ["song", "b"]
    assert [each["cid"] for each in chosen["film"]] == ["a"]
    assert put_in(media[1:2], inputs, chosen) == [], "it is there already"


def test_an_address_names_each_member_of_a_list() -> None:
    assert address({"name": "a b", "owner": "", "media": ["x", "y"], "cursor": None}) == "name=a+b&media=x&media=y"
