"""Appends and what is asked of their result, for tests of the event path."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any

import asyncpg
from nats.aio.msg import Msg
from nats.js.api import AckPolicy, ConsumerConfig, DeliverPolicy

from artdag_common.application import decode, event_id
from artdag_common.domain.run import Run
from artdag_common.errors import VersionConflictError
from artdag_common.eventstore.port import Append, EventStore, NewEvent, Recorded
from artdag_common.messaging import subjects
from artdag_common.messaging.bus import Bus
from artdag_common.messaging.relay import Relay

PATIENCE = 150.0
"""Seconds after which a test gives up: a limit, not an expectation."""


def an_append(stream: str, expected: int, cause: str, count: int = 1, **more: Any) -> Append:
    """Return an append of ``count`` events whose data tells stream and version."""
    events = [
        NewEvent(event_id(f"{cause}/{stream}", i), "RunReleased", f"{stream}@{expected + i + 1}".encode())
        for i in range(count)
    ]
    return Append(stream, expected, events, cause, **more)


async def write(store: EventStore, stream: str, count: int, start: int = 0) -> None:
    """Append ``count`` events one by one."""
    for version in range(start, start + count):
        result = await store.append(an_append(stream, version, f"w{version}"))
        if result not in ("appended", "replayed"):
            raise VersionConflictError(f"{stream} {version}: {result}")


async def eventually(true: Callable[[], Awaitable[Any]], what: str) -> Any:
    """Wait until ``true`` gives a true value, and return it."""
    async with asyncio.timeout(PATIENCE):
        while not (value := await true()):
            await asyncio.sleep(0.01)
    assert value, what
    return value


async def log_of(pool: asyncpg.Pool) -> list[tuple[int, str, int]]:
    """Return ``(position, stream, version)`` of every positioned event, in order."""
    return [tuple(row) for row in await pool.fetch("SELECT position, stream, version FROM es_log ORDER BY position")]


async def sequenced(pool: asyncpg.Pool, count: int) -> None:
    """Wait until ``count`` events have a position."""

    async def done() -> bool:
        return bool(await pool.fetchval("SELECT count(*) FROM es_log") >= count)

    await eventually(done, f"{count} events sequenced")


async def published(bus: Bus, count: int) -> list[tuple[int, str, int, bytes]]:
    """Wait for ``count`` messages of EVENTS; return ``(sequence, stream, version, data)`` of all that are there."""

    async def last() -> bool:
        try:
            return (await bus.js.stream_info(subjects.EVENTS)).state.last_seq >= count
        except Exception:  # the server or the stream is away
            return False

    await eventually(last, f"{count} events published")
    config = ConsumerConfig(ack_policy=AckPolicy.NONE, deliver_policy=DeliverPolicy.ALL)
    subscription = await bus.js.subscribe("evt.>", stream=subjects.EVENTS, config=config, ordered_consumer=False)
    found: list[Msg] = []
    total = (await bus.js.stream_info(subjects.EVENTS)).state.last_seq
    while len(found) < total:
        found.append(await subscription.next_msg(timeout=PATIENCE))
    await subscription.unsubscribe()
    return [
        (m.metadata.sequence.stream, (m.headers or {})["ce-subject"], int((m.headers or {})["Es-Version"]), m.data)
        for m in found
    ]


def assert_orderly(log: list[tuple[int, str, int]], streams: dict[str, int]) -> None:
    """Positions 1, 2, 3 …; each stream's versions 1, 2, 3 … in that order; nothing lost, nothing twice."""
    assert [position for position, _, _ in log] == list(range(1, len(log) + 1))
    versions: dict[str, list[int]] = {}
    for _, stream, version in log:
        versions.setdefault(stream, []).append(version)
    assert versions == {stream: list(range(1, count + 1)) for stream, count in streams.items()}


@asynccontextmanager
async def relaying(database_url: str, bus: Bus) -> AsyncIterator[Relay]:
    """Run a relay."""
    relay = Relay(database_url, bus)
    await relay.start()
    try:
        yield relay
    finally:
        await relay.stop()


def names(history: Sequence[Recorded]) -> list[str]:
    """Return the types of events in order; one that schedules or satisfies steps stands there once for each step."""
    found = []
    for recorded in history:
        event = decode(recorded)
        steps = event.steps if isinstance(event, Run.StepsScheduled | Run.StepsSatisfied) else (None,)
        found += [recorded.type] * len(steps)
    return found
