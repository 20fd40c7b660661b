# Made of _async/recipes.py by artdag_client.make_sync. Change that one.
"""Recipes and effects: what runs are made of."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Unpack

from artdag_client._sync.connection import Connection
from artdag_client._sync.runs import plain_parameters
from artdag_client.asking import Text, Wishes, body, keyed, part, plain, query, text_of
from artdag_client.shapes import (
    CheckedRecipe,
    Effect,
    EffectDeleted,
    EffectDetail,
    EffectPage,
    Inputs,
    Parameters,
    Recipe,
    RecipeDeleted,
    RecipeDetail,
    RecipePage,
    Run,
)

YAML = {"Content-Type": "application/yaml"}
PYTHON = {"Content-Type": "text/x-python"}


class Recipes:
    """``client.recipes``."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def upload(self, recipe: Text, key: str | None = None) -> Recipe:
        """Make a recipe known, given as YAML or as the path of a file with it.

        Raises:
            InvalidRecipeError: with all its problems.
        """
        found: Recipe = self._connection.ask(
            "POST", "/recipes/upload", content=text_of(recipe), headers=keyed(key, YAML)
        )
        return found

    def check(self, recipe: Text) -> CheckedRecipe:
        """Return what is wrong with a recipe, by line and column; of one with no problems, its inputs and its DAG.

        Nothing is kept.
        """
        found: CheckedRecipe = self._connection.ask("POST", "/api/recipes/check", content=text_of(recipe), headers=YAML)
        return found

    def list(self, *, name: str | None = None, owner: str | None = None, limit: int | None = None) -> Iterator[Recipe]:
        """Yield recipes, newest first: yours and published ones. ``name``: a part of one; ``owner``: ``me``."""
        return self._connection.pages("/recipes", "recipes", limit, name=name, owner=owner)

    def page(self, *, cursor: str | None = None, limit: int | None = None, **chosen: Any) -> RecipePage:
        """Return one page of :meth:`list`, whose parameters it takes too."""
        found: RecipePage = self._connection.ask("GET", "/recipes", params=query(cursor=cursor, limit=limit, **chosen))
        return found

    def get(self, recipe: str) -> RecipeDetail:
        """Return a recipe with its inputs and its nodes, by id or name."""
        found: RecipeDetail = self._connection.ask("GET", f"/recipes/{part(recipe)}")
        return found

    def run(
        self,
        recipe: str,
        inputs: Inputs = (),
        *,
        output_name: str = "",
        parameters: Parameters | None = None,
        force: bool | Sequence[str] = False,
        key: str | None = None,
        **wishes: Unpack[Wishes],
    ) -> Run:
        """Render a recipe that is known, by id or name. ``client.runs.start`` also takes effects, and YAML."""
        asked = body(
            inputs=plain(inputs),
            output_name=output_name,
            parameters=plain_parameters(parameters),
            force=force if isinstance(force, bool) else [*force],
            **wishes,
        )
        run: Run = self._connection.ask("POST", f"/recipes/{part(recipe)}/run", json=asked, headers=keyed(key))
        return run

    def delete(self, recipe: str, key: str | None = None) -> RecipeDeleted:
        """Take a recipe off your list. Runs made with it stay."""
        found: RecipeDeleted = self._connection.ask("DELETE", f"/recipes/{part(recipe)}", headers=keyed(key))
        return found


class Effects:
    """``client.effects``."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def upload(self, source: Text, key: str | None = None) -> Effect:
        """Make an effect known, given as Python or as the path of a file with it. Nothing in it is run.

        Raises:
            InvalidEffectError: with all its problems.
        """
        found: Effect = self._connection.ask(
            "POST", "/effects/upload", content=text_of(source), headers=keyed(key, PYTHON)
        )
        return found

    def list(self, *, name: str | None = None, owner: str | None = None, limit: int | None = None) -> Iterator[Effect]:
        """Yield effects: yours and published ones, newest first, then the built-in ones by name."""
        return self._connection.pages("/effects", "effects", limit, name=name, owner=owner)

    def page(self, *, cursor: str | None = None, limit: int | None = None, **chosen: Any) -> EffectPage:
        """Return one page of :meth:`list`, whose parameters it takes too."""
        found: EffectPage = self._connection.ask("GET", "/effects", params=query(cursor=cursor, limit=limit, **chosen))
        return found

    def get(self, effect: str) -> EffectDetail:
        """Return an effect with its parameters as a JSON schema, by CID or name."""
        found: EffectDetail = self._connection.ask("GET", f"/effects/{part(effect)}")
        return found

    def source(self, effect: str) -> bytes:
        """Return an effect's Python file, byte for byte."""
        return (self._connection.send("GET", f"/effects/{part(effect)}/source")).content

    def delete(self, effect: str, key: str | None = None) -> EffectDeleted:
        """Take an effect off your list. Recipes and runs that use it keep it."""
        found: EffectDeleted = self._connection.ask("DELETE", f"/effects/{part(effect)}", headers=keyed(key))
        return found
