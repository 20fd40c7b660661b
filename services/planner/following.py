"""What the planner follows: ended steps and new runs, by hint as soon as they are committed, by stream for certain."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
from collections import OrderedDict
from collections.abc import Awaitable, Mapping, Sequence
from dataclasses import dataclass
from uuid import uuid4

import asyncpg
import nats
import structlog
from nats.aio.msg import Msg
from nats.aio.subscription import Subscription
from nats.js.api import AckPolicy, ConsumerConfig

from artdag_common.codec import decode_event
from artdag_common.domain.aggregate import DomainEvent
from artdag_common.domain.run import Run
from artdag_common.domain.step import Step
from artdag_common.errors import ArtdagError, RunNotFoundError
from artdag_common.messaging import subjects
from artdag_common.messaging.bus import Bus
from artdag_common.messaging.consumer import StandingPull
from artdag_common.messaging.follower import read_event
from artdag_common.pb.events_pb2 import EventBatch
from artdag_common.tasks import end
from services.planner.engine import Engine

RECONCILE_EVERY = 5.0
AT_ONCE = 1000
REMEMBERED = 20_000
RETRY_DELAY = 1.0
UNREADABLE_DELAY = 60.0

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True, eq=False)
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
        self._hints: Subscription | None = None
        self._due = asyncio.Event()
        self._dealt_with: OrderedDict[tuple[str | None, str | None], None] = OrderedDict()
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
        self._hints = await self._bus.nc.subscribe(
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
        if self._hints:
            with contextlib.suppress(nats.errors.Error):
                await self._hints.unsubscribe()
        await self._pull.stop()
        await end(*self._tasks)

    async def _from_hint(self, message: Msg) -> None:
        for stored in EventBatch.FromString(message.data).events:
            event = decode_event(stored.type, stored.stream, stored.version, stored.data)
            self._heard.put_nowait(_Heard(event, None))

    async def _from_stream(self, message: Msg) -> None:
        headers = message.headers or {}
        if (headers.get("ce-subject"), headers.get("Es-Version")) in self._dealt_with:
            with contextlib.suppress(nats.errors.Error):
                await message.ack()
            return
        try:
            event = read_event(message)
        except (ArtdagError, KeyError, ValueError) as error:  # it waits for a version that knows it
            log.error("event cannot be read", subject=message.subject, error=str(error))
            await message.nak(delay=UNREADABLE_DELAY)
        else:
            self._heard.put_nowait(_Heard(event, message))

    async def _work(self) -> None:
        while True:
            batch = [await self._heard.get()]
            while not self._heard.empty() and len(batch) < AT_ONCE:
                batch.append(self._heard.get_nowait())
            later = await self._deal_with(batch)
            if any(heard.message is None for heard in later):
                self._due.set()  # nobody repeats a hint
            with contextlib.suppress(nats.errors.Error):  # the bus is away: they come again and change nothing
                for heard in batch:
                    if heard.message and heard in later:
                        await heard.message.nak(delay=RETRY_DELAY)
                    elif heard.message:
                        await heard.message.ack()

    async def _deal_with(self, batch: Sequence[_Heard]) -> list[_Heard]:
        """Feed the engine; return what could not be dealt with now."""
        later: list[_Heard] = []
        for hinted in (True, False):
            part = [h for h in batch if (h.message is None) is hinted and not isinstance(h.event, Run.Requested)]
            ended = _newest(part)
            if ended and not await _works(self._take(ended, hinted)):
                later += part
        for heard in batch:
            if isinstance(heard.event, Run.Requested):
                run = heard.event.originator_id
                if not await _works(self._engine.proceed(run.partition("-")[2], f"follow/{run}")):
                    later.append(heard)
        return later

    async def _take(self, ended: Mapping[str, Step.Completed | Step.Failed], hinted: bool) -> None:
        passed_over = await self._engine.take(list(ended.values()), _cause(ended), mine_only=hinted)
        for stream, event in ended.items():  # when the stream brings it, nothing is left to do
            if stream not in passed_over:
                self._dealt_with[stream, str(event.originator_version)] = None
        while len(self._dealt_with) > REMEMBERED:
            self._dealt_with.popitem(last=False)

    async def _reconcile_now(self) -> None:
        self._due.set()

    async def _reconcile(self) -> None:
        """Repeat what the state of each active run implies: at start, after a reconnection, and now and then."""
        everything = True
        turn = 0
        while True:
            self._due.clear()
            await _works(self._engine.forget_settled())
            for run_id in await self._active(everything):
                turn += 1
                await _works(self._engine.reconcile(run_id, f"reconcile/{self._id}/{turn}"))
            try:
                await asyncio.wait_for(self._due.wait(), RECONCILE_EVERY)
                everything = True
            except TimeoutError:
                everything = False

    async def _active(self, everything: bool) -> list[str]:
        """Return the runs that nobody looked at for a while, or all; they are this planner's for the next while."""
        try:
            rows = await self._pool.fetch(
                """UPDATE planner_active SET touched_at = now()
                WHERE $1 OR touched_at < now() - make_interval(secs => $2) RETURNING run_id""",
                everything,
                RECONCILE_EVERY,
            )
        except Exception as error:
            log.warning("active runs cannot be listed", error=repr(error))
            return []
        return [row["run_id"] for row in rows]


async def _works(work: Awaitable[object]) -> bool:
    """Await ``work``. False: it failed, and is to be repeated; whatever went wrong, the next has its turn."""
    try:
        await work
    except RunNotFoundError:  # deleted meanwhile
        return True
    except ArtdagError as error:
        log.warning("is done later", error=error.message)
    except Exception as error:
        log.error("is done later", error=repr(error), exc_info=error)
    else:
        return True
    return False


def _newest(heard: Sequence[_Heard]) -> dict[str, Step.Completed | Step.Failed]:
    """Return the last end of each step, by stream: an older one may come after it."""
    ended: dict[str, Step.Completed | Step.Failed] = {}
    for event in (h.event for h in heard):
        if isinstance(event, Step.Completed | Step.Failed):
            known = ended.get(event.originator_id)
            if known is None or known.originator_version < event.originator_version:
                ended[event.originator_id] = event
    return ended


def _cause(ended: Mapping[str, Step.Completed | Step.Failed]) -> str:
    """Return an id for taking these ends in: whoever takes the same ones in makes the same events."""
    facts = "".join(f"{stream}@{event.originator_version}" for stream, event in sorted(ended.items()))
    return f"took/{hashlib.sha256(facts.encode()).hexdigest()}"
