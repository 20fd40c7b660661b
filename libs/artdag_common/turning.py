"""Whether what runs in the background still does: loops that ended though nobody told them to, or hang at one thing."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from typing import Any, Protocol

import structlog

from artdag_common.tasks import end

STUCK_SECONDS = 600.0
"""How long a loop may be at one thing. Far longer than anything it waits for has: a statement of Postgres 60 s, a
server that is away 30 s; beyond that a new start is the only help."""

log = structlog.get_logger(__name__)


class Turns:
    """What a loop, or several tasks of one kind, are at now."""

    def __init__(self, most_seconds: float = STUCK_SECONDS, clock: Callable[[], float] = time.monotonic) -> None:
        self._most = most_seconds
        self._clock = clock
        self._begun: dict[object, float] = {}  # in the order of time

    @contextmanager
    def turn(self) -> Iterator[None]:
        """Be at one thing in the block."""
        key = object()
        self._begun[key] = self._clock()
        try:
            yield
        finally:
            del self._begun[key]

    @property
    def oldest_seconds(self) -> float:
        """For how long the oldest of them has gone on; 0: nothing goes on."""
        oldest = next(iter(self._begun.values()), None)
        return 0.0 if oldest is None else self._clock() - oldest

    @property
    def stuck(self) -> bool:
        """Whether something has gone on for too long."""
        return self.oldest_seconds > self._most


def runs(task: asyncio.Task[None] | None) -> bool:
    """Return whether a task that is never to end by itself was begun, and has not ended."""
    return task is not None and not task.done()


class Loop:
    """What goes on in the background from start to stop, in one task or several, none of which ends by itself."""

    _loops: tuple[asyncio.Task[None], ...] = ()

    def _begin_loop(self, work: Coroutine[Any, Any, None], name: str) -> None:
        """Begin a task of it. If that ends by itself, the log says why: nobody waits for it, who would."""
        task = asyncio.create_task(work, name=name)
        task.add_done_callback(_tell)
        self._loops += (task,)

    @property
    def turning(self) -> bool:
        """Whether it was begun and still goes on. Where it does not, only a new start of the process helps."""
        return bool(self._loops) and all(map(runs, self._loops))

    async def stop(self) -> None:
        """End it."""
        await end(*self._loops)


def _tell(task: asyncio.Task[None]) -> None:
    if not task.cancelled():
        log.error("a loop has ended by itself", loop=task.get_name(), exc_info=task.exception())


class Turning(Protocol):
    """What can say whether it still goes on: a :class:`Loop`, or what is made of such."""

    @property
    def turning(self) -> bool:
        """Whether it does."""


def all_turn(*parts: Turning) -> Callable[[], bool]:
    """Return a check for probes: whether all of these go on."""
    return lambda: all(part.turning for part in parts)
