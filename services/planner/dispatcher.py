"""A bounded window of steps on the work queue, so that what runs next stays the planner's decision."""

from __future__ import annotations

import time
from collections import Counter, defaultdict
from collections.abc import Awaitable, Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

from artdag_common.commands import ExecuteStep, ExecuteSteps
from services.planner.scheduling import Turns, Wish

PRESENT_SECONDS = 2.0
"""How long a user who wants nothing at the moment counts as somebody who will: between two steps of a chain."""

TOGETHER = {"inline": 64}
"""How many steps of a work class travel in one message; of a class that takes its time each goes alone, so that it
goes to whoever has a hand free."""

Due = tuple[str, ExecuteStep]
"""A step, after its work class."""


@dataclass(frozen=True, slots=True)
class Asker:
    """Who wants steps: a run, the user whose turns they take, and how urgent it is (0: most)."""

    run_id: str
    user: str
    priority: int = 0


class Dispatcher:
    """Hands steps to the work queue, only so many of a class at a time; users take turns."""

    def __init__(
        self,
        send: Callable[[str, ExecuteSteps], Awaitable[None]],
        window: Callable[[str, bool], int],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """``send(work class, steps)`` puts steps on the queue; a second time changes nothing there.

        Args:
            window: (work class, whether several users want steps) → how many may be on the queue at once.
        """
        self._send = send
        self._window = window
        self._clock = clock
        self._steps: dict[str, Due] = {}  # what waits for room, by cache id
        self._turns: dict[str, Turns] = defaultdict(Turns)  # work class → whose turn it is
        self._out: dict[str, str] = {}  # cache id → work class
        self._room: Counter[str] = Counter()  # work class → steps of it that are out
        self._present: dict[str, float] = {}  # user → when it wanted a step last

    async def submit(self, asker: Asker, due: Iterable[Due]) -> None:
        """Send steps, now or when there is room. What two runs need is sent once."""
        wish = Wish(asker.run_id, asker.user, asker.priority, self._clock())
        self._present[asker.user] = wish.since
        for work_class, step in due:
            if step.cache_id not in self._out:
                self._steps.setdefault(step.cache_id, (work_class, step))
                self._turns[work_class].add(step.cache_id, wish)
        await self.fill()

    async def repeat(self, asker: Asker, due: Sequence[Due]) -> None:
        """Send steps again that may have been lost."""
        await self._send_all([each for each in due if each[1].cache_id in self._out])
        await self.submit(asker, due)

    def outstanding(self) -> list[str]:
        """Return the cache ids of steps that were sent and have not ended, as far as is known here."""
        return list(self._out)

    def known(self) -> list[str]:
        """Return the cache ids of the steps that are outstanding or wait for room."""
        return [*self._out, *self._steps]

    async def settle(self, cache_ids: Iterable[str]) -> None:
        """Note that steps have ended, whoever sent them, and fill the room they leave."""
        for cache_id in cache_ids:
            if work_class := self._out.pop(cache_id, None):
                self._room[work_class] -= 1
            elif waiting := self._steps.pop(cache_id, None):
                self._turns[waiting[0]].drop(cache_id)
        await self.fill()

    async def withdraw(self, run_id: str) -> None:
        """Forget what a run still waits to send, unless another run needs it too."""
        for turns in self._turns.values():
            for cache_id in turns.withdraw(run_id):
                del self._steps[cache_id]
        await self.fill()

    async def fill(self) -> None:
        """Send what there is room for."""
        due = [self._steps.pop(cache_id) for work_class in self._turns for cache_id in self._granted(work_class)]
        await self._send_all(due)

    def _granted(self, work_class: str) -> Iterator[str]:
        """Take steps of a class out of those that wait, as long as there is room."""
        turns, now = self._turns[work_class], self._clock()
        window = self._window(work_class, self._shared(now))
        while self._room[work_class] < window and (granted := turns.next(now)):
            cache_id, wish = granted
            self._out[cache_id] = work_class
            self._room[work_class] += 1
            self._present[wish.user] = now
            yield cache_id

    def _shared(self, now: float) -> bool:
        """Return whether several users want steps, now or a moment ago."""
        self._present = {user: at for user, at in self._present.items() if now - at < PRESENT_SECONDS}
        return len(self._present) > 1

    async def _send_all(self, due: Iterable[Due]) -> None:
        classes: dict[str, list[ExecuteStep]] = defaultdict(list)
        for work_class, step in due:
            classes[work_class].append(step)
        for work_class, steps in classes.items():
            together = TOGETHER.get(work_class, 1)
            for start in range(0, len(steps), together):
                await self._send(work_class, ExecuteSteps(tuple(steps[start : start + together])))
