"""Effect: one Python file that a user brought, known by the CID of its bytes."""

from __future__ import annotations

from typing import ClassVar

from artdag_common.domain.aggregate import Aggregate, Creation, aggregate


@aggregate
class Effect(Aggregate, created_event_name="Registered"):
    """An uploaded effect; the stream is named by the CID of its file. Appended by the planner only."""

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

    def __init__(self, name: str, effect_version: str, author: str, description: str, kind: str, owner: str) -> None:
        self.name = name
        self.effect_version = effect_version
        self.author = author
        self.description = description
        self.kind = kind
        self.owner = owner
