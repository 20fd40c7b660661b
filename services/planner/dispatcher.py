"""A bounded window of steps on the work queue, so that what runs next stays the planner's decision."""

from __future__ import annotations

import asyncio
import time
from collections import Counter, defaultdict
from collections.abc import Awaitable, Callable, Collection, Coroutine, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import structlog

from artdag_common import metrics
from artdag_common.commands import ExecuteStep, ExecuteSteps
from artdag_common.errors import ArtdagError
from services.planner.scheduling import Turn, Turns, Wish
from services.planner.slots import Claim, NoSlots, Slots

PRESENT_SECONDS = 2.0
"""How long a user who wants nothing at the moment counts as somebody who will: between two steps of a chain."""

EXPECTED_SECONDS = 0.1
"""How long the room that a user's only step leaves is kept for the next one. A chain asks for it a moment later, and
would else wait each time for a step of somebody else who was there just before (anticipatory scheduling: Iyer and
Druschel, SOSP 2001)."""

TOGETHER = {"inline": 64}
"""How many steps of a work class travel in one message; of a class that takes its time each goes alone, so that it
goes to whoever has a hand free."""

Due = tuple[str, ExecuteStep]
"""A step, after its work class."""

Later = Callable[[float, Callable[[], Coroutine[Any, Any, None]]], None]
"""``(seconds, work)``: has the work done when so much time has passed."""

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Asker:
    """Who wants steps: a run, the user whose turns they take, and how urgent it is (0: most)."""

    run_id: str
    user: str
    priority: int = 0


class Dispatcher:
    """Hands steps to the work queue, only so many of a class at a time; users take turns.

    One change at a time: between a slot that was asked for and the answer nothing else is decided. What it remembers
    is what waits and what is out, and goes with it.
    """

    def __init__(
        self,
        send: Callable[[str, ExecuteSteps], Awaitable[None]],
        window: Callable[[str, bool], int],
        clock: Callable[[], float] = time.monotonic,
        slots: Slots | None = None,
        weights: Mapping[str, float] | None = None,
        withdraw: Callable[[str, str], Awaitable[None]] | None = None,
        send_again: Callable[[str, ExecuteSteps], Awaitable[None]] | None = None,
        later: Later | None = None,
    ) -> None:
        """``send(work class, steps)`` puts steps on the queue; a second time changes nothing there.

        Args:
            window: (work class, whether several users want steps) → how many may be on the queue at once.
            weights: turns of a user for each turn of another, by user; 1 for who is not there.
            withdraw: ``(work class, cache id)`` takes a step back that was sent.
            send_again: as ``send``, of what should be on the queue already; None: the same.
            later: None: in a task of its own.
        """
        self._send_again = send_again or send
        self._together: dict[str, ExecuteSteps] = {}  # cache id → message that it travelled in with others
        self._send = send
        self._window = window
        self._clock = clock
        self._slots = slots or NoSlots()
        self._weights = weights or {}
        self._withdraw = withdraw
        self._later = later or self._in_task
        self._lock = asyncio.Lock()
        self._steps: dict[str, Due] = {}  # what waits for room, by cache id
        self._turns: dict[str, Turns] = defaultdict(Turns)  # work class → whose turn it is
        self._out: dict[str, tuple[str, str]] = {}  # cache id → work class, and the user it was granted to
        self._room: dict[str, Counter[str]] = defaultdict(Counter)  # work class → user → steps that are out
        self._present: dict[str, float] = {}  # user → when it wanted a step last
        # work class → user → until when room is kept for its next step
        self._expected: dict[str, dict[str, float]] = defaultdict(dict)
        self._keeping: set[asyncio.Task[None]] = set()
        self._full: set[str] = set()  # classes without a free slot, and below those who have no more; until one ends
        self._refused: dict[str, set[str]] = defaultdict(set)

    async def submit(self, asker: Asker, due: Iterable[Due]) -> None:
        """Send steps, now or when there is room. What two runs need is sent once."""
        async with self._lock:
            self._add(asker, due)
            await self._fill()

    async def repeat(self, asker: Asker, due: Sequence[Due]) -> None:
        """Send steps again that may have been lost, and take those up that have a slot from a planner that is gone."""
        async with self._lock:
            limited = [step.cache_id for work_class, step in due if self._slots.most.limits(work_class)]
            held: Mapping[str, str] = {}
            if limited:
                await self._give_back(limited)  # a slot from an earlier life of the step is none for this one
                held = await self._slots.held(limited)
            for work_class, step in due:
                if step.cache_id in held:
                    self._wait_no_more(step.cache_id)
                    self._go(step.cache_id, work_class, held[step.cache_id])
                elif self._slots.most.limits(work_class):
                    self._come_back(step.cache_id)
            await self._repeat_all([each for each in due if each[1].cache_id in self._out])
            self._add(asker, due)
            await self._fill()

    def outstanding(self) -> list[str]:
        """Return the cache ids of steps that were sent and have not ended, as far as is known here."""
        return list(self._out)

    def known(self) -> list[str]:
        """Return the cache ids of the steps that are outstanding or wait for room."""
        return [*self._out, *self._steps]

    async def show(self) -> None:
        """Set the metrics that tell how many steps wait and are out."""
        waiting = Counter(work_class for work_class, _ in self._steps.values())
        out = Counter(work_class for work_class, _ in self._out.values())
        for work_class in {*self._turns, *self._room, *waiting, *out}:
            metrics.STEPS_WAITING.of(work_class).set(waiting[work_class])
            metrics.STEPS_OUT.of(work_class).set(out[work_class])

    async def settle(self, cache_ids: Iterable[str]) -> None:
        """Note that steps have ended, whoever sent them, and fill the room they leave."""
        async with self._lock:
            ended = list(cache_ids)
            went = {self._out[cache_id] for cache_id in ended if cache_id in self._out}
            await self._free(ended)
            for work_class, user in went:
                self._expect(work_class, user)
            await self._fill()

    async def recall(self, cache_ids: Iterable[str]) -> None:
        """Note that steps were taken off the queue, since nobody waits for them any more."""
        async with self._lock:
            await self._free(cache_ids, abandoned=True)
            await self._fill()

    async def withdraw(self, run_id: str, among: Collection[str] | None = None) -> set[str]:
        """Forget what a run still waits to send, or only that ``among`` it, unless another run needs it too.

        Returns:
            What is forgotten, and so was not sent from here.
        """
        async with self._lock:
            left = self._drop_wishes(run_id, among)
            await self._fill()
            return left

    async def asking(self) -> set[str]:
        """Return the runs of which a step waits for room."""
        async with self._lock:  # else those are missed that are just being chosen
            return {run_id for turns in self._turns.values() for run_id in turns.runs}

    async def withdraw_all(self, run_ids: Iterable[str]) -> None:
        """Forget what these runs still wait to send, unless another run needs it too."""
        async with self._lock:
            for run_id in run_ids:
                self._drop_wishes(run_id)
            await self._fill()

    async def fill(self) -> None:
        """Send what there is room for."""
        async with self._lock:
            await self._fill()

    async def look_after_slots(self) -> None:
        """Give back the slots that are over, whoever took them, and send what there is room for then."""
        async with self._lock:
            await self._give_back()
            await self._fill()

    def _add(self, asker: Asker, due: Iterable[Due]) -> None:
        weight = self._weights.get(asker.user, 1.0)
        wish = Wish(asker.run_id, asker.user, asker.priority, self._clock(), weight)
        self._present[asker.user] = wish.since
        for work_class, step in due:
            self._expected[work_class].pop(asker.user, None)
            if step.cache_id not in self._out:
                self._steps.setdefault(step.cache_id, (work_class, step))
                self._turns[work_class].add(step.cache_id, wish)

    def _expect(self, work_class: str, user: str) -> None:
        """Keep room for a user's next step: where this was the only one, and the next has its turn before others'."""
        now, turns = self._clock(), self._turns[work_class]
        if self._room[work_class][user] or turns.wants(user) or work_class in TOGETHER:
            return
        if turns and turns.would_be_next(user):
            self._expected[work_class][user] = until = now + EXPECTED_SECONDS
            self._later(EXPECTED_SECONDS, partial(self._expect_no_more, work_class, user, until))

    def _in_task(self, seconds: float, work: Callable[[], Coroutine[Any, Any, None]]) -> None:
        async def wait() -> None:
            await asyncio.sleep(seconds)
            await work()

        task = asyncio.create_task(wait(), name="keep room")
        self._keeping.add(task)
        task.add_done_callback(self._keeping.discard)

    async def _expect_no_more(self, work_class: str, user: str, until: float) -> None:
        if self._expected[work_class].get(user) == until:
            del self._expected[work_class][user]
            await self.fill()

    def _kept_free(self, work_class: str, now: float) -> int:
        """Return for how many steps room is kept that did not come yet."""
        expected = self._expected[work_class]
        for user in [user for user, until in expected.items() if until <= now]:
            del expected[user]
        return len(expected)

    def _go(self, cache_id: str, work_class: str, user: str) -> None:
        """Count a step as out."""
        if cache_id not in self._out:
            self._out[cache_id] = work_class, user
            self._room[work_class][user] += 1

    def _come_back(self, cache_id: str) -> str:
        """Count a step as out no more; return its class, empty where it was not."""
        went = self._out.pop(cache_id, None)
        if went is None:
            return ""
        self._together.pop(cache_id, None)
        work_class, user = went
        out = self._room[work_class]
        out[user] -= 1
        if not out[user]:
            del out[user]
        return work_class

    def _drop_wishes(self, run_id: str, among: Collection[str] | None = None) -> set[str]:
        left = {cache_id for turns in self._turns.values() for cache_id in turns.withdraw(run_id, among)}
        for cache_id in left:
            del self._steps[cache_id]
        return left

    def _wait_no_more(self, cache_id: str) -> None:
        if waiting := self._steps.pop(cache_id, None):
            self._turns[waiting[0]].drop(cache_id)

    async def _free(self, cache_ids: Iterable[str], abandoned: bool = False) -> None:
        """Take steps off the books, and give their slots back: here or where another planner sent them."""
        over: list[str] = []
        most = self._slots.most
        others = bool(most) and (abandoned or bool(self._full or self._refused))
        for cache_id in cache_ids:
            work_class = self._come_back(cache_id)
            if most.limits(work_class) if work_class else others:
                over.append(cache_id)
            if not work_class:
                self._wait_no_more(cache_id)
        if over:
            try:
                await self._give_back(over, abandoned)
            except ArtdagError as error:
                log.warning("slots are given back later", error=error.message)

    async def _give_back(self, cache_ids: Collection[str] | None = None, abandoned: bool = False) -> None:
        """Give slots back; ``abandoned``: of steps that were taken off the queue."""
        for work_class, cache_id in await self._slots.give_back(cache_ids, abandoned):
            self._come_back(cache_id)
            if self._withdraw and not abandoned:  # whose part it was may have died before
                await self._withdraw(work_class, cache_id)
        self._full.clear()
        self._refused.clear()

    async def _fill(self) -> None:
        due: list[Due] = []
        limited: list[str] = []
        for work_class, turns in self._turns.items():
            if self._slots.most.limits(work_class):
                if turns and work_class not in self._full:
                    limited.append(work_class)
            else:
                due += [self._steps.pop(cache_id) for cache_id in self._granted(work_class)]
        for work_class in limited:
            due += [self._steps.pop(cache_id) for cache_id in await self._with_slots(work_class)]
        await self._send_all(due)

    def _granted(self, work_class: str) -> Iterator[str]:
        """Take steps of a class out of those that wait, as long as there is room."""
        turns, now = self._turns[work_class], self._clock()
        left = self._window(work_class, self._shared(now)) - self._room[work_class].total()
        left -= self._kept_free(work_class, now)
        while left > 0 and (turn := turns.next(now, out=self._room[work_class])):
            self._present[turn.wish.user] = now
            self._go(turn.cache_id, work_class, turn.wish.user)
            left -= 1
            yield turn.cache_id

    async def _with_slots(self, work_class: str) -> list[str]:
        """Take steps of a class with limits out of those that wait, as long as there is room and they get slots."""
        granted: list[str] = []
        while work_class not in self._full and (turns := self._chosen(work_class)):
            try:
                claims = [Claim(t.cache_id, t.wish.user, self._steps[t.cache_id][1].version) for t in turns]
                taken = await self._slots.take(work_class, claims)
            except BaseException as error:
                self._put_back(work_class, turns)
                if not isinstance(error, ArtdagError):
                    raise
                log.warning("steps wait for slots", work_class=work_class, error=error.message)
                break
            for turn in turns:
                if turn.cache_id in taken.cache_ids:
                    self._go(turn.cache_id, work_class, turn.wish.user)
                    granted.append(turn.cache_id)
            refused = [turn for turn in turns if turn.cache_id not in taken.cache_ids]
            self._put_back(work_class, refused)
            if taken.full:
                self._full.add(work_class)
            elif refused:
                self._refused[work_class].update(turn.wish.user for turn in refused)
        return granted

    def _chosen(self, work_class: str) -> list[Turn]:
        """Return whose turn it is, as many as there is room for and as may get slots, as far as is known here."""
        most, of_user = self._slots.most, self._slots.most.of_user.get(work_class)
        out, now = self._room[work_class].copy(), self._clock()
        room = min(self._window(work_class, self._shared(now)), most.of_class.get(work_class, 1 << 30)) - out.total()
        room -= self._kept_free(work_class, now)
        barred = set(self._refused.get(work_class, ()))
        if of_user is not None:
            barred |= {user for user, count in out.items() if count >= of_user}
        chosen: list[Turn] = []
        while len(chosen) < room and (turn := self._turns[work_class].next(now, barred, out)):
            chosen.append(turn)
            user = turn.wish.user
            self._present[user] = now
            out[user] += 1
            if of_user is not None and out[user] >= of_user:
                barred.add(user)
        return chosen

    def _put_back(self, work_class: str, turns: Sequence[Turn]) -> None:
        for turn in reversed(turns):
            self._turns[work_class].put_back(turn)

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
                work = ExecuteSteps(tuple(steps[start : start + together]))
                if len(work.steps) > 1:
                    self._together |= {step.cache_id: work for step in work.steps if step.cache_id in self._out}
                await self._send(work_class, work)

    async def _repeat_all(self, due: Iterable[Due]) -> None:
        """Send messages again as they were, so that the queue knows those that it has."""
        messages: dict[tuple[str, str], ExecuteSteps] = {}
        for work_class, step in due:
            work = self._together.get(step.cache_id)
            if work is None or step not in work.steps:  # it was another run's wish, which another answer may satisfy
                work = ExecuteSteps((step,))
            messages[work_class, work.name] = work
        for (work_class, _), work in messages.items():
            await self._send_again(work_class, work)
