"""What the application needs of an event store."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal, Protocol
from uuid import UUID

AppendResult = Literal["appended", "replayed", "duplicate", "conflict"]


@dataclass(frozen=True, slots=True)
class NewEvent:
    """An event to be stored. ``data`` is the protobuf message of its type."""

    event_id: UUID
    type: str
    data: bytes


@dataclass(frozen=True, slots=True)
class Statement:
    """A write to a table of the service itself that commits together with an append."""

    sql: str
    args: tuple[Any, ...]


@dataclass(frozen=True, slots=True)
class Append:
    """Events for one stream, to be stored if the stream is at ``expected``.

    Attributes:
        expected: version of the last event that the decision knew; 0 for a new stream.
        cause: id of the message that led to this.
        consumer, msg_id, outcome: row for the inbox; empty ``msg_id``: none.
        also: statements of the same transaction.
    """

    stream: str
    expected: int
    events: Sequence[NewEvent]
    cause: str
    consumer: str = ""
    msg_id: str = ""
    outcome: bytes = b""
    also: tuple[Statement, ...] = ()


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
