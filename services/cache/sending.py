"""Sends what is due in a queue, in the background: so much at once, and what was broken off is given back."""

from __future__ import annotations

import asyncio
import contextlib
from abc import ABC, abstractmethod
from typing import Generic, Protocol, TypeVar

import asyncpg
import structlog

from artdag_common.errors import ArtdagError
from artdag_common.tasks import end
from artdag_common.turning import Loop

POLL_SECONDS = 5.0
SOONEST_SECONDS = 0.05
OWN_TROUBLE_SECONDS = 10.0

T = TypeVar("T")

log = structlog.get_logger(__name__)


class Queue(Protocol[T]):
    """What is to be sent. Whoever claims something has it until its lease runs out."""

    async def claim(self) -> T | None:
        """Take the next that is due."""

    async def next_seconds(self) -> float | None:
        """Return in how many seconds the next one is due; None: nothing waits."""

    async def pause(self, sending: T, seconds: float) -> None:
        """Let something wait that was not sent."""

    async def release(self, sending: T) -> None:
        """Give something back: somebody else may take it at once."""


class Sender(Loop, ABC, Generic[T]):
    """Takes things off a queue and delivers each. What that means, :meth:`_deliver` says."""

    def __init__(self, what: str, queue: Queue[T], at_once: int) -> None:
        """``what``: is sent here, for the log."""
        self._what = what
        self._claims = queue
        self._at_once = at_once
        self._due = asyncio.Event()
        self._sending: set[asyncio.Task[None]] = set()

    async def start(self) -> None:
        """Run in the background."""
        self._begin_loop(self._work(), self._what)

    async def stop(self) -> None:
        """Stop; what was being sent is given back."""
        await super().stop()
        await end(*self._sending)

    def wake(self) -> None:
        """Look at once for something to do."""
        self._due.set()

    @abstractmethod
    async def _deliver(self, sending: T) -> None:
        """Send it, and take it off the queue or let it wait."""

    async def _work(self) -> None:
        while True:
            self._due.clear()
            seconds: float = POLL_SECONDS
            try:
                while len(self._sending) < self._at_once and (sending := await self._claims.claim()):
                    task = asyncio.create_task(self._send(sending), name=f"send {self._what}")
                    self._sending.add(task)
                    task.add_done_callback(self._sent)
                next_seconds = await self._claims.next_seconds()
                if next_seconds is not None and len(self._sending) < self._at_once:
                    seconds = min(POLL_SECONDS, max(SOONEST_SECONDS, next_seconds))
            except (ArtdagError, asyncpg.PostgresError) as error:
                log.warning(f"{self._what} wait", error=str(error))
            except Exception as error:
                log.error(f"{self._what} wait", error=repr(error), exc_info=error)
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._due.wait(), seconds)

    def _sent(self, task: asyncio.Task[None]) -> None:
        self._sending.discard(task)
        if not task.cancelled() and (error := task.exception()):
            log.error(f"{self._what}: one was not sent", error=repr(error), exc_info=error)
        self._due.set()

    async def _send(self, sending: T) -> None:
        try:
            await self._deliver(sending)
        except ArtdagError as error:  # our own trouble, not the receiver's
            log.warning(f"{self._what}: one waits", sending=str(sending), reason=error.message)
            with contextlib.suppress(ArtdagError):
                await self._claims.pause(sending, OWN_TROUBLE_SECONDS)
        except BaseException:
            with contextlib.suppress(ArtdagError):
                await self._claims.release(sending)
            raise
