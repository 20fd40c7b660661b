"""The planner when messages are lost, repeated, or handled by two planners at once."""

from __future__ import annotations

import asyncio
import re
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path

import asyncpg
import pytest

from artdag_common.application import Application
from artdag_common.blobs.local import LocalBlobStore
from artdag_common.commands import CancelRun, ExecuteStep, ExecuteSteps, RegisterRecipe, StartRun
from artdag_common.domain.graph import Graph, Node, Variable
from artdag_common.domain.provenance import Infrastructure
from artdag_common.domain.run import InputBinding, Run
from artdag_common.domain.step import Step
from artdag_common.errors import ServiceUnavailableError
from artdag_common.eventstore.port import Append, AppendResult
from artdag_common.eventstore.postgres import PostgresEventStore
from artdag_common.people import People
from services.planner import hands
from services.planner.dispatcher import Dispatcher
from services.planner.engine import Ended, Engine
from services.planner.handlers import Commands
from tests.integration.events.appends import names

GRAPH = Graph(
    "g",
    "1",
    "",
    "o",
    (
        Node("src", "SOURCE", {"input": True}),
        Node("left", "NOOP", {"salt": "left"}, ("src",)),
        Node("right", "NOOP", {"salt": "right"}, ("src",)),
        Node("out", "NOOP", {"salt": "out"}, ("left", "right")),
    ),
    (Variable("src", "src"),),
    "out",
)


@dataclass
class Planner:
    """A planner process: its engine, and the steps that it sent."""

    app: Application
    engine: Engine
    commands: Commands
    sent: list[ExecuteStep] = field(default_factory=list)
    withdrawn: list[str] = field(default_factory=list)

    async def take(self, events: list[Ended], cause: str) -> None:
        """Take ended steps in as the stream brings them."""
        waiting = await self.engine.waiting([event.originator_id.partition("-")[2] for event in events])
        await self.engine.take(events, waiting, cause)


class World:
    """Planners that share an event store, and the executor's part, played by the test."""

    def __init__(self, pool: asyncpg.Pool, folder: Path) -> None:
        self.pool = pool
        self.blobs = LocalBlobStore(folder)
        self.store = PostgresEventStore(pool)
        self.start = StartRun("run1", "", "o", ())

    def planner(self, window: Callable[[str, bool], int] = lambda *_: hands.WINDOW) -> Planner:
        sent: list[ExecuteStep] = []

        async def send(_: str, work: ExecuteSteps) -> None:
            sent.extend(work.steps)

        app = Application(PostgresEventStore(self.pool))
        withdrawn: list[str] = []

        async def withdraw(_: str, cache_id: str) -> None:
            withdrawn.append(cache_id)

        infrastructure = Infrastructure("s", "h", "host")
        queue = Dispatcher(send, window)
        engine = Engine(app, self.pool, self.blobs, queue, infrastructure, "", People(self.pool), withdraw)
        return Planner(app, engine, Commands(app, engine, self.blobs), sent, withdrawn)

    async def begin(self, planner: Planner, graph: Graph = GRAPH) -> None:
        """Register the recipe and start the run."""
        recipe = await self.blobs.put(graph.canonical())
        source = await self.blobs.put(b"source")
        await planner.commands.register_recipe(RegisterRecipe(recipe.cid, recipe.cid, "g", "1", "", "o"), "register")
        inputs = tuple(InputBinding(v.name, (source.cid,)) for v in graph.variables)
        self.start = StartRun("run1", recipe.cid, "o", inputs)
        await planner.commands.start_run(self.start, "start")

    async def execute(self, command: ExecuteStep) -> Step.Completed:
        """Complete a step, as an executor would; return its event, which the test delivers, or loses."""
        app = Application(self.store)
        step = Step.begin(command.cache_id, "x", command.step_type, command.label, app.clock())
        step.complete(command.inputs[0], 6, "text/plain", 1, app.clock())
        completed = step.pending_events[-1]
        assert isinstance(completed, Step.Completed)
        await app.append(step, f"x/{command.cache_id}")
        return completed

    async def types(self) -> Counter[str]:
        """Return how often each type of event is in the run's stream."""
        return Counter(names(await self.store.load("run-run1")))


@pytest.fixture
def world(pool: asyncpg.Pool, tmp_path: Path) -> World:
    return World(pool, tmp_path / "cache")


BEATS = Graph(
    "beats",
    "1",
    "",
    "o",
    (
        Node("video", "SOURCE", {"input": True}),
        Node("audio", "SOURCE", {"input": True}),
        Node("analysis", "ANALYZE", {"features": ["beats"]}, ("audio",)),
        Node("sync", "BEAT_SYNC", {"mode": "stretch"}, ("video", "analysis")),
    ),
    (Variable("video", "video"), Variable("audio", "audio")),
    "sync",
)

ROOT = Path(__file__).resolve().parents[3]

ONE_RUN = Counter(
    RunRequested=1, RunStepsPlanned=2, RunPlanned=1, RunStepsScheduled=3, RunStepsSatisfied=3, RunCompleted=1
)


def assert_one_run(types: Counter[str]) -> None:
    """Every fact of the run was recorded once."""
    for name, count in ONE_RUN.items():
        if name != "RunStepsPlanned":
            assert types[name] == count, types


async def test_a_run_from_beginning_to_end(world: World) -> None:
    planner = world.planner()
    await world.begin(planner)
    assert [s.label for s in planner.sent] == ["g.left.noop", "g.right.noop"], "no step waits for a level"
    await planner.take([await world.execute(s) for s in planner.sent[:2]], "both")
    assert [s.label for s in planner.sent[2:]] == ["g.out.noop"]
    await planner.take([await world.execute(planner.sent[2])], "out")
    assert_one_run(await world.types())
    assert await world.pool.fetchval("SELECT count(*) FROM planner_waits") == 0
    assert await world.pool.fetchval("SELECT count(*) FROM planner_active") == 0


async def test_start_run_twice_is_one_run(world: World) -> None:
    """The gateway repeated the command, or died before it heard the outcome."""
    planner, other = world.planner(), world.planner()
    await world.begin(planner)
    await planner.commands.start_run(world.start, "start")
    await other.commands.start_run(world.start, "start")
    assert (await world.types())["RunRequested"] == 1
    assert (await world.types())["RunStepsScheduled"] == 2


async def test_a_completion_heard_twice_changes_nothing(world: World) -> None:
    """By hint and by stream, in one batch or in two."""
    planner = world.planner()
    await world.begin(planner)
    completed = await world.execute(planner.sent[0])
    await planner.engine.take_kept([completed], "hint")
    await planner.take([completed], "stream")
    assert (await world.types())["RunStepsSatisfied"] == 1


async def test_a_hint_is_left_to_the_planner_that_has_the_run(world: World) -> None:
    """Hints reach every planner; the stream, which reaches one, is for whoever it reaches."""
    planner, other = world.planner(), world.planner()
    await world.begin(planner)
    completed = await world.execute(planner.sent[0])
    await other.engine.take_kept([completed], "hint")
    assert "RunStepsSatisfied" not in await world.types()
    await other.take([completed], "stream")
    assert (await world.types())["RunStepsSatisfied"] == 1


async def test_a_planner_that_died_between_completion_and_satisfaction(world: World) -> None:
    """Neither hint nor stream told the next planner: the state of the run itself does."""
    dead = world.planner()
    await world.begin(dead)
    for command in list(dead.sent):
        await world.execute(command)
    planner = world.planner()
    await planner.engine.reconcile("run1", "reconcile/1")
    assert {s.label for s in planner.sent} == {"g.out.noop"}
    await world.execute(planner.sent[0])
    await world.planner().engine.reconcile("run1", "reconcile/2")
    assert_one_run(await world.types())


async def test_a_planner_that_died_between_commit_and_dispatch(world: World) -> None:
    """The steps it had scheduled are sent by whoever reconciles next, and recorded no second time."""
    await world.begin(world.planner())
    planner = world.planner()
    await planner.engine.reconcile("run1", "reconcile/1")
    assert {s.label for s in planner.sent} == {"g.left.noop", "g.right.noop"}
    assert (await world.types())["RunStepsScheduled"] == 2


async def test_a_step_that_failed_unheard_fails_the_run(world: World) -> None:
    planner = world.planner()
    await world.begin(planner)
    app = Application(world.store)
    step = Step.begin(planner.sent[0].cache_id, "x", "NOOP", "l", app.clock())
    step.fail("step-input", "unreadable", app.clock())
    await app.append(step, "x")
    await world.planner().engine.reconcile("run1", "reconcile/1")
    run = await app.find(Run, "run1")
    assert run
    assert (run.status, run.error) == ("failed", "unreadable")


async def test_two_planners_take_the_same_completions_at_once(world: World) -> None:
    """Both hear them, both decide; the store lets each fact in once and the run ends once."""
    one, two = world.planner(), world.planner()
    await world.begin(one)
    await two.engine.reconcile("run1", "reconcile/1")
    completed = [await world.execute(s) for s in one.sent[:2]]
    await asyncio.gather(one.take(completed, "took/same"), two.take(completed, "took/same"))
    (last,) = {s.cache_id: s for s in one.sent + two.sent if s.label == "g.out.noop"}.values()
    ended = await world.execute(last)
    await asyncio.gather(one.take([ended], "took/hint"), two.take([ended], "took/stream"))
    assert_one_run(await world.types())


async def test_a_planner_whose_copy_of_the_run_is_old_decides_again(world: World) -> None:
    one, two = world.planner(), world.planner()
    await world.begin(one)
    await two.engine.reconcile("run1", "reconcile/1")
    left, right = [await world.execute(s) for s in one.sent[:2]]
    await one.take([left], "left")
    await two.take([right], "right")
    assert [s.label for s in two.sent if s.inputs and s.label == "g.out.noop"] == ["g.out.noop"]
    assert (await world.types())["RunStepsSatisfied"] == 2


async def test_completed_without_its_bytes_is_not_cached(world: World) -> None:
    """Cached means completed and present: a step whose output is gone is scheduled, and computed again."""
    planner = world.planner()
    await world.begin(planner)
    for command in list(planner.sent):
        app = Application(world.store)
        step = Step.begin(command.cache_id, "x", "NOOP", "l", app.clock())
        step.complete((await world.blobs.put(command.label.encode())).cid, 1, "text/plain", 1, app.clock())
        await app.append(step, f"x/{command.cache_id}")
    (await world.blobs.path((await world.blobs.put(b"g.left.noop")).cid)).unlink()
    later = world.planner()
    again = StartRun("run2", world.start.recipe_cid, "o", world.start.inputs)
    await later.commands.start_run(again, "again")
    run = await later.app.find(Run, "run2")
    assert run
    assert {run.steps[i].node: run.states[i] for i in range(4)} == {
        "src": "cached",
        "left": "scheduled",
        "right": "cached",
        "out": "pending",
    }
    assert [s.version for s in later.sent] == [2], "the executor is told to look at the step's history"


async def test_the_example_in_the_documentation_is_what_happens(world: World) -> None:
    planner = world.planner()
    await world.begin(planner, BEATS)
    done = 0
    while done < len(planner.sent):
        await planner.take([await world.execute(planner.sent[done])], f"took/{done}")
        done += 1
    rows = await world.pool.fetch(
        """SELECT split_part(e.stream, '-', 1) AS kind, e.type, o.tx::text FROM es_outbox o
        JOIN es_events e USING (stream, version) WHERE e.stream ~ '^(run|step)-' ORDER BY o.tx, o.n"""
    )
    example = re.findall(r"^ *\d+  (run|step)-…  +(\w+)", (ROOT / "docs" / "events.md").read_text(), re.MULTILINE)
    assert [(row["kind"], row["type"]) for row in rows] == example


async def test_a_run_of_cached_steps_makes_the_events_that_the_documentation_counts(world: World) -> None:
    planner = world.planner()
    await world.begin(planner)
    for command in list(planner.sent):
        await planner.take([await world.execute(command)], f"took/{command.cache_id}")
    await planner.take([await world.execute(planner.sent[-1])], "took/last")
    again = StartRun("run2", world.start.recipe_cid, "o", world.start.inputs)
    await planner.commands.start_run(again, "again")
    types = [e.type for e in await world.store.load("run-run2")]
    assert types[0] == "RunRequested"
    assert types[-2:] == ["RunPlanned", "RunCompleted"]
    assert set(types[1:-2]) == {"RunStepsPlanned"}


async def test_a_step_may_end_before_the_planner_has_stored_that_it_asked(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Steps are sent while the decision is on its way to disk; a hint that is faster finds the run all the same."""
    planner = world.planner()
    await world.begin(planner)
    left, right = [await world.execute(s) for s in planner.sent]
    hints: list[asyncio.Task[None]] = []
    append = PostgresEventStore.append

    async def outrun(store: PostgresEventStore, appended: Append) -> AppendResult:
        if appended.stream == "run-run1" and any(s.label == "g.out.noop" for s in planner.sent) and not hints:
            (last,) = [s for s in planner.sent if s.label == "g.out.noop"]
            hints.append(asyncio.create_task(planner.engine.take_kept([await world.execute(last)], "took/early")))
            await asyncio.sleep(0)
            assert "RunCompleted" not in await world.types()
        return await append(store, appended)

    monkeypatch.setattr(PostgresEventStore, "append", outrun)
    await planner.engine.take_kept([left, right], "took/both")
    await asyncio.gather(*hints)
    assert hints
    assert_one_run(await world.types())


async def test_what_was_asked_too_early_for_a_change_that_was_not_stored_does_no_harm(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The planner dies between the two: the next decides the same, and finds the step done."""
    dying, planner = world.planner(), world.planner()
    await world.begin(dying)
    both = [await world.execute(s) for s in dying.sent]

    async def dies(store: PostgresEventStore, appended: Append) -> AppendResult:
        raise ServiceUnavailableError("the process is gone")

    with monkeypatch.context() as death:
        death.setattr(PostgresEventStore, "append", dies)
        with pytest.raises(ServiceUnavailableError):
            await dying.engine.take_kept(both, "took/both")
    (early,) = [s for s in dying.sent if s.label == "g.out.noop"]
    ended = await world.execute(early)
    await planner.take(both, "took/both")
    await planner.take([ended], "took/out")
    assert_one_run(await world.types())


async def test_steps_of_a_cancelled_run_are_withdrawn_where_no_other_run_waits(world: World) -> None:
    planner = world.planner()
    await world.begin(planner)
    left, right = planner.sent
    second = replace(world.start, run_id="run2")
    await planner.commands.start_run(second, "second")
    await planner.commands.cancel_run(CancelRun("run1", "enough"), "cancel/1")
    assert planner.withdrawn == []
    await planner.commands.cancel_run(CancelRun("run2", "enough"), "cancel/2")
    assert sorted(planner.withdrawn) == sorted([left.cache_id, right.cache_id])


async def test_a_step_that_is_wanted_after_all_is_sent_again(world: World) -> None:
    planner = world.planner()
    await world.begin(planner)
    before = len(planner.sent)
    await planner.engine.repeat(planner.sent[0].cache_id)
    assert planner.sent[before:] == planner.sent[:before], "the message that it was in, as it was"
    await planner.engine.repeat("f" * 64)
    assert len(planner.sent) == 2 * before
