"""A bounded window of steps on the work queue, so that what runs next stays the planner's decision."""

from __future__ import annotations

from collections import deque
from collections.abc import Awaitable, Callable, Iterable

from artdag_common.commands import ExecuteStep

WINDOW = 256


class Dispatcher:
    """Hands steps to the work queue, at most :data:`WINDOW` at a time, first come first served."""

    def __init__(self, send: Callable[[str, ExecuteStep], Awaitable[None]]) -> None:
        """``send(work class, step)`` puts a step on the queue; a second time changes nothing there."""
        self._send = send
        self._waiting: deque[tuple[str, ExecuteStep]] = deque()
        self._queued: set[str] = set()
        self._out: set[str] = set()

    async def submit(self, work_class: str, step: ExecuteStep) -> None:
        """Send a step, now or when there is room. Two runs that need the same step send it once."""
        if step.cache_id in self._queued or step.cache_id in self._out:
            return
        self._queued.add(step.cache_id)
        self._waiting.append((work_class, step))
        await self._fill()

    async def repeat(self, work_class: str, step: ExecuteStep) -> None:
        """Send a step again that may have been lost."""
        if step.cache_id in self._out:
            await self._send(work_class, step)
        else:
            await self.submit(work_class, step)

    def outstanding(self) -> list[str]:
        """Return the cache ids of steps that were sent and have not ended, as far as is known here."""
        return list(self._out)

    async def settle(self, cache_ids: Iterable[str]) -> None:
        """Note that steps have ended, whoever sent them, and fill the room they leave."""
        self._out.difference_update(cache_ids)
        await self._fill()

    async def withdraw(self, unwanted: Callable[[str], bool]) -> None:
        """Forget steps that wait for room and that nobody needs any more."""
        keep = [(c, s) for c, s in self._waiting if not unwanted(s.cache_id)]
        self._waiting = deque(keep)
        self._queued = {s.cache_id for _, s in keep}
        await self._fill()

    async def _fill(self) -> None:
        while self._waiting and len(self._out) < WINDOW:
            work_class, step = self._waiting.popleft()
            self._queued.discard(step.cache_id)
            self._out.add(step.cache_id)
            await self._send(work_class, step)
