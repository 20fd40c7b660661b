"""Whose step goes next, of one work class: users take turns, what is urgent comes first, and nobody waits for ever.

Start-time fair queueing (Goyal, Vin, Cheng, SIGCOMM 1996) over users: each has a virtual time that a step moves on by
1 / weight; whoever stands lowest goes next, and a user who comes back after a pause begins at the present, so that
nobody saves turns up. Priorities come before that, and a step that has waited for :data:`AGEING_SECONDS` counts as one
of the next higher priority.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import NamedTuple

PRIORITIES = ("interactive", "batch")
"""From urgent to patient; a run's priority is the place in this list."""

AGEING_SECONDS = 60.0

REMEMBERED = 1000
"""How many users who want nothing at the moment are remembered with the turns they had."""


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


class Turn(NamedTuple):
    """A step whose turn it is.

    Attributes:
        wish: the one that it is granted to.
        wishes: all that there were for it, by run.
        began: virtual time before this turn.
    """

    cache_id: str
    wish: Wish
    wishes: Mapping[str, Wish]
    began: float


class Turns:
    """Steps that wait for room, each with the wishes for it. What several runs want waits once, in each one's lane."""

    def __init__(self) -> None:
        self._wishes: dict[str, dict[str, Wish]] = {}  # cache id → run → its wish
        self._runs: dict[str, dict[str, None]] = {}  # run → the steps it waits for
        # user → priority → (step, run), in the order in which they came
        self._lanes: dict[str, dict[int, OrderedDict[tuple[str, str], None]]] = {}
        self._times: dict[str, float] = {}  # user → virtual time at which the next turn begins
        self._now = 0.0  # virtual time of the last turn

    def __len__(self) -> int:
        return len(self._wishes)

    @property
    def runs(self) -> Collection[str]:
        """The runs that wait for a step."""
        return self._runs.keys()

    def wants(self, user: str) -> bool:
        """Return whether a user waits for a step."""
        return user in self._lanes

    def would_be_next(self, user: str) -> bool:
        """Return whether no user who waits has a turn before that of a user who came back now."""
        begins = self._begins(user)
        return all(begins <= self._begins(other) for other in self._lanes)

    def _begins(self, user: str) -> float:
        """Return the virtual time at which a user's next turn begins."""
        return max(self._times.get(user, 0.0), self._now)

    def add(self, cache_id: str, wish: Wish) -> None:
        """Let a run wait for a step; a second time changes nothing."""
        if wish.run_id not in self._wishes.get(cache_id, ()):
            self._put(cache_id, wish)

    def drop(self, cache_id: str) -> None:
        """Forget a step, whoever waits for it."""
        for wish in self._wishes.pop(cache_id, {}).values():
            self._leave(cache_id, wish)

    def withdraw(self, run_id: str, among: Collection[str] | None = None) -> list[str]:
        """Forget what a run waits for, or only that ``among`` it; return the steps that no other run waits for."""
        left: list[str] = []
        for cache_id in [c for c in self._runs.get(run_id, ()) if among is None or c in among]:
            wishes = self._wishes[cache_id]
            self._leave(cache_id, wishes.pop(run_id))
            if not wishes:
                del self._wishes[cache_id]
                left.append(cache_id)
        return left

    def next(
        self, now: float, barred: Collection[str] = (), out: Mapping[str, int] = MappingProxyType({})
    ) -> Turn | None:
        """Take the step out whose turn it is; None: nobody has a turn.

        Args:
            now: seconds of the clock that the wishes were dated by.
            barred: users who have to wait.
            out: how many steps each user has out: of users whose turn it is equally, who has fewer goes first.
        """
        best: tuple[tuple[int, float, int, float], str, Wish] | None = None
        for user in self._lanes:
            if user in barred:
                continue
            cache_id, wish = self._first(user, now)
            order = (_rank(wish, now), self._begins(user), out.get(user, 0), wish.since)
            if best is None or order < best[0]:
                best = (order, cache_id, wish)
        if best is None:
            return None
        (_, begins, _, _), cache_id, wish = best
        turn = Turn(cache_id, wish, self._wishes[cache_id], self._now)
        self._now = begins
        self._times[wish.user] = begins + 1 / wish.weight
        self.drop(cache_id)
        self._forget_absent()
        return turn

    def put_back(self, turn: Turn) -> None:
        """Undo a turn that could not be used: the step waits where it was. Of several, the last one first."""
        for wish in turn.wishes.values():
            self._put(turn.cache_id, wish, first=wish is turn.wish)
        self._times[turn.wish.user] = self._times.get(turn.wish.user, self._now) - 1 / turn.wish.weight
        self._now = min(self._now, turn.began)

    def _put(self, cache_id: str, wish: Wish, first: bool = False) -> None:
        self._wishes.setdefault(cache_id, {})[wish.run_id] = wish
        self._runs.setdefault(wish.run_id, {})[cache_id] = None
        lanes = self._lanes.get(wish.user)
        if lanes is None:
            lanes = self._lanes[wish.user] = {}
        lane = lanes.get(wish.priority)
        if lane is None:
            lane = lanes[wish.priority] = OrderedDict()
        lane[cache_id, wish.run_id] = None
        if first:
            lane.move_to_end((cache_id, wish.run_id), last=False)

    def _leave(self, cache_id: str, wish: Wish) -> None:
        """Take a wish out of its run and its lane, and those with it that are empty now."""
        steps = self._runs[wish.run_id]
        del steps[cache_id]
        if not steps:
            del self._runs[wish.run_id]
        lanes = self._lanes[wish.user]
        del lanes[wish.priority][cache_id, wish.run_id]
        if not lanes[wish.priority]:
            del lanes[wish.priority]
        if not lanes:
            del self._lanes[wish.user]

    def _first(self, user: str, now: float) -> tuple[str, Wish]:
        """Return a user's next step and the wish for it."""
        heads = [next(iter(lane)) for lane in self._lanes[user].values()]
        if len(heads) == 1:
            cache_id, run_id = heads[0]
            return cache_id, self._wishes[cache_id][run_id]
        wishes = [(self._wishes[cache_id][run_id], cache_id) for cache_id, run_id in heads]
        wish, cache_id = min(wishes, key=lambda each: (_rank(each[0], now), each[0].since))
        return cache_id, wish

    def _forget_absent(self) -> None:
        """Forget the turns of users who want nothing, once they are too many.

        Until then they count: else a short pause would wipe them out.
        """
        if len(self._times) > 2 * REMEMBERED + len(self._lanes):
            absent = sorted(self._times.keys() - self._lanes.keys(), key=self._times.__getitem__)
            for user in absent[:-REMEMBERED]:
                del self._times[user]


def _rank(wish: Wish, now: float) -> int:
    """Return the priority that a wish has come to by waiting."""
    return max(wish.priority - int((now - wish.since) // AGEING_SECONDS), 0)
