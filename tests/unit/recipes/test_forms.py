"""Both YAML forms, and what they become."""

from __future__ import annotations

from pathlib import Path

import orjson
import pytest

from artdag_common.cid import cid_of
from artdag_common.domain.graph import Graph, Node, Variable
from artdag_common.domain.recipe_yaml import effect_recipe, parse_recipe
from artdag_common.errors import InvalidRecipeError, UnknownEffectError
from artdag_common.steps.registry import STEP_TYPES

CAT, FOX = cid_of(b"cat"), cid_of(b"fox")
VOID_V0 = "QmUNLLsPACCz1vLxQVkXqqLX5R1X345qqfHbsf67hvA3Nn"  # of the empty folder, known from Kubo
EXAMPLES = Path(__file__).parents[3] / "examples" / "recipes"

NOTHING_MUCH = "steps:\n  - {id: a, type: NOOP, inputs: [i]}\ninputs: {i: any}\noutput: a\n"
OLD_ID = "bafybeifuuiuq74dhx4wtglta6ugbwymo2ye56iamaoipfau7jalzpasdgm"

STEPS_FORM = """
name: cut
version: "2"
description: "Cut to the beat"
owner: ada
inputs:
  video: {type: video, description: "Source video"}
  audio: {type: audio}
  clips: "video[]"
steps:
  - id: beats
    type: ANALYZE
    inputs: [audio]
    config: {features: [beats]}
  - id: sync
    type: BEAT_SYNC
    inputs: [video, beats]
  - id: all
    type: SEQUENCE
    inputs: [sync, clips]
output: all
"""

DAG_FORM = """
# the same recipe: other order of keys, other notation, defaults written out
owner: ada
dag:
  output: all
  nodes:
    - {type: SOURCE, id: video, config: {input: true, type: video, description: Source video}}
    - {type: SOURCE, id: audio, config: {input: true, name: audio, type: audio}}
    - {type: SOURCE_LIST, id: clips, config: {input: true, type: video}}
    - {type: ANALYZE, id: beats, inputs: audio}
    - {type: BEAT_SYNC, id: sync, inputs: {analysis: beats, video: video}, config: {mode: stretch}}
    - {type: SEQUENCE, id: all, inputs: [sync, clips], config: {transition: null}}
version: 2
name: cut
description: Cut to the beat
"""


@pytest.mark.usefixtures("step_types")
def test_both_forms_of_a_recipe_are_one_recipe() -> None:
    assert parse_recipe(STEPS_FORM).canonical() == parse_recipe(DAG_FORM).canonical()


@pytest.mark.usefixtures("step_types")
def test_what_a_recipe_becomes() -> None:
    assert parse_recipe(STEPS_FORM.encode()) == Graph(
        name="cut",
        version="2",
        description="Cut to the beat",
        owner="ada",
        nodes=(
            Node("video", "SOURCE", {}),
            Node("audio", "SOURCE", {}),
            Node("clips", "SOURCE_LIST", {}),
            Node("beats", "ANALYZE", {"features": ["beats"]}, ("audio",)),
            Node("sync", "BEAT_SYNC", {"mode": "stretch"}, ("video", "beats")),
            Node("all", "SEQUENCE", {"transition": None}, ("sync", "clips")),
        ),
        variables=(
            Variable("video", "video", "video", "Source video"),
            Variable("audio", "audio", "audio"),
            Variable("clips", "clips", "video", many=True),
        ),
        output="all",
    )


@pytest.mark.usefixtures("step_types")
@pytest.mark.parametrize("form", [STEPS_FORM, DAG_FORM])
def test_the_canonical_form_can_be_read_back(form: str) -> None:
    graph = parse_recipe(form)
    assert Graph.from_canonical(orjson.loads(graph.canonical())) == graph


@pytest.mark.usefixtures("step_types")
@pytest.mark.parametrize("form", [STEPS_FORM, DAG_FORM])
def test_a_recipe_says_what_its_runs_do_when_a_step_fails(form: str) -> None:
    """Only where that is not what they did before there was a choice: recipes of that time keep their ids."""
    before = parse_recipe(form)
    assert parse_recipe(f"on_failure: stop\n{form}").canonical() == before.canonical()
    assert b"on_failure" not in before.canonical()
    going_on = parse_recipe(f"on_failure: continue\n{form}")
    assert (before.on_failure, going_on.on_failure) == ("", "continue")
    assert Graph.from_canonical(orjson.loads(going_on.canonical())) == going_on
    assert going_on.canonical() != before.canonical()


@pytest.mark.parametrize(
    ("written", "hint"),
    [("contniue", "did you mean 'continue'?"), ("Stop", "did you mean 'stop'?"), ("3", "known are")],
)
def test_what_else_it_could_do_is_refused(written: str, hint: str) -> None:
    with pytest.raises(InvalidRecipeError) as refused:
        parse_recipe(f"name: x\non_failure: {written}\n{NOTHING_MUCH}")
    (problem,) = refused.value.problems
    assert (problem["field"], problem["line"]) == ("on_failure", 2)
    assert hint in problem["problem"]


def test_an_old_recipe_keeps_its_id() -> None:
    """As it was computed before recipes could say what happens on a failure."""
    assert cid_of(parse_recipe(f"name: old\n{NOTHING_MUCH}").canonical()) == OLD_ID


def test_nodes_come_in_topological_order_and_else_as_written() -> None:
    graph = parse_recipe(
        """
        name: order
        steps:
          - {id: last, type: NOOP, inputs: [second, first]}
          - {id: second, type: NOOP, inputs: b}
          - {id: first, type: NOOP, inputs: [a]}
          - {id: alone, type: NOOP, inputs: a}
        inputs: {b: any, a: any}
        output: last
        """
    )
    assert [node.id for node in graph.nodes] == ["b", "a", "second", "first", "last", "alone"]
    assert graph.nodes[4].inputs == ("second", "first")


def test_fixed_sources_are_resolved_to_cids() -> None:
    graph = parse_recipe(
        f"""
        name: fixed
        registry:
          assets:
            cat: {{cid: {CAT}, url: "https://example.org/cat.jpg"}}
            void: {{hash: {VOID_V0}}}
        dag:
          nodes:
            - {{id: a, type: SOURCE, config: {{asset: cat}}}}
            - {{id: b, type: SOURCE, config: {{asset: void, input: false, description: "Nothing"}}}}
            - {{id: c, type: SOURCE, config: {{cid: {FOX}}}}}
            - {{id: d, type: SOURCE, config: {{asset: fox}}}}
            - {{id: e, type: SOURCE_LIST, config: {{assets: [cat, fox, cat]}}}}
            - {{id: f, type: SOURCE_LIST, config: {{cids: [{FOX}]}}}}
            - {{id: g, type: SOURCE, config: {{input: true, default: fox, name: "The g"}}}}
            - {{id: out, type: NOOP, inputs: [a, b, c, d, e, f, g]}}
          output: out
        """,
        {"fox": FOX, "cat": "the registry comes first"},
    )
    void = "bafybeiczsscdsbs7ffqz55asqdf3smv6klcw3gofszvwlyarci47bgf354"
    assert [node.config for node in graph.nodes[:7]] == [
        {"cid": CAT},
        {"cid": void},
        {"cid": FOX},
        {"cid": FOX},
        {"cids": [CAT, FOX, CAT]},
        {"cids": [FOX]},
        {},
    ]
    assert graph.variables == (Variable("The g", "g", "any", "", FOX),)


def test_assets_can_be_looked_up_by_a_function() -> None:
    text = "{name: n, dag: {nodes: [{id: a, type: SOURCE, config: {asset: %s}}], output: a}}"
    assert parse_recipe(text % "cat", {"cat": CAT}.get).nodes[0].config == {"cid": CAT}
    with pytest.raises(InvalidRecipeError):
        parse_recipe(text % "dog", {"cat": CAT}.get)


@pytest.mark.parametrize(
    ("declared", "variable"),
    [
        ("x: video", Variable("x", "x", "video")),
        ("x:", Variable("x", "x", "any")),
        ("x: 'image[]'", Variable("x", "x", "image", many=True)),
        ("x: {type: image, list: true}", Variable("x", "x", "image", many=True)),
        ("x: {list: false, description: d}", Variable("x", "x", "any", "d")),
        (f"x: {{default: {CAT}}}", Variable("x", "x", "any", default=CAT)),
    ],
)
def test_ways_to_declare_an_input(declared: str, variable: Variable) -> None:
    graph = parse_recipe(f"name: n\ninputs:\n  {declared}\nsteps: [{{id: s, type: NOOP, inputs: x}}]\noutput: s")
    assert graph.variables == (variable,)
    assert graph.nodes[0] == Node("x", "SOURCE_LIST" if variable.many else "SOURCE", {})


@pytest.mark.parametrize(
    ("written", "version"), [("1.10", "1.10"), ("'1.0'", "1.0"), ("2026-01-02", "2026-01-02"), ("", "1.0")]
)
def test_a_version_stays_as_it_is_written(written: str, version: str) -> None:
    text = f"name: n\nversion: {written}\ninputs: {{x: any}}\nsteps: [{{id: s, type: NOOP, inputs: x}}]\noutput: s"
    assert parse_recipe(text).version == version


def test_words_that_old_yaml_took_for_booleans_or_times_are_text() -> None:
    graph = parse_recipe(
        "name: on\ninputs: {no: any}\nsteps: [{id: y, type: NOOP, inputs: no, config: {salt: 12:30}}]\noutput: y"
    )
    assert (graph.name, graph.nodes[0].id, graph.nodes[1].config) == ("on", "no", {"salt": "12:30"})


def test_a_few_aliases_are_fine() -> None:
    graph = parse_recipe(
        """
        name: aliases
        inputs: {x: any}
        steps:
          - {id: a, type: NOOP, inputs: &both [x, x], config: &salted {salt: s}}
          - {id: b, type: NOOP, inputs: *both, config: *salted}
        output: b
        """
    )
    assert graph.nodes[1].inputs == graph.nodes[2].inputs == ("x", "x")
    assert graph.nodes[1].config == graph.nodes[2].config == {"salt": "s"}


def test_the_last_slot_takes_several_where_the_type_does() -> None:
    text = "name: n\ninputs: {x: any, y: any}\nsteps: [{id: s, type: NOOP, inputs: {input: [x, y, x]}}]\noutput: s"
    assert parse_recipe(text).nodes[2].inputs == ("x", "y", "x")


# --- effects ---

EFFECT = """
name: my-effect
registry: {effects: {%s}}
inputs: {picture: image}
steps: [{id: apply, type: EFFECT, inputs: picture, config: {effect: %s}}]
output: apply
"""


@pytest.mark.usefixtures("step_types")
@pytest.mark.parametrize(
    "entry", ["", "dog: {}", "dog: ", 'dog: {hash: "abc123..."}', f"dog: {{cid: {cid_of(b'dog')}}}", "fox: {}"]
)
def test_an_effect_is_known_by_its_name(entry: str) -> None:
    assert parse_recipe(EFFECT % (entry, "dog")).nodes[1].config == {"effect": "dog", "params": {}}


@pytest.mark.usefixtures("step_types")
def test_an_effect_may_have_another_name_in_the_registry() -> None:
    graph = parse_recipe(EFFECT % (f"hound: {{cid: {cid_of(b'dog')}}}", "hound"))
    assert graph.nodes[1].config == {"effect": cid_of(b"dog"), "params": {}}


@pytest.mark.usefixtures("step_types")
def test_another_cid_for_a_built_in_effect_is_refused() -> None:
    with pytest.raises(InvalidRecipeError) as refused:
        parse_recipe(EFFECT % (f"dog: {{cid: {FOX}}}", "dog"))
    (problem,) = refused.value.problems
    assert problem["field"] == "steps[0].config.effect"
    assert FOX in problem["problem"]
    assert cid_of(b"dog") in problem["problem"]


@pytest.mark.usefixtures("step_types")
@pytest.mark.parametrize("entry", ["cat: {}", 'cat: {hash: "abc123..."}', f"cat: {{cid: {CAT}}}", ""])
def test_an_effect_that_nobody_has_is_refused(entry: str) -> None:
    with pytest.raises(InvalidRecipeError) as refused:
        parse_recipe(EFFECT % (entry, "cat"))
    assert [(p["field"], p["value"]) for p in refused.value.problems] == [("steps[0].config.effect", "cat")]


@pytest.mark.usefixtures("step_types")
def test_an_effect_alone_is_a_recipe() -> None:
    graph = parse_recipe(effect_recipe("dog"))
    assert (graph.name, graph.output, graph.description) == ("dog", "apply", "Apply the effect dog")
    assert [(n.id, n.type) for n in graph.nodes] == [("input", "SOURCE"), ("apply", "EFFECT")]
    assert [v.name for v in graph.variables] == ["input"]
    by_cid = parse_recipe(effect_recipe(cid_of(b"dog")))
    assert (by_cid.name, by_cid.nodes[1].config["effect"]) == ("dog", cid_of(b"dog"))


@pytest.mark.usefixtures("step_types")
@pytest.mark.parametrize("name", ["cat", "", 'dog"\noutput: x', "../dog"])
def test_no_recipe_is_made_of_what_is_no_effect(name: str) -> None:
    with pytest.raises(UnknownEffectError):
        effect_recipe(name)


# --- examples ---


@pytest.mark.parametrize(
    ("file", "variables", "types"),
    [
        ("beat-sync.yaml", ["video", "audio"], {"ANALYZE", "BEAT_SYNC", "SOURCE"}),
        ("contact.yaml", ["video"], {"NOOP", "POSTER", "SOURCE", "SPECTROGRAM", "WAVEFORM"}),
        ("dog.yaml", ["input_image"], {"EFFECT", "SOURCE"}),
        ("identity.yaml", ["input"], {"EFFECT", "SOURCE"}),
    ],
)
def test_the_examples_are_valid(file: str, variables: list[str], types: set[str]) -> None:
    """With the step types as they really are."""
    graph = parse_recipe((EXAMPLES / file).read_bytes())
    assert graph.name == file.removesuffix(".yaml")
    assert [v.name for v in graph.variables] == variables
    assert {node.type for node in graph.nodes} == types
    for node in graph.nodes:
        if node.config:
            again = orjson.loads(STEP_TYPES[node.type].canonical_config(node.config))
            assert again == node.config
