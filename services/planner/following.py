"""What the planner follows: ended steps and new runs, by hint as soon as they are committed, by stream for certain."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from uuid import uuid4

import asyncpg
import structlog
from nats.aio.msg import Msg
from nats.js.api import AckPolicy, ConsumerConfig

from artdag_common.codec import decode_event
from artdag_common.domain.aggregate import DomainEvent
from artdag_common.domain.run import Run
from artdag_common.domain.step import Step
from artdag_common.errors import ArtdagError, RunNotFoundError
from artdag_common.eventstore.postgres import LOST
from artdag_common.messaging import subjects
from artdag_common.messaging.bus import Bus
from artdag_common.messaging.consumer import StandingPull
from artdag_common.messaging.follower import read_event
from artdag_common.pb.events_pb2 import EventBatch
from artdag_common.tasks import end
from services.planner.engine import Engine

RECONCILE_EVERY = 5.0
AT_ONCE = 1000

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class _Heard:
    """An event, and the stream message to acknowledge once it is dealt with."""

    event: DomainEvent
    message: Msg | None


class Following:
    """Feeds the engine."""

    def __init__(self, bus: Bus, pool: asyncpg.Pool, engine: Engine) -> None:
        self._bus = bus
        self._pool = pool
        self._engine = engine
        self._heard: asyncio.Queue[_Heard] = asyncio.Queue()
        self._tasks: list[asyncio.Task[None]] = []
        self._due = asyncio.Event()
        self._id = uuid4()
        config = ConsumerConfig(
            durable_name="planner",
            filter_subjects=["evt.step.*.StepCompleted", "evt.step.*.StepFailed", "evt.run.*.RunRequested"],
            ack_policy=AckPolicy.EXPLICIT,
            ack_wait=30,
            max_ack_pending=4 * AT_ONCE,
        )
        self._pull = StandingPull(bus, subjects.EVENTS, config, self._from_stream, batch=AT_ONCE)

    async def start(self) -> None:
        """Begin."""
        await self._bus.nc.subscribe(
            subjects.STEP_HINTS,
            cb=self._from_hint,
            pending_msgs_limit=-1,
            pending_bytes_limit=-1,
        )
        self._bus.on_reconnect(self._reconcile_now)
        self._tasks = [
            asyncio.create_task(self._work(), name="follow"),
            asyncio.create_task(self._reconcile(), name="reconcile"),
        ]
        self._tasks.append(asyncio.create_task(self._pull.start(), name="begin to pull"))

    async def stop(self) -> None:
        """Stop; what was not acknowledged comes again."""
        await self._pull.stop()
        await end(*self._tasks)

    async def _from_hint(self, message: Msg) -> None:
        for stored in EventBatch.FromString(message.data).events:
            event = decode_event(stored.type, stored.stream, stored.version, stored.data)
            self._heard.put_nowait(_Heard(event, None))

    async def _from_stream(self, message: Msg) -> None:
        self._heard.put_nowait(_Heard(read_event(message), message))

    async def _work(self) -> None:
        while True:
            batch = [await self._heard.get()]
            while not self._heard.empty() and len(batch) < AT_ONCE:
                batch.append(self._heard.get_nowait())
            try:
                await self._deal_with(batch)
            except (ArtdagError, *LOST) as error:
                log.warning("events are dealt with later", error=str(error))
                self._due.set()
                for heard in batch:
                    if heard.message:
                        await heard.message.nak(delay=1)

    async def _deal_with(self, batch: list[_Heard]) -> None:
        for hinted in (True, False):
            ended: dict[str, Step.Completed | Step.Failed] = {}
            for heard in batch:
                event = heard.event
                if (heard.message is None) is hinted and isinstance(event, Step.Completed | Step.Failed):
                    ended[event.originator_id] = event
            if ended:
                await self._engine.take(list(ended.values()), _cause(ended), mine_only=hinted)
        for heard in batch:
            if isinstance(heard.event, Run.Requested):
                run = heard.event.originator_id
                with contextlib.suppress(RunNotFoundError):  # deleted meanwhile
                    await self._engine.proceed(run.partition("-")[2], f"follow/{run}")
        for heard in batch:
            if heard.message:
                await heard.message.ack()

    async def _reconcile_now(self) -> None:
        self._due.set()

    async def _reconcile(self) -> None:
        """Repeat what the state of each active run implies: at start, after a reconnection, and now and then."""
        everything = True
        turn = 0
        while True:
            try:
                rows = await self._pool.fetch(
                    """UPDATE planner_active SET touched_at = now()
                    WHERE $1 OR touched_at < now() - make_interval(secs => $2) RETURNING run_id""",
                    everything,
                    RECONCILE_EVERY,
                )
                await self._engine.forget_settled()
                for row in rows:
                    turn += 1
                    with contextlib.suppress(RunNotFoundError):
                        await self._engine.reconcile(row["run_id"], f"reconcile/{self._id}/{turn}")
            except (ArtdagError, *LOST) as error:
                log.warning("reconciling is tried again", error=str(error))
            self._due.clear()
            try:
                await asyncio.wait_for(self._due.wait(), RECONCILE_EVERY)
                everything = True
            except TimeoutError:
                everything = False


def _cause(ended: Mapping[str, Step.Completed | Step.Failed]) -> str:
    """Return an id for taking these ends in: whoever takes the same ones in makes the same events."""
    facts = "".join(f"{stream}@{event.originator_version}" for stream, event in sorted(ended.items()))
    return f"took/{hashlib.sha256(facts.encode()).hexdigest()}"
