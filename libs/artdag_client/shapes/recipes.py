"""Recipes and effects."""

from __future__ import annotations

from typing import Any, TypedDict

from artdag_client.shapes.common import Deleted, Links


class Recipe(TypedDict):
    """A reusable DAG with named inputs."""

    recipe_id: str
    name: str
    version: str
    description: str
    owner: str
    source_cid: str
    source_url: str
    created_at: str
    links: Links


class RecipePage(TypedDict):
    """A page of recipes."""

    recipes: list[Recipe]
    total: int
    next: str | None


class RecipeInput(TypedDict):
    """What a recipe is to be given; ``list``: several."""

    name: str
    node: str
    type: str
    description: str
    default: str | None
    list: bool


class RecipeNode(TypedDict):
    """A node of a recipe."""

    id: str
    type: str
    config: dict[str, Any]
    inputs: list[Any]


class RecipeDetail(Recipe):
    """A recipe, with its inputs and nodes."""

    inputs: list[RecipeInput]
    nodes: list[RecipeNode]
    output: str
    on_failure: str


class RecipeDeleted(Deleted):
    """Which recipe is gone."""

    recipe_id: str
    name: str


class RecipeProblem(TypedDict):
    """What is wrong with a recipe, and where."""

    line: int | None
    column: int | None
    field: str
    problem: str


class CheckedRecipe(TypedDict):
    """What was found in a recipe; ``graph``: None where there are problems."""

    name: str | None
    version: str | None
    problems: list[RecipeProblem]
    inputs: list[RecipeInput]
    graph: dict[str, Any] | None


class Effect(TypedDict):
    """What an EFFECT step applies; ``kind``: ``frame`` or ``media``."""

    cid: str
    name: str
    version: str
    author: str
    description: str
    kind: str
    builtin: bool
    owner: str | None
    created_at: str | None
    links: Links


class EffectPage(TypedDict):
    """A page of effects."""

    effects: list[Effect]
    total: int
    next: str | None


class EffectDetail(Effect):
    """An effect, with its parameters as a JSON schema."""

    dependencies: list[str]
    params: dict[str, Any]


class EffectDeleted(Deleted):
    """Which effect is gone."""

    cid: str
    name: str
