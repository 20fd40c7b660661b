"""The live stream of a run over HTTP."""

from __future__ import annotations

import asyncio

from artdag_common.domain.step import Step
from artdag_common.messaging import subjects

RUN = [
    "RunRequested",
    "RunStepsPlanned",
    "RunStepsPlanned",
    "RunPlanned",
    "RunStepsScheduled",
    "RunStepsSatisfied",
    "RunCompleted",
]
STEP = ["StepStarted", "StepCompleted"]


async def begin(api, recipe, asset) -> str:
    """Start a run."""
    answer = await api.post("/runs", json={"recipe": recipe["recipe_id"], "inputs": [asset]})
    return str(answer.json()["run_id"])


async def test_a_run_is_followed_from_its_first_event_to_its_last(api, make_recipe, asset, follow):
    run_id = await begin(api, await make_recipe(1), asset)
    seen = [event async for event in follow(run_id)]
    kinds = [event["event"] for event in seen]
    assert [kind for kind in kinds if kind not in STEP] == RUN
    assert [kind for kind in kinds if kind in STEP] == STEP  # it may begin while its run stores that it was asked for
    assert kinds.index("RunPlanned") < kinds.index("StepStarted")
    assert kinds.index("StepCompleted") < kinds.index("RunStepsSatisfied")
    positions = [event["id"] for event in seen]
    assert positions == sorted(set(positions))
    for event in seen:
        data = event["data"]
        assert data["specversion"] == "1.0"
        assert data["type"] == f"artdag.v1.{event['event']}"
        assert data["position"] == event["id"]
        assert data["subject"].startswith(("run-", "step-"))
    assert seen[-1]["data"]["data"]["output_cid"] == asset


async def test_who_comes_again_misses_nothing_and_sees_nothing_twice(api, make_recipe, asset, follow, stranger):
    run_id = await begin(api, await make_recipe(2), asset)
    whole = [event["id"] async for event in follow(run_id)]
    for place in range(len(whole) - 1):
        rest = [event["id"] async for event in follow(run_id, headers={"Last-Event-ID": str(whole[place])})]
        assert rest == whole[place + 1 :]
    by_query = [event["id"] async for event in follow(run_id, params={"last_event_id": whole[2]})]
    assert by_query == whole[3:]
    over = await stranger.get(f"/runs/{run_id}/events", headers={"Last-Event-ID": str(whole[-1])})
    assert over.status_code == 204


async def test_events_come_while_the_run_goes_on(api, make_recipe, asset, follow, held):
    run_id = await begin(api, await make_recipe(2), asset)
    seen = []
    async for event in follow(run_id):
        seen.append(event)
        if event["event"] == "RunStepsScheduled" and len(seen) == 5:
            run = (await api.get(f"/runs/{run_id}")).json()
            assert run["steps"]["by_status"] == {"cached": 1, "pending": 1, "scheduled": 1}
            held()
    assert seen[-1]["event"] == "RunCompleted"
    assert len(seen) == 5 + 4 * 2  # four each: scheduled counts before, the rest after the release


async def test_a_step_shared_by_two_runs_is_seen_in_both(api, make_recipe, asset, follow, held):
    recipe = await make_recipe(1)
    one, two = await begin(api, recipe, asset), await begin(api, recipe, asset)
    held()
    streams = [[event async for event in follow(run_id)] for run_id in (one, two)]
    completions = [[e["id"] for e in seen if e["event"] == "StepCompleted"] for seen in streams]
    assert completions[0] == completions[1]
    assert len(completions[0]) == 1


async def test_progress_is_shown_and_remembered(api, make_recipe, asset, follow, held, events, bus):
    run_id = await begin(api, await make_recipe(1), asset)
    progress = []
    async for event in follow(run_id):
        if event["event"] == "RunStepsScheduled":
            cache_id = event["data"]["data"]["steps"][0]["cache_id"]
            step = Step.begin(cache_id, "test", "NOOP", "s0", events.clock())
            await events.save(step, f"test/{cache_id}")
        elif event["event"] == "StepStarted":
            if event["data"]["data"]["executor"] == "test":
                await bus.tick(cache_id, 120, 300)
        elif event["event"] == "progress":
            progress.append(event)
            for _ in range(3000):  # the hub is told first, then Redis
                running = (await api.get(f"/runs/{run_id}")).json()["steps"]["running"]
                if running[0]["frames"]:
                    break
                await asyncio.sleep(0.01)
            held()
    assert progress == [{"id": None, "event": "progress", "data": {"node": "s0", "step": 1, "done": 120, "total": 300}}]
    assert running[0]["frames"] == {"done": 120, "total": 300}
    assert running[0]["node"] == "s0"
    assert subjects.tick("x") == "tick.step.x"


async def test_a_position_that_is_no_number_is_refused(api, make_recipe, asset, problem):
    run_id = await begin(api, await make_recipe(1), asset)
    bad = await api.get(f"/runs/{run_id}/events", headers={"Last-Event-ID": "x"})
    problem(bad, 422, "invalid-request")
