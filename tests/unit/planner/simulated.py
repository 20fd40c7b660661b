"""A world for the real engine: its ports answered from memory, and executors, bus and clock played by a test.

The store answers as ``es_append`` and ``planner_change`` of the schema do. What the engine asks of its two tables is
answered by name of the table.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

from artdag_common.application import Application, decode, rebuild
from artdag_common.blobs.port import Blob
from artdag_common.cid import cid_of
from artdag_common.commands import ExecuteStep, ExecuteSteps
from artdag_common.domain.provenance import Infrastructure
from artdag_common.domain.run import Run
from artdag_common.domain.step import Step
from artdag_common.errors import ContentNotFoundError
from artdag_common.eventstore.port import Append, AppendResult, Call, Recorded
from artdag_common.testing.scenario import NOW
from services.planner.dispatcher import Dispatcher
from services.planner.engine import Ended, Engine
from services.planner.handlers import Commands

WINDOW, OF_A_RUN = 3, 4
"""Steps that a planner has on the queue at once, and those of one run that are scheduled: few, so that some wait."""


class Memory:
    """An event store and the planner's tables, which change with each append in one go."""

    def __init__(self) -> None:
        self.streams: dict[str, list[Recorded]] = {}
        self.waits: set[tuple[str, str]] = set()  # run, cache id
        self.active: dict[str, bool] = {}  # run → whether it is paused
        self._inbox: dict[tuple[str, str], bytes] = {}
        self._ids: set[UUID] = set()
        self._positions = 0

    async def append(self, append: Append) -> AppendResult:
        await asyncio.sleep(0)  # others decide meanwhile
        if append.msg_id and (append.consumer, append.msg_id) in self._inbox:
            return "duplicate"
        stream = self.streams.get(append.stream, [])
        ids = {event.event_id for event in append.events}
        if len(stream) != append.expected:
            there = stream[append.expected : append.expected + 1]
            return "replayed" if there and there[0].event_id in ids else "conflict"
        if ids & self._ids:
            return "duplicate"
        for version, event in enumerate(append.events, append.expected + 1):
            self._positions += 1
            recorded = (append.stream, version, event.event_id, event.type, event.data, self._positions, NOW)
            self.streams.setdefault(append.stream, []).append(Recorded(*recorded))
        self._ids |= ids
        if append.msg_id:
            self._inbox[append.consumer, append.msg_id] = append.outcome
        if append.also and append.also.function == "planner_change":
            self._change(append.also)
        return "appended"

    def _change(self, call: Call) -> None:
        values = [value for value, _ in call.args]
        run_id, begins, waits, got, finished = values[:5]
        (paused,) = values[16:17]
        if begins:
            self.active[run_id] = False
        self.waits |= {(run_id, cache_id) for cache_id in waits}
        if finished:
            self.waits = {each for each in self.waits if each[0] != run_id}
            self.active.pop(run_id, None)
        else:
            self.waits -= {(run_id, cache_id) for cache_id in got}
        if paused is not None and run_id in self.active:
            self.active[run_id] = paused

    async def append_all(self, appends: Sequence[Append]) -> list[AppendResult]:
        return [await self.append(append) for append in appends]

    async def load(self, stream: str, upto: int | None = None) -> list[Recorded]:
        await asyncio.sleep(0)
        return list(self.streams.get(stream, ()))

    async def latest(self, streams: Sequence[str]) -> dict[str, Recorded]:
        await asyncio.sleep(0)
        return {stream: self.streams[stream][-1] for stream in streams if stream in self.streams}

    async def since(self, streams: Sequence[str], position: int) -> AsyncIterator[Recorded]:
        for recorded in sorted((r for s in streams for r in self.streams.get(s, ())), key=lambda r: r.position):
            if recorded.position > position:
                yield recorded

    async def keep_outcome(self, consumer: str, msg_id: str, outcome: bytes) -> None:
        self._inbox.setdefault((consumer, msg_id), outcome)

    async def outcome(self, consumer: str, msg_id: str) -> bytes | None:
        return self._inbox.get((consumer, msg_id))

    async def fetch(self, sql: str, *arguments: Any) -> list[dict[str, str]]:
        """Answer the engine's questions to its tables."""
        await asyncio.sleep(0)
        if "FROM planner_waits WHERE cache_id = ANY" in sql:
            return [{"run_id": r, "cache_id": c} for r, c in sorted(self.waits) if c in arguments[0]]
        if "FROM planner_active WHERE paused" in sql:
            return [{"run_id": run_id} for run_id, paused in self.active.items() if paused]
        if "FROM content_holds" in sql:
            return []
        raise NotImplementedError(sql)


class Shelf:
    """Bytes by CID, in memory: as much of a content store as planning asks for."""

    def __init__(self) -> None:
        self._kept: dict[str, bytes] = {}

    async def put(self, data: bytes, shelf: str = "") -> Blob:
        cid = cid_of(data)
        self._kept[cid] = data
        return Blob(cid, len(data))

    async def present(self, cids: Iterable[str]) -> set[str]:
        return {cid for cid in cids if cid in self._kept}

    async def stamps(self, cids: Iterable[str]) -> dict[str, int]:
        return {cid: 1 for cid in cids if cid in self._kept}

    async def read(self, cid: str) -> bytes:
        if cid not in self._kept:
            raise ContentNotFoundError(f"{cid} is not stored here")
        return self._kept[cid]

    async def path(self, cid: str) -> Path:
        raise ContentNotFoundError(f"{cid} is in no file")


class Nobody:
    """People without names."""

    async def handle(self, user_id: str) -> str:
        return f"@{user_id}@localhost"


@dataclass
class Planner:
    """A planner process."""

    engine: Engine
    commands: Commands
    number: int
    turns: int = 0
    heard: list[Ended] = field(default_factory=list)

    def cause(self, what: str) -> str:
        """Return an id for what the planner does by itself, as :class:`Following` makes it."""
        self.turns += 1
        return f"{what}/{self.number}/{self.turns}"


class World:
    """Planners on one store; a work queue; executors; a clock that the test moves."""

    def __init__(self, planners: int) -> None:
        self.store = Memory()
        self.blobs = Shelf()
        self.now = NOW
        self.queue: dict[str, ExecuteStep] = {}  # one message a step, as the stream WORK has it
        self.running: dict[str, tuple[ExecuteStep, Step]] = {}
        self.told: list[Ended] = []  # what the stream of events is to bring
        self.wrong: list[str] = []
        self._started = 0
        self.planners = [self._planner() for _ in range(planners)]

    def _clock(self) -> datetime:
        return self.now

    def app(self) -> Application:
        return Application(self.store, self._clock)

    def _planner(self) -> Planner:
        tables: Any = self.store
        blobs: Any = self.blobs
        people: Any = Nobody()
        self._started += 1
        app = self.app()
        queue = Dispatcher(self._send, lambda *_: WINDOW, lambda: (self.now - NOW).total_seconds())
        place = Infrastructure("software", "hardware", "host")
        engine = Engine(app, tables, blobs, queue, place, "", people, self._withdraw, of_a_run=lambda: OF_A_RUN)
        return Planner(engine, Commands(app, engine, blobs), self._started)

    def restart(self, number: int) -> None:
        """Let a planner die, with all that it knew, and another begin in its place."""
        self.planners[number] = self._planner()

    async def _send(self, _: str, work: ExecuteSteps) -> None:
        for step in work.steps:
            if not all(step.inputs) or len(await self.blobs.present(step.inputs)) < len(set(step.inputs)):
                self.wrong.append(f"{step.label} was sent before its inputs were there: {step.inputs}")
            self.queue.setdefault(step.cache_id, step)

    async def _withdraw(self, _: str, cache_id: str) -> None:
        self.queue.pop(cache_id, None)
        if running := self.running.pop(cache_id, None):
            running[1].cancel(self.now)
            if await self._append(running[1], "broken off"):
                for planner in self.planners:
                    await planner.engine.repeat(cache_id)

    # --- executors ---

    async def begin(self, cache_id: str) -> None:
        """Take a step from the queue: begin an attempt, or tell again what came of it since."""
        command = self.queue[cache_id]
        if cache_id in self.running:
            return
        step = await self.app().find(Step, cache_id)
        if step is None:
            step = Step.begin(cache_id, "x", command.step_type, command.label, self.now)
        elif await self._is_over(step, command):
            event = decode(self.store.streams[Step.stream(cache_id)][-1])
            assert isinstance(event, Step.Completed | Step.Failed)
            self._tell(event)
            del self.queue[cache_id]
            return
        else:
            step.start("x", command.step_type, command.label, self.now)
        if await self._append(step, "begun"):
            self.running[cache_id] = command, step

    async def _is_over(self, step: Step, command: ExecuteStep) -> bool:
        if step.status == "completed":
            wanted = not command.forced or step.version > command.version
            return wanted and bool(await self.blobs.present([step.output_cid]))
        return step.status == "failed" and step.version > command.version

    async def end(self, cache_id: str, error: str = "") -> None:
        """Let an attempt end: with an output, or with an error that another attempt may follow."""
        _, step = self.running.pop(cache_id)
        if error:
            if step.fail_attempt(error, f"{error} happened", self.now) is not None:
                await self._append(step, "attempt failed")
                return  # the message comes again
        else:
            blob = await self.blobs.put(f"{cache_id} by attempt {step.attempt}".encode())
            step.complete(blob.cid, blob.size_bytes, "text/plain", 1, self.now)
        event = step.pending_events[-1]
        assert isinstance(event, Step.Completed | Step.Failed)
        if await self._append(step, "ended"):
            self._tell(event)
        self.queue.pop(cache_id, None)

    def die(self, cache_id: str) -> None:
        """Let an executor die in the middle of a step: nothing says so, and the message comes again."""
        del self.running[cache_id]

    async def _append(self, step: Step, what: str) -> bool:
        cause = f"x/{step.key}/{step.attempt}/{what}/{step.version}"
        return await self.app().append(step, cause) == "appended"

    def _tell(self, event: Ended) -> None:
        self.told.append(event)
        for planner in self.planners:
            planner.heard.append(event)

    # --- planners ---

    async def hint(self, planner: Planner, events: list[Ended]) -> None:
        """Let a planner hear ends by hint."""
        await planner.engine.take_kept(events, f"took/{_facts(events)}")

    async def bring(self, planner: Planner, events: list[Ended]) -> None:
        """Let a planner have ends from the stream."""
        waiting = await planner.engine.waiting([event.originator_id.partition("-")[2] for event in events])
        await planner.engine.take(events, waiting, f"took/{_facts(events)}")

    def run(self, run_id: str) -> Run:
        """Return a run as its stored events make it."""
        run = rebuild(self.store.streams[Run.stream(run_id)])
        assert isinstance(run, Run)
        return run

    def pass_seconds(self, seconds: float) -> None:
        """Move the clock."""
        self.now += timedelta(seconds=seconds)


def _facts(events: Iterable[Ended]) -> str:
    return ",".join(sorted(f"{event.originator_id}@{event.originator_version}" for event in events))
