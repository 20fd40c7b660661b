"""Two runs side by side: which steps are alike, what differs, how long they took."""

from __future__ import annotations

from typing import Any

from services.gateway.web.compare import changes, pairs, type_times


def step(index: int, node: str, cache_id: str, *inputs: int, **facts: Any) -> dict[str, Any]:
    """Return a step of a plan."""
    given = {"type": "EFFECT", "config": {}, "status": "completed", "duration_ms": 10}
    return given | {"index": index, "node": node, "cache_id": cache_id, "inputs": list(inputs)} | facts


def test_equal_steps_are_left_out_and_the_others_stand_beside_their_like() -> None:
    first = [step(0, "film", "f"), step(1, "a", "a1", 0, config={"strength": 1}), step(2, "b", "b1", 1)]
    second = [step(0, "film", "f"), step(1, "a", "a2", 0, config={"strength": 2}), step(2, "b", "b2", 1)]
    a, b = pairs(first, second)
    assert (a.first, a.second) == (first[1], second[1])
    assert a.changes == {"strength": (1, 2)}
    assert not a.inputs_differ
    assert b.changes == {}
    assert b.inputs_differ


def test_steps_that_only_one_has_stand_alone() -> None:
    first = [step(0, "film", "f"), step(1, "gone", "g", 0)]
    second = [step(0, "film", "f"), step(1, "gone", "n", 0, type="SEGMENT")]
    assert [(pair.first, pair.second) for pair in pairs(first, second)] == [(first[1], None), (None, second[1])]


def test_steps_of_one_name_are_paired_in_order() -> None:
    first = [step(0, "cut", "a"), step(1, "cut", "b")]
    second = [step(0, "cut", "c"), step(1, "cut", "d"), step(2, "cut", "e")]
    found = pairs(first, second)
    assert [(pair.first and pair.first["cache_id"], pair.second and pair.second["cache_id"]) for pair in found] == [
        ("a", "c"),
        ("b", "d"),
        (None, "e"),
    ]


def test_equal_plans_do_not_differ() -> None:
    plan = [step(0, "film", "f"), step(1, "a", "a", 0)]
    assert pairs(plan, plan) == []


def test_parameters_inside_others_are_named_with_dots() -> None:
    before = {"effect": "dog", "params": {"size": 1, "hue": 3}, "old": True}
    after = {"effect": "dog", "params": {"size": 2, "hue": 3}, "new": None}
    assert changes(before, after) == {"old": (True, None), "params.size": (1, 2)}


def test_times_are_summed_by_type_of_what_was_computed() -> None:
    first = [step(0, "a", "a", duration_ms=30), step(1, "b", "b", type="SEGMENT", duration_ms=500)]
    second = [step(0, "a", "a", status="cached"), step(1, "c", "c", duration_ms=7)]
    found = [(each.type, each.counts, each.spent_ms) for each in type_times(first, second)]
    assert found == [("SEGMENT", (1, 0), (500, 0)), ("EFFECT", (1, 1), (30, 7))]
