"""Frame-wise steps that nobody needs one by one become one."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from artdag_common.domain.plan import PlannedStep, canonical_json
from artdag_common.steps.registry import STEP_TYPES, find_step_type
from services.planner.draft import Draft
from services.planner.fusion import fuse

Step = tuple[str, tuple[int, ...]]


def draft_of(*steps: Step, output: int = -1) -> list[PlannedStep]:
    """Plan steps, each a type and its inputs; the parameters tell them apart. The output is for people."""
    draft = Draft("r", "key", "")
    last = output % len(steps)
    for i, (name, inputs) in enumerate(steps):
        kind = find_step_type(name)
        config = {"cid": f"{i}"} if name == "SOURCE" else {}
        if name in ("TINT", "HOLD", "OVER", "PAIR"):
            config = {"amount": i + 0.5}
            if name in ("TINT", "HOLD") and len(inputs) > 1:
                config["bind"] = {"amount": {"input": 1, "feature": "energy"}}
        canonical = canonical_json(config).decode() if name == "SOURCE" else kind.canonical_config(config)
        draft.add(f"n{i}", kind, canonical, inputs, output_cid=f"c{i}" if name == "SOURCE" else "", deliver=i == last)
    return draft.steps


def fused(*steps: Step, output: int = -1, first: int = 0) -> tuple[list[PlannedStep], tuple[PlannedStep, ...], int]:
    plain = draft_of(*steps, output=output)
    return plain, *fuse(plain, first, output % len(steps), "key")


def links_of(step: PlannedStep) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = orjson.loads(step.config)["links"]
    return found


def test_a_chain_is_one_step_with_the_name_of_its_last() -> None:
    plain, steps, output = fused(("SOURCE", ()), ("TINT", (0,)), ("TINT", (1,)), ("TINT", (2,)), ("SEGMENT", (3,)))
    assert [(s.node, s.type, s.inputs, s.level) for s in steps] == [
        ("n0", "SOURCE", (), 0),
        ("n3", "CHAIN", (0,), 1),
        ("n4", "SEGMENT", (1,), 2),
    ]
    assert steps[1].label == "r.n3.chain"
    assert output == 2
    assert links_of(steps[1]) == [
        {"type": "TINT", "config": orjson.loads(s.config), "implementation": "1/" + profile(), "inputs": []}
        for s in plain[1:4]
    ]


def profile() -> str:
    return find_step_type("TINT").implementation("{}").partition("/")[2]


@pytest.mark.parametrize(
    ("steps", "types"),
    [
        ((("SOURCE", ()), ("TINT", (0,))), ["SOURCE", "TINT"]),
        ((("SOURCE", ()), ("TINT", (0,)), ("SEGMENT", (1,)), ("TINT", (2,))), ["SOURCE", "TINT", "SEGMENT", "TINT"]),
        ((("SOURCE", ()), ("TINT", (0,)), ("HOLD", (1,)), ("TINT", (2,))), ["SOURCE", "TINT", "HOLD", "TINT"]),
        ((("SOURCE", ()), ("TINT", (0,)), ("SAME", (1,)), ("TINT", (2,))), ["SOURCE", "TINT", "SAME", "TINT"]),
    ],
)
def test_what_is_no_chain_stays(steps: tuple[Step, ...], types: list[str]) -> None:
    plain, found, _ = fused(*steps)
    assert [s.type for s in found] == types
    assert list(found) == plain


def test_what_others_read_is_kept() -> None:
    steps = (("SOURCE", ()), ("TINT", (0,)), ("TINT", (1,)), ("TINT", (2,)), ("SEGMENT", (2,)), ("SEQUENCE", (3, 4)))
    _, found, _ = fused(*steps)
    assert [(s.node, s.type) for s in found[1:]] == [
        ("n2", "CHAIN"),
        ("n3", "TINT"),
        ("n4", "SEGMENT"),
        ("n5", "SEQUENCE"),
    ]


def test_the_output_and_what_the_analysis_needs_are_kept() -> None:
    chain: tuple[Step, ...] = (("SOURCE", ()), ("TINT", (0,)), ("TINT", (1,)), ("TINT", (2,)))
    _, found, output = fused(*chain, output=1)
    assert [(s.node, s.type) for s in found[1:]] == [("n1", "TINT"), ("n3", "CHAIN")]
    assert (output, found[1].deliver, found[2].deliver) == (1, True, False)
    _, found, _ = fused(*chain, first=2)
    assert [(s.node, s.type) for s in found[1:]] == [("n1", "TINT"), ("n3", "CHAIN")]


def test_a_chain_for_people_is_another_than_one_for_steps() -> None:
    chain: tuple[Step, ...] = (("SOURCE", ()), ("TINT", (0,)), ("TINT", (1,)))
    _, watched, _ = fused(*chain)
    _, between, _ = fused(*chain, ("SEGMENT", (2,)))
    assert (watched[1].config, watched[1].deliver) == (between[1].config, True)
    assert watched[1].cache_id != between[1].cache_id


def test_links_name_their_analyses_among_the_inputs_of_the_chain() -> None:
    _, found, _ = fused(
        ("SOURCE", ()),
        ("ANALYZE", (0,)),
        ("SOURCE", ()),
        ("ANALYZE", (2,)),
        ("TINT", (0, 3)),
        ("TINT", (4,)),
        ("TINT", (5, 1)),
        ("TINT", (6, 3)),
    )
    assert found[-1].inputs == (0, 3, 1)
    assert [link["inputs"] for link in links_of(found[-1])] == [[1], [], [2], [1]]
    assert links_of(found[-1])[0]["config"]["bind"]["amount"]["input"] == 1


def test_a_picture_that_is_an_analysis_too_is_not_taken_from_between() -> None:
    _, found, _ = fused(("SOURCE", ()), ("TINT", (0,)), ("TINT", (1, 1)))
    assert [s.type for s in found] == ["SOURCE", "TINT", "TINT"]


def test_pictures_laid_above_are_inputs_of_the_chain() -> None:
    _, found, _ = fused(
        ("SOURCE", ()),
        ("SOURCE", ()),
        ("ANALYZE", (1,)),
        ("TINT", (0,)),
        ("PAIR", (3, 1)),
        ("OVER", (4, 1, 0, 1, 2)),  # one of them twice, one that is the chain's own first input, an analysis
        ("TINT", (5, 2)),
    )
    assert [s.type for s in found] == ["SOURCE", "SOURCE", "ANALYZE", "CHAIN"]
    assert found[-1].inputs == (0, 1, 0, 2)
    assert [link["inputs"] for link in links_of(found[-1])] == [[], [1], [1, 2, 1, 3], [3]]


def test_a_picture_laid_above_is_not_fused_even_if_it_is_made_by_frame() -> None:
    _, found, _ = fused(
        ("SOURCE", ()),
        ("TINT", (0,)),
        ("TINT", (1,)),
        ("SOURCE", ()),
        ("TINT", (3,)),
        ("PAIR", (4, 2)),
        ("OVER", (5, 2)),
    )
    assert [(s.node, s.type, s.inputs) for s in found] == [
        ("n0", "SOURCE", ()),
        ("n2", "CHAIN", (0,)),
        ("n3", "SOURCE", ()),
        ("n6", "CHAIN", (2, 1)),
    ]
    assert [link["inputs"] for link in links_of(found[-1])] == [[], [1], [1]]


def test_a_picture_laid_above_itself_is_kept() -> None:
    _, found, _ = fused(("SOURCE", ()), ("TINT", (0,)), ("PAIR", (1, 1)), ("TINT", (2,)))
    assert [(s.node, s.type, s.inputs) for s in found[1:]] == [("n1", "TINT", (0,)), ("n3", "CHAIN", (1, 1))]
    assert [link["inputs"] for link in links_of(found[-1])] == [[1], []]


def test_what_lies_above_is_part_of_what_a_chain_is() -> None:
    def key(*pictures: int) -> str:
        _, found, _ = fused(("SOURCE", ()), ("SOURCE", ()), ("SOURCE", ()), ("TINT", (0,)), ("OVER", (3, *pictures)))
        return found[-1].cache_id

    assert len({key(), key(1), key(2), key(1, 2), key(2, 1), key(1, 1)}) == 6


def test_the_version_of_each_link_enters_the_cache_id(monkeypatch: pytest.MonkeyPatch) -> None:
    chain: tuple[Step, ...] = (("SOURCE", ()), ("TINT", (0,)), ("TINT", (1,)))
    _, before, _ = fused(*chain)
    monkeypatch.setitem(STEP_TYPES, "TINT", replace(STEP_TYPES["TINT"], version=2))
    _, after, _ = fused(*chain)
    assert before[1].cache_id != after[1].cache_id


def expanded(steps: tuple[PlannedStep, ...]) -> list[tuple[str, str]]:
    """Return types and parameters in the order in which they run."""
    found = []
    for step in steps:
        if step.type == "CHAIN":
            found += [(link["type"], canonical_json(link["config"]).decode()) for link in links_of(step)]
        else:
            found.append((step.type, step.config))
    return found


@st.composite
def plans(draw: st.DrawFn) -> list[Step]:
    steps: list[Step] = [("SOURCE", ()), ("ANALYZE", (0,))]
    pictures = [0]
    for i in range(2, draw(st.integers(3, 16))):
        name = draw(st.sampled_from(["TINT", "TINT", "TINT", "OVER", "PAIR", "SAME", "SEGMENT", "SEQUENCE", "ANALYZE"]))
        source = pictures[-1] if draw(st.integers(0, 3)) else draw(st.sampled_from(pictures))
        inputs = [source]
        if name == "SEQUENCE":
            inputs += draw(st.lists(st.sampled_from(pictures), max_size=2))
        elif name in ("OVER", "PAIR"):
            least, most = {"OVER": (0, 3), "PAIR": (1, 1)}[name]
            inputs += draw(st.lists(st.sampled_from(pictures), min_size=least, max_size=most))
        elif name == "TINT" and draw(st.booleans()):
            inputs.append(draw(st.sampled_from([n for n, step in enumerate(steps) if step[0] == "ANALYZE"])))
        steps.append((name, tuple(inputs)))
        if name != "ANALYZE":
            pictures.append(i)
    return steps


@given(plans(), st.data())
def test_fusing_any_plan_loses_nothing(steps: list[Step], data: st.DataObject) -> None:
    output = data.draw(st.integers(0, len(steps) - 1))
    first = data.draw(st.integers(0, len(steps)))
    plain = draft_of(*steps, output=output)
    found, place = fuse(plain, first, output, "key")
    before = {step.node: step for step in plain}
    assert found[place].node == plain[output].node
    # every step is there once, alone or as a link
    assert sorted(expanded(found)) == sorted((s.type, s.config) for s in plain)
    # in every chain they stand in the order in which they read each other, and nobody else reads what is inside
    depends: set[str] = set()
    for step in found:
        assert all(source < found.index(step) for source in step.inputs)
        read = [found[source].node for source in step.inputs]
        original = before[step.node]
        if step.type == "CHAIN":
            depends.add(step.node)
            links = []
            while len(links) < len(links_of(step)):
                links.insert(0, original)
                original = plain[original.inputs[0]]
            assert [(link["type"], canonical_json(link["config"]).decode()) for link in links_of(step)] == [
                (link.type, link.config) for link in links
            ]
            for written, link in zip(links_of(step), links, strict=True):
                assert [read[i] for i in written["inputs"]] == [plain[i].node for i in link.inputs[1:]]
            assert read[0] == plain[links[0].inputs[0]].node
        else:
            assert read == [plain[i].node for i in original.inputs]
            assert (step.type, step.config, step.label, step.deliver) == (
                original.type,
                original.config,
                original.label,
                original.deliver,
            )
            if depends.isdisjoint(read):
                assert step.cache_id == original.cache_id
            else:
                depends.add(step.node)
        assert step.level == 1 + max((found[i].level for i in step.inputs), default=-1)
    # nothing more could be fused
    again, _ = fuse(found, first, place, "key")
    assert sum(s.type == "CHAIN" for s in again) == sum(s.type == "CHAIN" for s in found)
