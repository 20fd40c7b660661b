"""Commands from the stream to their handler, each handled once, each answered."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import structlog
from nats.aio.msg import Msg
from nats.js.api import AckPolicy, ConsumerConfig

from artdag_common import metrics, tracing
from artdag_common.commands import COMMANDS, Command
from artdag_common.errors import ArtdagError, MalformedMessageError
from artdag_common.eventstore.port import EventStore
from artdag_common.messaging import subjects
from artdag_common.messaging.bus import Bus, Outcome, read_command
from artdag_common.messaging.consumer import StandingPull
from artdag_common.messaging.dead_letters import Tries, history
from artdag_common.messaging.signs_of_life import kept_alive
from artdag_common.turning import Turns

ACK_WAIT = 30.0
"""Seconds without a sign of life after which a command is given to another."""

LONGEST_SECONDS = 3600.0
"""How long one command may take: collecting the garbage of a large store takes many minutes."""

MAX_DELIVER = 10
MAX_BEGUN = 2 * MAX_DELIVER
"""How often a command is delivered whose handling never ends, because it takes the whole process with it."""

RETRY_DELAY = 1.0
AT_ONCE = 64

log = structlog.get_logger(__name__)

CommandHandler = Callable[[Any, str], Awaitable[Outcome]]
"""``(command, command id) → outcome``. Appends its events and the inbox row in one transaction, or raises a refusal."""


class CommandConsumer:
    """Takes one service's commands off the stream."""

    def __init__(
        self, bus: Bus, store: EventStore, service: str, handlers: Mapping[type[Command], CommandHandler]
    ) -> None:
        self._bus = bus
        self._store = store
        self._service = service
        self._handlers = handlers
        self._room = asyncio.Semaphore(AT_ONCE)
        self._tasks: set[asyncio.Task[None]] = set()
        self._tries = Tries()
        self._turns = Turns(LONGEST_SECONDS)
        config = ConsumerConfig(
            durable_name=service,
            filter_subject=f"cmd.{service}.>",
            ack_policy=AckPolicy.EXPLICIT,
            ack_wait=ACK_WAIT,
            max_ack_pending=4 * AT_ONCE,
        )
        self._pull = StandingPull(bus, subjects.COMMANDS, config, self._receive, batch=AT_ONCE)

    async def start(self) -> None:
        """Begin."""
        await self._pull.start()

    @property
    def pulling(self) -> bool:
        """Whether commands are asked for."""
        return self._pull.pulling

    @property
    def turning(self) -> bool:
        """Whether commands are still taken, and none is at it for too long."""
        return self._pull.turning and not self._turns.stuck

    def on_made_again(self, callback: Callable[[str], None]) -> None:
        """Call ``callback(name)`` when the consumer was lost and had to be made again."""
        self._pull.on_made_again = callback

    async def stop(self) -> None:
        """Take no more, and finish what was begun."""
        await self._pull.stop()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _receive(self, message: Msg) -> None:
        await self._room.acquire()
        task = asyncio.create_task(self._handle(message))
        self._tasks.add(task)
        task.add_done_callback(self._done)

    def _done(self, task: asyncio.Task[None]) -> None:
        self._room.release()
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()):
            log.error("command handler broke", error=repr(error), exc_info=error)

    async def _handle(self, message: Msg) -> None:
        try:
            command, command_id, reply_to = read_command(message)
            handler = self._handlers[type(command)]
        except (MalformedMessageError, KeyError) as error:
            await self._give_up(message, f"cannot be read: {error}")
            return
        if message.metadata.num_delivered > MAX_BEGUN:
            await self._give_up(message, f"was begun {MAX_BEGUN} times, and nobody came to an end with it")
            return
        with tracing.span(
            f"command {type(command).__name__}",
            {"delivery": message.metadata.num_delivered},
            kind="consumer",
            above=(message.headers or {}).get(tracing.HEADER, ""),
            command_id=command_id,
            run_id=command.key if command.KEY == "run_id" else "",
        ) as span:
            await self._settle(message, command, command_id, reply_to, handler, span)

    async def _settle(
        self,
        message: Msg,
        command: Command,
        command_id: str,
        reply_to: str,
        handler: CommandHandler,
        span: tracing.Span,
    ) -> None:
        """Handle a command, answer whoever waits, and acknowledge it; or have it brought again."""
        name, began = type(command).__name__, time.perf_counter()
        stored: bytes | None = None
        try:
            with self._turns.turn(), kept_alive(message, ACK_WAIT / 3):
                stored = await self._store.outcome(self._service, command_id)
                outcome = Outcome.decode(stored) if stored is not None else await handler(command, command_id)
        except ArtdagError as error:
            span.fail(error.code)
            if error.retryable:
                await self._later(message, error.message)
                return
            outcome = Outcome.refused(error)
            if not error.momentary:
                await self._store.keep_outcome(self._service, command_id, outcome.encode())
            log.info("command refused", command=name, code=outcome.code, reason=outcome.message)
        except Exception as error:
            span.fail(type(error).__name__)
            log.error("command failed", command=name, exc_info=error)
            await self._later(message, repr(error))
            return
        metrics.COMMAND_SECONDS.of(name).observe(time.perf_counter() - began)
        metrics.COMMANDS.of(name, _became(outcome, stored)).inc()
        self._tries.forget(message)
        await self._bus.answer(reply_to, outcome)
        await message.ack()

    async def _later(self, message: Msg, reason: str) -> None:
        self._tries.note(message, reason)
        if message.metadata.num_delivered >= MAX_DELIVER:
            await self._give_up(message, reason)
        else:
            metrics.COMMANDS.of(_name_of(message), "later").inc()
            await message.nak(delay=RETRY_DELAY * message.metadata.num_delivered)

    async def _give_up(self, message: Msg, reason: str) -> None:
        log.error("command goes to the dead letters", subject=message.subject, reason=reason)
        metrics.COMMANDS.of(_name_of(message), "given-up").inc()
        name = message.subject.split(".")[2]
        told = history(message, self._tries.take(message))
        await self._bus.dead_letter(self._service, name, message.data, reason, told)
        await message.ack()


def _became(outcome: Outcome, stored: bytes | None) -> str:
    """Return what became of a command, as metrics tell it."""
    if stored is not None:
        return "repeated"
    return "accepted" if outcome.accepted else "refused"


def _name_of(message: Msg) -> str:
    """Return the name of a command, of those that there are."""
    name = message.subject.split(".")[2]
    return name if name in COMMANDS else metrics.OTHER
