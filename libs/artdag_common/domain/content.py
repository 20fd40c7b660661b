"""Content: stored bytes under their CID, and what is known of them."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import ClassVar

from artdag_common.domain.aggregate import Aggregate, Creation, aggregate
from artdag_common.errors import ContentNotFoundError, NotPublishedError


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


@dataclass(frozen=True, slots=True)
class Activity:
    """What was said of content in public, and what the registry made of it.

    Attributes:
        state: ``local``: the registry is not told; ``told``, ``delivered`` or ``refused``.
        words: the registry's: a link, or a reason.
        attempts: after which it decided.
    """

    owner: str
    state: str
    words: str = ""
    attempts: int = 0


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
        """An owner made the content public: under which name, and what made it, where a run of this system did.

        ``activity_id`` names the activity that says so, and the object it makes. ``deliver``: the registry is told.
        """

        TOPIC: ClassVar[str] = "object.published"
        owner: str
        name: str
        description: str
        run_id: str
        recipe_cid: str
        provenance_cid: str
        activity_id: str = ""
        deliver: bool = False

        def apply(self, content: Object) -> None:
            content.published[self.owner] = Publication(
                self.name, self.description, self.run_id, self.recipe_cid, self.provenance_cid
            )
            content.object_ids[self.owner] = self.activity_id
            content.activities[self.activity_id] = Activity(self.owner, "told" if self.deliver else "local")

    class Unpublished(Event):
        """An owner made the content public no longer. ``object_id``: the activity that had published it.

        ``by``: who did it, where it was not the owner.
        """

        TOPIC: ClassVar[str] = "object.unpublished"
        owner: str
        object_id: str
        activity_id: str
        deliver: bool
        by: str = ""

        def apply(self, content: Object) -> None:
            content.published.pop(self.owner, None)
            content.object_ids.pop(self.owner, None)
            content.activities[self.activity_id] = Activity(self.owner, "told" if self.deliver else "local")

    class Delivered(Event):
        """The registry took an activity. ``url``: where it shows what it made of it; empty: it does not say."""

        TOPIC: ClassVar[str] = "object.delivered"
        owner: str
        activity_id: str
        url: str
        attempts: int

        def apply(self, content: Object) -> None:
            content.activities[self.activity_id] = Activity(self.owner, "delivered", self.url, self.attempts)

    class Refused(Event):
        """The registry refused an activity for good. ``reason``: in its words."""

        TOPIC: ClassVar[str] = "object.refused"
        owner: str
        activity_id: str
        reason: str
        attempts: int

        def apply(self, content: Object) -> None:
            content.activities[self.activity_id] = Activity(self.owner, "refused", self.reason, self.attempts)

    class Claimed(Event):
        """An owner brought the content: it is kept for them, and counts as theirs."""

        TOPIC: ClassVar[str] = "object.claimed"
        owner: str

        def apply(self, content: Object) -> None:
            content.owners.append(self.owner)

    class Disowned(Event):
        """An owner deleted the content, which others still need: it is no longer kept for this one.

        ``by``: who deleted it, where it was not the owner.
        """

        TOPIC: ClassVar[str] = "object.disowned"
        owner: str
        by: str = ""

        def apply(self, content: Object) -> None:
            content.forget(self.owner)

    class Evicted(Event):
        """The content was given up: nobody needs it. Its bytes are removed right after. ``by``: a user, or gc.

        ``owner``: whose it was, where ``by`` deleted it for somebody else.
        """

        TOPIC: ClassVar[str] = "object.evicted"
        by: str
        reason: str
        owner: str = ""

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
        self.object_ids: dict[str, str] = {}
        self.activities: dict[str, Activity] = {}

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

    def disown(self, owner: str, now: datetime, by: str = "") -> None:
        """Keep the content for an owner no longer."""
        self.record(Object.Disowned, now, owner=owner, by=by)

    def evict(self, by: str, reason: str, now: datetime, owner: str = "") -> None:
        """Give the content up.

        Raises:
            ContentNotFoundError: it was given up before.
        """
        if self.evicted:
            raise ContentNotFoundError(f"no content {self.key} is stored here; it was deleted", cid=self.key)
        self.record(Object.Evicted, now, by=by, reason=reason, owner=owner)

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

    def publish(
        self, owner: str, publication: Publication, activity_ids: tuple[str, str], deliver: bool, now: datetime
    ) -> None:
        """Make the content public in an owner's name. The same a second time changes nothing; other words replace it.

        Args:
            activity_ids: for the activities that this leads to: one, or two where it replaces what was said before.
            deliver: the registry is told.
        """
        if self.published.get(owner) == publication:
            return
        activity_id, another = activity_ids
        if owner in self.published:
            self.unpublish(owner, activity_id, now)
            activity_id = another
        self.record(
            Object.Published,
            now,
            owner=owner,
            name=publication.name,
            description=publication.description,
            run_id=publication.run_id,
            recipe_cid=publication.recipe_cid,
            provenance_cid=publication.provenance_cid,
            activity_id=activity_id,
            deliver=deliver,
        )

    def unpublish(self, owner: str, activity_id: str, now: datetime, by: str = "") -> None:
        """Take back that the content is public in an owner's name. The registry is told if it was told of that.

        Args:
            by: who does it, where it is not the owner.

        Raises:
            NotPublishedError: it is not.
        """
        if owner not in self.published:
            raise NotPublishedError(f"{self.key} is not published by you", cid=self.key)
        object_id = self.object_ids[owner]
        self.record(
            Object.Unpublished,
            now,
            owner=owner,
            object_id=object_id,
            activity_id=activity_id,
            deliver=self.activities[object_id].state != "local",
            by=by,
        )

    def settle(self, activity_id: str, taken: bool, words: str, attempts: int, now: datetime) -> None:
        """Note what the registry made of an activity. The same again changes nothing, nor does what is not of here.

        Args:
            words: where it was taken, a link or nothing, which leaves a known one; else the reason.
            attempts: 0: as they were.
        """
        known = self.activities.get(activity_id)
        if known is None:
            return
        attempts = attempts or known.attempts
        if taken and (known.state != "delivered" or (words and words != known.words)):
            url = words or (known.words if known.state == "delivered" else "")
            self.record(Object.Delivered, now, owner=known.owner, activity_id=activity_id, url=url, attempts=attempts)
        elif not taken and (known.state, known.words) != ("refused", words):
            self.record(
                Object.Refused, now, owner=known.owner, activity_id=activity_id, reason=words, attempts=attempts
            )
