"""Lists, slices, analyses of several features, and bound parameters become steps."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from itertools import accumulate, pairwise
from typing import Any

import orjson
import pytest

from artdag_common.cid import cid_of
from artdag_common.domain.graph import Graph, Node, Variable
from artdag_common.domain.plan import PlannedStep
from artdag_common.domain.run import InputBinding
from artdag_common.errors import InvalidInputsError, StepConfigError
from artdag_common.steps.registry import find_step_type
from services.planner import expansion
from services.planner.planning import Compiled, compile_plan, timings

MUSIC, *CLIPS = (cid_of(name) for name in (b"music", b"one", b"two", b"three"))
BOUND = (InputBinding("music", (MUSIC,)), InputBinding("clips", tuple(CLIPS)))
BEATS = [0.35 + 0.4137 * i for i in range(20)]
DOCUMENT = {"audio": {"duration": 9.01, "beats": {"beat_times": BEATS, "downbeat_times": BEATS[::4]}}}
SLICES = {"items": ["clips"], "timing": "beats", "seed_from": None}


def recipe(slices: dict[str, Any], kind: str = "RANDOM_SLICE", **names: str) -> Graph:
    """Music and clips → slices → sequence → mux; ``names``: other ids of the nodes."""

    def name(node: str) -> str:
        return names.get(node, node)

    config = {**SLICES, **slices}
    config |= {"items": [name(i) for i in config["items"]], "timing": name(config["timing"])}
    return Graph(
        name="cut",
        version="1",
        description="",
        owner="",
        nodes=(
            Node(name("music"), "SOURCE", {}),
            Node(name("clips"), "SOURCE_LIST", {}),
            Node(name("beats"), "ANALYZE", {"features": ["beats"]}, (name("music"),)),
            Node(name("cuts"), kind, config, (*config["items"], config["timing"])),
            Node(name("film"), "SEQUENCE", {}, (name("cuts"),)),
            Node(name("out"), "MUX", {}, (name("film"), name("music"))),
        ),
        variables=(Variable("music", name("music")), Variable("clips", name("clips"), many=True)),
        output=name("out"),
    )


def slices_of(compiled: Compiled) -> list[PlannedStep]:
    return [step for step in compiled.steps if step.type == "SLICE"]


def configs_of(compiled: Compiled) -> list[dict[str, Any]]:
    return [orjson.loads(step.config) for step in slices_of(compiled)]


def planned(slices: dict[str, Any] | None = None, kind: str = "RANDOM_SLICE", document: Any = DOCUMENT) -> Compiled:
    return compile_plan(recipe(slices or {}, kind), BOUND, "", {"beats": document})


# --- two phases ---


def test_before_the_analysis_only_what_it_needs_is_planned() -> None:
    compiled = compile_plan(recipe({}), BOUND, "")
    assert [step.node for step in compiled.steps] == ["music", "clips[0]", "clips[1]", "clips[2]", "beats"]
    assert (compiled.analysis, compiled.output) == (5, -1)
    assert compiled.analysed == (("beats", 0, 4),)
    assert timings(recipe({})) == ("beats",)


def test_what_was_planned_before_the_analysis_is_the_same_after_it() -> None:
    before, after = compile_plan(recipe({}), BOUND, ""), planned()
    assert after.steps[: before.analysis] == before.steps
    assert (after.analysis, after.analysed) == (before.analysis, before.analysed)
    assert after.steps[after.output].node == "out"


def test_a_timing_may_be_made_by_steps_before_it() -> None:
    graph = recipe({})
    nodes = (
        *graph.nodes[:2],
        Node("verse", "SEGMENT", {}, ("music",)),
        Node("beats", "ANALYZE", {"features": ["beats"]}, ("verse",)),
        *graph.nodes[3:],
    )
    compiled = compile_plan(replace(graph, nodes=nodes), BOUND, "")
    assert [step.node for step in compiled.steps[-2:]] == ["verse", "beats"]
    assert compiled.analysed == (("beats", 4, 5),)


def test_what_is_wrong_elsewhere_shows_before_the_analysis_runs() -> None:
    graph = recipe({})
    wrong = replace(graph, nodes=(*graph.nodes, Node("part", "SEGMENT", {}, ("clips",))))
    with pytest.raises(InvalidInputsError, match="part"):
        compile_plan(wrong, BOUND, "")


def test_a_timing_that_depends_on_slices_is_refused() -> None:
    graph = recipe({})
    nodes = [*graph.nodes[:5], Node("late", "ANALYZE", {}, ("film",))]
    again = Node("again", "SLICE_ON", {**SLICES, "timing": "late"}, ("clips", "late"))
    with pytest.raises(InvalidInputsError, match="'cuts'"):
        compile_plan(replace(graph, nodes=(*nodes, again, graph.nodes[5])), BOUND, "")


# --- the grid ---


@pytest.mark.parametrize("rate", ["30", "25", "30000/1001"])
@pytest.mark.parametrize("every", [1, 4, 7])
def test_slices_are_as_long_as_the_music_and_change_on_the_beats(rate: str, every: int) -> None:
    frames = [config["frames"] for config in configs_of(planned({"rate": rate, "every": every}))]
    r = Fraction(rate)
    half = Fraction(1, 2)
    assert sum(frames) == (Fraction("9.01") * r + half).__floor__()
    counted = [Fraction(str(beat)) for beat in BEATS[::every]]
    begins = [0, *accumulate(frames)]
    assert begins[1:-1] == [(beat * r + half).__floor__() for beat in counted]
    assert all(abs(begin / r - beat) <= half / r for begin, beat in zip(begins[1:-1], counted, strict=True))


@pytest.mark.parametrize(
    ("feature", "document", "begins"),
    [
        ("downbeats", {"audio": {"duration": 3, "beats": {"downbeat_times": [0, 1.0, 2.0]}}}, [0, 30, 60]),
        ("onsets", {"audio": {"duration": 2, "onsets": [0.5, 0.504, 1.99, 2.5]}}, [0, 15]),
        ("scene_changes", {"video": {"duration": 1, "scene_changes": [0.5]}, "audio": {"duration": 9}}, [0, 15]),
        ("onsets", {"audio": {"duration": 2, "onsets": []}}, [0]),
    ],
)
def test_other_events_cut_too(feature: str, document: Any, begins: list[int]) -> None:
    frames = [config["frames"] for config in configs_of(planned({"feature": feature}, document=document))]
    assert [0, *accumulate(frames)][:-1] == begins


@pytest.mark.parametrize(
    ("document", "reason"),
    [
        ({"audio": {"duration": 2}}, "has no audio.beats.beat_times: add 'beats'"),
        ({"audio": {"duration": 2}, "errors": {"beats": "silence"}}, "has no audio.beats.beat_times: silence"),
        ({"video": {"duration": 2}}, "has no audio.duration"),
        ({"audio": {"duration": 0, "beats": {"beat_times": []}}}, "lasts 0 s"),
        ([], "has no audio.duration"),
    ],
)
def test_an_analysis_that_does_not_say_when_is_refused(document: Any, reason: str) -> None:
    with pytest.raises(InvalidInputsError, match=r"cuts \(RANDOM_SLICE\), timing beats") as refused:
        planned(document=document)
    assert reason in refused.value.message


def test_too_many_slices_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(expansion, "MAX_SLICES", 20)
    with pytest.raises(InvalidInputsError, match=r"cuts .*21 intervals, but at most 19"):
        planned()
    assert len(slices_of(planned({"every": 2}))) == 11


# --- which footage, and from where ---


def test_random_slices_come_from_all_footage_and_never_twice_running() -> None:
    compiled = planned()
    picked = [step.inputs[0] for step in slices_of(compiled)]
    assert {compiled.steps[i].output_cid for i in picked} == set(CLIPS)
    assert all(a != b for a, b in pairwise(picked))
    positions = [config["position"] for config in configs_of(compiled)]
    assert len(set(positions)) == len(positions)
    assert min(positions) < 0.3 < 0.7 < max(positions)
    assert all(config["start"] is None for config in configs_of(compiled))


def test_footage_in_turn() -> None:
    picked = [step.inputs[0] for step in slices_of(planned({"order": "cycle"}))]
    assert picked == [1 + i % 3 for i in range(21)]


def test_slice_on_switches_between_footage_that_runs_along() -> None:
    compiled = planned(kind="SLICE_ON")
    configs = configs_of(compiled)
    assert [step.inputs[0] for step in slices_of(compiled)] == [1 + i % 3 for i in range(21)]
    assert [c["start"] for c in configs] == [0, *accumulate(c["frames"] for c in configs)][:-1]


def test_slices_are_called_after_their_node_and_number() -> None:
    step = slices_of(planned())[2]
    assert (step.node, step.label) == ("cuts[2]", "cut.cuts.slice[2]")


def test_names_do_not_decide_what_is_seen() -> None:
    renamed = recipe({}, music="m", clips="c", beats="b", cuts="x", film="f", out="o")
    other = compile_plan(replace(renamed, name="other"), BOUND, "", {"b": DOCUMENT})
    assert [s.cache_id for s in other.steps] == [s.cache_id for s in planned().steps]


def test_seeds_and_footage_and_music_decide_what_is_seen() -> None:
    def seen(slices: dict[str, Any], *bound: InputBinding, key: str = "") -> list[tuple[int, float]]:
        compiled = compile_plan(recipe(slices), bound or BOUND, key, {"beats": DOCUMENT})
        positions = [config["position"] for config in configs_of(compiled)]
        return list(zip((step.inputs[0] for step in slices_of(compiled)), positions, strict=True))

    other = InputBinding("music", (cid_of(b"other"),))
    ways = [
        seen({}),
        seen({"seed": 1}),
        seen({}, other, BOUND[1]),
        seen({}, BOUND[0], InputBinding("clips", tuple(reversed(CLIPS)))),
        seen({"seed_from": "clips"}),
    ]
    assert all(a != b for i, a in enumerate(ways) for b in ways[:i])
    assert seen({}) == seen({}, key="another trust domain")
    assert seen({"seed_from": "clips"}) == seen({"seed_from": "clips"}, other, BOUND[1])
    assert seen({"seed_from": "beats"}) == seen({"seed_from": "music"}) == ways[0]


# --- MAP ---


def test_map_gives_one_step_for_each_item() -> None:
    graph = Graph(
        "r",
        "1",
        "",
        "",
        (
            Node("clips", "SOURCE_LIST", {"cids": CLIPS}),
            Node("parts", "MAP", {"operation": "SEGMENT", "config": {"seconds": 2}, "items": ["clips"]}, ("clips",)),
            Node("all", "SEQUENCE", {}, ("parts",)),
        ),
        (),
        "all",
    )
    compiled = compile_plan(graph, (), "")
    mapped = compiled.steps[3:6]
    assert [(s.node, s.label, s.inputs, s.config) for s in mapped] == [
        (f"parts[{i}]", f"r.parts.segment[{i}]", (i,), '{"seconds":2.0}') for i in range(3)
    ]
    assert compiled.steps[6].inputs == (3, 4, 5)


# --- analyses ---


def analysing(features: list[str], *more: Node) -> Graph:
    nodes = (
        Node("video", "SOURCE", {"cid": CLIPS[0]}),
        Node("music", "SOURCE", {"cid": MUSIC}),
        Node("facts", "ANALYZE", {"features": features}, ("music",)),
        *more,
    )
    return Graph("r", "1", "", "", nodes, (), nodes[-1].id)


def test_each_feature_is_a_step_and_one_joins_them() -> None:
    sync = Node("sync", "BEAT_SYNC", {}, ("video", "facts"))
    compiled = compile_plan(analysing(["beats", "energy"], sync), (), "")
    assert [(s.node, s.type, s.inputs, s.label) for s in compiled.steps[2:]] == [
        ("facts[beats]", "ANALYZE", (1,), "r.facts.analyze[beats]"),
        ("facts[energy]", "ANALYZE", (1,), "r.facts.analyze[energy]"),
        ("facts", "ANALYSIS", (2, 3), "r.facts.analysis"),
        ("sync", "BEAT_SYNC", (0, 4, 1), "r.sync.beat_sync"),
    ]
    assert (compiled.analysis, compiled.analysed) == (5, (("facts", 1, 4),))


def test_one_feature_is_one_step_and_the_same_as_among_others() -> None:
    alone = compile_plan(analysing(["energy"]), (), "")
    among = compile_plan(analysing(["beats", "energy"]), (), "")
    assert [s.type for s in alone.steps] == ["SOURCE", "SOURCE", "ANALYZE"]
    assert alone.steps[2].cache_id == among.steps[3].cache_id


# --- bound parameters ---


def binding(text: str, **more: Any) -> dict[str, Any]:
    return {"bind": text, "range": [0.0, 2.0], **more}


def tint(**bound: dict[str, Any]) -> Node:
    names = tuple(dict.fromkeys(each["bind"].partition(".")[0] for each in bound.values()))
    return Node("tint", "TINT", {"amount": 0.0, "bind": bound}, ("video", *names))


def test_a_bound_parameter_reads_the_one_feature_it_needs() -> None:
    compiled = compile_plan(analysing(["beats", "energy"], tint(amount=binding("facts.energy"))), (), "")
    step = compiled.steps[compiled.output]
    assert [compiled.steps[i].node for i in step.inputs] == ["video", "facts[energy]"]
    config = orjson.loads(step.config)
    assert config["amount"] == 0.0
    assert config["bind"]["amount"]["input"] == 1
    assert config["bind"]["amount"]["feature"] == "energy"
    assert "facts" not in step.config
    alone = compile_plan(analysing(["energy"], tint(amount=binding("facts.energy"))), (), "")
    assert alone.steps[alone.output].cache_id == step.cache_id


def test_a_parameter_that_needs_two_features_reads_their_join() -> None:
    node = tint(amount=binding("facts.energy", on_event="beats"))
    compiled = compile_plan(analysing(["beats", "energy"], node), (), "")
    assert [compiled.steps[i].node for i in compiled.steps[compiled.output].inputs] == ["video", "facts"]


def test_what_a_planned_step_carries_is_what_its_type_reads() -> None:
    compiled = compile_plan(analysing(["energy"], tint(amount=binding("facts.energy"))), (), "")
    config = compiled.steps[compiled.output].config
    kind = find_step_type("TINT")
    params: Any = kind.params.model_validate_json(config)
    assert params.bind["amount"].range == (0.0, 2.0)
    assert kind.canonical_config(orjson.loads(config)) == config
    assert "bind" not in kind.canonical_config({})


def test_analyses_stand_behind_all_pictures_of_a_step() -> None:
    bound = binding("facts.energy")
    node = Node("over", "OVER", {"amount": 0.0, "bind": {"amount": bound}}, ("video", "music", "video", "facts"))
    compiled = compile_plan(analysing(["beats", "energy"], node), (), "")
    step = compiled.steps[compiled.output]
    assert [compiled.steps[i].node for i in step.inputs] == ["video", "music", "video", "facts[energy]"]
    assert orjson.loads(step.config)["bind"]["amount"]["input"] == 3


def test_an_analysis_laid_above_is_not_the_one_that_a_parameter_is_bound_to() -> None:
    bound = binding("facts.energy")
    node = Node("pair", "PAIR", {"amount": 0.0, "bind": {"amount": bound}}, ("video", "facts", "facts"))
    compiled = compile_plan(analysing(["energy"], node), (), "")
    step = compiled.steps[compiled.output]
    assert [compiled.steps[i].node for i in step.inputs] == ["video", "facts", "facts"]
    assert orjson.loads(step.config)["bind"]["amount"]["input"] == 2


@pytest.mark.parametrize(("kind", "least", "most"), [("TINT", 1, 1), ("PAIR", 2, 2), ("OVER", 1, None)])
def test_a_step_takes_as_many_pictures_as_its_type_says(kind: str, least: int, most: int | None) -> None:
    for count in range(1, 5):
        nodes = (Node("clips", "SOURCE_LIST", {"cids": CLIPS[:1] * count}), Node("out", kind, {}, ("clips",)))
        graph = Graph("r", "1", "", "", nodes, (), "out")
        if least <= count and (most is None or count <= most):
            assert len(compile_plan(graph, (), "").steps[-1].inputs) == count
        else:
            with pytest.raises(InvalidInputsError, match=rf"out \({kind}\) takes at least {least}.* give it {count}"):
                compile_plan(graph, (), "")


# --- entries for inputs ---


@pytest.mark.parametrize(
    ("kind", "config", "clips", "message"),
    [
        ("LAYER", {"inputs": [{}, {}, {}]}, 2, "inputs: there are 3 entries for 2 inputs; leave out the last one"),
        ("LAYER", {"inputs": [{}] * 4}, 1, "inputs: there are 4 entries for 1 input; leave out the last 3"),
        ("AUDIO_MIX", {"gains": [1, 1, 1]}, 2, "gains: there are 3 for 2 inputs; give one for each, or none"),
        ("AUDIO_MIX", {"gains": [1]}, 3, "gains: there is 1 for 3 inputs; give one for each, or none"),
    ],
)  # fmt: skip
def test_entries_that_do_not_fit_the_inputs_are_refused(
    kind: str, config: dict[str, Any], clips: int, message: str
) -> None:
    """A list that a run binds shows only here how long it is."""
    nodes = (Node("clips", "SOURCE_LIST", {}), Node("out", kind, config, ("clips",)))
    graph = Graph("r", "1", "", "", nodes, (Variable("clips", "clips", many=True),), "out")
    with pytest.raises(StepConfigError) as refused:
        compile_plan(graph, (InputBinding("clips", tuple(CLIPS[:clips])),), "")
    assert refused.value.message == f"out ({kind}): {message}"


def test_entries_that_fit_are_planned() -> None:
    for kind, config in (
        ("LAYER", {"inputs": [{}]}),
        ("LAYER", {}),
        ("AUDIO_MIX", {}),
        ("AUDIO_MIX", {"gains": [1, 2]}),
    ):
        nodes = (Node("clips", "SOURCE_LIST", {"cids": CLIPS[:2]}), Node("out", kind, config, ("clips",)))
        assert compile_plan(Graph("r", "1", "", "", nodes, (), "out"), (), "").steps[-1].inputs == (0, 1)


# --- what people get ---


def test_only_the_output_is_made_to_be_watched() -> None:
    compiled = planned()
    assert [s.node for s in compiled.steps if s.deliver] == ["out"]


def test_what_the_output_hands_on_is_made_to_be_watched() -> None:
    same = Node("same", "SAME", {}, ("tint",))
    plain = Node("tint", "TINT", {}, ("video",))
    compiled = compile_plan(analysing(["beats"], plain, same), (), "")
    assert [s.node for s in compiled.steps if s.deliver] == ["tint"]
    read_by_others = Node("more", "SEGMENT", {}, ("tint",))
    shared = compile_plan(replace(analysing(["beats"], plain, read_by_others), output="tint"), (), "")
    kept, reader = shared.steps[-2:]
    assert (kept.node, kept.deliver, reader.deliver) == ("tint", True, False)
    watched = compile_plan(analysing(["beats"], plain), (), "").steps[-1]
    between = compile_plan(analysing(["beats"], plain, read_by_others), (), "").steps[-2]
    assert kept.cache_id == watched.cache_id != between.cache_id
