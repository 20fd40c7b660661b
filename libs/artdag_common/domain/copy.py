"""Copy: how it stands with one content at one storage provider."""

from __future__ import annotations

from datetime import datetime
from typing import Any, ClassVar

from eventsourcing.domain import CanInitAggregate, CanMutateAggregate

from artdag_common.domain.aggregate import Aggregate, Creation, aggregate


@aggregate
class Copy(Aggregate, created_event_name="Requested"):
    """One content at one provider; the stream is ``copy-<storage id>_<cid>``. Appended by the cache service only.

    ``state`` goes waiting → made, or waiting → failed where trying again is of no use; asked for again it waits again.
    """

    TOPIC = "copy"

    class Event(Aggregate.Event):
        TOPIC: ClassVar[str] = "copy.event"

    class Requested(Event, Creation):
        """The provider is to get the content. The first request begins the stream, a later one begins anew."""

        TOPIC: ClassVar[str] = "copy.requested"
        owner: str

        def mutate(self, copy: Any) -> Any:
            init = CanInitAggregate.mutate if copy is None else CanMutateAggregate.mutate
            return init(self, copy)

        def apply(self, copy: Copy) -> None:
            copy.state, copy.attempt, copy.code, copy.reason = "waiting", 0, "", ""

    class Made(Event):
        """The provider says that it has the content. ``location`` tells people where."""

        TOPIC: ClassVar[str] = "copy.made"
        location: str
        size_bytes: int

        def apply(self, copy: Copy) -> None:
            copy.state, copy.location, copy.size_bytes = "made", self.location, self.size_bytes
            copy.code = copy.reason = ""

    class Failed(Event):
        """An attempt failed. ``again``: another one follows by itself."""

        TOPIC: ClassVar[str] = "copy.failed"
        attempt: int
        code: str
        reason: str
        again: bool

        def apply(self, copy: Copy) -> None:
            copy.state = "waiting" if self.again else "failed"
            copy.attempt, copy.code, copy.reason = self.attempt, self.code, self.reason

    class Removed(Event):
        """We removed the content there, or gave up wanting it there."""

        TOPIC: ClassVar[str] = "copy.removed"

        def apply(self, copy: Copy) -> None:
            copy.state, copy.location, copy.size_bytes = "removed", "", 0

    def __init__(self, owner: str) -> None:
        self.owner = owner
        self.state = "waiting"
        self.attempt = 0
        self.location = ""
        self.size_bytes = 0
        self.code = self.reason = ""

    @classmethod
    def key_of(cls, storage_id: str, cid: str) -> str:
        """Return the key of the copy of a content at a provider."""
        return f"{storage_id}_{cid}"

    @classmethod
    def request(cls, storage_id: str, cid: str, owner: str, now: datetime) -> Copy:
        """Ask for a copy for the first time."""
        return cls.create(Copy.Requested, cls.key_of(storage_id, cid), now, owner=owner)

    def ask_again(self, now: datetime) -> None:
        """Ask for a copy that failed or was removed; one that waits or is made needs no asking."""
        if self.state in ("failed", "removed"):
            self.record(Copy.Requested, now, originator_topic=Copy.TOPIC, owner=self.owner)

    def make(self, location: str, size_bytes: int, now: datetime) -> None:
        """Note that it is there; a second time changes nothing."""
        if (self.state, self.location, self.size_bytes) != ("made", location, size_bytes):
            self.record(Copy.Made, now, location=location, size_bytes=size_bytes)

    def fail(self, code: str, reason: str, again: bool, now: datetime) -> None:
        """Note that an attempt failed; of one that is not wanted any more nothing is noted."""
        if self.state == "waiting":
            self.record(Copy.Failed, now, attempt=self.attempt + 1, code=code, reason=reason, again=again)

    def remove(self, now: datetime) -> None:
        """Note that it is not there any more; a second time changes nothing."""
        if self.state != "removed":
            self.record(Copy.Removed, now)


def parts_of(key: str) -> tuple[str, str]:
    """Return the storage id and the CID of a copy's key."""
    storage_id, _, cid = key.partition("_")
    return storage_id, cid
