"""What every aggregate shares: its events, how they are stored under stable names, and how commands reach it.

The domain layer of the ``eventsourcing`` library carries it: an event is a frozen dataclass that knows how to
``apply`` itself to its aggregate, an aggregate is what its events made it. Nothing here reads a clock or makes an id:
both are arguments, so that a decision can be repeated.
"""

from __future__ import annotations

import contextlib
from datetime import datetime
from typing import Any, ClassVar, Self, TypeVar

from eventsourcing.domain import BaseAggregate, CanInitAggregate, CanMutateAggregate, MetaDomainEvent
from eventsourcing.utils import TopicError, register_topic

from artdag_common.errors import UnknownEventTypeError


class DomainEvent(CanMutateAggregate[str], metaclass=MetaDomainEvent):
    """A fact in the life of one aggregate.

    Attributes:
        originator_id: the stream, ``<kind>-<id>``.
        originator_version: 1 for the first event of a stream, then without gaps.
        timestamp: when it was decided, with time zone.
    """

    TOPIC: ClassVar[str] = "event"
    type_name: ClassVar[str] = "Event"
    originator_id: str
    originator_version: int
    timestamp: datetime


class Creation(DomainEvent, CanInitAggregate[str]):
    """A first event: it makes the aggregate."""

    TOPIC: ClassVar[str] = "creation"
    originator_topic: str


class Aggregate(BaseAggregate[str]):
    """The unit of consistency: one stream of events, appended with an expected version."""

    TOPIC: ClassVar[str] = ""

    class Event(DomainEvent):
        TOPIC: ClassVar[str] = "aggregate.event"

    @classmethod
    def stream(cls, key: str) -> str:
        """Return the name of the stream that holds the aggregate ``key``."""
        return f"{cls.TOPIC}-{key}"

    @classmethod
    def create(cls, created: type[Creation], key: str, now: datetime, **facts: Any) -> Self:
        """Make a new aggregate by its first event."""
        return cls._create(created, id=cls.stream(key), timestamp=now, **facts)

    @property
    def key(self) -> str:
        """The id without the kind: a run id, a cache id, a CID."""
        return self.id.partition("-")[2]

    def record(self, event: type[DomainEvent], now: datetime, **facts: Any) -> None:
        """Decide that ``event`` happened and apply it."""
        self.trigger_event(event, timestamp=now, **facts)


EVENTS: dict[str, type[DomainEvent]] = {}
"""Every event class by its stored name, for example ``RunRequested``."""

AGGREGATES: dict[str, type[Aggregate]] = {}
"""Every aggregate class by the kind that begins its streams, for example ``run``."""

A = TypeVar("A", bound=type[Aggregate])


def aggregate(cls: A) -> A:
    """Class decorator: make the aggregate and its events known by their stable names."""
    AGGREGATES[cls.TOPIC] = cls
    for value in vars(cls).values():
        if isinstance(value, type) and issubclass(value, DomainEvent) and value is not vars(cls).get("Event"):
            name = f"{cls.__name__}{value.__name__}"
            EVENTS[name] = value
            value.type_name = name
            with contextlib.suppress(TopicError):  # the decorator of a base already did
                register_topic(value.TOPIC, value)
    return cls


def event_class(type_name: str) -> type[DomainEvent]:
    """Return the class of a stored event type.

    Raises:
        UnknownEventTypeError: this version knows no such event.
    """
    try:
        return EVENTS[type_name]
    except KeyError:
        raise UnknownEventTypeError(f"unknown event type {type_name!r}", type=type_name) from None
