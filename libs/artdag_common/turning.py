"""Whether what runs in the background still does: loops that ended though nobody told them to, or hang at one thing."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

STUCK_SECONDS = 600.0
"""How long a loop may be at one thing. Far longer than anything it waits for has: a statement of Postgres 60 s, a
server that is away 30 s; beyond that a new start is the only help."""


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
    def stuck(self) -> bool:
        """Whether something has gone on for too long."""
        oldest = next(iter(self._begun.values()), None)
        return oldest is not None and self._clock() - oldest > self._most


def runs(task: asyncio.Task[None] | None) -> bool:
    """Return whether a task that is never to end by itself was begun, and has not ended."""
    return task is not None and not task.done()
