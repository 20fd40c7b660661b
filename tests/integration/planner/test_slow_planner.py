"""A planner that is slow with each of many things goes on for all that: it is not stuck, and hints need not wait."""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Mapping, Sequence
from contextlib import asynccontextmanager
from functools import partial
from typing import Any

import asyncpg
import pytest
from nats.js.errors import NotFoundError

from artdag_common.messaging import subjects
from artdag_common.messaging.bus import STREAMS, Bus
from artdag_common.pb.events_pb2 import StepCompleted, StoredEvent
from artdag_common.turning import Turns
from services.planner import following
from services.planner.following import Following
from tests.integration.events.appends import eventually

RUNS = 40
LIMIT_SECONDS = 10.0
"""After which a turn counts as stuck: a quarter of what all runs take."""


class SlowEngine:
    """In place of the engine: what it does for a run takes a second, by a clock of its own."""

    def __init__(self) -> None:
        self.now = 0.0
        self.asked: list[str] = []
        self.waits: dict[str, set[str]] = {}
        self.after: dict[int, Callable[[], Awaitable[object]]] = {}
        self.turning: Callable[[], bool] = lambda: True
        self.turned: list[bool] = []

    async def _take_a_second(self, run_id: str) -> None:
        self.asked.append(run_id)
        self.now += 1
        self.turned.append(self.turning())
        if meanwhile := self.after.get(len(self.asked)):
            await meanwhile()

    async def proceed(self, run_id: str, cause: str) -> None:
        await self._take_a_second(run_id)

    async def waiting(self, cache_ids: Sequence[str]) -> dict[str, set[str]]:
        return {cache_id: self.waits[cache_id] for cache_id in cache_ids if cache_id in self.waits}

    async def take(self, events: Sequence[Any], waiting: Mapping[str, Collection[str]], cause: str) -> None:
        ended = {event.originator_id.partition("-")[2] for event in events}
        for run_id in set().union(*(waiting.get(cache_id, ()) for cache_id in ended)):
            await self._take_a_second(run_id)

    async def take_kept(self, events: Sequence[Any], cause: str) -> None:
        self.asked += [event.originator_id for event in events]

    async def forget_settled(self) -> None:
        """Nothing is known."""


@pytest.fixture
async def events(bus: Bus) -> Bus:
    """The bus with an EVENTS stream."""
    await bus.js.add_stream(next(config for config in STREAMS if config.name == subjects.EVENTS))
    return bus


@pytest.fixture
def engine(monkeypatch: pytest.MonkeyPatch) -> SlowEngine:
    engine = SlowEngine()
    monkeypatch.setattr(following, "Turns", lambda: Turns(LIMIT_SECONDS, lambda: engine.now))
    monkeypatch.setattr(following, "RETRY_DELAY", 0.01)
    return engine


@asynccontextmanager
async def follows(bus: Bus, pool: asyncpg.Pool, engine: Any) -> AsyncIterator[Following]:
    it = Following(bus, pool, engine)
    engine.turning = lambda: it.turning
    await it.start()
    try:
        yield it
    finally:
        await it.stop()


async def request_runs(bus: Bus) -> list[str]:
    """Tell of new runs, and return which."""
    run_ids = [f"r{n}" for n in range(RUNS)]
    for run_id in run_ids:
        await bus.js.publish(subjects.event(f"run-{run_id}", "RunRequested"), b"")
    return run_ids


async def delivered(bus: Bus, count: int) -> None:
    """Wait until messages are here, dealt with or not."""

    async def all_are() -> bool:
        info = await bus.js.consumer_info(subjects.EVENTS, "planner")
        return info.delivered is not None and info.delivered.consumer_seq >= count

    await eventually(all_are, "they are delivered")
    await bus.nc.flush()


async def acknowledged(bus: Bus, count: int) -> None:
    async def floor() -> bool:
        try:
            info = await bus.js.consumer_info(subjects.EVENTS, "planner")
        except NotFoundError:  # it is not there yet
            return False
        return info.ack_floor is not None and info.ack_floor.stream_seq >= count

    await eventually(floor, f"{count} events are acknowledged")


async def test_many_new_runs_are_not_one_thing_that_takes_too_long(
    events: Bus, pool: asyncpg.Pool, engine: SlowEngine
) -> None:
    engine.after[1] = partial(delivered, events, RUNS)  # so that the others wait together
    run_ids = await request_runs(events)
    async with follows(events, pool, engine):
        await acknowledged(events, RUNS)
    assert engine.asked == run_ids
    assert all(engine.turned)


async def test_what_really_hangs_is_told_of(events: Bus, pool: asyncpg.Pool, engine: SlowEngine) -> None:
    async def hang() -> None:
        engine.now += 2 * LIMIT_SECONDS
        hung.append(engine.turning())

    hung: list[bool] = []
    engine.after[1] = hang
    await request_runs(events)
    async with follows(events, pool, engine) as it:
        await acknowledged(events, RUNS)
        assert it.turning, "it goes on"
    assert hung == [False]


async def test_a_hint_does_not_wait_until_all_new_runs_are_planned(
    events: Bus, pool: asyncpg.Pool, engine: SlowEngine
) -> None:
    async def hint() -> None:
        data = StepCompleted(at_us=1).SerializeToString()
        await events.hint_again([StoredEvent(stream="step-c", version=1, type="StepCompleted", data=data)])
        await eventually(heard, "the hint is here")

    async def heard() -> bool:
        return bool(it._hinted)

    engine.after = {1: partial(delivered, events, RUNS), RUNS // 2: hint}
    run_ids = await request_runs(events)
    async with follows(events, pool, engine) as it:
        await acknowledged(events, RUNS)
    assert engine.asked == [*run_ids[: RUNS // 2], "step-c", *run_ids[RUNS // 2 :]]


async def test_a_run_that_was_brought_twice_while_it_waited_is_begun_once(
    events: Bus, pool: asyncpg.Pool, engine: SlowEngine
) -> None:
    async def all_wait() -> bool:
        return len(it._requested) == RUNS - 1

    async def all_came_again() -> bool:
        return all(message.metadata.num_delivered == 2 for message in it._requested.values())

    async def bring_again() -> None:
        await eventually(all_wait, "the others are here")
        for message in [*it._requested.values()]:
            await message.nak()
        await eventually(all_came_again, "they are here again")

    engine.after[1] = bring_again
    run_ids = await request_runs(events)
    async with follows(events, pool, engine) as it:
        await acknowledged(events, RUNS)
    assert engine.asked == run_ids


async def complete_step(bus: Bus) -> None:
    """Tell, on the stream alone, of a step that ended."""
    headers = {"ce-subject": "step-c", "Es-Version": "1"}
    data = StepCompleted(at_us=1).SerializeToString()
    await bus.js.publish(subjects.event("step-c", "StepCompleted"), data, headers=headers)


async def test_many_runs_that_wait_for_one_step_are_not_one_thing_that_takes_too_long(
    events: Bus, pool: asyncpg.Pool, engine: SlowEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(following, "RUNS_AT_ONCE", 7)
    engine.waits["c"] = {f"r{n}" for n in range(RUNS)}
    await complete_step(events)
    async with follows(events, pool, engine):
        await acknowledged(events, 1)
    assert Counter(engine.asked) == dict.fromkeys(engine.waits["c"], 1)
    assert all(engine.turned)


async def test_a_step_comes_again_where_one_of_many_runs_could_not_take_it(
    events: Bus, pool: asyncpg.Pool, engine: SlowEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def break_down() -> None:
        raise KeyError("nobody thought of it")

    monkeypatch.setattr(following, "RUNS_AT_ONCE", 1)
    engine.waits["c"] = {f"r{n}" for n in range(RUNS)}
    engine.after[1] = break_down
    await complete_step(events)
    async with follows(events, pool, engine):
        await acknowledged(events, 1)
    assert Counter(engine.asked) == dict.fromkeys(engine.waits["c"], 2), "the others were tried all the same"
