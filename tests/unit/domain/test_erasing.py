"""Erasing a person, as sentences: what happens to somebody's things says whose they were and who did it."""

from __future__ import annotations

import pytest

from artdag_common.domain.access import User
from artdag_common.domain.content import Object
from artdag_common.domain.effect import Effect
from artdag_common.domain.recipe import Recipe
from artdag_common.domain.run import Run
from artdag_common.domain.storage import Storage
from artdag_common.testing.scenario import Scenario, fact


@pytest.fixture
def user() -> Scenario[User]:
    return Scenario(User, User.Joined, key="u-ada")


def test_erasing_takes_every_token_and_then_the_name(user: Scenario[User]) -> None:
    user.when(User.erase, by="owner").then(
        fact(User.TokensRevoked, by="owner", reason="erased"), fact(User.Erased, by="owner")
    )
    assert (user.state.generation, user.state.erased) == (1, True)


def test_nobody_is_erased_twice(user: Scenario[User]) -> None:
    user.given(User.Erased).when(User.erase, by="owner").nothing()


def test_a_run_says_who_stopped_and_deleted_it() -> None:
    run = Scenario(Run, Run.Requested, key="r")
    run.when(Run.cancel, "no more", by="owner").then(fact(Run.Cancelled, reason="no more", by="owner"))
    run.when(Run.delete, by="owner").then(fact(Run.Deleted, by="owner"))


def test_content_says_whose_it_was_and_who_deleted_it() -> None:
    content = Scenario(Object, Object.Stored, key="bafy").given(
        fact(Object.Claimed, owner="u-ada"), fact(Object.Claimed, owner="u-eve")
    )
    content.when(Object.disown, "u-ada", by="owner").then(fact(Object.Disowned, owner="u-ada", by="owner"))
    content.when(Object.evict, "owner", "erased", owner="u-eve").then(
        fact(Object.Evicted, by="owner", reason="erased", owner="u-eve")
    )


def test_a_recipe_says_whose_list_it_left_and_who_did_it() -> None:
    recipe = Scenario(Recipe, Recipe.Registered, key="bafy")
    recipe.given(fact(Recipe.Registered, owner="u-ada"), fact(Recipe.Claimed, owner="u-eve"))
    recipe.when(Recipe.delete, "u-ada", eraser="owner").then(fact(Recipe.Disowned, owner="u-ada", by="owner"))
    recipe.when(Recipe.delete, "u-eve", eraser="owner").then(fact(Recipe.Deleted, owner="u-eve", by="owner"))


def test_an_effect_says_whose_list_it_left_and_who_did_it() -> None:
    effect = Scenario(Effect, Effect.Registered, key="bafy").given(fact(Effect.Registered, owner="u-ada"))
    effect.when(Effect.disown, "u-ada", eraser="owner").then(fact(Effect.Disowned, owner="u-ada", by="owner"))


def test_storage_says_who_removed_it_where_that_was_not_its_owner() -> None:
    storage = Scenario(Storage, Storage.Added, key="s")
    storage.when(Storage.remove, False, by="owner").then(fact(Storage.Removed, purge=False, by="owner"))
