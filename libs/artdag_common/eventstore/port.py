"""What the application needs of an event store."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal, Protocol
from uuid import UUID

AppendResult = Literal["appended", "replayed", "duplicate", "conflict"]

WAITED_FOR = "gateway"
"""Consumer under which a gateway notes the id of a command whose sender it told to wait, before it does: whoever
refuses the command later has to tell where the sender will look."""


@dataclass(frozen=True, slots=True)
class NewEvent:
    """An event to be stored. ``data`` is the protobuf message of its type."""

    event_id: UUID
    type: str
    data: bytes


@dataclass(frozen=True, slots=True)
class Call:
    """A call of a service's own database function, which writes its tables together with an append.

    Attributes:
        function: its name, one of the schema's.
        args: its arguments, with the SQL type of each.
    """

    function: str
    args: tuple[tuple[Any, str], ...] = ()


@dataclass(frozen=True, slots=True)
class Append:
    """Events for one stream, to be stored if the stream is at ``expected``.

    Attributes:
        expected: version of the last event that the decision knew; 0 for a new stream.
        cause: id of the message that led to this.
        consumer, msg_id, outcome: row for the inbox; empty ``msg_id``: none.
        also: what is written in the same transaction, after the events.
    """

    stream: str
    expected: int
    events: Sequence[NewEvent]
    cause: str
    consumer: str = ""
    msg_id: str = ""
    outcome: bytes = b""
    also: Call | None = None


@dataclass(frozen=True, slots=True)
class Recorded:
    """A stored event. ``position`` is 0 until the relay has given it one."""

    stream: str
    version: int
    event_id: UUID
    type: str
    data: bytes
    position: int
    recorded_at: datetime


class EventStore(Protocol):
    """Append-only streams with optimistic concurrency."""

    async def append(self, append: Append) -> AppendResult:
        """Store the events, all or none. Durable when it returns; survives a lost connection by asking again."""

    async def append_all(self, appends: Sequence[Append]) -> list[AppendResult]:
        """Store the events of many streams, each append by itself, in as few commits as they fit in."""

    async def load(self, stream: str, upto: int | None = None) -> list[Recorded]:
        """Return a stream's events in order; ``upto``: only to this position."""

    async def latest(self, streams: Sequence[str]) -> dict[str, Recorded]:
        """Return the last event of each stream that has one."""

    def since(self, streams: Sequence[str], position: int) -> AsyncIterator[Recorded]:
        """Yield the events of these streams after ``position``, in the order of positions."""

    async def keep_outcome(self, consumer: str, msg_id: str, outcome: bytes) -> None:
        """Note what came of a message that led to no event; the first note stays."""

    async def outcome(self, consumer: str, msg_id: str) -> bytes | None:
        """Return what came of a message, or None if it was not handled yet."""
