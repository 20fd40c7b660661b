"""A standing pull on a JetStream consumer: requests kept outstanding and topped up, as Go's ``Consume`` does.

nats-py's ``fetch(n)`` waits for a full batch or its time-out, which costs 1.9 ms a step where this costs 0.12.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable

import nats
import structlog
from nats.aio.msg import Msg
from nats.aio.subscription import Subscription
from nats.js.api import ConsumerConfig
from nats.js.errors import NotFoundError

from artdag_common.messaging.bus import Bus
from artdag_common.tasks import end

EXPIRES = 20.0
PAUSE = 0.05
DRAIN = 2.0
PENDING = "Nats-Pending-Messages"

log = structlog.get_logger(__name__)


class StandingPull:
    """Delivers the messages of a durable consumer to a callback, and asks for more before they run out."""

    def __init__(
        self, bus: Bus, stream: str, config: ConsumerConfig, on_message: Callable[[Msg], Awaitable[None]], batch: int
    ) -> None:
        """``batch``: messages that may be on their way at once."""
        assert config.durable_name
        self._bus = bus
        self._stream = stream
        self._config = config
        self._on_message = on_message
        self._batch = batch
        self._left = 0  # messages asked for that have not come
        self._subscriptions: list[Subscription] = []
        self._heard_at = 0.0
        self._lost = asyncio.Event()
        self._watch: asyncio.Task[None] | None = None
        self._stopped = False

    async def start(self) -> None:
        """Make the consumer if it is missing, and begin."""
        await self._renew()
        self._bus.on_reconnect(self._renew)
        if not self._stopped:
            self._watch = asyncio.create_task(self._keep_pulling(), name=f"pull {self._config.durable_name}")

    async def stop(self) -> None:
        """Ask for no more; what came already is still handed on."""
        self._stopped = True
        await end(self._watch)
        for subscription in self._subscriptions:
            with contextlib.suppress(nats.errors.Error, TimeoutError):
                await asyncio.wait_for(subscription.drain(), DRAIN)  # type: ignore[no-untyped-call]

    async def _renew(self) -> None:
        """Begin anew, at an address of its own: what comes at the old one was not asked for by the new requests."""
        await self._ensure()
        if self._stopped:
            return
        inbox = self._bus.nc.new_inbox()

        async def receive(message: Msg) -> None:
            await self._receive(message, inbox)

        subscription = await self._bus.nc.subscribe(inbox, cb=receive, pending_msgs_limit=-1, pending_bytes_limit=-1)
        self._subscriptions.append(subscription)
        while len(self._subscriptions) > 2:  # the one before may still hold messages that are on their way
            with contextlib.suppress(nats.errors.Error):
                await self._subscriptions.pop(0).unsubscribe()
        self._left = 0
        await self._top_up(inbox)

    async def _ensure(self) -> None:
        while not self._stopped:
            try:
                await self._bus.js.add_consumer(self._stream, self._config)
                return
            except NotFoundError:  # its owner has not made the stream yet
                await asyncio.sleep(PAUSE)
            except (nats.errors.Error, TimeoutError) as error:  # the server is away, or still reading its files
                log.info("consumer cannot be made yet", consumer=self._config.durable_name, error=str(error))
                await asyncio.sleep(4 * PAUSE)

    @property
    def _inbox(self) -> str:
        return str(self._subscriptions[-1].subject)

    async def _top_up(self, inbox: str) -> None:
        """Ask for what is missing to a full batch, once half of it has come."""
        count = self._batch - self._left
        if self._stopped or inbox != self._inbox or 2 * count < self._batch:
            return
        self._left += count
        request = b'{"batch":%d,"expires":%d}' % (count, int(EXPIRES * 1e9))
        subject = f"$JS.API.CONSUMER.MSG.NEXT.{self._stream}.{self._config.durable_name}"
        try:
            await self._bus.nc.publish(subject, request, reply=inbox)
        except nats.errors.Error as error:  # reconnecting: renewed when that is done
            log.info("pull was not sent", consumer=self._config.durable_name, error=str(error))

    async def _receive(self, message: Msg, inbox: str) -> None:
        self._heard_at = asyncio.get_running_loop().time()
        ours = inbox == self._inbox
        if not message.reply:
            pending = (message.headers or {}).get(PENDING)
            if pending is None:  # no such stream or consumer, or it was deleted, or the server refuses
                if ours:
                    self._lost.set()
                return
            if ours:
                self._left -= int(pending)  # the request expired; this much of it had not come
                await self._top_up(inbox)
            return
        if ours:
            self._left -= 1
        try:
            await self._on_message(message)
        finally:
            await self._top_up(inbox)

    async def _keep_pulling(self) -> None:
        """Begin again when a request failed, or when not even its expiry was heard: the server lost it."""
        silence = EXPIRES + 5
        while True:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._lost.wait(), silence)
            silent = self._left and asyncio.get_running_loop().time() >= self._heard_at + silence
            if not self._lost.is_set() and not silent:
                continue
            log.info("pull is renewed", consumer=self._config.durable_name)
            await asyncio.sleep(PAUSE)
            self._lost.clear()
            try:
                await self._renew()
            except nats.errors.Error as error:  # the connection went meanwhile; the reconnection renews
                log.info("pull is renewed later", consumer=self._config.durable_name, error=str(error))
