"""Storage provider: a place of a user's own that gets a copy of what is the user's. Its secrets are never in events."""

from __future__ import annotations

from datetime import datetime
from typing import ClassVar

import orjson

from artdag_common.domain.aggregate import Aggregate, Creation, aggregate
from artdag_common.domain.storage_kinds import address_of
from artdag_common.errors import InvalidRequestError, StorageNotFoundError, StorageRefusedError

REFUSED = StorageRefusedError("").code


@aggregate
class Storage(Aggregate, created_event_name="Added"):
    """One provider of one user. Appended by the cache service only.

    ``settings`` is JSON of what is no secret; of secrets the events say which are set, and their time says since when.
    """

    TOPIC = "storage"

    class Event(Aggregate.Event):
        TOPIC: ClassVar[str] = "storage.event"

    class Added(Event, Creation):
        """A user named a place that is to get copies. ``capacity_bytes``: what it may hold; 0: no limit."""

        TOPIC: ClassVar[str] = "storage.added"
        owner: str
        kind: str
        name: str
        settings: str
        secrets: tuple[str, ...]
        capacity_bytes: int

    class Edited(Event):
        """Its settings changed. ``secrets`` were set anew, ``dropped`` are set no more; the others stayed."""

        TOPIC: ClassVar[str] = "storage.edited"
        name: str
        settings: str
        secrets: tuple[str, ...]
        dropped: tuple[str, ...]
        capacity_bytes: int

        def apply(self, storage: Storage) -> None:
            storage.name, storage.settings, storage.capacity_bytes = self.name, self.settings, self.capacity_bytes
            storage.secrets = tuple(sorted({*storage.secrets, *self.secrets} - {*self.dropped}))
            storage.code = storage.reason = ""

    class Disabled(Event):
        """It gets no more copies for now."""

        TOPIC: ClassVar[str] = "storage.disabled"

        def apply(self, storage: Storage) -> None:
            storage.enabled = False

    class Enabled(Event):
        """It gets copies again, also of what it missed."""

        TOPIC: ClassVar[str] = "storage.enabled"

        def apply(self, storage: Storage) -> None:
            storage.enabled = True

    class Checked(Event):
        """Something was stored there, read back and removed; or that failed, with the code of the error."""

        TOPIC: ClassVar[str] = "storage.checked"
        ok: bool
        code: str
        reason: str

        def apply(self, storage: Storage) -> None:
            storage.code, storage.reason = self.code, self.reason

    class Removed(Event):
        """It is off the user's list. ``purge``: our copies are to be removed there, else they stay where they are.

        ``by``: who removed it, where it was not its owner.
        """

        TOPIC: ClassVar[str] = "storage.removed"
        purge: bool
        by: str = ""

        def apply(self, storage: Storage) -> None:
            storage.removed, storage.enabled, storage.purging = True, False, self.purge

    class Purged(Event):
        """No more copies are being removed there, and its secrets are gone. ``left``: copies that could not be."""

        TOPIC: ClassVar[str] = "storage.purged"
        left: int

        def apply(self, storage: Storage) -> None:
            storage.purging = False

    def __init__(
        self, owner: str, kind: str, name: str, settings: str, secrets: tuple[str, ...], capacity_bytes: int
    ) -> None:
        self.owner = owner
        self.kind = kind
        self.name = name
        self.settings = settings
        self.secrets = tuple(sorted(secrets))
        self.capacity_bytes = capacity_bytes
        self.enabled = True
        self.removed = False
        self.purging = False
        self.code = self.reason = ""

    @property
    def refusing(self) -> bool:
        """True while it is known to say no: asking again is of no use before a person did something."""
        return self.code == REFUSED

    def edit(
        self,
        name: str,
        settings: str,
        secrets: tuple[str, ...],
        dropped: tuple[str, ...],
        capacity_bytes: int,
        now: datetime,
    ) -> None:
        """Change what it is called, where it is, and what opens it.

        Raises:
            StorageNotFoundError: it was removed.
            InvalidRequestError: another address would get the secrets that were given for the old one.
        """
        self._exists()
        old, new = address_of(self.kind, orjson.loads(self.settings)), address_of(self.kind, orjson.loads(settings))
        kept = sorted({*self.secrets} - {*secrets} - {*dropped})
        if kept and old != new:
            raise InvalidRequestError(
                f"settings: {new!r} instead of {old!r} needs {', '.join(kept)} again: secrets are not sent to an"
                " address they were not given for",
                problems=[{"field": name, "value": "", "problem": "given again with a new address"} for name in kept],
            )
        dropped = tuple(each for each in dropped if each in self.secrets)
        same = (name, settings, capacity_bytes) == (self.name, self.settings, self.capacity_bytes)
        if not same or secrets or dropped:
            self.record(
                Storage.Edited,
                now,
                name=name,
                settings=settings,
                secrets=tuple(sorted(secrets)),
                dropped=tuple(sorted(dropped)),
                capacity_bytes=capacity_bytes,
            )

    def switch(self, enabled: bool, now: datetime) -> None:
        """Let it have copies, or no more for now.

        Raises:
            StorageNotFoundError: it was removed.
        """
        self._exists()
        if enabled != self.enabled:
            self.record(Storage.Enabled if enabled else Storage.Disabled, now)

    def check(self, code: str, reason: str, now: datetime) -> None:
        """Note how a test ended; an empty ``code``: well.

        Raises:
            StorageNotFoundError: it was removed.
        """
        self._exists()
        self.record(Storage.Checked, now, ok=not code, code=code, reason=reason)

    def remove(self, purge: bool, now: datetime, by: str = "") -> None:
        """Take it off the list.

        Raises:
            StorageNotFoundError: it was removed before.
        """
        self._exists()
        self.record(Storage.Removed, now, purge=purge, by=by)

    def end_purge(self, left: int, now: datetime) -> None:
        """Note that no more copies are removed there; a second time changes nothing."""
        if self.purging:
            self.record(Storage.Purged, now, left=left)

    def _exists(self) -> None:
        if self.removed:
            raise StorageNotFoundError(f"no storage provider {self.key}", storage=self.key)
