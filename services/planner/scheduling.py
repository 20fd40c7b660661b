"""Whose step goes next, of one work class: users take turns, what is urgent comes first, and nobody waits for ever.

Start-time fair queueing (Goyal, Vin, Cheng, SIGCOMM 1996) over users: each has a virtual time that a step moves on by
1 / weight; whoever stands lowest goes next, and a user who comes back after a pause begins at the present, so that
nobody saves turns up. Priorities come before that, and a step that has waited for :data:`AGEING_SECONDS` counts as one
of the next higher priority.
"""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Collection
from dataclasses import dataclass

PRIORITIES = ("interactive", "batch")
"""From urgent to patient; a run's priority is the place in this list."""

AGEING_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class Wish:
    """A run's wish for a step.

    Attributes:
        priority: 0 is the most urgent, see :data:`PRIORITIES`.
        since: seconds of a monotonic clock.
        weight: turns of its user for each turn of a user with 1.
    """

    run_id: str
    user: str
    priority: int
    since: float
    weight: float = 1.0


class Turns:
    """Steps that wait for room, each with the wishes for it. What several runs want waits once, in each one's lane."""

    def __init__(self) -> None:
        self._wishes: dict[str, dict[str, Wish]] = {}  # cache id → run → its wish
        self._lanes: dict[str, dict[int, deque[tuple[str, str]]]] = defaultdict(dict)  # user → priority → (step, run)
        self._times: dict[str, float] = {}  # user → virtual time at which the next turn begins
        self._now = 0.0  # virtual time of the last turn

    def __len__(self) -> int:
        return len(self._wishes)

    def add(self, cache_id: str, wish: Wish) -> None:
        """Let a run wait for a step; a second time changes nothing."""
        wishes = self._wishes.setdefault(cache_id, {})
        if wish.run_id not in wishes:
            wishes[wish.run_id] = wish
            self._lanes[wish.user].setdefault(wish.priority, deque()).append((cache_id, wish.run_id))

    def drop(self, cache_id: str) -> None:
        """Forget a step, whoever waits for it."""
        self._wishes.pop(cache_id, None)

    def withdraw(self, run_id: str) -> list[str]:
        """Forget what a run waits for; return the steps that no other run waits for."""
        left = [c for c, wishes in self._wishes.items() if wishes.pop(run_id, None) and not wishes]
        for cache_id in left:
            del self._wishes[cache_id]
        return left

    def next(self, now: float, barred: Collection[str] = ()) -> tuple[str, Wish] | None:
        """Take the step out whose turn it is, with the wish that it is granted to; None: nobody has a turn.

        Args:
            now: seconds of the clock that the wishes were dated by.
            barred: users who have to wait.
        """
        best: tuple[tuple[int, float, float], str, Wish] | None = None
        for user in list(self._lanes):
            if user in barred:
                continue
            wish, cache_id = self._first(user, now)
            if wish is None:
                continue
            begins = max(self._times.get(user, 0.0), self._now)
            order = (_rank(wish, now), begins, wish.since)
            if best is None or order < best[0]:
                best = (order, cache_id, wish)
        if best is None:
            return None
        (_, self._now, _), cache_id, wish = best
        self._times[wish.user] = self._now + 1 / wish.weight
        del self._wishes[cache_id]
        return cache_id, wish

    def _first(self, user: str, now: float) -> tuple[Wish | None, str]:
        """Return a user's next wish and its step; lanes lose what is no longer wanted."""
        best: tuple[tuple[int, float], Wish, str] | None = None
        lanes = self._lanes[user]
        for priority, lane in list(lanes.items()):
            while lane and lane[0][1] not in self._wishes.get(lane[0][0], ()):
                lane.popleft()
            if not lane:
                del lanes[priority]
                continue
            cache_id, run_id = lane[0]
            wish = self._wishes[cache_id][run_id]
            order = (_rank(wish, now), wish.since)
            if best is None or order < best[0]:
                best = (order, wish, cache_id)
        if best is None:
            del self._lanes[user]
            if self._times.get(user, 0.0) <= self._now:  # else the turns it took would be forgotten by a short pause
                self._times.pop(user, None)
            return None, ""
        return best[1], best[2]


def _rank(wish: Wish, now: float) -> int:
    """Return the priority that a wish has come to by waiting."""
    return max(wish.priority - int((now - wish.since) // AGEING_SECONDS), 0)
