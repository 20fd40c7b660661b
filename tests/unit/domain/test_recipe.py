"""Recipe, as sentences."""

from __future__ import annotations

import pytest

from artdag_common.domain.recipe import Recipe
from artdag_common.errors import RecipeNotFoundError
from artdag_common.testing.scenario import Scenario, fact

ADA = fact(Recipe.Registered, name="dog", owner="ada", source_cid="a")


@pytest.fixture
def recipe() -> Scenario[Recipe]:
    return Scenario(Recipe, Recipe.Registered, key="bafy")


def test_registering_again_changes_nothing(recipe: Scenario[Recipe]) -> None:
    recipe.given(ADA).when(Recipe.register, "ada", "other words").nothing()
    assert (recipe.state.name, recipe.state.owner, recipe.state.deleted) == ("dog", "ada", False)
    assert recipe.state.sources == {"ada": "a"}


def test_a_recipe_can_be_deleted_once(recipe: Scenario[Recipe]) -> None:
    recipe.given(ADA).when(Recipe.delete, "ada").then(Recipe.Deleted)
    recipe.when(Recipe.delete, "ada").raises(RecipeNotFoundError)


def test_only_those_who_have_it_delete_it(recipe: Scenario[Recipe]) -> None:
    recipe.given(ADA).when(Recipe.delete, "bob").raises(RecipeNotFoundError)


def test_two_have_the_same_recipe_and_one_deletes_it(recipe: Scenario[Recipe]) -> None:
    recipe.given(ADA).when(Recipe.register, "bob", "b").then(fact(Recipe.Claimed, owner="bob", source_cid="b"))
    assert recipe.state.sources == {"ada": "a", "bob": "b"}
    recipe.when(Recipe.delete, "ada").then(fact(Recipe.Disowned, owner="ada"))
    assert (recipe.state.sources, recipe.state.deleted) == ({"bob": "b"}, False)
    recipe.when(Recipe.delete, "bob").then(Recipe.Deleted)
    assert recipe.state.sources == {}
    recipe.when(Recipe.delete, "ada").raises(RecipeNotFoundError)


def test_a_deleted_recipe_comes_back_by_registering_it(recipe: Scenario[Recipe]) -> None:
    restored = fact(Recipe.Restored, owner="bob", source_cid="b")
    recipe.given(ADA, Recipe.Deleted).when(Recipe.register, "bob", "b").then(restored)
    assert (recipe.state.deleted, recipe.state.sources) == (False, {"bob": "b"})
    recipe.when(Recipe.delete, "bob").then(Recipe.Deleted)


def test_what_was_restored_without_its_words_has_those_of_the_first_time(recipe: Scenario[Recipe]) -> None:
    recipe.given(ADA, Recipe.Deleted, fact(Recipe.Restored, owner="bob", source_cid=""))
    assert recipe.state.sources == {"bob": "a"}
