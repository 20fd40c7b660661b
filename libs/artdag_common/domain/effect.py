"""Effect: one Python file that a user brought, known by the CID of its bytes. Several users may have the same."""

from __future__ import annotations

from datetime import datetime
from typing import ClassVar

from artdag_common.domain.aggregate import Aggregate, Creation, aggregate
from artdag_common.errors import EffectNotFoundError


@aggregate
class Effect(Aggregate, created_event_name="Registered"):
    """An uploaded effect; the stream is named by the CID of its file. Appended by the planner only.

    Attributes:
        owner: whoever brought it first.
        owners: all who have it now.
    """

    TOPIC = "effect"

    class Event(Aggregate.Event):
        TOPIC: ClassVar[str] = "effect.event"

    class Registered(Event, Creation):
        """An effect was uploaded. Everything but the owner is what the header of its file says."""

        TOPIC: ClassVar[str] = "effect.registered"
        name: str
        effect_version: str
        author: str
        description: str
        kind: str
        owner: str

    class Claimed(Event):
        """Another user uploaded the effect too, or one did again."""

        TOPIC: ClassVar[str] = "effect.claimed"
        owner: str

        def apply(self, effect: Effect) -> None:
            effect.owners.append(self.owner)

    class Disowned(Event):
        """The effect left a user's list. What was made with it keeps it. ``by``: who did it, where not the owner."""

        TOPIC: ClassVar[str] = "effect.disowned"
        owner: str
        by: str = ""

        def apply(self, effect: Effect) -> None:
            effect.owners = [each for each in effect.owners if each != self.owner]

    def __init__(self, name: str, effect_version: str, author: str, description: str, kind: str, owner: str) -> None:
        self.name = name
        self.effect_version = effect_version
        self.author = author
        self.description = description
        self.kind = kind
        self.owner = owner
        self.owners = [owner]

    def claim(self, owner: str, now: datetime) -> None:
        """Put the effect on a user's list; where it is on that already, nothing changes."""
        if owner not in self.owners:
            self.record(Effect.Claimed, now, owner=owner)

    def disown(self, by: str, now: datetime, eraser: str = "") -> None:
        """Take the effect off a user's list. ``eraser``: who did it, where not ``by``.

        Raises:
            EffectNotFoundError: it is not on that.
        """
        if by not in self.owners:
            raise EffectNotFoundError(f"no effect '{self.key}'", effect=self.key)
        self.record(Effect.Disowned, now, owner=by, by=eraser)
