"""The executor when it dies, is taken for dead, or hears of a step twice: each step's result is recorded once."""

from __future__ import annotations

import asyncio
import contextlib
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from artdag_common.application import Application
from artdag_common.blobs.layered import LayeredBlobStore
from artdag_common.blobs.local import LocalBlobStore
from artdag_common.codec import encode_command
from artdag_common.commands import ExecuteStep, ExecuteSteps
from artdag_common.domain.failure import LOST, POLICIES
from artdag_common.domain.step import Step
from artdag_common.errors import MediaWorkerLostError
from artdag_common.eventstore.postgres import PostgresEventStore
from artdag_common.messaging.bus import Bus
from artdag_common.pb.events_pb2 import StoredEvent
from services.executor.failing import Broken
from services.executor.handlers import StepHandler
from services.executor.worker import Finished, WorkOrder

CACHE_ID = "ab" * 32
CONFIG = '{"duration":1.0}'
ATTEMPTS = POLICIES[LOST].attempts


class Delivery:
    """A message from the work queue, and what became of it."""

    subject = f"work.cpu.{CACHE_ID}"

    def __init__(self, *steps: ExecuteStep) -> None:
        self.data = encode_command(ExecuteSteps(steps))
        self.said: list[str] = []

    async def ack(self) -> None:
        self.said.append("ack")

    async def nak(self, delay: float) -> None:
        self.said.append("nak")

    async def in_progress(self) -> None:
        self.said.append("alive")


class Renderer:
    """In place of the media pool: renders when it is told to, or dies."""

    def __init__(self, result: Callable[[WorkOrder], Finished | Broken]) -> None:
        self.began = asyncio.Event()
        self.go_on = asyncio.Event()
        self.result = result
        self.runs = 0

    async def run(self, order: WorkOrder, on_progress: Any, hear: Any) -> Finished | Broken:
        self.runs += 1
        self.began.set()
        await self.go_on.wait()
        return self.result(order)


def writes(data: bytes) -> Callable[[WorkOrder], Finished]:
    def write(order: WorkOrder) -> Finished:
        path = Path(order.folder) / "output.bin"
        path.write_bytes(data)
        return Finished(str(path), "application/octet-stream")

    return write


def dies(order: WorkOrder) -> Finished:
    raise MediaWorkerLostError("the process of the step died with exit code -9")


class Hints:
    """In place of the bus: what was told again."""

    def __init__(self) -> None:
        self.again: list[StoredEvent] = []

    async def hint_again(self, events: list[StoredEvent]) -> None:
        self.again += events

    async def say(self, cache_id: str, attempt: int, offset: int, text: str, ended: bool) -> None:
        """Nobody reads the log."""


class Undivided:
    """In place of the division of long films: there is none."""

    async def pays(self, command: ExecuteStep, work_class: str) -> bool:
        return False


class Unwatched:
    """In place of presence: no planner wants to know."""

    def holding(self, message: Any) -> contextlib.AbstractContextManager[None]:
        return contextlib.nullcontext()


class World:
    """Executors that share an event store and a cache folder."""

    def __init__(self, pool: asyncpg.Pool, folder: Path) -> None:
        self.pool = pool
        self.blobs = LocalBlobStore(folder)
        self.store = PostgresEventStore(pool)
        self.hints = Hints()
        self.names = iter("ABCDEFGH")

    def executor(self, renderer: Renderer, heartbeat: float = 3600.0) -> StepHandler:
        app = Application(PostgresEventStore(self.pool))
        name = next(self.names)
        return StepHandler(
            name,
            self.hints,  # type: ignore[arg-type]
            app,
            LayeredBlobStore(self.blobs),
            renderer,  # type: ignore[arg-type]
            Undivided(),  # type: ignore[arg-type]
            heartbeat,
            Unwatched(),  # type: ignore[arg-type]
        )

    async def command(self, version: int = 0) -> ExecuteStep:
        source = await self.blobs.put(b"source")
        return ExecuteStep(CACHE_ID, "SEGMENT", CONFIG, "g.cut.segment", (source.cid,), version)

    async def deliver(self, executor: StepHandler, *steps: ExecuteStep) -> list[str]:
        delivery = Delivery(*steps)
        await executor.execute(delivery)  # type: ignore[arg-type]
        return delivery.said

    async def types(self) -> list[str]:
        return [e.type for e in await self.store.load(f"step-{CACHE_ID}")]


@pytest.fixture
def world(pool: asyncpg.Pool, tmp_path: Path) -> World:
    return World(pool, tmp_path / "cache")


def ready(result: Callable[[WorkOrder], Finished | Broken]) -> Renderer:
    renderer = Renderer(result)
    renderer.go_on.set()
    return renderer


async def test_a_step_from_beginning_to_end(world: World) -> None:
    assert await world.deliver(world.executor(ready(writes(b"out"))), await world.command()) == ["ack"]
    assert await world.types() == ["StepStarted", "StepCompleted"]
    step = await Application(world.store).find(Step, CACHE_ID)
    assert step
    assert await world.blobs.read(step.output_cid) == b"out", "the bytes were stored before the event that names them"


async def test_an_executor_that_died_between_commit_and_acknowledgement(world: World) -> None:
    """The message comes again, to any executor: nothing is rendered, whoever waits is told again."""
    renderer = ready(writes(b"out"))
    await world.deliver(world.executor(renderer), await world.command())
    assert await world.deliver(world.executor(renderer), await world.command()) == ["ack"]
    assert renderer.runs == 1
    assert await world.types() == ["StepStarted", "StepCompleted"]
    assert [(e.stream, e.version, e.type) for e in world.hints.again] == [(f"step-{CACHE_ID}", 2, "StepCompleted")]


async def test_a_zombie_cannot_complete_what_another_took_over(world: World) -> None:
    """Paused in the middle of a render, it wakes up after the next attempt began, or even ended."""
    paused, taking = Renderer(writes(b"zombie")), Renderer(writes(b"out"))
    zombie = asyncio.create_task(world.deliver(world.executor(paused), await world.command()))
    await paused.began.wait()
    successor = asyncio.create_task(world.deliver(world.executor(taking), await world.command()))
    await taking.began.wait()
    paused.go_on.set()
    assert await zombie == [], "not acknowledged: the message is the successor's"
    taking.go_on.set()
    assert await successor == ["ack"]
    history = await world.store.load(f"step-{CACHE_ID}")
    assert Counter(e.type for e in history) == Counter(StepStarted=2, StepCompleted=1)
    step = await Application(world.store).find(Step, CACHE_ID)
    assert step
    assert step.attempt == 2
    assert await world.blobs.read(step.output_cid) == b"out"


async def test_an_executor_that_died_between_file_and_append(world: World) -> None:
    """The next attempt finds the file in its place, and the event names it."""
    orphan = await world.blobs.put(b"out")
    await world.deliver(world.executor(ready(writes(b"out"))), await world.command())
    step = await Application(world.store).find(Step, CACHE_ID)
    assert step
    assert step.output_cid == orphan.cid


async def test_an_output_that_is_gone_is_computed_again(world: World) -> None:
    renderer = ready(writes(b"out"))
    await world.deliver(world.executor(renderer), await world.command())
    (await world.blobs.path((await world.blobs.put(b"out")).cid)).unlink()
    assert await world.deliver(world.executor(renderer), await world.command(version=2)) == ["ack"]
    assert await world.types() == ["StepStarted", "StepCompleted", "StepStarted", "StepCompleted"]


async def test_one_message_twice_at_one_executor_is_one_render(world: World) -> None:
    renderer = Renderer(writes(b"out"))
    executor = world.executor(renderer)
    command = await world.command()
    twice = [asyncio.create_task(world.deliver(executor, command)) for _ in range(2)]
    await renderer.began.wait()
    renderer.go_on.set()
    assert await asyncio.gather(*twice) == [["ack"], ["ack"]]
    assert renderer.runs == 1


async def test_a_worker_process_that_dies_costs_an_attempt_then_the_step(world: World) -> None:
    """A segmentation fault or the out-of-memory killer may be chance, but not for ever."""
    renderer = ready(dies)
    said = [await world.deliver(world.executor(renderer), await world.command()) for _ in range(ATTEMPTS)]
    assert said == [["nak"]] * (ATTEMPTS - 1) + [["ack"]]
    assert await world.types() == ["StepStarted", "StepAttemptFailed"] * (ATTEMPTS - 1) + ["StepStarted", "StepFailed"]


async def test_a_step_that_cannot_succeed_fails_at_once(world: World) -> None:
    renderer = ready(lambda order: Broken("step-input", "unreadable"))
    assert await world.deliver(world.executor(renderer), await world.command()) == ["ack"]
    assert await world.types() == ["StepStarted", "StepFailed"]


async def test_a_running_step_gives_signs_of_life(world: World) -> None:
    renderer = Renderer(writes(b"out"))
    delivery = Delivery(await world.command())
    task = asyncio.create_task(world.executor(renderer, 0.001).execute(delivery))  # type: ignore[arg-type]
    await renderer.began.wait()
    while delivery.said.count("alive") < 3:
        await asyncio.sleep(0.001)
    renderer.go_on.set()
    await task
    assert delivery.said[-1] == "ack"


def test_hints_fit_the_bus() -> None:
    """The stand-in has the method that the handler calls."""
    assert callable(Bus.hint_again)


def a_pass(cache_id: str, cid: str, version: int = 0) -> ExecuteStep:
    return ExecuteStep(cache_id, "NOOP", "{}", f"g.{cache_id}.noop", (cid,), version)


async def test_steps_that_travel_together_end_each_by_itself(world: World) -> None:
    source = (await world.blobs.put(b"source")).cid
    ids = [f"{n:064x}" for n in range(20)]
    executor = world.executor(ready(writes(b"out")))
    assert await world.deliver(executor, *(a_pass(i, source) for i in ids)) == ["ack"]
    for cache_id in ids:
        assert [e.type for e in await world.store.load(f"step-{cache_id}")] == ["StepStarted", "StepCompleted"]


async def test_steps_that_travel_together_again_are_not_done_again(world: World) -> None:
    """The message comes twice, or some of its steps were done by another: those are told again, the others done."""
    source = (await world.blobs.put(b"source")).cid
    first, second = [f"{n:064x}" for n in range(4)], [f"{n:064x}" for n in range(2, 6)]
    executor = world.executor(ready(writes(b"out")))
    assert await world.deliver(executor, *(a_pass(i, source) for i in first)) == ["ack"]
    assert await world.deliver(executor, *(a_pass(i, source) for i in second)) == ["ack"]
    for cache_id in {*first, *second}:
        assert [e.type for e in await world.store.load(f"step-{cache_id}")] == ["StepStarted", "StepCompleted"]
    assert {e.stream for e in world.hints.again} == {f"step-{i}" for i in first[2:]}


async def test_one_bad_step_holds_up_no_other(world: World) -> None:
    source = (await world.blobs.put(b"source")).cid
    absent = (await world.blobs.put(b"absent")).cid
    (await world.blobs.path(absent)).unlink()
    good, bad = f"{1:064x}", f"{2:064x}"
    executor = world.executor(ready(writes(b"out")))
    assert await world.deliver(executor, a_pass(bad, absent), a_pass(good, source)) == ["ack"]
    assert [e.type for e in await world.store.load(f"step-{good}")] == ["StepStarted", "StepCompleted"]
    assert [e.type for e in await world.store.load(f"step-{bad}")] == ["StepStarted", "StepFailed"]


async def test_a_message_is_kept_until_the_last_of_its_steps_has_ended(world: World) -> None:
    source = (await world.blobs.put(b"source")).cid
    executor = world.executor(ready(dies))
    said = await world.deliver(executor, a_pass(f"{1:064x}", source), await world.command())
    assert said == ["nak"]
    assert await world.types() == ["StepStarted", "StepAttemptFailed"]
    assert [e.type for e in await world.store.load(f"step-{1:064x}")] == ["StepStarted", "StepCompleted"]


class Stop:
    """Nobody waits for the step any more."""

    subject = f"stop.step.{CACHE_ID}"


async def test_a_step_that_nobody_waits_for_is_broken_off(world: World) -> None:
    renderer = Renderer(writes(b"out"))
    executor = world.executor(renderer)
    delivery = asyncio.create_task(world.deliver(executor, await world.command()))
    await renderer.began.wait()
    await executor.stop(Stop())  # type: ignore[arg-type]
    await executor.stop(Stop())  # type: ignore[arg-type]
    assert await delivery == ["ack"]
    assert await world.types() == ["StepStarted", "StepCancelled"]


async def test_a_step_that_was_broken_off_is_done_for_whoever_asks_again(world: World) -> None:
    first, second = Renderer(writes(b"out")), ready(writes(b"out"))
    executor = world.executor(first)
    delivery = asyncio.create_task(world.deliver(executor, await world.command()))
    await first.began.wait()
    await executor.stop(Stop())  # type: ignore[arg-type]
    await delivery
    assert await world.deliver(world.executor(second), await world.command(version=2)) == ["ack"]
    assert await world.types() == ["StepStarted", "StepCancelled", "StepStarted", "StepCompleted"]


async def test_stopping_what_does_not_run_does_nothing(world: World) -> None:
    executor = world.executor(ready(writes(b"out")))
    await executor.stop(Stop())  # type: ignore[arg-type]
    assert await world.deliver(executor, await world.command()) == ["ack"]
    assert await world.types() == ["StepStarted", "StepCompleted"]
