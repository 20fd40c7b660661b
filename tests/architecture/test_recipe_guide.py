"""The guide to recipes names every step type, every parameter and every effect there is, and no others."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from artdag_common.domain.recipe_yaml import parse_recipe
from artdag_common.effects.registry import EFFECTS
from artdag_common.steps.registry import STEP_TYPES

GUIDE = (Path(__file__).resolve().parents[2] / "docs" / "recipes.md").read_text()


def rows(heading: str) -> dict[str, str]:
    section = GUIDE.split(f"## {heading}\n")[1].split("\n## ")[0]
    return {m[1]: m[0] for m in re.finditer(r"^\| `(\w+)` \|.*$", section, re.M)}


def test_every_step_type_has_its_row() -> None:
    assert rows("Step types").keys() == STEP_TYPES.keys()


@pytest.mark.parametrize("name", sorted(STEP_TYPES))
def test_every_parameter_is_named(name: str) -> None:
    row = rows("Step types")[name]
    missing = [p for p in STEP_TYPES[name].params.model_fields if f"`{p}`" not in row]
    assert not missing


def test_every_effect_has_its_row() -> None:
    assert rows("Effects").keys() == EFFECTS.keys()


@pytest.mark.parametrize("text", re.findall(r"```yaml\n(.*?)```", GUIDE, re.S))
def test_the_examples_are_recipes(text: str) -> None:
    assert parse_recipe(text).nodes
