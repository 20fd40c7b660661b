"""Content: stored bytes under their CID, and what is known of them."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import ClassVar

from artdag_common.domain.aggregate import Aggregate, Creation, aggregate
from artdag_common.errors import ContentNotFoundError


@dataclass(frozen=True, slots=True)
class Description:
    """What an owner says of content. Tags are sorted, each once."""

    description: str = ""
    tags: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Words:
    """What an owner wants to say anew; None: as it is."""

    name: str | None = None
    description: str | None = None
    tags: tuple[str, ...] | None = None


@dataclass(frozen=True, slots=True)
class Publication:
    """Under what content is public, and what made it.

    Attributes:
        run_id, recipe_cid, provenance_cid: the run of this system that gave it; empty where none did.
    """

    name: str
    description: str
    run_id: str = ""
    recipe_cid: str = ""
    provenance_cid: str = ""


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
        """An owner gave the content a name, by which recipes and requests can find it. Empty: took it away."""

        TOPIC: ClassVar[str] = "object.named"
        owner: str
        name: str

        def apply(self, content: Object) -> None:
            if self.name:
                content.names[self.owner] = self.name
            else:
                content.names.pop(self.owner, None)

    class Described(Event):
        """What an owner says of the content from now on, all of it: earlier words of this owner no longer count."""

        TOPIC: ClassVar[str] = "object.described"
        owner: str
        description: str
        tags: tuple[str, ...]

        def apply(self, content: Object) -> None:
            content.descriptions[self.owner] = Description(self.description, self.tags)

    class Published(Event):
        """An owner made the content public: under which name, and what made it, where a run of this system did."""

        TOPIC: ClassVar[str] = "object.published"
        owner: str
        name: str
        description: str
        run_id: str
        recipe_cid: str
        provenance_cid: str

        def apply(self, content: Object) -> None:
            content.published[self.owner] = Publication(
                self.name, self.description, self.run_id, self.recipe_cid, self.provenance_cid
            )

    class Claimed(Event):
        """An owner brought the content: it is kept for them, and counts as theirs."""

        TOPIC: ClassVar[str] = "object.claimed"
        owner: str

        def apply(self, content: Object) -> None:
            content.owners.append(self.owner)

    class Disowned(Event):
        """An owner deleted the content, which others still need: it is no longer kept for this one."""

        TOPIC: ClassVar[str] = "object.disowned"
        owner: str

        def apply(self, content: Object) -> None:
            content.forget(self.owner)

    class Evicted(Event):
        """The content was given up: nobody needs it. Its bytes are removed right after. ``by``: a user, or gc."""

        TOPIC: ClassVar[str] = "object.evicted"
        by: str
        reason: str

        def apply(self, content: Object) -> None:
            content.evicted = True
            for owner in {*content.owners, *content.names, *content.descriptions}:
                content.forget(owner)

    class Restored(Event):
        """Bytes that had been given up are here again: uploaded, or computed."""

        TOPIC: ClassVar[str] = "object.restored"
        size_bytes: int
        media_type: str
        origin: str

        def apply(self, content: Object) -> None:
            content.evicted = False
            content.media_type, content.origin = self.media_type, self.origin

    def __init__(self, size_bytes: int, media_type: str, origin: str) -> None:
        self.size_bytes = size_bytes
        self.media_type = media_type
        self.origin = origin
        self.evicted = False
        self.owners: list[str] = []
        self.names: dict[str, str] = {}
        self.descriptions: dict[str, Description] = {}
        self.published: dict[str, Publication] = {}

    def forget(self, owner: str) -> None:
        """Forget all that an owner said of the content."""
        self.owners = [each for each in self.owners if each != owner]
        self.names.pop(owner, None)
        self.descriptions.pop(owner, None)

    def claim(self, owner: str, now: datetime) -> None:
        """Keep the content for an owner."""
        if owner not in self.owners:
            self.record(Object.Claimed, now, owner=owner)

    def restore(self, media_type: str, origin: str, now: datetime) -> None:
        """Note that the bytes are here again, where they were given up."""
        if self.evicted:
            self.record(Object.Restored, now, size_bytes=self.size_bytes, media_type=media_type, origin=origin)

    def disown(self, owner: str, now: datetime) -> None:
        """Keep the content for an owner no longer."""
        self.record(Object.Disowned, now, owner=owner)

    def evict(self, by: str, reason: str, now: datetime) -> None:
        """Give the content up.

        Raises:
            ContentNotFoundError: it was given up before.
        """
        if self.evicted:
            raise ContentNotFoundError(f"no content {self.key} is stored here; it was deleted", cid=self.key)
        self.record(Object.Evicted, now, by=by, reason=reason)

    def name(self, owner: str, name: str, now: datetime) -> None:
        """Give the content a name. The last content that was given a name bears it, so giving it again counts."""
        if name:
            self.record(Object.Named, now, owner=owner, name=name)

    def describe(self, owner: str, words: Words, now: datetime) -> None:
        """Let an owner say what the content is. What is said already changes nothing.

        Args:
            words: None in a field: as it is.
        """
        if words.name is not None and words.name != self.names.get(owner, ""):
            self.record(Object.Named, now, owner=owner, name=words.name)
        old = self.descriptions.get(owner, Description())
        new = Description(
            old.description if words.description is None else words.description,
            old.tags if words.tags is None else words.tags,
        )
        if new != old:
            self.record(Object.Described, now, owner=owner, description=new.description, tags=new.tags)

    def publish(self, owner: str, publication: Publication, now: datetime) -> None:
        """Make the content public in an owner's name. The same a second time changes nothing."""
        if self.published.get(owner) != publication:
            self.record(
                Object.Published,
                now,
                owner=owner,
                name=publication.name,
                description=publication.description,
                run_id=publication.run_id,
                recipe_cid=publication.recipe_cid,
                provenance_cid=publication.provenance_cid,
            )
