"""Whose step goes next."""

from __future__ import annotations

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from services.planner.scheduling import AGEING_SECONDS, Turns, Wish

USERS = ("ada", "bob", "eve")


def granted(turns: Turns, now: float = 0.0) -> list[str]:
    """Return the steps that are left, in the order of their turns."""
    order = []
    while found := turns.next(now):
        order.append(found[0])
    return order


def test_one_step_beside_ten_thousand_goes_second() -> None:
    turns = Turns()
    for number in range(10_000):
        turns.add(f"big {number}", Wish("big", "ada", 0, 0.0))
    turns.add("small", Wish("small", "bob", 0, 1.0))
    assert "small" in [found[0] for _ in range(2) if (found := turns.next(1.0))]


def test_a_users_own_steps_keep_their_order() -> None:
    turns = Turns()
    for number in range(20):
        turns.add(f"{number}", Wish(f"run {number % 3}", "ada", 0, float(number)))
    assert granted(turns, 20.0) == [f"{number}" for number in range(20)]


@given(st.lists(st.sampled_from(USERS), min_size=60, max_size=200), st.integers(1, 60))
def test_users_who_wait_take_turns(askers: list[str], taken: int) -> None:
    turns = Turns()
    for number, user in enumerate(askers):
        turns.add(f"{number}", Wish(user, user, 0, 0.0))
    left, had = Counter(askers), Counter[str]()
    for _ in range(taken):
        found = turns.next(0.0)
        assert found
        had[found[1].user] += 1
        waiting = [user for user in set(askers) if had[user] < left[user]]
        assert all(had[user] >= had[found[1].user] - 1 for user in waiting)


@given(st.integers(2, 5), st.integers(10, 40))
def test_turns_go_by_weight(weight: int, rounds: int) -> None:
    turns = Turns()
    for number in range(400):
        turns.add(f"heavy {number}", Wish("h", "ada", 0, 0.0, weight=float(weight)))
        turns.add(f"light {number}", Wish("l", "bob", 0, 0.0))
    had = Counter(found[1].user for _ in range(rounds) if (found := turns.next(0.0)))
    assert abs(had["ada"] - weight * had["bob"]) <= weight


def test_what_is_urgent_comes_first_until_the_other_has_waited_long_enough() -> None:
    turns = Turns()
    turns.add("patient", Wish("b", "ada", 1, 0.0))
    for number in range(4):
        turns.add(f"urgent {number}", Wish("i", "bob", 0, 50.0))
    early = AGEING_SECONDS - 1
    assert [found[0] for _ in range(2) if (found := turns.next(early))] == ["urgent 0", "urgent 1"]
    assert [found[0] for _ in range(3) if (found := turns.next(AGEING_SECONDS))] == ["patient", "urgent 2", "urgent 3"]


def test_an_urgent_step_of_ones_own_goes_before_ones_patient_ones() -> None:
    turns = Turns()
    turns.add("patient", Wish("b", "ada", 1, 0.0))
    turns.add("urgent", Wish("i", "ada", 0, 1.0))
    assert granted(turns, 1.0) == ["urgent", "patient"]


def test_nobody_saves_turns_up_by_a_pause() -> None:
    turns = Turns()
    for number in range(100):
        turns.add(f"ada {number}", Wish("a", "ada", 0, 0.0))
    for _ in range(50):
        turns.next(0.0)
    for number in range(50):
        turns.add(f"bob {number}", Wish("b", "bob", 0, 0.0))
    had = Counter(found[1].user for _ in range(20) if (found := turns.next(0.0)))
    assert abs(had["ada"] - had["bob"]) <= 1


def test_a_short_pause_does_not_wipe_out_the_turns_one_had() -> None:
    turns = Turns()
    turns.add("a0", Wish("a", "ada", 0, 0.0, weight=0.1))
    assert turns.next(0.0)
    assert turns.next(0.0) is None
    turns.add("a1", Wish("a", "ada", 0, 0.0))
    for number in range(5):
        turns.add(f"b{number}", Wish("b", "bob", 0, 0.0))
    assert [found[1].user for _ in range(5) if (found := turns.next(0.0))] == ["bob"] * 5


def test_who_is_barred_waits_and_the_others_do_not() -> None:
    turns = Turns()
    turns.add("a", Wish("a", "ada", 0, 0.0))
    turns.add("b", Wish("b", "bob", 0, 0.0))
    found = turns.next(0.0, barred={"ada"})
    assert found
    assert found[0] == "b"
    assert turns.next(0.0, barred={"ada"}) is None
    assert granted(turns) == ["a"]


class Waiting(RuleBasedStateMachine):
    """What waits is granted once, or withdrawn with the last run that wants it; never anything else."""

    def __init__(self) -> None:
        super().__init__()
        self.turns = Turns()
        self.wanted: dict[str, dict[str, str]] = {}  # step → run → user
        self.now = 0.0

    @rule(
        step=st.integers(0, 9), run=st.integers(0, 5), priority=st.integers(0, 1), weight=st.sampled_from([0.5, 1, 3])
    )
    def add(self, step: int, run: int, priority: int, weight: float) -> None:
        user = USERS[run % 3]
        self.turns.add(str(step), Wish(f"r{run}", user, priority, self.now, weight))
        self.wanted.setdefault(str(step), {}).setdefault(f"r{run}", user)

    @rule(run=st.integers(0, 5))
    def withdraw(self, run: int) -> None:
        left = set(self.turns.withdraw(f"r{run}"))
        for runs in self.wanted.values():
            runs.pop(f"r{run}", None)
        assert left == {step for step, runs in self.wanted.items() if not runs}
        self.wanted = {step: runs for step, runs in self.wanted.items() if runs}

    @rule(step=st.integers(0, 9))
    def drop(self, step: int) -> None:
        self.turns.drop(str(step))
        self.wanted.pop(str(step), None)

    @rule(seconds=st.floats(0, 200))
    def wait(self, seconds: float) -> None:
        self.now += seconds

    @precondition(lambda self: self.wanted)
    @rule(barred=st.sets(st.sampled_from(USERS), max_size=2))
    def grant(self, barred: set[str]) -> None:
        able = {step for step, runs in self.wanted.items() if set(runs.values()) - barred}
        found = self.turns.next(self.now, barred)
        assert (found is not None) == bool(able)
        if found:
            step, wish, *_ = found
            assert self.wanted.pop(step)[wish.run_id] == wish.user
            assert wish.user not in barred

    @invariant()
    def all_of_it_waits(self) -> None:
        assert len(self.turns) == len(self.wanted)


TestWaiting = Waiting.TestCase
