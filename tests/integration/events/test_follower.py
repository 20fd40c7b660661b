"""Following the event stream: in batches, acknowledged once handled, held up by nothing that cannot be helped."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import pytest

from artdag_common.domain.aggregate import DomainEvent
from artdag_common.errors import StorageFullError
from artdag_common.messaging import follower as follower_module
from artdag_common.messaging import subjects
from artdag_common.messaging.bus import STREAMS, Bus
from artdag_common.messaging.follower import Follower
from artdag_common.pb.events_pb2 import RunReleased
from tests.integration.events.appends import eventually
from tests.integration.events.servers import Server


class Handler:
    """Notes the streams whose events it took; raises what the test says first."""

    def __init__(self, *errors: Exception) -> None:
        self.errors = list(errors)
        self.taken: list[str] = []

    async def handle(self, events: Sequence[DomainEvent]) -> None:
        if self.errors:
            raise self.errors.pop(0)
        self.taken += [event.originator_id for event in events]

    async def took(self, *streams: str) -> None:
        async def all_there() -> bool:
            return set(streams) <= set(self.taken)

        await eventually(all_there, "the events")


@asynccontextmanager
async def following(bus: Bus, handler: Handler) -> AsyncIterator[None]:
    follower = Follower(bus, "test", ["evt.run.>"], handler.handle)
    await follower.start()
    try:
        yield
    finally:
        await follower.stop()


@pytest.fixture
async def events(bus: Bus, monkeypatch: pytest.MonkeyPatch) -> Bus:
    """The bus with an EVENTS stream."""
    monkeypatch.setattr(follower_module, "RETRY_DELAY", 0.01)
    await bus.js.add_stream(next(c for c in STREAMS if c.name == subjects.EVENTS))
    return bus


async def tell(bus: Bus, stream: str, type_name: str = "RunReleased") -> None:
    headers = {"ce-subject": stream, "Es-Version": "2"}
    data = RunReleased(at_us=1).SerializeToString()
    await bus.js.publish(subjects.event(stream, type_name), data, headers=headers)


async def acknowledged(bus: Bus, count: int) -> None:
    async def floor() -> bool:
        acknowledged = (await bus.js.consumer_info(subjects.EVENTS, "test")).ack_floor
        return acknowledged is not None and acknowledged.stream_seq >= count

    await eventually(floor, f"{count} events acknowledged")


async def test_events_are_handled_and_acknowledged(events: Bus) -> None:
    handler = Handler()
    async with following(events, handler):
        for i in range(5):
            await tell(events, f"run-{i}")
        await handler.took(*(f"run-{i}" for i in range(5)))
        await acknowledged(events, 5)


@pytest.mark.parametrize("error", [StorageFullError("full"), KeyError("a bug"), ConnectionResetError()])
async def test_a_handler_that_fails_is_asked_again(events: Bus, error: Exception) -> None:
    handler = Handler(error, error)
    async with following(events, handler):
        await tell(events, "run-a")
        await handler.took("run-a")
        await acknowledged(events, 1)


async def test_an_event_of_a_newer_version_holds_up_nothing(events: Bus) -> None:
    handler = Handler()
    async with following(events, handler):
        await tell(events, "run-a", "RunTeleported")
        await tell(events, "run-b")
        await handler.took("run-b")
    assert handler.taken == ["run-b"]


async def test_the_bus_away_while_events_are_handled(events: Bus, own_nats: Server) -> None:
    """The acknowledgement cannot be sent; the follower goes on when the bus is back."""
    restarts = own_nats.child.restarts
    handler = Handler()
    handle = handler.handle

    async def kill_meanwhile(batch: Sequence[DomainEvent]) -> None:
        if own_nats.child.restarts == restarts and batch:
            own_nats.kill()

            async def away() -> bool:
                return not events.nc.is_connected

            await eventually(away, "the bus away")
        await handle(batch)

    handler.handle = kill_meanwhile  # type: ignore[method-assign,assignment]
    async with following(events, handler):
        with contextlib.suppress(TimeoutError):  # the server is killed, maybe before it could say that it has it
            await tell(events, "run-a")
        await own_nats.back(restarts + 1)

        async def back() -> bool:
            return events.nc.is_connected

        await eventually(back, "the bus back")
        await tell(events, "run-b")
        await handler.took("run-a", "run-b")
