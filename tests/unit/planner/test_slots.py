"""Planners, slots and executors in any order of events: never more than the limits, nothing leaked, nothing lost."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Coroutine
from dataclasses import dataclass, field
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from artdag_common.commands import ExecuteStep, ExecuteSteps
from artdag_common.errors import ServiceUnavailableError
from services.planner.dispatcher import PRESENT_SECONDS, Asker, Dispatcher
from services.planner.scheduling import REMEMBERED
from services.planner.slots import STOP_SECONDS, UNSEEN_SECONDS, Claim, Left, Most, Taken
from tests.unit.planner.books import ENDED, Books, ModelSlots

MOST = Most({"cpu": 3, "gpu": 1}, {"cpu": 2})
WINDOW = 4
USERS = ("ada", "bob", "eve")
CLASSES = ("cpu", "cpu", "gpu", "inline", "big")
"""Of the steps, by their number: two with limits, one without, and one that has only a window."""

STEPS, PLANNERS = 15, 2
LONG = max(STOP_SECONDS, UNSEEN_SECONDS) + 1

steps = st.sets(st.integers(0, STEPS - 1), min_size=1, max_size=6)
planners = st.integers(0, PLANNERS - 1)


def at_once(work: Coroutine[Any, Any, Any]) -> Any:
    """Return what a coroutine gives that waits for nobody."""
    try:
        work.send(None)
    except StopIteration as result:
        return result.value
    raise AssertionError("somebody is waited for")


def class_of(cache_id: str) -> str:
    return CLASSES[int(cache_id) % len(CLASSES)]


class Away(ModelSlots):
    """Slots that are out of reach now and then."""

    away = False

    async def take(self, work_class: str, claims: Any) -> Taken:
        if self.away:
            raise ServiceUnavailableError("Postgres is away")
        return await super().take(work_class, claims)

    async def give_back(self, cache_ids: Collection[str] | None = None, abandoned: bool = False) -> list[Left]:
        if self.away:
            raise ServiceUnavailableError("Postgres is away")
        return await super().give_back(cache_ids, abandoned)


@dataclass
class Going:
    """A run that is not over: the steps it waits for, and how the planner knows it."""

    asker: Asker
    wants: set[str] = field(default_factory=set)
    paused: bool = False


class Sharing(RuleBasedStateMachine):
    """Two planners, one queue, executors; what planners remember may be lost at any moment, and so may messages."""

    def __init__(self) -> None:
        super().__init__()
        self.books = Books()
        self.slots = Away(self.books, MOST)
        self.queue: set[str] = set()
        self.sent: dict[str, int] = {}  # what was last put on the queue → version of the step that its planner knew
        self.executing: set[str] = set()
        self.stopping: set[str] = set()
        self.runs: dict[str, Going] = {}
        self.begun = 0
        self.later: list[tuple[float, Dispatcher, Callable[[], Coroutine[Any, Any, None]]]] = []
        self.planners = [self.planner() for _ in range(PLANNERS)]

    def planner(self) -> Dispatcher:
        async def send(_: str, work: ExecuteSteps) -> None:
            for step in work.steps:
                if step.cache_id not in self.executing:  # else the queue has it still
                    self.queue.add(step.cache_id)
                    self.sent[step.cache_id] = step.version

        async def withdraw(_: str, cache_id: str) -> None:
            self.withdraw(cache_id)

        def later(seconds: float, work: Callable[[], Coroutine[Any, Any, None]]) -> None:
            self.later.append((self.books.now + seconds, planner, work))

        weights = {"ada": 2.0}
        planner = Dispatcher(
            send, lambda *_: WINDOW, lambda: self.books.now, self.slots, weights, withdraw, later=later
        )
        return planner

    def pass_time(self, seconds: float) -> None:
        self.books.now += seconds
        due = [(planner, work) for at, planner, work in self.later if at <= self.books.now]
        self.later = [each for each in self.later if each[0] > self.books.now]
        for planner, work in due:
            if planner in self.planners:  # else it is gone, and with it what it meant to do
                at_once(work())

    def withdraw(self, cache_id: str) -> None:
        self.queue.discard(cache_id)
        if cache_id in self.executing:
            self.stopping.add(cache_id)

    def due(self, cache_ids: Collection[str]) -> list[tuple[str, ExecuteStep]]:
        versions = {c: len(self.books.streams[c]) if self.ended(c) else 0 for c in cache_ids}
        return [(class_of(c), ExecuteStep(c, "T", "{}", c, (), versions[c])) for c in sorted(cache_ids)]

    def ended(self, cache_id: str) -> bool:
        return self.books.streams[cache_id][-1:] in [[kind] for kind in ENDED]

    # --- runs ---

    @rule(by=planners, user=st.sampled_from(USERS), priority=st.integers(0, 1), wanted=steps, early=st.booleans())
    def begin(self, by: int, user: str, priority: int, wanted: set[int], early: bool) -> None:
        """``early``: steps are sent before it is committed that the run waits for them."""
        self.begun += 1
        run = Going(Asker(f"run{self.begun}", user, priority), {str(n) for n in wanted})
        due = self.due(run.wants)
        self.runs[run.asker.run_id] = run
        if early:
            at_once(self.planners[by].submit(run.asker, due))
        for cache_id in run.wants:
            self.books.waits[cache_id].add(run.asker.run_id)
        if not early:
            at_once(self.planners[by].submit(run.asker, due))

    @rule(by=planners, wanted=steps)
    def begin_in_vain(self, by: int, wanted: set[int]) -> None:
        """Steps are sent, and then nothing is committed: another planner was faster, or this one died."""
        self.begun += 1
        asker = Asker(f"vain{self.begun}", "eve")
        at_once(self.planners[by].submit(asker, self.due({str(n) for n in wanted})))
        at_once(self.planners[by].withdraw(asker.run_id))

    @rule(by=planners, which=st.integers(0, 99), told=st.booleans())
    def cancel(self, by: int, which: int, told: bool) -> None:
        """``told``: else the planner dies after the commit."""
        if run := self.chosen(which):
            self.over(run)
            if not told:
                self.planners[by] = self.planner()
                return
            at_once(self.planners[by].withdraw(run.asker.run_id))
            unneeded = [c for c in sorted(run.wants) if not self.books.waits[c]]
            for cache_id in unneeded:
                self.withdraw(cache_id)
            at_once(self.planners[by].recall(unneeded))

    @rule(by=planners, which=st.integers(0, 99))
    def pause(self, by: int, which: int) -> None:
        if run := self.chosen(which):
            run.paused = True
            at_once(self.planners[by].withdraw(run.asker.run_id))

    @rule(by=planners, which=st.integers(0, 99))
    def resume(self, by: int, which: int) -> None:
        if run := self.chosen(which):
            run.paused = False
            self.repeat(by, run)

    @rule(by=planners, which=st.integers(0, 99))
    def reconcile(self, by: int, which: int) -> None:
        if run := self.chosen(which):
            self.repeat(by, run)
        self.forget(by)

    @rule(by=planners)
    def restart(self, by: int) -> None:
        self.planners[by] = self.planner()

    def chosen(self, which: int) -> Going | None:
        return list(self.runs.values())[which % len(self.runs)] if self.runs else None

    def over(self, run: Going) -> None:
        del self.runs[run.asker.run_id]
        for waiting in self.books.waits.values():
            waiting.discard(run.asker.run_id)

    def repeat(self, by: int, run: Going) -> None:
        """Send what a run waits for again, as the reconciler does."""
        if not run.paused:
            try:
                at_once(self.planners[by].repeat(run.asker, self.due(run.wants)))
            except ServiceUnavailableError:
                assert self.slots.away

    def forget(self, by: int) -> None:
        known = self.planners[by].known()
        at_once(self.planners[by].settle([c for c in known if not self.books.waits[c]]))
        for run in self.runs.values():
            if run.paused:
                at_once(self.planners[by].withdraw(run.asker.run_id))

    # --- executors ---

    @rule(which=st.integers(0, 99))
    def start(self, which: int) -> None:
        if self.queue:
            cache_id = sorted(self.queue)[which % len(self.queue)]
            self.queue.discard(cache_id)
            if self.over_already(cache_id):
                for each in self.planners:
                    at_once(each.settle([cache_id]))
                return
            self.executing.add(cache_id)
            self.books.streams[cache_id].append("StepStarted")

    @rule(which=st.integers(0, 99), how=st.sampled_from(ENDED), heard=st.sets(planners))
    def finish(self, which: int, how: str, heard: set[int]) -> None:
        """``heard``: the planners that the hint reaches; the others, and the runs, learn of it from the stream."""
        if self.executing:
            cache_id = sorted(self.executing)[which % len(self.executing)]
            self.executing.discard(cache_id)
            self.stopping.discard(cache_id)
            self.books.streams[cache_id].append(how)
            for by in heard:
                self.deliver(by, cache_id)

    @rule(which=st.integers(0, STEPS - 1), by=planners)
    def hear(self, which: int, by: int) -> None:
        """The stream brings an end, maybe not for the first time, maybe that of an earlier life of the step."""
        if set(ENDED) & set(self.books.streams[str(which)]):
            if self.ended(str(which)):
                self.deliver(by, str(which))
            else:
                at_once(self.planners[by].settle([str(which)]))

    def deliver(self, by: int, cache_id: str) -> None:
        at_once(self.planners[by].settle([cache_id]))
        for run in [run for run in self.runs.values() if cache_id in run.wants]:
            run.wants.discard(cache_id)
            self.books.waits[cache_id].discard(run.asker.run_id)
            if not run.wants:
                self.over(run)

    @rule(which=st.integers(0, 99), dead=st.booleans())
    def fail_attempt(self, which: int, dead: bool) -> None:
        """The attempt comes to nothing, or its executor dies: the queue gives the step to the next."""
        if self.executing:
            cache_id = sorted(self.executing)[which % len(self.executing)]
            self.executing.discard(cache_id)
            if cache_id in self.stopping:  # it is off the queue
                self.stopping.discard(cache_id)
            else:
                self.queue.add(cache_id)
            if not dead:
                self.books.streams[cache_id].append("StepAttemptFailed")

    @rule(by=planners)
    def stop(self, by: int) -> None:
        """Executors break off what they were told to."""
        for cache_id in sorted(self.stopping):
            self.books.streams[cache_id].append("StepCancelled")
            self.executing.discard(cache_id)
            self.stopping.discard(cache_id)
            if not self.books.waits[cache_id]:
                at_once(self.planners[by].recall([cache_id]))
            for run in list(self.runs.values()):
                if cache_id in run.wants:
                    self.repeat(by, run)

    @rule()
    def lose_queue(self) -> None:
        self.queue.clear()

    def over_already(self, cache_id: str) -> bool:
        """Whether a step on the queue ended since its planner looked: whoever takes it only tells of that again."""
        return self.ended(cache_id) and len(self.books.streams[cache_id]) > self.sent[cache_id]

    # --- time ---

    @rule(seconds=st.sampled_from([0.05, 1.0, 3.0, 70.0]), by=planners)
    def wait(self, seconds: float, by: int) -> None:
        if seconds > STOP_SECONDS:  # long enough for those who have to stop
            self.look(by)
            self.stop(by)
        self.pass_time(seconds)

    @rule(by=planners)
    def look(self, by: int) -> None:
        if not self.slots.away:
            at_once(self.planners[by].look_after_slots())

    @rule(away=st.booleans())
    def lose_postgres(self, away: bool) -> None:
        self.slots.away = away

    @rule(by=planners)
    def come_to_rest(self, by: int) -> None:
        """Given time, and nobody new, everybody gets what they wait for, and no slot is left."""
        self.slots.away = False
        for run in self.runs.values():
            run.paused = False
        for _ in range(4 * STEPS):
            for run in list(self.runs.values()):
                self.repeat(by, run)
            self.forget(0)
            self.forget(1)
            while self.queue:
                self.start(0)
                self.no_more_than_the_limits()
            while self.executing:
                self.finish(0, ENDED[0], {by})
            for run in list(self.runs.values()):
                for cache_id in [c for c in run.wants if self.ended(c)]:
                    self.deliver(by, cache_id)
            self.pass_time(LONG)
            self.look(by)
            if not self.runs and not self.books.slots:
                break
        assert not self.runs, "somebody waits for ever"
        assert not self.books.slots, "a slot is leaked"
        for each in self.planners:
            at_once(each.settle(each.known()))
            assert not each.known()

    # --- what always holds ---

    @invariant()
    def no_more_than_the_limits(self) -> None:
        slots = self.books.slots.values()
        assert all(Counter(s.work_class for s in slots)[c] <= most for c, most in MOST.of_class.items())
        users = Counter((s.work_class, s.user) for s in slots)
        assert all(count <= MOST.of_user.get(c, count) for (c, _), count in users.items())

    @invariant()
    def whatever_is_with_executors_has_a_slot(self) -> None:
        for cache_id in {c for c in self.queue if not self.over_already(c)} | self.executing:
            if MOST.limits(class_of(cache_id)):
                assert cache_id in self.books.slots, cache_id

    @invariant()
    def whatever_waits_has_a_turn_to_come(self) -> None:
        for each in self.planners:
            assert sum(map(len, each._turns.values())) == len(each._steps)


TestSharing = Sharing.TestCase
TestSharing.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)


class Once:
    """Slots of which the books are read by the test."""

    def __init__(self, most: Most) -> None:
        self.books = Books()
        self.slots = ModelSlots(self.books, most)
        self.sent: list[str] = []
        self.dispatcher = Dispatcher(self.send, lambda *_: 100, lambda: 0.0, self.slots)

    async def send(self, _: str, work: ExecuteSteps) -> None:
        self.sent += [step.cache_id for step in work.steps]

    async def submit(self, run: str, user: str, wanted: Collection[str], priority: int = 0) -> None:
        for cache_id in wanted:
            self.books.waits[cache_id].add(run)
        due = [("cpu", ExecuteStep(c, "T", "{}", c, ())) for c in wanted]
        await self.dispatcher.submit(Asker(run, user, priority), due)

    async def finish(self, cache_id: str) -> None:
        self.books.streams[cache_id] += ["StepStarted", "StepCompleted"]
        await self.dispatcher.settle([cache_id])


async def test_a_user_at_the_limit_lets_others_pass() -> None:
    once = Once(Most({}, {"cpu": 2}))
    await once.submit("big", "ada", [f"a{n}" for n in range(50)])
    await once.submit("small", "bob", ["b0", "b1", "b2"])
    assert once.sent == ["a0", "a1", "b0", "b1"]
    await once.finish("b0")
    await once.finish("a1")
    assert once.sent[4:] == ["b2", "a2"]


async def test_a_step_that_several_users_want_counts_for_the_one_it_was_granted_to() -> None:
    once = Once(Most({}, {"cpu": 1}))
    await once.submit("one", "ada", ["shared", "a"])
    await once.submit("two", "bob", ["shared", "b", "c"])
    assert once.sent == ["shared", "b"]
    assert {c: s.user for c, s in once.books.slots.items()} == {"shared": "ada", "b": "bob"}


async def test_slots_of_a_planner_that_died_are_taken_over_and_not_taken_twice() -> None:
    once = Once(Most({"cpu": 2}))
    await once.submit("run", "ada", ["a", "b", "c"])
    other = Dispatcher(once.send, lambda *_: 100, lambda: 0.0, once.slots)
    once.sent.clear()
    due = [("cpu", ExecuteStep(c, "T", "{}", c, ())) for c in ("c", "b", "a")]
    await other.repeat(Asker("run", "ada"), due)
    assert once.sent == ["b", "a"], "what has a slot is sent again, what has none waits"
    once.books.streams["a"] += ["StepStarted", "StepFailed"]
    await other.settle(["a"])
    assert once.sent == ["b", "a", "c"]


async def test_a_step_whose_slot_another_planner_gave_back_waits_anew() -> None:
    once = Once(Most({"cpu": 1}))
    await once.submit("run", "ada", ["a"])
    once.books.waits["a"].clear()
    other = Dispatcher(once.send, lambda *_: 100, lambda: 0.0, once.slots)
    await other.recall(["a"])
    await other.submit(Asker("next", "bob"), [("cpu", ExecuteStep("b", "T", "{}", "b", ()))])
    assert (once.sent, set(once.books.slots)) == (["a", "b"], {"b"})
    once.books.waits["a"].add("again")
    await once.dispatcher.repeat(Asker("again", "ada"), [("cpu", ExecuteStep("a", "T", "{}", "a", ()))])
    assert (once.sent, set(once.books.slots)) == (["a", "b"], {"b"})
    assert once.dispatcher.known() == ["a"]


async def test_a_slot_from_an_earlier_life_of_a_step_is_none_for_the_next() -> None:
    once = Once(Most({"cpu": 1}))
    await once.submit("run", "ada", ["a"])
    once.books.streams["a"] += ["StepStarted", "StepFailed"]  # and nobody here hears of it
    once.books.waits["a"] = {"again"}
    again = [("cpu", ExecuteStep("a", "T", "{}", "a", (), version=2))]
    await once.dispatcher.repeat(Asker("again", "bob"), again)
    await once.dispatcher.look_after_slots()
    assert once.sent == ["a", "a"]
    assert (once.books.slots["a"].user, once.books.slots["a"].version) == ("bob", 2)


async def test_a_step_that_an_interactive_run_waits_for_too_is_interactive() -> None:
    once = Once(Most({"cpu": 1}))
    await once.submit("first", "eve", ["first"])
    await once.submit("patient", "ada", ["a", "shared"], priority=1)
    await once.submit("urgent", "bob", ["shared"], priority=0)
    for cache_id in ("first", "shared"):
        await once.finish(cache_id)
    assert once.sent == ["first", "shared", "a"]


async def test_turns_go_by_the_weights_of_users() -> None:
    once = Once(Most({"cpu": 1}))
    heavy = Dispatcher(once.send, lambda *_: 100, lambda: 0.0, once.slots, {"ada": 3.0})
    for user in ("ada", "bob"):
        wanted = [f"{user}{n}" for n in range(12)]
        for cache_id in wanted:
            once.books.waits[cache_id].add(user)
        await heavy.submit(Asker(user, user), [("cpu", ExecuteStep(c, "T", "{}", c, ())) for c in wanted])
    for n in range(11):
        once.books.streams[once.sent[n]] += ["StepStarted", "StepCompleted"]
        await heavy.settle([once.sent[n]])
    assert Counter(cache_id[:3] for cache_id in once.sent) == {"ada": 9, "bob": 3}


async def test_nothing_is_remembered_of_what_is_over() -> None:
    now = [0.0]
    once = Once(Most({"cpu": 2}, {"cpu": 1}))
    one = Dispatcher(once.send, lambda *_: 2, lambda: now[0], once.slots)
    for n in range(3000):
        now[0] += 1.0
        wanted = [(work_class, ExecuteStep(f"{n}{work_class}", "T", "{}", "", ())) for work_class in ("cpu", "inline")]
        for _, step in wanted:
            once.books.waits[step.cache_id].add(f"run{n}")
        await one.submit(Asker(f"run{n}", f"user{n}", n % 2), wanted)
        if n % 3 == 0:
            await one.withdraw(f"run{n}")
        for _, step in wanted:
            once.books.streams[step.cache_id] += ["StepStarted", "StepCompleted"]
        await one.settle([step.cache_id for _, step in wanted])
    kept = [one._steps, one._out, one._present, one._refused, one._full, *one._room.values()]
    for turns in one._turns.values():
        kept += [turns._wishes, turns._runs, turns._lanes]
        assert len(turns._times) <= 2 * REMEMBERED
    assert sum(map(len, kept)) <= 2 * PRESENT_SECONDS


async def test_where_a_class_is_full_nobody_is_asked_again_until_a_step_ends() -> None:
    once = Once(Most({"cpu": 1}))
    asked: list[Claim] = []
    take = once.slots.take

    async def counted(work_class: str, claims: Any) -> Taken:
        asked.extend(claims)
        return await take(work_class, claims)

    once.slots.take = counted  # type: ignore[method-assign]
    await once.submit("run", "ada", ["a", "b"])
    for n in range(20):
        await once.submit(f"other{n}", "bob", [f"o{n}"])
        await once.dispatcher.fill()
    assert [claim.cache_id for claim in asked] == ["a"]
    await once.finish("a")
    assert [claim.cache_id for claim in asked] == ["a", "o0"]
    assert once.sent == ["a", "o0"]
