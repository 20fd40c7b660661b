"""Load, decide, append: how a command reaches its aggregate and becomes events exactly once."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import TypeVar, cast
from uuid import UUID, uuid5

from artdag_common import tracing
from artdag_common.codec import decode_event, encode_event
from artdag_common.domain.aggregate import AGGREGATES, Aggregate, DomainEvent
from artdag_common.errors import VersionConflictError
from artdag_common.eventstore.port import Append, AppendResult, Call, EventStore, NewEvent, Recorded

EVENT_IDS = UUID("6f0c7d0e-5a0b-5d0b-9a59-61727464616e")
ATTEMPTS = 5

A = TypeVar("A", bound=Aggregate)


def event_id(cause: str, index: int) -> UUID:
    """Return the id of the ``index``-th event that message ``cause`` leads to: any retry makes the same one."""
    return uuid5(EVENT_IDS, f"{cause}/{index}")


def utc_now() -> datetime:
    """Return the present time, for those at the edge who have to know it."""
    return datetime.now(UTC)


def new_events(events: Sequence[DomainEvent], cause: str) -> list[NewEvent]:
    """Return events ready to be stored."""
    return [NewEvent(event_id(cause, i), e.type_name, encode_event(e)) for i, e in enumerate(events)]


def decode(recorded: Recorded) -> DomainEvent:
    """Return the domain event of a stored one."""
    return decode_event(recorded.type, recorded.stream, recorded.version, recorded.data)


def rebuild(history: Sequence[Recorded]) -> Aggregate | None:
    """Return the aggregate that these events made, or None of none."""
    state: Aggregate | None = None
    for recorded in history:
        state = cast(Aggregate, decode(recorded).mutate(state))
    return state


class Application:
    """Aggregates over an event store."""

    def __init__(self, store: EventStore, clock: Callable[[], datetime] = utc_now) -> None:
        self.store = store
        self.clock = clock

    async def find(self, cls: type[A], key: str) -> A | None:
        """Return the aggregate, or None if it has no events."""
        return cast("A | None", rebuild(await self.store.load(cls.stream(key))))

    async def append(
        self,
        aggregate: Aggregate,
        cause: str,
        consumer: str = "",
        outcome: bytes = b"",
        also: Call | None = None,
        inbox: bool = False,
    ) -> AppendResult:
        """Store what was decided on ``aggregate`` since it was loaded.

        Args:
            cause: id of the message handled.
            inbox: also note in the inbox of ``consumer`` that the message was handled, with its ``outcome``.
        """
        append = _append(aggregate, cause, consumer, outcome, also, inbox)
        with tracing.span("append", _told([append])) as span:
            result = await self.store.append(append)
            span.set(result=result)
            return result

    async def append_all(self, decided: Sequence[tuple[Aggregate, str]]) -> list[AppendResult]:
        """Store what was decided on many aggregates, each for its own cause, one by one but in common commits."""
        if not decided:
            return []
        appends = [_append(aggregate, cause) for aggregate, cause in decided]
        with tracing.span("append", _told(appends)):
            return await self.store.append_all(appends)

    async def save(self, aggregate: Aggregate, cause: str, also: Call | None = None) -> None:
        """Store what was decided.

        Raises:
            VersionConflictError: somebody else appended first; load again and decide again.
        """
        if not aggregate.pending_events:
            return
        if await self.append(aggregate, cause, also=also) == "conflict":
            raise VersionConflictError(f"{aggregate.id} changed meanwhile", stream=aggregate.id)


def _append(
    aggregate: Aggregate,
    cause: str,
    consumer: str = "",
    outcome: bytes = b"",
    also: Call | None = None,
    inbox: bool = False,
) -> Append:
    events = cast("Sequence[DomainEvent]", aggregate.collect_events())
    return Append(
        stream=aggregate.id,
        expected=aggregate.version - len(events),
        events=new_events(events, f"{cause}/{aggregate.id}"),
        cause=cause,
        consumer=consumer,
        msg_id=cause if inbox else "",
        outcome=outcome,
        also=also,
    )


def _told(appends: Sequence[Append]) -> Mapping[str, tracing.Value]:
    """Return what is said of an append where it is recorded: to how many streams, and the kinds of events."""
    if not tracing.recording():
        return tracing.NOTHING
    types = Counter(event.type for append in appends for event in append.events)
    told = ", ".join(f"{count} {name}" if count > 1 else name for name, count in types.items())
    return {"streams": len(appends), "events": told}


def aggregate_class(stream: str) -> type[Aggregate]:
    """Return the class of the aggregate that a stream holds."""
    return AGGREGATES[stream.partition("-")[0]]
