"""Executors that are gone: what they worked on is given to others, long before the work queue would find out.

An executor tells each second what it has taken. One that is not heard is asked, and NATS answers at once for one whose
connection is closed. One that is connected and silent may be paused, or busy: only the work queue's own time-out takes
its steps away. Whoever is thought dead and comes back finds its steps begun anew, and what it gives is dropped.

Every planner does this. What two of them give to others at once is there once: the queue takes one message of a step.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import structlog
from google.protobuf.message import DecodeError
from nats.aio.msg import Msg

from artdag_common import metrics
from artdag_common.errors import ServiceUnavailableError
from artdag_common.messaging import subjects
from artdag_common.messaging.bus import Bus
from artdag_common.pb.commands_pb2 import ExecutorPresence
from artdag_common.turning import Loop

UNHEARD_SECONDS = 1.5
"""How long an executor may be silent before it is asked."""

AGAIN_SECONDS = 0.5
"""After how long it is asked a second time: a connection that broke is made again sooner."""

LOOK_SECONDS = 0.1

log = structlog.get_logger(__name__)


class Queue(Protocol):
    """The part of the bus that is needed here; see :class:`Bus`."""

    async def is_there(self, executor: str) -> bool | None: ...
    async def take_back(self, subject: str, sequence: int) -> bytes | None: ...
    async def put_back(self, subject: str, data: bytes) -> None: ...


@dataclass(slots=True)
class Known:
    """An executor.

    Attributes:
        heard_at: seconds of the clock.
        missed: when it was not there, the first time in a row; 0: it is.
        held: subjects of the messages that it has taken, by their sequence on the stream.
    """

    heard_at: float
    held: dict[int, str]
    missed: float = 0.0


class Executors:
    """The executors that were heard, and what each works on."""

    def __init__(self, queue: Queue, clock: Callable[[], float] = time.monotonic) -> None:
        self._queue = queue
        self._clock = clock
        self._known: dict[str, Known] = {}
        metrics.EXECUTORS_HEARD.of().set_function(lambda: float(len(self._known)))
        self.on_given: Callable[[str, str], None] = lambda executor, subject: None
        """Called with who is gone, and the subject of what was given to others."""

    def hear(self, told: ExecutorPresence) -> None:
        """Note what an executor tells."""
        if told.leaving:  # what it had it has handed back
            self._known.pop(told.executor, None)
        else:
            self._known[told.executor] = Known(self._clock(), {each.sequence: each.subject for each in told.held})

    def hear_all(self) -> None:
        """Count everybody as heard now: for a while nobody could be."""
        for known in self._known.values():
            known.heard_at, known.missed = self._clock(), 0.0

    async def look(self) -> None:
        """Ask those who are not heard; give to others what those have who are gone."""
        now = self._clock()
        silent = [name for name, known in self._known.items() if now - known.heard_at >= UNHEARD_SECONDS]
        await asyncio.gather(*(self._ask(name, self._known[name]) for name in silent))

    async def _ask(self, name: str, known: Known) -> None:
        if known.missed and self._clock() - known.missed < AGAIN_SECONDS:
            return
        there = await self._queue.is_there(name)
        if self._known.get(name) is not known:  # it was heard meanwhile
            return
        if there is not False:
            known.missed = 0.0
            if there:
                known.heard_at = self._clock()
        elif not known.missed:
            known.missed = self._clock()
        else:
            await self._give_to_others(name, known)

    async def _give_to_others(self, name: str, known: Known) -> None:
        log.warning("executor is gone", executor=name, holds=len(known.held))
        try:
            for sequence, subject in list(known.held.items()):
                data = await self._queue.take_back(subject, sequence)
                if data is not None:
                    await self._queue.put_back(subject, data)
                    self.on_given(name, subject)
                del known.held[sequence]
        except ServiceUnavailableError as error:
            log.warning("steps of an executor that is gone go to others later", executor=name, error=error.message)
            return
        if self._known.get(name) is known:
            del self._known[name]


class Presence(Loop):
    """Keeps an eye on the executors."""

    def __init__(self, bus: Bus, on_given: Callable[[str, str], None] | None = None) -> None:
        """``on_given``: told who is gone, and the subject of each thing that was given to others."""
        self._bus = bus
        self._executors = Executors(bus)
        if on_given:
            self._executors.on_given = on_given

    async def start(self) -> None:
        """Begin."""
        await self._bus.nc.subscribe(subjects.here("*"), cb=self._hear)
        self._bus.on_reconnect(self._back)
        self._begin_loop(self._watch(), "watch executors")

    async def _hear(self, message: Msg) -> None:
        try:
            self._executors.hear(ExecutorPresence.FromString(message.data))
        except DecodeError as error:
            log.warning("an executor cannot be understood", subject=message.subject, error=str(error))

    async def _back(self) -> None:
        self._executors.hear_all()

    async def _watch(self) -> None:
        while True:
            await asyncio.sleep(LOOK_SECONDS)
            if self._bus.nc.is_connected:
                try:
                    await self._executors.look()
                except Exception as error:
                    log.error("executors cannot be watched", exc_info=error)
