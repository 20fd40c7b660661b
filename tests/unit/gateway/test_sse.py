"""The hub: nothing lost, nothing doubled, wherever a client joins."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Sequence
from datetime import UTC, datetime
from typing import Any

import pytest

from artdag_common.application import new_events
from artdag_common.domain.plan import PlannedStep
from artdag_common.domain.run import Run
from artdag_common.domain.step import Step
from artdag_common.eventstore.port import Recorded
from services.gateway import sse
from services.gateway.projections.fact import Fact, fact
from services.gateway.sse import PING, Channel, Hub, Subscriber

NOW = datetime(2026, 1, 7, tzinfo=UTC)


class Memory:
    """A store that holds a list; shows what was published so far, as Postgres does."""

    def __init__(self) -> None:
        self.events: list[Recorded] = []

    async def load(self, stream: str, upto: int | None = None) -> list[Recorded]:
        await asyncio.sleep(0)
        return [e for e in self.events if e.stream == stream and (upto is None or e.position <= upto)]

    async def since(self, streams: Sequence[str], position: int) -> AsyncIterator[Recorded]:
        for event in list(self.events):
            await asyncio.sleep(0)
            if event.stream in streams and event.position > position:
                yield event


def record(*aggregates: Any) -> list[Fact]:
    """Store what aggregates decided, in one order of all."""
    facts = []
    for aggregate in aggregates:
        first = aggregate.version - len(aggregate.pending_events)
        for index, new in enumerate(new_events(aggregate.collect_events(), aggregate.id), 1):
            position = len(facts) + 1
            recorded = Recorded(aggregate.id, first + index, new.event_id, new.type, new.data, position, NOW)
            facts.append(fact(recorded))
    return facts


def story(count: int) -> list[Fact]:
    """A run of ``count`` steps; the first step's history began before the run, and other things happen meanwhile."""
    steps = [PlannedStep(f"n{i}", "NOOP", f"c{i}", "{}", (i - 1,) if i else (), f"l{i}", i) for i in range(count)]
    run = Run.create(
        Run.Requested, "r", NOW, recipe_cid="b", recipe_name="n", owner="o", inputs=(), output_name="", hold=False
    )
    told: list[Fact] = []

    def tell(*aggregates: Any) -> None:
        for each in record(*aggregates):
            recorded = each.recorded
            moved = Recorded(
                recorded.stream,
                recorded.version,
                recorded.event_id,
                recorded.type,
                recorded.data,
                len(told) + 1,
                NOW,
            )
            told.append(fact(moved))

    early = Step.begin("c0", "x", "NOOP", "l", NOW)
    tell(early)
    tell(run)
    run.plan_steps(steps, NOW)
    run.complete_plan("p", "p", count - 1, NOW)
    run.schedule(NOW, {})
    tell(run)
    for i in range(count):
        step = early if i == 0 else Step.begin(f"c{i}", "x", "NOOP", "l", NOW)
        other = Step.begin(f"other{i}", "x", "NOOP", "l", NOW)
        step.complete("out", 1, "", 1, NOW)
        tell(step, other)
        run.take({f"c{i}": "out"}, NOW, {})
        tell(run)
    run.complete("prov", NOW)
    tell(run)
    late = Step.begin("c0", "x", "NOOP", "l", NOW)
    tell(late)
    return told


def belongs(facts: Sequence[Fact]) -> list[int]:
    """Positions that the run's stream has to hold."""
    planned = next(f.position for f in facts if isinstance(f.event, Run.StepsPlanned))
    ended = next(f.position for f in facts if isinstance(f.event, Run.Completed))
    return [
        f.position
        for f in facts
        if f.position <= ended and (f.stream == "run-r" or (f.stream.startswith("step-c") and f.position > planned))
    ]


def positions(chunks: bytes) -> list[int]:
    """Read the ids of frames."""
    return [int(line[4:]) for line in chunks.split(b"\n") if line.startswith(b"id: ")]


async def listen(hub: Hub, after: int) -> list[int]:
    """Follow the run to its end."""
    seen: list[int] = []
    async for chunk in hub.follow("r", after):
        seen += positions(chunk)
    return seen


@pytest.mark.parametrize("imported_from", ["", "manifest"])
def test_what_happens_here_to_the_steps_of_an_imported_run_is_not_its(imported_from):
    """Whoever wrote its file chose their cache ids."""
    run = Run.create(
        Run.Requested,
        "r",
        NOW,
        recipe_cid="b",
        recipe_name="n",
        owner="o",
        inputs=(),
        output_name="",
        hold=False,
        imported_from=imported_from,
    )
    run.plan_steps([PlannedStep("n", "NOOP", "c", "{}", (), "l", 0, "out")], NOW)
    channel = Channel("r")
    assert [channel.accepts(each) for each in record(run)] == [True, True]
    meanwhile = record(Step.begin("c", "x", "NOOP", "l", NOW))
    assert [channel.accepts(each) for each in meanwhile] == [not imported_from]


@pytest.mark.parametrize("seed", range(12))
@pytest.mark.parametrize("ring", [5, 5000])
async def test_clients_that_join_anywhere_see_every_event_once(monkeypatch, seed, ring):
    monkeypatch.setattr(sse, "RING", ring)
    chance = random.Random(seed)
    facts = story(8)
    store = Memory()
    hub = Hub(store)  # type: ignore[arg-type]
    waiting: list[tuple[int, asyncio.Task[list[int]]]] = []
    place = 0
    while place < len(facts):
        size = chance.randint(1, 6)
        batch = facts[place : place + size]
        place += size
        store.events += [each.recorded for each in batch]
        await hub.publish(batch)
        if place > 2 and chance.random() < 0.6:
            after = chance.choice([0, chance.randint(0, place)])
            waiting.append((after, asyncio.create_task(listen(hub, after))))
        for _ in range(chance.randint(0, 4)):
            await asyncio.sleep(0)
    waiting.append((0, asyncio.create_task(listen(hub, 0))))
    expected = belongs(facts)
    for after, task in waiting:
        assert await task == [position for position in expected if position > after]
    assert not hub._channels
    assert not hub._needs


async def test_a_slow_client_is_cut_and_the_others_are_not(monkeypatch):
    facts = story(500)
    store = Memory()
    hub = Hub(store)  # type: ignore[arg-type]
    slow = hub.follow("r", 0)
    store.events += [each.recorded for each in facts[:2]]
    await hub.publish(facts[:2])
    assert (await anext(slow)).startswith(b":")
    quick = asyncio.create_task(listen(hub, 0))
    for place in range(2, len(facts), 100):
        batch = facts[place : place + 100]
        store.events += [each.recorded for each in batch]
        await hub.publish(batch)
        await asyncio.sleep(0.001)
    assert await quick == belongs(facts)
    got = positions(b"".join([chunk async for chunk in slow]))
    assert got == belongs(facts)[: len(got)]  # what it got is whole; it resumes from there
    assert len(got) < len(belongs(facts))


async def test_closing_ends_every_stream():
    store = Memory()
    hub = Hub(store)  # type: ignore[arg-type]
    facts = story(3)[:4]
    store.events += [each.recorded for each in facts]
    await hub.publish(facts)
    stream = hub.follow("r", 0)
    await anext(stream)
    await hub.close()
    assert positions(b"".join([chunk async for chunk in stream])) == [2, 3, 4]


async def test_a_quiet_stream_is_kept_open_by_pings():
    subscriber = Subscriber()
    assert await subscriber.next(0.001) == PING
    subscriber.push([b"a", b"b"])
    assert await subscriber.next(10) == b"ab"
    subscriber.close()
    assert await subscriber.next(10) == b""
