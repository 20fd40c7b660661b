"""Follows the event stream for a service: batches of events to a handler, acknowledged once it is through."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Sequence

import nats
import structlog
from nats.aio.msg import Msg
from nats.js.api import AckPolicy, ConsumerConfig
from nats.js.errors import APIError

from artdag_common import metrics
from artdag_common.codec import decode_event
from artdag_common.domain.aggregate import DomainEvent
from artdag_common.errors import ArtdagError
from artdag_common.messaging import subjects
from artdag_common.messaging.bus import Bus
from artdag_common.messaging.client import acknowledgement
from artdag_common.messaging.consumer import QuickPull
from artdag_common.messaging.dead_letters import history
from artdag_common.turning import Loop, Turns

AT_ONCE = 1000
RETRY_DELAY = 1.0
UNREADABLE_DELAY = 60.0
LISTED_AFTER = 3
"""Deliveries, :data:`UNREADABLE_DELAY` apart, after which an event that cannot be read is listed: while a new version
is being rolled out, the old one meets such events and need not tell anybody."""

log = structlog.get_logger(__name__)


def read_event(message: Msg) -> DomainEvent:
    """Return the event that a message of the EVENTS stream carries."""
    headers = message.headers or {}
    type_name = message.subject.rpartition(".")[2]
    return decode_event(type_name, headers["ce-subject"], int(headers["Es-Version"]), message.data)


class Unreadable:
    """Events that this version cannot read. They stay in their stream and are tried again for ever, since a version to
    come may know them; and they are listed among the dead letters, so that somebody learns of it."""

    def __init__(self, bus: Bus, durable: str) -> None:
        self._bus = bus
        self._durable = durable
        self._listed: set[int] = set()

    async def postpone(self, message: Msg, error: Exception) -> float:
        """Tell of an event that was not understood, and return after how many seconds it is to be brought again."""
        reason = str(error) or repr(error)
        log.error("event cannot be read", durable=self._durable, subject=message.subject, error=reason)
        position, delivered = message.metadata.sequence.stream, message.metadata.num_delivered
        if delivered >= LISTED_AFTER and position not in self._listed:
            name = message.subject.rpartition(".")[2]
            told = history(message) | {"Nats-Msg-Id": f"{self._durable}/{position}"}
            try:
                await self._bus.dead_letter(self._durable.partition("-")[0], name, message.data, reason, told)
                self._listed.add(position)
            except (nats.errors.Error, APIError, TimeoutError) as failed:
                log.warning("event is listed later", subject=message.subject, error=repr(failed))
        return UNREADABLE_DELAY


class Follower(Loop):
    """A durable subscription to events, shared by the replicas of a service."""

    def __init__(
        self,
        bus: Bus,
        durable: str,
        filters: Sequence[str],
        handle: Callable[[Sequence[DomainEvent]], Awaitable[None]],
    ) -> None:
        """``handle`` may see an event twice; the second time it changes nothing."""
        self._bus = bus
        self._handle = handle
        self._durable = durable
        self._unreadable = Unreadable(bus, durable)
        self._waiting: asyncio.Queue[Msg] = asyncio.Queue()
        self._turns = Turns()
        self._handled = metrics.FOLLOWED.of(durable, "handled")
        self._postponed = metrics.FOLLOWED.of(durable, "later")
        config = ConsumerConfig(
            durable_name=durable,
            filter_subjects=list(filters),
            ack_policy=AckPolicy.EXPLICIT,
            ack_wait=30,
            max_ack_pending=4 * AT_ONCE,
        )
        self._pull = QuickPull(bus, subjects.EVENTS, config, self._waiting.put_nowait, batch=AT_ONCE)

    async def start(self) -> None:
        """Run in the background. The stream may not exist yet."""
        self._begin_loop(self._work(), f"follow {self._durable}")

    @property
    def pulling(self) -> bool:
        """Whether events are asked for."""
        return self._pull.pulling

    @property
    def turning(self) -> bool:
        """Whether events are still dealt with, and none for too long."""
        return super().turning and self._pull.turning and not self._turns.stuck

    async def stop(self) -> None:
        """Stop; what was not acknowledged comes again."""
        await self._pull.stop()
        await super().stop()

    async def _work(self) -> None:
        await self._pull.start()
        while True:
            batch = [await self._waiting.get()]
            while not self._waiting.empty() and len(batch) < AT_ONCE:
                batch.append(self._waiting.get_nowait())
            events, messages = await self._read(batch)
            try:
                with self._turns.turn():
                    await self._handle(events)
            except ArtdagError as error:
                log.warning("events are handled later", durable=self._durable, error=error.message)
                await self._later(messages)
            except Exception as error:  # a bug, or a driver's error: the next events must not wait for ever
                log.error("events cannot be handled", durable=self._durable, error=repr(error), exc_info=error)
                await self._later(messages)
            else:
                self._handled.inc(len(messages))
                with contextlib.suppress(nats.errors.Error):  # the bus is down: they come again and change nothing
                    await self._bus.nc.send(map(acknowledgement, messages))

    async def _read(self, batch: Sequence[Msg]) -> tuple[list[DomainEvent], list[Msg]]:
        """Decode a batch. What this version does not know waits for one that does, and holds up nothing else."""
        events, messages = [], []
        for message in batch:
            try:
                events.append(read_event(message))
            except (ArtdagError, KeyError, ValueError) as error:
                await self._later([message], await self._unreadable.postpone(message, error))
            else:
                messages.append(message)
        return events, messages

    async def _later(self, messages: Sequence[Msg], delay: float | None = None) -> None:
        self._postponed.inc(len(messages))
        with contextlib.suppress(nats.errors.Error):  # the bus is down: they come again after their wait
            for message in messages:
                await message.nak(delay=RETRY_DELAY if delay is None else delay)
