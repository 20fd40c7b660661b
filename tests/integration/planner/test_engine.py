"""Runs in motion: what ends them, what no longer concerns them, and what replicas do to one another."""

from __future__ import annotations

import asyncio
from collections import Counter
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from artdag_common.application import Application, decode
from artdag_common.blobs.port import Blob
from artdag_common.commands import (
    CancelRun,
    CancelStep,
    DeleteRun,
    ExecuteRun,
    ExecuteStep,
    PauseRun,
    RegisterRecipe,
    ResumeRun,
    StartRun,
)
from artdag_common.domain.failure import STEP_CANCELLED
from artdag_common.domain.graph import Graph, Node, Variable
from artdag_common.domain.run import InputBinding, Run
from artdag_common.domain.step import Step
from artdag_common.errors import (
    InvalidInputsError,
    InvalidRecipeError,
    RunNotFoundError,
    RunNotPlannedError,
    StepNotActiveError,
    StorageFullError,
)
from services.planner import hands
from tests.integration.events.appends import names
from tests.integration.events.test_planner import GRAPH, Planner, World

SOURCE = (Variable("src", "src"),)
GOING_ON = replace(GRAPH, on_failure="continue")
Ended = Step.Completed | Step.Failed


async def start(
    world: World, planner: Planner, run_id: str, graph: Graph = GRAPH, hold: bool = False, **wishes: Any
) -> None:
    """Register the recipe and start a run of it."""
    recipe = await world.blobs.put(graph.canonical())
    source = await world.blobs.put(b"source")
    await planner.commands.register_recipe(
        RegisterRecipe(recipe.cid, recipe.cid, "g", "1", "", "o"), f"register/{recipe.cid}"
    )
    inputs = (InputBinding("src", (source.cid,)),)
    await planner.commands.start_run(
        StartRun(run_id, recipe.cid, "o", inputs, hold=hold, **wishes), f"start/{run_id}/{recipe.cid}"
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


async def test_a_run_goes_on_with_what_it_shared_when_whoever_asked_first_gives_up(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """``right`` waits for room, in the first one's place and in the second one's."""
    monkeypatch.setattr(hands, "WINDOW", 1)
    planner = world.planner()
    await start(world, planner, "run1")
    await start(world, planner, "run2")
    assert [s.label for s in planner.sent] == ["g.left.noop"]
    await planner.commands.cancel_run(CancelRun("run1"), "cancel")
    assert not planner.withdrawn
    await planner.commands.delete_run(DeleteRun("run1"), "delete")
    for label in ("g.left.noop", "g.right.noop", "g.out.noop"):
        await planner.take([await end(world, sent(planner, label))], label)
    assert (await run_of(world, "run2")).status == "completed"


async def test_a_run_goes_on_with_what_it_shared_when_the_planner_of_the_first_dies(world: World) -> None:
    """What that one had sent is lost with the queue; the other's planner sends it, since its own run waits."""
    dead, planner = world.planner(), world.planner()
    await start(world, dead, "run1")
    await start(world, planner, "run2")
    planner.sent.clear()
    await planner.engine.reconcile("run2", "reconcile")
    assert {s.label for s in planner.sent} == {"g.left.noop", "g.right.noop"}


# --- steered by people ----------------------------------------------------------------------------------------------


async def active(world: World, run_id: str = "run1") -> dict[str, Any]:
    row = await world.pool.fetchrow("SELECT paused, timed, deadline FROM planner_active WHERE run_id = $1", run_id)
    assert row
    return dict(row)


async def awaited(world: World) -> Counter[str]:
    rows = await world.pool.fetch("SELECT run_id FROM planner_waits")
    return Counter(row["run_id"] for row in rows)


async def test_a_paused_run_sends_nothing_until_it_is_resumed_by_another_planner(world: World) -> None:
    one, two = world.planner(), world.planner()
    await start(world, one, "run1")
    await one.commands.pause_run(PauseRun("run1"), "pause")
    assert (await active(world))["paused"]
    await one.take([await end(world, s) for s in one.sent], "sides")
    assert {s.label for s in one.sent} == {"g.left.noop", "g.right.noop"}
    await two.engine.reconcile("run1", "reconcile")  # a planner that begins now
    assert not two.sent
    await two.commands.resume_run(ResumeRun("run1"), "resume")
    assert not (await active(world))["paused"]
    assert {s.label for s in two.sent} == {"g.out.noop"}
    two.sent.clear()
    await two.commands.pause_run(PauseRun("run1"), "pause again")
    await two.commands.resume_run(ResumeRun("run1"), "resume again")
    assert [s.label for s in two.sent] == ["g.out.noop"], "what was scheduled may be lost: it is sent again"
    await two.take([await end(world, sent(two, "g.out.noop"))], "out")
    assert (await run_of(world)).status == "completed"


async def test_what_waits_for_room_is_not_sent_once_its_run_is_paused(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By this planner or by another, which tells nobody."""
    monkeypatch.setattr(hands, "WINDOW", 1)
    one, two = world.planner(), world.planner()
    await start(world, one, "run1")
    await two.engine.reconcile("run1", "reconcile")
    await two.commands.pause_run(PauseRun("run1"), "pause")
    await one.engine.forget_settled()
    ended = await end(world, one.sent[0])
    for planner in (one, two):
        await planner.engine.take_kept([ended], "hint")
        assert [s.label for s in planner.sent] == ["g.left.noop"]


async def test_however_many_runs_another_planner_paused_there_is_one_look_for_room(world: World) -> None:
    """And what one of them shares with a run that goes on is sent for that one."""
    looks = 0

    def window(work_class: str, shared: bool) -> int:
        nonlocal looks
        looks += 1
        return 1

    one, two = world.planner(window), world.planner()
    runs = [f"run{n}" for n in range(8)]
    for run_id in runs:
        await start(world, one, run_id)
    others = [replace(n, config={"salt": f"own {n.id}"}) if n.inputs else n for n in GRAPH.nodes]
    await start(world, one, "alone", replace(GRAPH, nodes=tuple(others)))
    for run_id in ("alone", *runs[1:]):
        await two.commands.pause_run(PauseRun(run_id), f"pause/{run_id}")
    looks = 0
    await one.engine.forget_settled()
    assert looks <= 2, "one when ends are settled, and one for all that is withdrawn"
    for _ in range(2):
        await one.engine.take_kept([await end(world, one.sent[-1])], f"hint/{len(one.sent)}")
    assert [s.label for s in one.sent] == ["g.left.noop", "g.right.noop", "g.out.noop"]
    assert [run_id for run_id in runs if (await run_of(world, run_id)).status != "paused"] == runs[:1]


async def test_a_step_is_not_forgotten_while_it_is_being_written_that_its_run_waits_for_it(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It waits for room before that: who looks just then finds nobody in the books who wants it."""
    room = 2
    planner = world.planner(lambda *_: room)
    await start(world, planner, "run1")
    ends = [await end(world, sent(planner, f"g.{node}.noop")) for node in ("left", "right")]
    append = planner.app.append

    async def looked_at(*arguments: Any, **more: Any) -> Any:
        await planner.engine.forget_settled()
        return await append(*arguments, **more)

    monkeypatch.setattr(planner.app, "append", looked_at)
    room = 0
    await planner.engine.take_kept(ends, "hint")
    assert [s.label for s in planner.sent] == ["g.left.noop", "g.right.noop"]
    room = 1
    await planner.engine.forget_settled()
    assert planner.sent[-1].label == "g.out.noop"


async def test_a_run_paused_before_its_plan_is_planned_once_it_is_resumed(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    planner = world.planner()
    with monkeypatch.context() as dying:
        dying.setattr(planner.commands, "_proceed", _nothing)
        await start(world, planner, "run1")
    await planner.commands.pause_run(PauseRun("run1"), "pause")
    await planner.engine.proceed("run1", "stream")
    assert await history(world) == ["RunRequested", "RunPaused"]
    await planner.commands.resume_run(ResumeRun("run1"), "resume")
    assert {s.label for s in planner.sent} == {"g.left.noop", "g.right.noop"}


async def _nothing(*_: Any) -> None:
    """In place of what a process that dies does not come to."""


async def test_a_cancelled_step_goes_on_for_the_run_that_shares_it_and_serves_the_retry(world: World) -> None:
    planner = world.planner()
    await start(world, planner, "run1")
    await start(world, planner, "run2")
    await planner.commands.cancel_step(CancelStep("run1", 1, "too slow"), "cancel")
    run = await run_of(world)
    assert (run.status, run.error) == ("failed", "too slow")
    assert planner.withdrawn == []
    assert await awaited(world) == Counter(run2=2)
    await planner.take([await end(world, sent(planner, "g.left.noop"))], "left")
    await start(world, planner, "run3", rerun_of="run1")
    retry = await run_of(world, "run3")
    assert retry.states[1] == "cached"
    await planner.commands.cancel_run(CancelRun("run3"), "cancel/3")
    await planner.commands.cancel_step(CancelStep("run2", 2), "cancel/2")
    assert planner.withdrawn == [sent(planner, "g.right.noop").cache_id], "nobody else waits for it"


async def test_only_what_was_sent_of_a_cancelled_run_is_taken_back(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What waits for its turn is on no queue, and taking it off one by one would take long for a large run."""
    monkeypatch.setattr(hands, "WINDOW", 1)
    planner = world.planner()
    await start(world, planner, "run1")
    assert await awaited(world) == Counter(run1=2)
    await planner.commands.cancel_run(CancelRun("run1"), "cancel")
    assert [each.cache_id for each in planner.sent] == planner.withdrawn
    assert len(planner.sent) == 1


async def test_a_completion_that_was_faster_than_the_cancellation_of_its_step_counts(world: World) -> None:
    one, two = world.planner(), world.planner()
    await start(world, one, "run1", GOING_ON)
    await two.engine.reconcile("run1", "reconcile")
    await one.take([await end(world, sent(one, "g.left.noop"))], "left")
    with pytest.raises(StepNotActiveError):
        await two.commands.cancel_step(CancelStep("run1", 1), "cancel")
    assert (await run_of(world)).states[1] == "completed"


async def test_a_run_that_goes_on_ends_as_failed_once_the_rest_is_done(world: World) -> None:
    """The other branch is finished, by another planner, though nothing can come of it."""
    nodes = (*GRAPH.nodes[:3], Node("after", "NOOP", {"salt": "after"}, ("right",)), GRAPH.nodes[3])
    one, two = world.planner(), world.planner()
    await start(world, one, "run1", replace(GOING_ON, nodes=nodes))
    await one.take([await end(world, sent(one, "g.left.noop"), "unreadable")], "left")
    assert await awaited(world) == Counter(run1=1)
    await two.engine.reconcile("run1", "reconcile")
    await two.take([await end(world, sent(two, "g.right.noop"))], "right")
    assert (await run_of(world)).status == "running"
    await two.take([await end(world, sent(two, "g.after.noop"))], "after")
    run = await run_of(world)
    assert (run.status, run.error) == ("failed", "unreadable")
    assert run.states == ["cached", "failed", "completed", "completed", "skipped"]
    assert not await awaited(world)
    assert Counter(await history(world))["RunFailed"] == 1


async def test_cancelling_one_of_two_equal_steps_leaves_the_other_its_work(world: World) -> None:
    nodes = (*GRAPH.nodes, Node("twin", "NOOP", {"salt": "left"}, ("src",)))
    planner = world.planner()
    await start(world, planner, "run1", replace(GOING_ON, nodes=nodes))
    await planner.commands.cancel_step(CancelStep("run1", 1), "cancel")
    assert planner.withdrawn == []
    assert await awaited(world) == Counter(run1=2)
    await planner.take([await end(world, s) for s in planner.sent], "sides")
    run = await run_of(world)
    assert (run.status, run.states) == ("failed", ["cached", "failed", "completed", "skipped", "completed"])
    assert [f.error for f in run.failures] == [STEP_CANCELLED]


@pytest.mark.parametrize(("node", "again"), [("src", {"left", "right", "out"}), ("left", {"left", "out"})])
async def test_a_forced_node_and_what_follows_it_are_computed_again(world: World, node: str, again: set[str]) -> None:
    planner = world.planner()
    await start(world, planner, "run1")
    for label in ("g.left.noop", "g.right.noop", "g.out.noop"):
        await planner.take([await end(world, sent(planner, label))], label)
    old = [e for s in planner.sent for e in [await _latest(world, s)]]
    await start(world, planner, "run2", forced=(node,))
    forced = planner.sent[3:]
    assert all(s.forced and s.version == 2 for s in forced)
    await planner.take(old, "old")  # heard again: that is not the answer
    assert (await run_of(world, "run2")).outstanding()
    for label in ("g.left.noop", "g.right.noop", "g.out.noop"):
        for step in [s for s in planner.sent[3:] if s.label == label]:
            await planner.take([await end(world, step)], f"again/{label}")
    run = await run_of(world, "run2")
    assert run.status == "completed"
    assert {s.node for s, state in zip(run.steps, run.states, strict=True) if state == "completed"} == again
    assert Counter(s.label for s in planner.sent[3:]) == Counter(f"g.{name}.noop" for name in again)


async def _latest(world: World, step: ExecuteStep) -> Ended:
    history = await Application(world.store).store.load(Step.stream(step.cache_id))
    event = decode(history[-1])
    assert isinstance(event, Step.Completed | Step.Failed)
    return event


async def test_a_forced_step_that_another_run_completes_after_it_was_asked_for_is_computed_anew_enough(
    world: World,
) -> None:
    """The other run began before; what came of it after this one asked is as new as this one's own would be."""
    planner = world.planner()
    await start(world, planner, "run1")
    await start(world, planner, "run2", forced=("left",))
    await planner.engine.take_kept([await end(world, sent(planner, "g.left.noop"))], "hint")
    assert (await run_of(world, "run2")).states[1] == "completed"


async def test_one_of_two_equal_steps_is_not_answered_from_before_where_the_other_is_forced(world: World) -> None:
    """``left`` is asked for first, and is one and the same step as ``twin``, which is to be computed again."""
    nodes = (*GRAPH.nodes, Node("twin", "NOOP", {"salt": "left"}, ("src",)))
    planner = world.planner()
    await start(world, planner, "run1", replace(GRAPH, nodes=nodes))
    await planner.take([await end(world, s) for s in planner.sent], "sides")
    await start(world, planner, "run2", replace(GRAPH, nodes=nodes), forced=("twin",))
    (again,) = [s for s in planner.sent[2:] if s.label == "g.left.noop"]
    assert again.forced


@pytest.mark.parametrize(
    "wishes",
    [
        {"priority": "urgent"},
        {"forced": ("lefd",)},
        {"deadline_us": 2**62},
        {"deadline_us": -1},
        {"wait_timeout_ms": 2**40},
        {"step_timeout_ms": -1},
    ],
)
async def test_wishes_that_nobody_can_meet_are_refused(world: World, wishes: dict[str, Any]) -> None:
    with pytest.raises(InvalidInputsError):
        await start(world, world.planner(), "run1", **wishes)
    assert "run-run1" not in await world.store.latest(["run-run1"])


async def test_a_held_run_ends_at_its_deadline(world: World) -> None:
    planner = world.planner()
    await start(world, planner, "run1", hold=True, deadline_us=1)
    assert (await active(world))["deadline"]
    await world.planner().engine.pass_time("run1", "clock")
    run = await run_of(world)
    assert (run.status, run.error) == ("failed", "the run was not over by 1970-01-01 00:00:00 UTC")


async def test_an_attempt_of_another_life_of_a_step_is_not_overdue(world: World) -> None:
    """Its executor died for a run that is over: nothing in the stream of the step says so."""
    planner = world.planner()
    await start(world, planner, "run1")
    app = Application(world.store)
    for command in planner.sent:
        step = Step.begin(command.cache_id, "x", "NOOP", "l", datetime(2020, 1, 1, tzinfo=UTC))
        await app.append(step, f"x/{command.cache_id}")
    await planner.commands.cancel_run(CancelRun("run1"), "cancel")
    await start(world, planner, "run2", step_timeout_ms=3_600_000, wait_timeout_ms=3_600_000)
    assert (await active(world, "run2"))["timed"]
    await planner.engine.pass_time("run2", "clock")
    assert (await run_of(world, "run2")).status == "running"


async def test_a_run_that_is_over_is_neither_kept_nor_loaded_again(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    planner = world.planner()
    await start(world, planner, "run1")
    await planner.commands.cancel_run(CancelRun("run1"), "cancel")
    assert not planner.engine._runs
    assert not planner.engine._heads

    async def loaded(*_: Any) -> None:
        pytest.fail("it was loaded again")

    monkeypatch.setattr(planner.engine, "_load", loaded)
    await planner.engine.proceed("run1", "stream")


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
