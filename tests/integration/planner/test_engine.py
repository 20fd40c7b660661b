"""Runs in motion: what ends them, what no longer concerns them, and what replicas do to one another."""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import Any

import pytest

from artdag_common.application import Application
from artdag_common.blobs.port import Blob
from artdag_common.commands import CancelRun, DeleteRun, ExecuteRun, ExecuteStep, RegisterRecipe, StartRun
from artdag_common.domain.graph import Graph, Node, Variable
from artdag_common.domain.run import InputBinding, Run
from artdag_common.domain.step import Step
from artdag_common.errors import InvalidRecipeError, RunNotFoundError, RunNotPlannedError, StorageFullError
from services.planner import hands
from tests.integration.events.appends import names
from tests.integration.events.test_planner import GRAPH, Planner, World

SOURCE = (Variable("src", "src"),)
Ended = Step.Completed | Step.Failed


async def start(world: World, planner: Planner, run_id: str, graph: Graph = GRAPH, hold: bool = False) -> None:
    """Register the recipe and start a run of it."""
    recipe = await world.blobs.put(graph.canonical())
    source = await world.blobs.put(b"source")
    await planner.commands.register_recipe(
        RegisterRecipe(recipe.cid, recipe.cid, "g", "1", "", "o"), f"register/{recipe.cid}"
    )
    inputs = (InputBinding("src", (source.cid,)),)
    await planner.commands.start_run(
        StartRun(run_id, recipe.cid, "o", inputs, hold=hold), f"start/{run_id}/{recipe.cid}"
    )


async def run_of(world: World, run_id: str = "run1") -> Run:
    run = await Application(world.store).find(Run, run_id)
    assert run
    return run


async def end(world: World, command: ExecuteStep, error: str = "", output: str = "") -> Ended:
    """Let an attempt at a step end, as an executor would; return the event, which the test delivers, or loses."""
    app = Application(world.store)
    step = await app.find(Step, command.cache_id)
    if step is None:
        step = Step.begin(command.cache_id, "x", command.step_type, command.label, app.clock())
    else:
        step.start("x", command.step_type, command.label, app.clock())
    if error:
        step.fail("step-input", error, app.clock())
    else:
        step.complete(output or command.inputs[0], 6, "text/plain", 1, app.clock())
    event = step.pending_events[-1]
    assert isinstance(event, Step.Completed | Step.Failed)
    await app.append(step, f"x/{command.cache_id}/{step.attempt}")
    return event


async def planned(world: World, run_id: str, node: str) -> ExecuteStep:
    """Return a step of a run, whether it was sent or not."""
    run = await run_of(world, run_id)
    step = next(s for s in run.steps if s.node == node)
    return ExecuteStep(step.cache_id, step.type, step.config, step.label, (run.outputs[0],))


def sent(planner: Planner, label: str) -> ExecuteStep:
    """Return the step of this label that a planner sent."""
    return next(s for s in planner.sent if s.label == label)


async def history(world: World, run_id: str = "run1") -> list[str]:
    return names(await world.store.load(f"run-{run_id}"))


# --- how a run ends -------------------------------------------------------------------------------------------------


async def test_a_failed_step_fails_the_run_by_name_and_nothing_follows(world: World) -> None:
    planner = world.planner()
    await start(world, planner, "run1")
    failed = await end(world, sent(planner, "g.left.noop"), "unreadable")
    late = await end(world, sent(planner, "g.right.noop"))
    await planner.take([failed], "failed")
    run = await run_of(world)
    assert (run.status, run.error) == ("failed", "unreadable")
    (fact,) = [e for e in await world.store.load("run-run1") if e.type == "RunFailed"]
    assert b"left" in fact.data
    before = await history(world)
    await planner.take([late], "late")
    await world.planner().take([late, failed], "later")
    assert await history(world) == before


async def test_a_run_that_fails_sends_nothing_that_the_same_batch_freed(world: World) -> None:
    """``out`` is free and ``right`` fails in one and the same batch: the run is over, so nothing starts."""
    graph = Graph(
        "g",
        "1",
        "",
        "o",
        (*GRAPH.nodes[:3], Node("next", "NOOP", {"salt": "next"}, ("left",)), GRAPH.nodes[3]),
        SOURCE,
        "out",
    )
    planner = world.planner()
    await start(world, planner, "run1", graph)
    batch = [await end(world, sent(planner, "g.left.noop")), await end(world, sent(planner, "g.right.noop"), "bad")]
    await planner.take(batch, "both")
    assert (await run_of(world)).status == "failed"
    assert Counter(s.label for s in planner.sent) == Counter(["g.left.noop", "g.right.noop"])


async def test_completions_after_a_cancellation_change_nothing(world: World) -> None:
    planner = world.planner()
    await start(world, planner, "run1")
    await planner.commands.cancel_run(CancelRun("run1", "enough"), "cancel")
    before = await history(world)
    await planner.take([await end(world, s) for s in planner.sent], "late")
    await world.planner().engine.reconcile("run1", "reconcile")
    assert await history(world) == before
    assert before[-1] == "RunCancelled"


@pytest.mark.parametrize(
    ("config", "output", "reason"),
    [
        ({"offset": -1}, "cut", "cut (SEGMENT): offset -1: Input should be greater than or equal to 0"),
        ({}, "nowhere", "the recipe cannot be planned: KeyError: 'nowhere'"),
    ],
)
async def test_a_recipe_that_cannot_be_planned_fails_its_run_and_says_why(
    world: World, config: dict[str, Any], output: str, reason: str
) -> None:
    graph = Graph(
        "g",
        "1",
        "",
        "o",
        (Node("src", "SOURCE", {"input": True}), Node("cut", "SEGMENT", config, ("src",))),
        SOURCE,
        output,
    )
    await start(world, world.planner(), "run1", graph)
    run = await run_of(world)
    assert (run.status, run.error) == ("failed", reason)
    assert not await world.pool.fetchval("SELECT count(*) FROM planner_active")


async def test_content_that_is_no_recipe_is_refused_as_one(world: World) -> None:
    blob = await world.blobs.put(b"not a recipe")
    with pytest.raises(InvalidRecipeError):
        await world.planner().commands.register_recipe(RegisterRecipe(blob.cid, blob.cid, "g", "1", "", "o"), "r")


# --- steps that were tried before -----------------------------------------------------------------------------------


async def test_a_failure_from_before_the_run_is_not_its_failure(world: World) -> None:
    """Neither for the planner that planned it nor for one that comes later, which did not see the failure then."""
    before, one, two = world.planner(), world.planner(), world.planner()
    await start(world, before, "run0")
    await before.commands.cancel_run(CancelRun("run0"), "cancel")
    stale = await end(world, await planned(world, "run0", "out"), "unreadable")
    await start(world, one, "run1")  # and dies
    for side in list(one.sent):
        await end(world, side)
    await two.engine.reconcile("run1", "reconcile/1")
    assert {(s.label, s.version) for s in two.sent} == {("g.out.noop", 2)}, "it knows that the step was tried before"
    await two.engine.reconcile("run1", "reconcile/2")
    await world.planner().engine.reconcile("run1", "reconcile/3")
    await two.take([stale], "stale")
    assert (await run_of(world)).status == "running"
    await two.take([await end(world, sent(two, "g.out.noop"), "still unreadable")], "new")
    run = await run_of(world)
    assert (run.status, run.error) == ("failed", "still unreadable")


async def test_a_completion_whose_output_is_gone_again_does_not_count(world: World) -> None:
    """It is heard once more, for example since its first delivery was not acknowledged."""
    planner = world.planner()
    await start(world, planner, "run0")
    gone = await world.blobs.put(b"left's output")
    stale = await end(world, sent(planner, "g.left.noop"), output=gone.cid)
    await planner.take([stale], "run0/left")
    (await world.blobs.path(gone.cid)).unlink()
    await start(world, planner, "run1")
    await planner.take([stale], "stale")
    run = await run_of(world)
    assert {run.steps[i].node for i in run.outstanding()} == {"left", "right"}
    await world.blobs.put(b"left's output")  # an executor found it done after all: now it does
    await planner.take([stale], "told again")
    run = await run_of(world)
    assert {run.steps[i].node for i in run.outstanding()} == {"right"}


# --- two runs -------------------------------------------------------------------------------------------------------


async def test_two_runs_share_their_steps(world: World) -> None:
    planner = world.planner()
    await asyncio.gather(start(world, planner, "run1"), start(world, planner, "run2"))
    for _ in range(2):
        batch = [s for s in planner.sent if not await world.store.load(f"step-{s.cache_id}")]
        await planner.take([await end(world, s) for s in batch], f"took/{len(planner.sent)}")
    assert Counter(s.label for s in planner.sent) == Counter(["g.left.noop", "g.right.noop", "g.out.noop"])
    for run_id in ("run1", "run2"):
        assert (await run_of(world, run_id)).status == "completed"
        assert Counter(await history(world, run_id))["RunStepsSatisfied"] == 3


async def test_a_run_in_trouble_does_not_hold_up_the_others(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """The disk is full when the first of two runs that end together stores its provenance record."""
    planner = world.planner()
    await start(world, planner, "run1")
    await start(world, planner, "run2")
    await planner.take([await end(world, s) for s in planner.sent], "sides")
    put, refused = world.blobs.put, 0

    async def full_once(data: bytes, shelf: str = "") -> Blob:
        nonlocal refused
        refused += 1
        if refused == 1:
            raise StorageFullError("the disk is full")
        return await put(data, shelf)

    monkeypatch.setattr(world.blobs, "put", full_once)
    ended = await end(world, sent(planner, "g.out.noop"))
    with pytest.raises(StorageFullError):
        await planner.take([ended], "out")
    assert sorted([(await run_of(world, r)).status for r in ("run1", "run2")]) == ["completed", "running"]
    await planner.take([ended], "out")
    assert {(await run_of(world, r)).status for r in ("run1", "run2")} == {"completed"}


async def test_ends_heard_together_again_count_for_what_is_awaited_only_now(world: World) -> None:
    """``out`` was computed for another run: this one asks for it after it heard its end, and hears the same again."""
    planner = world.planner()
    await start(world, planner, "run1")
    batch = [await end(world, s) for s in (*planner.sent, await planned(world, "run1", "out"))]
    await planner.take(batch, "the same")
    assert (await run_of(world)).status == "running"
    await planner.take(batch, "the same")
    assert (await run_of(world)).status == "completed"


# --- replicas -------------------------------------------------------------------------------------------------------


async def test_two_planners_take_the_ends_of_a_wide_run_at_once(world: World) -> None:
    width = 12
    first = [Node(f"a{i}", "NOOP", {"salt": f"a{i}"}, ("src",)) for i in range(width)]
    names = tuple(n.id for n in first)
    second = [Node(f"b{i}", "NOOP", {"salt": f"b{i}"}, names[i % 3 :: 3]) for i in range(width)]
    nodes = (GRAPH.nodes[0], *first, *second, Node("out", "NOOP", {"salt": "o"}, tuple(n.id for n in second)))
    one, two = world.planner(), world.planner()
    await start(world, one, "run1", Graph("g", "1", "", "o", nodes, SOURCE, "out"))
    await two.engine.reconcile("run1", "reconcile")
    ended: set[str] = set()
    while commands := {s.cache_id: s for s in (*one.sent, *two.sent) if s.cache_id not in ended}:
        ended |= set(commands)
        batch = [await end(world, command) for command in commands.values()]
        half = len(batch) // 2
        await asyncio.gather(
            one.take(batch[: half + 1], "same"),
            two.take(batch[half:], "same"),
            two.take(batch[: half + 1], "same"),
            one.take(batch[half:], "other"),
        )
    types = Counter(await history(world))
    assert types["RunStepsScheduled"] == types["RunStepsSatisfied"] == 2 * width + 1
    assert (await run_of(world)).status == "completed"
    assert types["RunCompleted"] == 1


async def test_a_planner_that_knew_a_run_as_held_takes_it_over_when_the_other_dies(world: World) -> None:
    """It was released by the other: the kept copy says that there is nothing to do, the store knows better."""
    one, two = world.planner(), world.planner()
    await start(world, one, "run1", hold=True)
    await two.engine.reconcile("run1", "reconcile/0")
    await one.commands.execute_run(ExecuteRun("run1"), "go")
    completed = [await end(world, s) for s in one.sent]
    await two.take(completed[:1], "stream")
    assert Counter(await history(world))["RunStepsSatisfied"] == 1
    await two.engine.reconcile("run1", "reconcile/1")
    await two.take([await end(world, sent(two, "g.out.noop"))], "out")
    assert (await run_of(world)).status == "completed"


async def test_reconciling_sees_through_an_old_copy(world: World) -> None:
    one, two = world.planner(), world.planner()
    await start(world, one, "run1", hold=True)
    await two.engine.reconcile("run1", "reconcile/0")
    await one.commands.execute_run(ExecuteRun("run1"), "go")
    await two.engine.reconcile("run1", "reconcile/1")
    assert {s.label for s in two.sent} == {"g.left.noop", "g.right.noop"}


async def test_no_command_is_refused_because_of_an_old_copy(world: World) -> None:
    one, two = world.planner(), world.planner()
    await start(world, one, "run1", hold=True)
    await two.engine.reconcile("run1", "reconcile/0")
    await one.commands.cancel_run(CancelRun("run1"), "cancel")
    assert (await two.commands.delete_run(DeleteRun("run1"), "delete")).accepted
    assert (await run_of(world)).deleted


async def test_a_held_run_is_released_once(world: World) -> None:
    one, two = world.planner(), world.planner()
    await start(world, one, "run1", hold=True)
    await two.engine.reconcile("run1", "reconcile/0")
    await one.commands.execute_run(ExecuteRun("run1"), "go")
    for planner in (one, two):
        with pytest.raises(RunNotPlannedError):
            await planner.commands.execute_run(ExecuteRun("run1"), f"again/{id(planner)}")
    assert Counter(await history(world))["RunReleased"] == 1


async def test_what_another_planner_cancelled_is_not_sent_when_there_is_room(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hands, "WINDOW", 1)
    one, two = world.planner(), world.planner()
    await start(world, one, "run1")
    assert [s.label for s in one.sent] == ["g.left.noop"]
    await two.commands.cancel_run(CancelRun("run1"), "cancel")
    await one.engine.forget_settled()
    assert [s.label for s in one.sent] == ["g.left.noop"]


async def test_runs_that_nobody_knows_leave_nothing_behind(world: World) -> None:
    planner = world.planner()
    for number in range(3):
        with pytest.raises(RunNotFoundError):
            await planner.commands.cancel_run(CancelRun(f"unknown{number}"), f"cancel{number}")
    assert not planner.engine._locks
