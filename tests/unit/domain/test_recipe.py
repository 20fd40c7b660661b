"""Recipe, as sentences."""

from __future__ import annotations

import pytest

from artdag_common.domain.recipe import Recipe
from artdag_common.errors import RecipeNotFoundError
from artdag_common.testing.scenario import Scenario, fact


@pytest.fixture
def recipe() -> Scenario[Recipe]:
    return Scenario(Recipe, Recipe.Registered, key="bafy")


def test_registering_again_changes_nothing(recipe: Scenario[Recipe]) -> None:
    recipe.given(fact(Recipe.Registered, name="dog", owner="ada")).when(Recipe.register, "ada").nothing()
    assert (recipe.state.name, recipe.state.owner, recipe.state.deleted) == ("dog", "ada", False)


def test_a_recipe_can_be_deleted_once(recipe: Scenario[Recipe]) -> None:
    recipe.given().when(Recipe.delete).then(Recipe.Deleted)
    recipe.when(Recipe.delete).raises(RecipeNotFoundError)


def test_a_deleted_recipe_comes_back_by_registering_it(recipe: Scenario[Recipe]) -> None:
    recipe.given(Recipe.Deleted).when(Recipe.register, "bob").then(fact(Recipe.Restored, owner="bob"))
    assert not recipe.state.deleted
    recipe.when(Recipe.delete).then(Recipe.Deleted)
