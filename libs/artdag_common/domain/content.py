"""Content: stored bytes under their CID, and what is known of them."""

from __future__ import annotations

from datetime import datetime
from typing import ClassVar

from artdag_common.domain.aggregate import Aggregate, Creation, aggregate


@aggregate
class Object(Aggregate, created_event_name="Stored"):
    """Stored bytes. Appended by the cache service only, after the bytes are on disk under their CID."""

    TOPIC = "object"

    class Event(Aggregate.Event):
        TOPIC: ClassVar[str] = "object.event"

    class Stored(Event, Creation):
        """The bytes are here. ``origin`` says how they came: upload, step, plan, recipe, provenance."""

        TOPIC: ClassVar[str] = "object.stored"
        size_bytes: int
        media_type: str
        origin: str

    class Named(Event):
        """An owner gave the content a name, by which recipes and requests can find it."""

        TOPIC: ClassVar[str] = "object.named"
        owner: str
        name: str

        def apply(self, content: Object) -> None:
            content.names[self.owner] = self.name

    def __init__(self, size_bytes: int, media_type: str, origin: str) -> None:
        self.size_bytes = size_bytes
        self.media_type = media_type
        self.origin = origin
        self.names: dict[str, str] = {}

    def name(self, owner: str, name: str, now: datetime) -> None:
        """Give the content a name. The last content that was given a name bears it, so giving it again counts."""
        if name:
            self.record(Object.Named, now, owner=owner, name=name)
