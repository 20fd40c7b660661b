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
        self._wanted: dict[str, set[str]] = {}  # cache id of a step that waits for room → runs that need it
        self._out: set[str] = set()

    async def submit(self, run_id: str, work_class: str, step: ExecuteStep) -> None:
        """Send a step, now or when there is room. Two runs that need the same step send it once."""
        if step.cache_id in self._out:
            return
        if step.cache_id not in self._wanted:
            self._wanted[step.cache_id] = set()
            self._waiting.append((work_class, step))
        self._wanted[step.cache_id].add(run_id)
        await self._fill()

    async def repeat(self, run_id: str, work_class: str, step: ExecuteStep) -> None:
        """Send a step again that may have been lost."""
        if step.cache_id in self._out:
            await self._send(work_class, step)
        else:
            await self.submit(run_id, work_class, step)

    def outstanding(self) -> list[str]:
        """Return the cache ids of steps that were sent and have not ended, as far as is known here."""
        return list(self._out)

    def known(self) -> list[str]:
        """Return the cache ids of the steps that are outstanding or wait for room."""
        return [*self._out, *self._wanted]

    async def settle(self, cache_ids: Iterable[str]) -> None:
        """Note that steps have ended, whoever sent them, and fill the room they leave."""
        for cache_id in cache_ids:
            self._out.discard(cache_id)
            self._wanted.pop(cache_id, None)
        await self._fill()

    async def withdraw(self, run_id: str) -> None:
        """Forget what a run still waits to send, unless another run needs it too."""
        for cache_id, runs in list(self._wanted.items()):
            runs.discard(run_id)
            if not runs:
                del self._wanted[cache_id]
        await self._fill()

    async def _fill(self) -> None:
        while self._waiting and len(self._out) < WINDOW:
            work_class, step = self._waiting.popleft()
            if self._wanted.pop(step.cache_id, None) is not None:
                self._out.add(step.cache_id)
                await self._send(work_class, step)
