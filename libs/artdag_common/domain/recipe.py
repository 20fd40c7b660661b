"""Recipe: a reusable DAG with named inputs, known by the CID of its canonical form."""

from __future__ import annotations

from datetime import datetime
from typing import ClassVar

from artdag_common.domain.aggregate import Aggregate, Creation, aggregate
from artdag_common.errors import RecipeNotFoundError


@aggregate
class Recipe(Aggregate, created_event_name="Registered"):
    """A registered recipe; the stream is named by the CID of its canonical form. Appended by the planner only."""

    TOPIC = "recipe"

    class Event(Aggregate.Event):
        TOPIC: ClassVar[str] = "recipe.event"

    class Registered(Event, Creation):
        """A recipe was uploaded. ``source_cid`` is the YAML as its author wrote it."""

        TOPIC: ClassVar[str] = "recipe.registered"
        name: str
        recipe_version: str
        description: str
        owner: str
        source_cid: str

    class Restored(Event):
        """A deleted recipe was uploaded again."""

        TOPIC: ClassVar[str] = "recipe.restored"
        owner: str

        def apply(self, recipe: Recipe) -> None:
            recipe.deleted = False

    class Deleted(Event):
        """The recipe left the list. Runs made with it keep their history."""

        TOPIC: ClassVar[str] = "recipe.deleted"

        def apply(self, recipe: Recipe) -> None:
            recipe.deleted = True

    def __init__(self, name: str, recipe_version: str, description: str, owner: str, source_cid: str) -> None:
        self.name = name
        self.recipe_version = recipe_version
        self.description = description
        self.owner = owner
        self.source_cid = source_cid
        self.deleted = False

    def register(self, owner: str, now: datetime) -> None:
        """Register again what is registered already; only a deleted recipe changes by it."""
        if self.deleted:
            self.record(Recipe.Restored, now, owner=owner)

    def delete(self, now: datetime) -> None:
        """Take the recipe off the list.

        Raises:
            RecipeNotFoundError: it was deleted before.
        """
        if self.deleted:
            raise RecipeNotFoundError(f"no recipe {self.key}", recipe=self.key)
        self.record(Recipe.Deleted, now)
