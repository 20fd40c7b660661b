"""A recipe and its inputs become steps: what they are called, what identifies them, in which order they stand."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from artdag_common.cid import cid_of
from artdag_common.domain.graph import Graph, Node, Variable
from artdag_common.domain.plan import PlannedStep
from artdag_common.domain.run import InputBinding
from artdag_common.errors import InvalidInputsError
from artdag_common.steps.registry import STEP_TYPES
from services.planner.planning import Compiled, bind, compile_plan, fixed_cids

VIDEO, AUDIO, CLIP = (cid_of(name.encode()) for name in ("video", "audio", "clip"))
BOUND = (InputBinding("video", (VIDEO,)), InputBinding("music", (AUDIO,)))
RECIPE = Graph(
    name="cut",
    version="1.0",
    description="",
    owner="",
    nodes=(
        Node("video", "SOURCE", {}),
        Node("audio", "SOURCE", {}),
        Node("part", "SEGMENT", {"seconds": 2.0}, ("video",)),
        Node("beats", "ANALYZE", {"features": ["beats"]}, ("audio",)),
        Node("late", "ANALYZE", {"features": ["beats"]}, ("part",)),
        Node("sync", "BEAT_SYNC", {}, ("part", "beats")),
    ),
    variables=(Variable("video", "video", "video"), Variable("music", "audio", "audio")),
    output="sync",
)


def step_of(compiled: Compiled, node: str) -> PlannedStep:
    (found,) = (step for step in compiled.steps if step.node == node)
    return found


def graph(*nodes: Node, variables: tuple[Variable, ...] = (), output: str = "") -> Graph:
    return Graph("r", "1.0", "", "", nodes, variables, output or nodes[-1].id)


def fixed(name: str) -> Node:
    return Node(name, "SOURCE", {"cid": cid_of(name.encode())})


# --- bind ---


def test_inputs_are_bound_by_name_or_by_node() -> None:
    assert bind(RECIPE, BOUND) == {"video": (VIDEO,), "audio": (AUDIO,)}
    assert bind(RECIPE, (BOUND[0], InputBinding("audio", (AUDIO,)))) == bind(RECIPE, BOUND)


def test_a_default_stands_in_for_what_is_not_bound() -> None:
    with_default = replace(RECIPE, variables=(RECIPE.variables[0], Variable("music", "audio", default=CLIP)))
    assert bind(with_default, BOUND[:1])["audio"] == (CLIP,)
    assert bind(with_default, BOUND)["audio"] == (AUDIO,)


def test_a_list_takes_several_in_order() -> None:
    many = graph(Node("clips", "SOURCE_LIST", {}), variables=(Variable("clips", "clips", many=True),))
    assert bind(many, (InputBinding("clips", (VIDEO, CLIP, VIDEO)),)) == {"clips": (VIDEO, CLIP, VIDEO)}


@pytest.mark.parametrize(
    ("bindings", "parts"),
    [
        ((), ["'video' is missing", "'music' is missing"]),
        (BOUND[:1], ["'music' is missing"]),
        ((*BOUND, InputBinding("sound", (AUDIO,))), ["'sound'", "video, music"]),
        ((BOUND[0], InputBinding("music", ())), ["'music' takes one CID"]),
        ((BOUND[0], InputBinding("music", (AUDIO, CLIP))), ["'music' takes one CID"]),
    ],
)
def test_inputs_that_do_not_fit_are_refused(bindings: tuple[InputBinding, ...], parts: list[str]) -> None:
    with pytest.raises(InvalidInputsError) as refused:
        bind(RECIPE, bindings)
    assert all(part in refused.value.message for part in parts), refused.value.message


# --- plans ---


def test_sources_and_the_analysis_of_inputs_stand_in_front() -> None:
    compiled = compile_plan(RECIPE, BOUND, "")
    assert [step.node for step in compiled.steps] == ["video", "audio", "beats", "part", "late", "sync"]
    assert compiled.analysis == 3
    assert compiled.output == 5


def test_sources_are_there_already() -> None:
    compiled = compile_plan(RECIPE, BOUND, "")
    assert [step.output_cid for step in compiled.steps[:3]] == [VIDEO, AUDIO, ""]


def test_levels_and_labels() -> None:
    compiled = compile_plan(RECIPE, BOUND, "")
    assert [(step.label, step.level) for step in compiled.steps] == [
        ("cut.video.source", 0),
        ("cut.audio.source", 0),
        ("cut.beats.analyze", 1),
        ("cut.part.segment", 1),
        ("cut.late.analyze", 2),
        ("cut.sync.beat_sync", 2),
    ]


def test_parameters_are_written_out() -> None:
    compiled = compile_plan(RECIPE, BOUND, "")
    assert step_of(compiled, "part").config == '{"seconds":2.0}'
    assert step_of(compiled, "sync").config == '{"seconds":1.0}'


def test_a_beat_sync_takes_along_the_sound_that_was_analysed() -> None:
    compiled = compile_plan(RECIPE, BOUND, "")
    nodes = [step.node for step in compiled.steps]
    assert [nodes[i] for i in step_of(compiled, "sync").inputs] == ["part", "beats", "audio"]


def test_a_beat_sync_with_something_else_takes_nothing_along() -> None:
    plain = graph(fixed("a"), Node("b", "NOOP", {}, ("a",)), Node("sync", "BEAT_SYNC", {}, ("a", "b")))
    assert step_of(compile_plan(plain, (), ""), "sync").inputs == (0, 1)


def test_a_beat_sync_takes_the_sound_along_before_a_further_analysis() -> None:
    def inputs_of(*inputs: str) -> list[str]:
        nodes = (fixed("a"), fixed("b"), Node("x", "ANALYZE", {}, ("a",)), Node("y", "ANALYZE", {}, ("b",)))
        compiled = compile_plan(graph(*nodes, Node("sync", "BEAT_SYNC", {}, inputs)), (), "")
        return [compiled.steps[i].node for i in step_of(compiled, "sync").inputs]

    assert inputs_of("b", "x", "y") == ["b", "x", "a", "y"]
    assert inputs_of("b", "x", "b") == ["b", "x", "b"]


def test_a_list_becomes_one_source_each() -> None:
    many = graph(
        Node("clips", "SOURCE_LIST", {}),
        Node("out", "NOOP", {}, ("clips",)),
        variables=(Variable("clips", "clips", many=True),),
    )
    compiled = compile_plan(many, (InputBinding("clips", (VIDEO, CLIP)),), "")
    assert [(s.node, s.type, s.output_cid) for s in compiled.steps[:2]] == [
        ("clips[0]", "SOURCE", VIDEO),
        ("clips[1]", "SOURCE", CLIP),
    ]
    assert step_of(compiled, "out").inputs == (0, 1)
    alone = compile_plan(many, (InputBinding("clips", (VIDEO,)),), "")
    assert [step.node for step in alone.steps] == ["clips", "out"]


def test_a_fixed_list_needs_no_binding() -> None:
    compiled = compile_plan(
        graph(Node("l", "SOURCE_LIST", {"cids": [VIDEO, CLIP]}), Node("o", "NOOP", {}, ("l",))), (), ""
    )
    assert [step.output_cid for step in compiled.steps] == [VIDEO, CLIP, ""]


@pytest.mark.parametrize("count", [1, 2, 100])
def test_a_sequence_is_one_step_however_many_clips_it_joins(count: int) -> None:
    names = tuple(f"n{i}" for i in range(count))
    compiled = compile_plan(graph(*map(fixed, names), Node("all", "SEQUENCE", {}, names)), (), "")
    root = compiled.steps[compiled.output]
    assert (root.node, root.level, root.inputs) == ("all", 1, tuple(range(count)))


# --- identity ---


def test_labels_and_ids_do_not_enter_the_cache_id() -> None:
    renamed = replace(
        RECIPE,
        name="other",
        description="other",
        nodes=tuple(Node(f"x-{n.id}", n.type, n.config, tuple(f"x-{i}" for i in n.inputs)) for n in RECIPE.nodes),
        variables=tuple(replace(v, node=f"x-{v.node}") for v in RECIPE.variables),
        output="x-sync",
    )
    before, after = (compile_plan(g, BOUND, "") for g in (RECIPE, renamed))
    assert [s.cache_id for s in before.steps] == [s.cache_id for s in after.steps]
    assert [s.label for s in before.steps] != [s.label for s in after.steps]


def test_the_order_of_inputs_enters_the_cache_id() -> None:
    def identity(*inputs: str) -> str:
        nodes = graph(fixed("a"), fixed("b"), Node("out", "SEQUENCE", {}, inputs))
        return step_of(compile_plan(nodes, (), ""), "out").cache_id

    assert identity("a", "b") != identity("b", "a")


def test_parameters_written_out_or_left_at_their_defaults_are_the_same() -> None:
    def identity(config: dict[str, float]) -> str:
        return compile_plan(graph(fixed("a"), Node("out", "SEGMENT", config, ("a",))), (), "").steps[1].cache_id

    assert identity({}) == identity({"seconds": 1.0}) == identity({"seconds": 1})
    assert identity({}) != identity({"seconds": 2.0})


def test_versions_trust_domains_and_inputs_enter_the_cache_id(monkeypatch: pytest.MonkeyPatch) -> None:
    def identities(key: str = "", bound: tuple[InputBinding, ...] = BOUND) -> dict[str, str]:
        return {s.node: s.cache_id for s in compile_plan(RECIPE, bound, key).steps}

    first = identities()
    assert all(first[node] != other for node, other in identities(key="secret").items())
    moved = identities(bound=(InputBinding("video", (CLIP,)), BOUND[1]))
    assert {n for n in first if first[n] != moved[n]} == {"video", "part", "late", "sync"}
    monkeypatch.setitem(STEP_TYPES, "SEGMENT", replace(STEP_TYPES["SEGMENT"], version=2))
    raised = identities()
    assert {n for n in first if first[n] != raised[n]} == {"part", "late", "sync"}


def test_planning_again_gives_the_same_plan() -> None:
    assert compile_plan(RECIPE, BOUND, "k") == compile_plan(RECIPE, BOUND, "k")


@given(st.data())
def test_steps_of_any_recipe_stand_after_their_inputs(data: st.DataObject) -> None:
    kinds = st.sampled_from(["NOOP", "SOURCE", "SOURCE_LIST"])
    nodes: list[Node] = [fixed("n0")]
    for i in range(1, data.draw(st.integers(1, 12))):
        kind = data.draw(kinds)
        inputs = data.draw(st.lists(st.sampled_from([n.id for n in nodes]), min_size=1, max_size=5))
        if kind == "NOOP":
            nodes.append(Node(f"n{i}", kind, {}, tuple(inputs)))
        elif kind == "SOURCE":
            nodes.append(fixed(f"n{i}"))
        else:
            nodes.append(Node(f"n{i}", kind, {"cids": [cid_of(b"%d" % k) for k in range(i)]}))
    output = data.draw(st.sampled_from([n.id for n in nodes if n.type != "SOURCE_LIST"]))
    compiled = compile_plan(graph(*nodes, output=output), (), "")
    for index, step in enumerate(compiled.steps):
        assert all(i < index for i in step.inputs)
        assert step.level == 1 + max((compiled.steps[i].level for i in step.inputs), default=-1)
    assert all(i < compiled.analysis for s in compiled.steps[: compiled.analysis] for i in s.inputs)
    assert compiled.steps[compiled.output].node == output


def test_an_input_bound_by_name_and_by_node_is_refused() -> None:
    with pytest.raises(InvalidInputsError, match="'audio' is bound twice, here and by 'music'"):
        bind(RECIPE, (*BOUND, InputBinding("audio", (AUDIO,))))


def test_a_list_that_gives_a_step_more_inputs_than_it_takes_is_refused() -> None:
    recipe = graph(
        Node("clips", "SOURCE_LIST", {}),
        Node("beats", "ANALYZE", {}, ("clips",)),
        variables=(Variable("clips", "clips", many=True),),
    )
    with pytest.raises(InvalidInputsError, match=r"beats \(ANALYZE\) takes at least 1 and at most 1 inputs"):
        compile_plan(recipe, (InputBinding("clips", (VIDEO, CLIP)),), "")


def test_content_that_the_recipe_names_itself_is_known() -> None:
    assert fixed_cids(fixed("a")) == (cid_of(b"a"),)
    assert fixed_cids(Node("many", "SOURCE_LIST", {"cids": [VIDEO, CLIP]})) == (VIDEO, CLIP)
    assert fixed_cids(Node("free", "SOURCE", {})) == ()
