"""The real engine, whatever happens: several users' runs over shared DAGs, while executors, bus, clock and planners do
their worst. Every run ends once, and says truly what became of it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Coroutine, Sequence
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from artdag_common.application import decode, rebuild
from artdag_common.commands import (
    CancelRun,
    CancelStep,
    DeleteRun,
    ExecuteRun,
    PauseRun,
    RegisterRecipe,
    ResumeRun,
    StartRun,
)
from artdag_common.domain.graph import Graph, Node, Variable
from artdag_common.domain.run import EPOCH, InputBinding, Run
from artdag_common.domain.step import Step
from artdag_common.errors import ArtdagError
from services.planner.engine import Ended
from tests.unit.planner.simulated import OF_A_RUN, Planner, World

PLANNERS = 2
ROUNDS = 60
"""After how many rounds of a world without trouble every run has to be over."""
ENDS = ("RunCompleted", "RunFailed", "RunCancelled")
ERRORS = ("", "", "", "", "step-input", "step-input", "media-worker-lost", "step-timeout", "provider-busy")


@st.composite
def graphs(draw: st.DrawFn) -> Graph:
    """Recipes of few different steps, so that they share some with one another, and some have one step twice."""
    nodes = [Node("src", "SOURCE", {"input": True})]
    if draw(st.booleans()):
        nodes.append(Node("beats", "ANALYZE", {"features": ["beats"]}, ("src",)))
    for number in range(draw(st.integers(3, 7))):
        before = st.sampled_from([node.id for node in nodes[-3:]])
        inputs = tuple(draw(st.lists(before, min_size=1, max_size=2)))
        nodes.append(Node(f"n{number}", "NOOP", {"salt": draw(st.sampled_from("ab"))}, inputs))
    on_failure = draw(st.sampled_from(("", "continue")))
    return Graph("g", "1", "", "o", tuple(nodes), (Variable("src", "src"),), nodes[-1].id, on_failure)


@settings(max_examples=60, stateful_step_count=25, deadline=None, derandomize=True)
class Life(RuleBasedStateMachine):
    """Some runs, and all that can happen to them."""

    def __init__(self) -> None:
        super().__init__()
        self.loop = asyncio.new_event_loop()
        self.world = World(PLANNERS)
        self.runs: list[str] = []
        self.source = ""
        self.commanded = 0
        self.checked: dict[str, int] = {}

    def do(self, work: Awaitable[Any]) -> Any:
        return self.loop.run_until_complete(work)

    def ask(self, planner: Planner, command: Any) -> bool:
        """Give a planner a command; False: it was refused."""
        self.commanded += 1
        handler = planner.commands.handlers()[type(command)]
        try:
            self.do(handler(command, f"command/{self.commanded}"))
        except ArtdagError as error:
            if error.retryable:  # nothing here is away
                raise
            return False
        return True

    def upload(self) -> None:
        self.source = self.do(self.world.blobs.put(b"source")).cid

    # --- people ---

    @initialize(data=st.data(), graph=graphs())
    def two_begin(self, data: st.DataObject, graph: Graph) -> None:
        self.upload()
        for user in "op":
            self.start(data, graph, user, 1, 0)

    @precondition(lambda self: len(self.runs) < 5)
    @rule(data=st.data(), graph=graphs(), user=st.sampled_from("po"), hold=st.integers(0, 4), limits=st.integers(0, 3))
    def start(self, data: st.DataObject, graph: Graph, user: str, hold: int, limits: int) -> None:
        if data.draw(st.booleans()) and self.runs:  # the very recipe of another
            recipe_cid = self.world.run(data.draw(st.sampled_from(self.runs))).recipe_cid
            forced: Sequence[str] = data.draw(st.sampled_from(((), ("src",), ("n0",), ("n2",))))
        else:
            recipe_cid = self.do(self.world.blobs.put(graph.canonical())).cid
            self.ask(self._planner(data), RegisterRecipe(recipe_cid, recipe_cid, "g", "1", "", user))
            forced = data.draw(st.lists(st.sampled_from([n.id for n in graph.nodes]), max_size=1))
        run_id = f"run{len(self.runs)}"
        now_us = (self.world.now - EPOCH).total_seconds() * 1e6
        command = StartRun(
            run_id,
            recipe_cid,
            user,
            (InputBinding("src", (self.source,)),),
            hold=not hold,
            priority=data.draw(st.sampled_from(("", "batch"))),
            forced=tuple(forced),
            deadline_us=round(now_us + 60e6) if limits == 1 else 0,
            wait_timeout_ms=20_000 if limits == 2 else 0,
            step_timeout_ms=10_000 if limits >= 2 else 0,
        )
        assert self.ask(self._planner(data), command)
        self.runs.append(run_id)

    @precondition(lambda self: self.runs)
    @rule(data=st.data())
    def steer(self, data: st.DataObject) -> None:
        run_id = data.draw(st.sampled_from(self.runs))
        before = self.world.run(run_id)
        command = data.draw(
            st.sampled_from(
                [
                    CancelRun(run_id, "enough"),
                    PauseRun(run_id),
                    PauseRun(run_id),
                    ResumeRun(run_id),
                    ResumeRun(run_id),
                    ExecuteRun(run_id),
                    ExecuteRun(run_id),
                    DeleteRun(run_id),
                ]
            )
        )
        accepted = self.ask(self._planner(data), command)
        possible: dict[type, bool] = {
            CancelRun: not before.finished,
            PauseRun: before.executing or before.status == "paused",
            ResumeRun: before.status == "paused",
            ExecuteRun: before.status == "planned",
            DeleteRun: before.finished and not before.deleted,
        }
        assert accepted == possible[type(command)], (command, before.status)

    @precondition(lambda self: self.runs)
    @rule(data=st.data())
    def cancel_step(self, data: st.DataObject) -> None:
        run_id = data.draw(st.sampled_from(self.runs))
        before = self.world.run(run_id)
        step = data.draw(st.integers(0, max(len(before.states) - 1, 0)))
        accepted = self.ask(self._planner(data), CancelStep(run_id, step))
        active = not before.finished and step < len(before.states) and before.states[step] in ("pending", "scheduled")
        assert accepted == active

    # --- executors ---

    @precondition(lambda self: self.world.queue)
    @rule(data=st.data())
    def begin(self, data: st.DataObject) -> None:
        self.do(self.world.begin(data.draw(st.sampled_from(sorted(self.world.queue)))))

    @precondition(lambda self: self.world.running)
    @rule(data=st.data(), error=st.sampled_from(ERRORS))
    def end(self, data: st.DataObject, error: str) -> None:
        self.do(self.world.end(data.draw(st.sampled_from(sorted(self.world.running))), error))

    @precondition(lambda self: self.world.queue)
    @rule(data=st.data())
    def work(self, data: st.DataObject) -> None:
        """All goes on for a while: whatever is queued ends, one way or another, and is heard of."""
        for cache_id in sorted(self.world.queue):
            self.do(self.world.begin(cache_id))
        for cache_id in sorted(self.world.running):
            self.do(self.world.end(cache_id, data.draw(st.sampled_from(ERRORS))))
        for planner in self.world.planners:
            heard, planner.heard = planner.heard, []
            if heard:
                self.do(self.world.hint(planner, _newest(heard)))

    @precondition(lambda self: self.world.running)
    @rule(data=st.data())
    def die(self, data: st.DataObject) -> None:
        self.world.die(data.draw(st.sampled_from(sorted(self.world.running))))

    # --- the bus ---

    @precondition(lambda self: any(planner.heard for planner in self.world.planners))
    @rule(data=st.data(), again=st.booleans())
    def hint(self, data: st.DataObject, again: bool) -> None:
        planner = data.draw(st.sampled_from([p for p in self.world.planners if p.heard]))
        some = data.draw(st.lists(st.sampled_from(planner.heard), min_size=1, unique=True))
        if not again:
            planner.heard = [event for event in planner.heard if event not in some]
        self.do(self.world.hint(planner, some))

    @precondition(lambda self: self.world.told)
    @rule(data=st.data(), again=st.booleans(), both=st.booleans())
    def bring(self, data: st.DataObject, again: bool, both: bool) -> None:
        """The stream brings something, late, doubled, or to two planners at once."""
        some = data.draw(st.lists(st.sampled_from(self.world.told), min_size=1, unique=True))
        if not again:
            self.world.told = [event for event in self.world.told if event not in some]
        to = self.world.planners if both else [self._planner(data)]
        self.do(self._together([self.world.bring(planner, _newest(some)) for planner in to]))

    @rule()
    def lose_the_work(self) -> None:
        """The stream WORK is gone, with all that nobody had begun."""
        self.world.queue = {c: s for c, s in self.world.queue.items() if c in self.world.running}

    @rule(data=st.data())
    def lose_hints(self, data: st.DataObject) -> None:
        self._planner(data).heard.clear()

    # --- planners ---

    @rule(number=st.integers(0, PLANNERS - 1))
    def restart(self, number: int) -> None:
        self.world.restart(number)

    @precondition(lambda self: self.world.store.active)
    @rule(data=st.data(), all_of_them=st.booleans())
    def reconcile(self, data: st.DataObject, all_of_them: bool) -> None:
        run_id = data.draw(st.sampled_from(sorted(self.world.store.active)))
        to = self.world.planners if all_of_them else [self._planner(data)]
        self.do(self._together([p.engine.reconcile(run_id, p.cause("reconcile")) for p in to]))

    @rule(data=st.data())
    def forget_settled(self, data: st.DataObject) -> None:
        self.do(self._planner(data).engine.forget_settled())

    @rule(data=st.data(), seconds=st.sampled_from((1.0, 6.0, 15.0)))
    def pass_time(self, data: st.DataObject, seconds: float) -> None:
        self.world.pass_seconds(seconds)
        planner = self._planner(data)
        for run_id in list(self.world.store.active):
            self.do(planner.engine.pass_time(run_id, planner.cause("clock")))

    # --- what is always so ---

    @invariant()
    def nothing_is_sent_too_early(self) -> None:
        assert not self.world.wrong

    @invariant()
    def histories_make_sense(self) -> None:
        for run_id in self.runs:
            stream = self.world.store.streams[Run.stream(run_id)]
            if self.checked.get(run_id) != len(stream):
                self.checked[run_id] = len(stream)
                self._check_history(run_id)

    @invariant()
    def what_planners_keep_is_what_the_events_make(self) -> None:
        for planner in self.world.planners:
            for run_id, kept in planner.engine._runs.items():
                assert kept == rebuild(self.world.store.streams[Run.stream(run_id)][: kept.version])

    @invariant()
    def the_tables_say_what_the_runs_say(self) -> None:
        runs = {run_id: self.world.run(run_id) for run_id in self.runs}
        assert self.world.store.active == {r: run.status == "paused" for r, run in runs.items() if not run.finished}
        going_on = [(r, run) for r, run in runs.items() if not run.finished]
        assert self.world.store.waits == {(r, run.steps[i].cache_id) for r, run in going_on for i in run.outstanding()}

    def _check_history(self, run_id: str) -> None:
        stream = self.world.store.streams[Run.stream(run_id)]
        types = [recorded.type for recorded in stream]
        ends = [place for place, name in enumerate(types) if name in ENDS]
        assert len(ends) <= 1, types
        assert set(types[ends[0] + 1 :] if ends else ()) <= {"RunDeleted"}, types
        run = None
        for recorded in stream:
            event: Any = decode(recorded)
            if isinstance(event, Run.StepsScheduled):
                assert run
                assert run.executing, f"{run.status}, and steps are scheduled"
                for each in event.steps:
                    assert run.states[each.step] == "pending"
                    assert all(run.outputs[i] for i in run.steps[each.step].inputs)
            elif isinstance(event, Run.StepsSatisfied | Run.StepsFailed):
                assert run
                for done in event.steps:
                    assert run.states[done.step] in ("pending", "scheduled")
            run = event.mutate(run)
            assert run is None or run.asked == len(run.outstanding()) <= OF_A_RUN
        assert run
        if run.status == "completed":
            self._check_completed(run, stream[0].position)
        elif types[-1] == "RunFailed" and run.failures:
            self._check_went_on(run)

    def _check_completed(self, run: Run, asked_at: int) -> None:
        assert all(run.outputs)
        assert set(run.states) <= {"completed", "cached"}
        assert not run.failures
        for i, step in enumerate(run.steps):
            if step.forced:
                made = [r for r in self.world.store.streams[Step.stream(step.cache_id)] if r.position > asked_at]
                assert run.outputs[i] in {e.output_cid for r in made if isinstance(e := decode(r), Step.Completed)}

    def _check_went_on(self, run: Run) -> None:
        """What does not need a failed step is done; what does was not even tried."""
        if decode(self.world.store.streams[run.id][-1]).error == "deadline-passed":  # type: ignore[attr-defined]
            return
        failed = {each.step for each in run.failures}
        lost = set(failed)
        for i, step in enumerate(run.steps):
            if run.states[i] != "cached" and not lost.isdisjoint(step.inputs):
                lost.add(i)
        for i, state in enumerate(run.states):
            assert (state == "failed") == (i in failed)
            assert (state == "skipped") == (i in lost - failed)
            assert (state in ("cached", "completed")) == (i not in lost)

    # --- and in the end ---

    def teardown(self) -> None:
        """Trouble is over: whatever was lost is found, and every run comes to its end."""
        try:
            for run_id in self.runs:
                status = self.world.run(run_id).status
                if status == "paused":
                    assert self.ask(self.world.planners[0], ResumeRun(run_id))
            for turn in range(ROUNDS):
                if not self.world.store.active:
                    break
                self._go_on(self.world.planners[turn % PLANNERS])
            assert not self.world.store.active, [self.world.run(r) for r in self.world.store.active]
            for run_id in self.runs:
                self._check_history(run_id)
                assert self.world.run(run_id).finished
            assert not self.world.store.waits
            for planner in self.world.planners:
                assert not planner.engine._runs.keys() - set(self.runs)
        finally:
            self.loop.close()

    def _go_on(self, planner: Planner) -> None:
        for run_id in list(self.world.store.active):
            if self.world.run(run_id).status == "planned":
                self.ask(planner, ExecuteRun(run_id))
            self.do(planner.engine.reconcile(run_id, planner.cause("reconcile")))
        self.do(planner.engine.forget_settled())
        for cache_id in list(self.world.queue):
            self.do(self.world.begin(cache_id))
        for cache_id in list(self.world.running):
            self.do(self.world.end(cache_id))

    async def _together(self, work: Sequence[Coroutine[Any, Any, Any]]) -> None:
        await asyncio.gather(*work)

    def _planner(self, data: st.DataObject) -> Planner:
        return data.draw(st.sampled_from(self.world.planners))


def _newest(events: Sequence[Ended]) -> list[Ended]:
    newest: dict[str, Ended] = {}
    for event in sorted(events, key=lambda event: event.originator_version):
        newest[event.originator_id] = event
    return list(newest.values())


TestLife = Life.TestCase
