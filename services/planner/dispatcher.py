"""A bounded window of steps on the work queue, so that what runs next stays the planner's decision."""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Awaitable, Callable, Iterable, Sequence

from artdag_common.commands import ExecuteStep, ExecuteSteps

WINDOW = 256
TOGETHER = {"inline": 64}
"""How many steps of a work class travel in one message; of a class that takes its time each goes alone, so that it
goes to whoever has a hand free."""

Due = tuple[str, ExecuteStep]
"""A step, after its work class."""


class Dispatcher:
    """Hands steps to the work queue, at most :data:`WINDOW` at a time, first come first served."""

    def __init__(self, send: Callable[[str, ExecuteSteps], Awaitable[None]]) -> None:
        """``send(work class, steps)`` puts steps on the queue; a second time changes nothing there."""
        self._send = send
        self._waiting: deque[Due] = deque()
        self._wanted: dict[str, set[str]] = {}  # cache id of a step that waits for room → runs that need it
        self._out: set[str] = set()

    async def submit(self, run_id: str, due: Iterable[Due]) -> None:
        """Send steps, now or when there is room. What two runs need is sent once."""
        for work_class, step in due:
            if step.cache_id in self._out:
                continue
            if step.cache_id not in self._wanted:
                self._wanted[step.cache_id] = set()
                self._waiting.append((work_class, step))
            self._wanted[step.cache_id].add(run_id)
        await self._fill()

    async def repeat(self, run_id: str, due: Sequence[Due]) -> None:
        """Send steps again that may have been lost."""
        await self._send_all([each for each in due if each[1].cache_id in self._out])
        await self.submit(run_id, due)

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
        due: list[Due] = []
        while self._waiting and len(self._out) < WINDOW:
            work_class, step = self._waiting.popleft()
            if self._wanted.pop(step.cache_id, None) is not None:
                self._out.add(step.cache_id)
                due.append((work_class, step))
        await self._send_all(due)

    async def _send_all(self, due: Iterable[Due]) -> None:
        classes: dict[str, list[ExecuteStep]] = defaultdict(list)
        for work_class, step in due:
            classes[work_class].append(step)
        for work_class, steps in classes.items():
            together = TOGETHER.get(work_class, 1)
            for start in range(0, len(steps), together):
                await self._send(work_class, ExecuteSteps(tuple(steps[start : start + together])))
