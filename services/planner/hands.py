"""How many steps executors can work on at once, so that no more than they will soon take are on the queue."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from math import ceil

import nats
import structlog
from nats.js.errors import APIError

from artdag_common.errors import ArtdagError
from artdag_common.messaging import subjects
from artdag_common.messaging.bus import Bus
from artdag_common.turning import Loop

AT_ONCE = "inline"
WINDOW, SHARED_WINDOW = 64, 2
"""How many steps that take no time are on the queue at once, for one user and where several want some. Whoever comes
waits for those of the others; more of them gain next to nothing (``benchmarks/RESULTS.md``)."""

AHEAD = 0.25
"""Steps that are ahead on the queue for each hand, where one user has them all, so that who is through finds the next
one there: asking for it takes tens of milliseconds, a step hundreds. Each is one that a user who comes then waits for.
Where several users want steps, none is ahead: whoever comes has the next hand that is free."""

LEAST = 2
"""Steps of a class that are on the queue though nobody may be there to take them."""

OF_A_RUN = 300
"""Steps of one run that are scheduled at once, where there are not so many hands that these wanted more: what is
scheduled is written down, asked for after each loss, and taken back when the run ends early, and none of that may take
long because a run is large."""

LOOK_SECONDS = 1.0

log = structlog.get_logger(__name__)


class Hands(Loop):
    """Counts the hands of each work class that takes its time: pull requests that wait, and what is being worked on."""

    def __init__(self, bus: Bus) -> None:
        self._bus = bus
        self._hands: dict[str, int] = {}

    def window(self, work_class: str, shared: bool) -> int:
        """Return how many steps of a class may be on the queue at once; ``shared``: several users want some."""
        if work_class == AT_ONCE:
            return SHARED_WINDOW if shared else WINDOW
        hands = self._hands.setdefault(work_class, 0)
        return max(hands if shared else hands + ceil(hands * AHEAD), LEAST)

    def of_a_run(self) -> int:
        """Return how many steps of one run may be scheduled at once."""
        return max(OF_A_RUN, 4 * sum(self._hands.values()))

    async def start(self, more: Callable[[], Awaitable[None]]) -> None:
        """Begin to look. ``more`` is called when a class has more hands than before."""
        self._begin_loop(self._look(more), "count hands")

    async def _look(self, more: Callable[[], Awaitable[None]]) -> None:
        while True:
            for work_class, before in list(self._hands.items()):
                self._hands[work_class] = await self._count(work_class, before)
                if self._hands[work_class] > before:
                    try:
                        await more()
                    except ArtdagError as error:
                        log.warning("is sent later", error=error.message)
            await asyncio.sleep(LOOK_SECONDS)

    async def _count(self, work_class: str, before: int) -> int:
        try:
            info = await self._bus.js.consumer_info(subjects.WORK, subjects.workers(work_class))
        except (nats.errors.Error, APIError, TimeoutError) as error:  # none there yet, or the bus is away
            log.debug("hands are not counted", work_class=work_class, error=repr(error))
            return before
        return (info.num_waiting or 0) + (info.num_ack_pending or 0)
