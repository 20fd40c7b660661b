"""An answer that is made at most once in a while, however many ask for it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Generic, TypeVar

T = TypeVar("T")


class Fresh(Generic[T]):
    """The last answer, as long as it is fresh. Who asks while it is being made waits for that one."""

    def __init__(self, seconds: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._seconds = seconds
        self._clock = clock
        self._lock = asyncio.Lock()
        self._known: tuple[float, T] | None = None

    async def get(self, make: Callable[[], Awaitable[T]]) -> T:
        """Return the answer, made now if there is none that is fresh. One that fails is not kept."""
        async with self._lock:
            if self._known is None or self._clock() - self._known[0] >= self._seconds:
                self._known = None
                made = await make()
                self._known = self._clock(), made
            return self._known[1]
