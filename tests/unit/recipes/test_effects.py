"""Recipes with the effects that there really are."""

from __future__ import annotations

from typing import Any

import pytest

from artdag_common.domain.recipe_yaml import effect_recipe, parse_recipe
from artdag_common.effects.registry import EFFECTS
from artdag_common.errors import InvalidRecipeError, UnknownEffectError

RECIPE = """\
name: effect
registry: {effects: {%s}}
inputs: {picture: image}
steps:
  - id: apply
    type: EFFECT
    inputs: picture
    config:
      %s
output: apply
"""


def problems_of(config: str, registry: str = "") -> list[tuple[int, str, Any, Any]]:
    with pytest.raises(InvalidRecipeError) as refused:
        parse_recipe(RECIPE % (registry, config))
    return [(p["line"], p["field"], p.get("value"), p.get("suggestion")) for p in refused.value.problems]


@pytest.mark.parametrize("name", ["dog", "identity", "invert"])
def test_every_effect_is_a_recipe_of_its_own(name: str) -> None:
    graph = parse_recipe(effect_recipe(name))
    assert (graph.name, graph.nodes[1].config["effect"]) == (name, name)
    assert graph.nodes[1].config["params"] == EFFECTS[name].params().model_dump(mode="json")


@pytest.mark.parametrize("name", ["dgo", "", 'dog"', "../dog"])
def test_no_recipe_is_made_of_what_is_no_effect(name: str) -> None:
    with pytest.raises(UnknownEffectError, match=r"^unknown effect"):
        effect_recipe(name)


def test_an_effect_may_be_named_by_its_cid_or_by_the_registry() -> None:
    cid = EFFECTS["dog"].cid
    forms = [("", "effect: dog"), ("", f"effect: {cid}"), (f"dog: {{cid: {cid}}}", "effect: dog")]
    forms += [(f"hound: {{hash: {cid}}}", "effect: hound"), ("dog: {hash: abc123...}", "{effect: dog, params: {}}")]
    assert len({parse_recipe(RECIPE % form).canonical() for form in forms}) == 1


def test_another_cid_than_that_of_the_effect_is_refused() -> None:
    other = EFFECTS["invert"].cid
    assert problems_of("effect: dog", f"dog: {{cid: {other}}}") == [(9, "steps[0].config.effect", "dog", None)]


def test_an_unknown_effect_names_the_nearest() -> None:
    assert problems_of("effect: dgo") == [(9, "steps[0].config.effect", "dgo", "dog")]


def test_a_wrong_parameter_of_an_effect_has_its_place() -> None:
    assert problems_of("effect: dog\n      params:\n        tnit: 1\n        size: big") == [
        (11, "steps[0].config.params.tnit", "tnit", "tint"),
        (12, "steps[0].config.params.size", "big", None),
    ]


def test_a_misspelt_effect_key_is_two_problems() -> None:
    assert problems_of("efect: dog") == [
        (5, "steps[0].config.effect", None, None),
        (9, "steps[0].config.efect", "efect", "effect"),
    ]
