"""What the planner follows: ended steps and new runs, by hint as soon as they are committed, by stream for certain."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
from collections import Counter
from collections.abc import Awaitable, Iterable, Iterator, Mapping, Sequence
from itertools import chain
from uuid import uuid4

import asyncpg
import nats
import structlog
from nats.aio.msg import Msg
from nats.aio.subscription import Subscription
from nats.js.api import AckPolicy, ConsumerConfig

from artdag_common import metrics
from artdag_common.codec import decode_event
from artdag_common.domain.step import Step
from artdag_common.errors import ArtdagError, RunNotFoundError
from artdag_common.messaging import subjects
from artdag_common.messaging.bus import Bus
from artdag_common.messaging.client import acknowledgement
from artdag_common.messaging.consumer import QuickPull
from artdag_common.messaging.follower import Unreadable, read_event
from artdag_common.pb.events_pb2 import EventBatch
from artdag_common.tasks import end
from artdag_common.turning import Loop, Turns
from services.planner.engine import Ended, Engine
from services.planner.repairs import Repairs

RECONCILE_EVERY = 2.0
"""Seconds after which what was lost is found, at most twice as many."""

CLOCK_EVERY = 1.0
"""Seconds between two looks at the runs that the clock can end."""

AT_ONCE = 1000
RUNS_AT_ONCE = 200
"""Runs that are changed in one turn, however many wait for the same step: of those that are kept there are no more."""

RETRY_DELAY = 1.0

log = structlog.get_logger(__name__)


class Following(Loop):
    """Feeds the engine."""

    def __init__(self, bus: Bus, pool: asyncpg.Pool, engine: Engine, repairs: Repairs | None = None) -> None:
        self._bus = bus
        self._pool = pool
        self._engine = engine
        self._hinted: list[Ended] = []
        self._broken_off: list[str] = []
        self._ended: list[Msg] = []
        self._requested: dict[str, Msg] = {}  # by subject: what waits long is brought again
        self._heard = asyncio.Event()
        self._beginning: asyncio.Task[None] | None = None
        self._hints: Subscription | None = None
        self._due = asyncio.Event()
        self._unreadable = Unreadable(bus, "planner")
        self._id = uuid4()
        config = ConsumerConfig(
            durable_name="planner",
            filter_subjects=["evt.step.*.StepCompleted", "evt.step.*.StepFailed", "evt.run.*.RunRequested"],
            ack_policy=AckPolicy.EXPLICIT,
            ack_wait=30,
            max_ack_pending=4 * AT_ONCE,
        )
        self._pull = QuickPull(bus, subjects.EVENTS, config, self._from_stream, batch=AT_ONCE)
        self._taking = False
        self._turns = Turns()
        self._handled = metrics.FOLLOWED.of("planner", "handled")
        self._postponed = metrics.FOLLOWED.of("planner", "later")
        if repairs:
            self._pull.on_made_again = repairs.consumer_made
            repairs.busy = lambda: self._taking or bool(self._hinted or self._ended or self._requested)

    async def start(self) -> None:
        """Begin."""
        self._hints = await self._bus.nc.subscribe(
            subjects.STEP_HINTS,
            cb=self._from_hint,
            pending_msgs_limit=-1,
            pending_bytes_limit=-1,
        )
        self._bus.on_reconnect(self._reconcile_now)
        self._begin_loop(self._work(), "follow")
        self._begin_loop(self._reconcile(), "reconcile")
        self._begin_loop(self._watch_the_clock(), "watch the clock")
        self._beginning = asyncio.create_task(self._pull.start(), name="begin to pull")

    @property
    def pulling(self) -> bool:
        """Whether events are asked for."""
        return self._pull.pulling

    @property
    def turning(self) -> bool:
        """Whether events, the clock and what was lost are still looked at, and no event for too long."""
        return super().turning and self._pull.turning and not self._turns.stuck

    async def stop(self) -> None:
        """Stop; what was not acknowledged comes again."""
        if self._hints:
            with contextlib.suppress(nats.errors.Error):
                await self._hints.unsubscribe()
        await self._pull.stop()
        await end(self._beginning)
        await super().stop()

    async def _from_hint(self, message: Msg) -> None:
        for stored in EventBatch.FromString(message.data).events:
            event = decode_event(stored.type, stored.stream, stored.version, stored.data)
            if isinstance(event, Step.Cancelled):
                self._broken_off.append(event.originator_id.partition("-")[2])
            elif isinstance(event, Step.Completed | Step.Failed):  # an attempt that failed is the executors' affair
                self._hinted.append(event)
        self._heard.set()

    def _from_stream(self, message: Msg) -> None:
        if message.subject.startswith("evt.step."):
            self._ended.append(message)
        else:
            self._requested[message.subject] = message
        self._heard.set()

    async def _work(self) -> None:
        while True:
            await self._heard.wait()
            self._heard.clear()
            while self._hinted or self._ended or self._requested or self._broken_off:
                self._taking = True
                await self._take()
            self._taking = False

    async def _take(self) -> None:
        """Deal with what has come; of new runs with one, since planning takes its time: no hint waits for them all."""
        broken_off, self._broken_off = self._broken_off, []
        for cache_id in broken_off:  # who asked in the very moment when it was broken off
            await self._in_turn(self._engine.repeat(cache_id))
        hinted, self._hinted = self._hinted, []
        if hinted and not await self._in_turn(self._take_hinted(hinted)):
            self._due.set()  # nobody repeats a hint
        ended, self._ended = self._ended[:AT_ONCE], self._ended[AT_ONCE:]
        if ended:
            await _works(self._take_ended(ended))  # what was not acknowledged comes again
        if self._requested:
            await _works(self._take_requested(self._requested.pop(next(iter(self._requested)))))

    async def _in_turn(self, work: Awaitable[object]) -> bool:
        """Await ``work`` as :func:`_works` does, in a turn of its own: many that are slow are not one that hangs."""
        with self._turns.turn():
            return await _works(work)

    async def _take_hinted(self, events: Sequence[Ended]) -> None:
        ended = _newest(events)
        await self._engine.take_kept(ended, _cause(ended))

    async def _take_requested(self, message: Msg) -> None:
        """Begin a run that the stream brings, if nobody has."""
        _, _, run_id, _ = message.subject.split(".")
        begun = await self._in_turn(self._engine.proceed(run_id, f"follow/run-{run_id}"))
        await self._answer([message], {} if begun else {message.reply: RETRY_DELAY})

    async def _take_ended(self, messages: Sequence[Msg]) -> None:
        """Take in ended steps that the stream brings. Most were by hint, and nobody waits for them any more."""
        steps = {message.reply: message.subject.split(".")[2] for message in messages}
        try:
            with self._turns.turn():
                waiting = await self._engine.waiting(list(steps.values()))
        except Exception as error:
            log.warning("who waits for steps cannot be read", error=repr(error))
            await self._answer(messages, dict.fromkeys(steps, RETRY_DELAY))
            return
        wanted = [message for message in messages if steps[message.reply] in waiting]
        unreadable: dict[str, float] = {}
        events: list[Ended] = []
        for message in wanted:
            try:
                event = read_event(message)
                assert isinstance(event, Step.Completed | Step.Failed)
                events.append(event)
            except (ArtdagError, KeyError, ValueError) as error:  # it waits for a version that knows it
                with self._turns.turn():
                    unreadable[message.reply] = await self._unreadable.postpone(message, error)
        ended = _newest(events)
        taken = [await self._in_turn(self._engine.take(ended, some, _cause(ended))) for some in _shared_out(waiting)]
        again = {} if all(taken) else {message.reply: RETRY_DELAY for message in wanted}
        await self._answer(messages, again | unreadable)

    async def _answer(self, messages: Sequence[Msg], later: Mapping[str, float]) -> None:
        """Acknowledge messages, but for those that are to be brought again: ``later`` says after how many seconds."""
        self._postponed.inc(len(later))
        self._handled.inc(len(messages) - len(later))
        with self._turns.turn(), contextlib.suppress(nats.errors.Error):  # away: they come again and change nothing
            await self._bus.nc.send(acknowledgement(message) for message in messages if message.reply not in later)
            for message in messages:
                if delay := later.get(message.reply):
                    await message.nak(delay=delay)

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

    async def _watch_the_clock(self) -> None:
        turn = 0
        while True:
            await asyncio.sleep(CLOCK_EVERY)
            try:
                rows = await self._pool.fetch("SELECT run_id FROM planner_active WHERE timed OR deadline <= now()")
            except Exception as error:
                log.warning("runs with time limits cannot be listed", error=repr(error))
                continue
            for row in rows:
                turn += 1
                await _works(self._engine.pass_time(row["run_id"], f"clock/{self._id}/{turn}"))

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


def _shared_out(waiting: Mapping[str, set[str]]) -> Iterator[dict[str, set[str]]]:
    """Give who waits for which steps in parts of so many runs that one turn may have, each run in one of them.

    Those that wait for the fewest steps come first.
    """
    counts = Counter(chain.from_iterable(waiting.values()))
    runs = sorted(counts, key=lambda run_id: counts[run_id])
    for start in range(0, len(runs), RUNS_AT_ONCE):
        some = set(runs[start : start + RUNS_AT_ONCE])
        yield {cache_id: those & some for cache_id, those in waiting.items()}


def _newest(events: Iterable[Ended]) -> list[Ended]:
    """Return the last end of each step: an older one may come after it."""
    newest: dict[str, Ended] = {}
    for event in events:
        known = newest.get(event.originator_id)
        if known is None or known.originator_version < event.originator_version:
            newest[event.originator_id] = event
    return list(newest.values())


def _cause(ended: Iterable[Ended]) -> str:
    """Return an id for taking these ends in: whoever takes the same ones in makes the same events."""
    facts = "".join(sorted(f"{event.originator_id}@{event.originator_version}" for event in ended))
    return f"took/{hashlib.sha256(facts.encode()).hexdigest()}"
