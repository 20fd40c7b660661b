"""Recipe: a reusable DAG with named inputs, known by the CID of its canonical form. Several users may have the same."""

from __future__ import annotations

from datetime import datetime
from typing import ClassVar

from artdag_common.domain.aggregate import Aggregate, Creation, aggregate
from artdag_common.errors import RecipeNotFoundError


@aggregate
class Recipe(Aggregate, created_event_name="Registered"):
    """A registered recipe; the stream is named by the CID of its canonical form. Appended by the planner only.

    Attributes:
        owner, source_cid: of whoever registered it first.
        sources: the YAML of everybody who has it now: user → CID.
    """

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
        """A deleted recipe was uploaded again. ``source_cid``: in which words; empty: in those of the first time."""

        TOPIC: ClassVar[str] = "recipe.restored"
        owner: str
        source_cid: str = ""

        def apply(self, recipe: Recipe) -> None:
            recipe.deleted = False
            recipe.sources[self.owner] = self.source_cid or recipe.source_cid

    class Claimed(Event):
        """Another user uploaded the recipe too, perhaps in other words: it is on that user's list as well."""

        TOPIC: ClassVar[str] = "recipe.claimed"
        owner: str
        source_cid: str

        def apply(self, recipe: Recipe) -> None:
            recipe.sources[self.owner] = self.source_cid

    class Disowned(Event):
        """The recipe left the list of a user; others have it still. ``by``: who did it, where not the owner."""

        TOPIC: ClassVar[str] = "recipe.disowned"
        owner: str
        by: str = ""

        def apply(self, recipe: Recipe) -> None:
            recipe.sources.pop(self.owner, None)

    class Deleted(Event):
        """The recipe left every list. Runs made with it keep their history.

        ``owner``: who had it last; empty: it was taken off all. ``by``: who did it, where not the owner.
        """

        TOPIC: ClassVar[str] = "recipe.deleted"
        owner: str = ""
        by: str = ""

        def apply(self, recipe: Recipe) -> None:
            recipe.deleted = True
            recipe.sources.clear()

    def __init__(self, name: str, recipe_version: str, description: str, owner: str, source_cid: str) -> None:
        self.name = name
        self.recipe_version = recipe_version
        self.description = description
        self.owner = owner
        self.source_cid = source_cid
        self.sources = {owner: source_cid}
        self.deleted = False

    def register(self, owner: str, source_cid: str, now: datetime) -> None:
        """Put the recipe on a user's list; where it is on that already, nothing changes."""
        if self.deleted:
            self.record(Recipe.Restored, now, owner=owner, source_cid=source_cid)
        elif owner not in self.sources:
            self.record(Recipe.Claimed, now, owner=owner, source_cid=source_cid)

    def delete(self, by: str, now: datetime, eraser: str = "") -> None:
        """Take the recipe off a user's list. ``eraser``: who did it, where not ``by``.

        Raises:
            RecipeNotFoundError: it is not on that.
        """
        if by not in self.sources:
            raise RecipeNotFoundError(f"no recipe {self.key}", recipe=self.key)
        if len(self.sources) > 1:
            self.record(Recipe.Disowned, now, owner=by, by=eraser)
        else:
            self.record(Recipe.Deleted, now, owner=by, by=eraser)
