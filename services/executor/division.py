"""A long film in parts, each a step of its own on the work queue, so that every executor with a hand free takes one.

Parts have cache ids and events as all steps have: what was made before an executor died is not made again.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import replace

import nats
import orjson
from nats.aio.msg import Msg
from nats.js.errors import APIError

from artdag_common import tracing
from artdag_common.application import Application, decode
from artdag_common.blobs.port import BlobStore
from artdag_common.commands import ExecuteStep, ExecuteSteps
from artdag_common.domain.plan import cache_id
from artdag_common.domain.step import Step
from artdag_common.errors import ExecutorStoppingError
from artdag_common.messaging import subjects
from artdag_common.messaging.bus import Bus
from artdag_common.pb.commands_pb2 import StepTick
from artdag_common.pb.events_pb2 import EventBatch
from artdag_common.steps.registry import find_step_type
from services.executor.failing import Broken
from services.executor.worker import Long, Progress

HANDS = 3
"""Free hands, of all executors together, from which on a film is divided. A film keeps two processors busy by itself:
with fewer, nothing is won."""
AHEAD = 2
"""Parts on the queue for each free hand, so that none waits, and that other work has its turn in between."""
LOOK_EVERY = 5.0

CHAIN, PART, JOIN = "CHAIN", "PART", "JOIN"


def divided(command: ExecuteStep, film: Long) -> list[ExecuteStep]:
    """Return the parts of a step, one for each cell of the film, in order."""
    kind = find_step_type(PART)
    links = _links(command)
    front, _, what = command.label.rpartition(".")
    count = -(-film.frames // film.cell)
    parts = []
    for place in range(count):
        first = place * film.cell
        span = {"first": first, "frames": min(film.cell, film.frames - first)}
        config = kind.canonical_config({"links": links, **span})
        parts.append(
            ExecuteStep(
                cache_id("", PART, kind.implementation(config, command.deliver), config, [command.cache_id]),
                PART,
                config,
                f"{front}.{what}[{place + 1}/{count}]",
                command.inputs,
                deliver=command.deliver,
                traceparent=tracing.current(),
            )
        )
    return parts


def _links(command: ExecuteStep) -> list[dict[str, object]]:
    """Return the steps that a step consists of: one, where it is no chain."""
    config = orjson.loads(command.config)
    if command.step_type == CHAIN:
        links: list[dict[str, object]] = config["links"]
        return links
    inputs = list(range(1, len(command.inputs)))
    return [{"type": command.step_type, "config": config, "implementation": "", "inputs": inputs}]


class Division:
    """Has the parts of long films made."""

    def __init__(self, bus: Bus, app: Application, blobs: BlobStore) -> None:
        self._bus = bus
        self._app = app
        self._blobs = blobs
        self._waiting: set[asyncio.Event] = set()
        self._closing = False

    async def free_hands(self, work_class: str) -> int:
        """Return how many executors' slots ask for work of a class; 0: nobody knows."""
        with suppress(nats.errors.Error, APIError, TimeoutError):
            info = await self._bus.js.consumer_info(subjects.WORK, subjects.workers(work_class))
            return info.num_waiting or 0
        return 0

    async def pays(self, command: ExecuteStep, work_class: str) -> bool:
        """Return whether a step should be divided among the hands of its class, if its film is long."""
        kind = find_step_type(command.step_type)
        if not kind.divisible(kind.params.model_validate_json(command.config)):
            return False
        return await self.free_hands(work_class) >= HANDS

    async def make(
        self, parts: Sequence[ExecuteStep], on_progress: Callable[[Progress], Awaitable[None]], work_class: str
    ) -> list[str] | Broken:
        """Have parts made, by whoever has a hand free for their class; return their CIDs, or what broke one of them.

        A part is tried again by whoever makes it, as often as its failure's kind says; one that failed has failed.

        Breaking this off takes back what was not made yet.

        Raises:
            ExecutorStoppingError: this executor is being closed; others go on with the parts.
        """
        left = {part.cache_id: part for part in parts}
        made: dict[str, str] = {}
        tried: dict[str, int] | None = None  # version of each part's stream when this began: what failed before is past
        sent: set[str] = set()
        window = AHEAD * max(HANDS, await self.free_hands(work_class))
        changed = asyncio.Event()
        self._waiting.add(changed)
        try:
            async with self._listening(left, changed, on_progress):
                while True:
                    if self._closing:
                        raise ExecutorStoppingError("this executor is stopping")
                    changed.clear()
                    versions = await self._look(left, made, tried)
                    if isinstance(versions, Broken):
                        return versions
                    if tried is None:
                        tried = versions
                    left = {key: part for key, part in left.items() if key not in made}
                    if not left:
                        return [made[part.cache_id] for part in parts]
                    due = [key for key in list(left)[:window] if key not in sent]
                    await self._send([(left[key], versions.get(key, 0)) for key in due], work_class)
                    sent.update(due)
                    try:
                        await asyncio.wait_for(changed.wait(), LOOK_EVERY)
                    except TimeoutError:  # hints are not kept, and the queue is in memory: what is there stays
                        sent.clear()
        except asyncio.CancelledError:
            for key in left:
                await self._bus.withdraw(work_class, key)
            raise
        finally:
            self._waiting.discard(changed)

    async def close(self) -> None:
        """Wait for no more parts."""
        self._closing = True
        for changed in self._waiting:
            changed.set()

    async def _send(self, due: Sequence[tuple[ExecuteStep, int]], work_class: str) -> None:
        for part, version in due:
            asked = replace(part, version=version)
            await self._bus.dispatch(work_class, ExecuteSteps((asked,)))

    async def _look(
        self, left: dict[str, ExecuteStep], made: dict[str, str], tried: dict[str, int] | None
    ) -> dict[str, int] | Broken:
        """Add to ``made`` what is made by now, and present; return the versions of the streams of the others."""
        latest = await self._app.store.latest([Step.stream(key) for key in left])
        completed: dict[str, str] = {}
        versions: dict[str, int] = {}
        for stream, recorded in latest.items():
            key = stream.partition("-")[2]
            versions[key] = recorded.version
            event = decode(recorded)
            if isinstance(event, Step.Completed):
                completed[key] = event.output_cid
            elif isinstance(event, Step.Failed) and tried is not None and recorded.version > tried.get(key, 0):
                return Broken(event.error, f"{left[key].what}: {event.reason}", final=True)
        present = await self._blobs.present(set(completed.values()))
        made |= {key: cid for key, cid in completed.items() if cid in present}
        return versions

    @asynccontextmanager
    async def _listening(
        self,
        parts: dict[str, ExecuteStep],
        changed: asyncio.Event,
        on_progress: Callable[[Progress], Awaitable[None]],
    ) -> AsyncIterator[None]:
        """Hear of the ends of parts, and how far they are."""
        streams = {Step.stream(key) for key in parts}
        frames = {key: orjson.loads(part.config)["frames"] for key, part in parts.items()}
        total, done = sum(frames.values()), dict.fromkeys(parts, 0)

        async def ended(message: Msg) -> None:
            if any(event.stream in streams for event in EventBatch.FromString(message.data).events):
                changed.set()

        async def ticked(message: Msg) -> None:
            tick = StepTick.FromString(message.data)
            if tick.cache_id in done:
                done[tick.cache_id] = min(tick.done, frames[tick.cache_id])
                await on_progress(Progress(sum(done.values()), total))

        subscriptions = [
            await self._bus.nc.subscribe(subjects.STEP_HINTS, cb=ended),
            await self._bus.nc.subscribe(subjects.tick("*"), cb=ticked),
        ]
        try:
            yield
        finally:
            for subscription in subscriptions:
                with suppress(nats.errors.Error):
                    await subscription.unsubscribe()
