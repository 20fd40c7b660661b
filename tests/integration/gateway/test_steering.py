"""Runs that people steer: pause, resume, retry, run again, force, do without a step; what refuses says what to do."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import pytest

from artdag_common.domain.run import Run
from artdag_common.domain.step import Step
from tests.integration.gateway.people import signing_in

SECONDS = 150.0


def two_sided(name: str = "", on_failure: str = "stop") -> str:
    """A recipe of two inputs, a step of each, and one of both; nobody computed it before."""
    salt = uuid4().hex
    return (
        f"name: {name or f'sides-{salt[:8]}'}\non_failure: {on_failure}\n"
        "inputs:\n  one: {type: any}\n  two: {type: any}\nsteps:\n"
        f"  - {{id: left, type: NOOP, inputs: [one], config: {{salt: left-{salt}}}}}\n"
        f"  - {{id: right, type: NOOP, inputs: [two], config: {{salt: right-{salt}}}}}\n"
        f"  - {{id: both, type: NOOP, inputs: [left, right], config: {{salt: both-{salt}}}}}\noutput: both\n"
    )


@pytest.fixture
async def contents(api):
    """Three pieces of content that no other test has."""
    answers = [await api.post("/cache/upload", files={"file": ("a.bin", b"\0" + uuid4().bytes)}) for _ in range(3)]
    return [answer.json()["cid"] for answer in answers]


@pytest.fixture
def start(api, contents):
    """Start a run of a recipe of two inputs and return the answer."""

    async def begin(text, path="/runs", **more):
        answer = await api.post(path, json={"recipe": text, "inputs": contents[:2], **more})
        assert answer.status_code == 201, answer.text
        return answer.json()

    return begin


@pytest.fixture
def steps(api):
    """Return the steps of a run by node."""

    async def look(run_id):
        return {each["node"]: each for each in (await api.get(f"/api/run/{run_id}/plan")).json()["steps"]}

    return look


@pytest.fixture
def happens(follow):
    """Wait until an event of a run happened for which a condition holds, and return it."""

    async def wait(run_id, kind, wanted=lambda data: True):
        async with asyncio.timeout(SECONDS), contextlib.aclosing(follow(run_id)) as stream:
            async for event in stream:
                if event["event"] == kind and wanted(event["data"]["data"]):
                    return event["data"]["data"]
        raise AssertionError(f"the run ended without {kind}")

    return wait


async def fail(events, step, error="step-input", reason="no good"):
    """Let an executor say that a step failed."""
    failed = Step.begin(step["cache_id"], "test", "NOOP", step["label"], events.clock())
    failed.fail(error, reason, events.clock())
    await events.save(failed, f"test/{step['cache_id']}")


async def half_failed(start, steps, happens, held, events, finish):
    """Return a run one branch of which failed, while the other was finished."""
    run_id = (await start(two_sided(on_failure="continue")))["run_id"]
    await happens(run_id, "RunStepsScheduled")
    await fail(events, (await steps(run_id))["right"])
    await happens(run_id, "RunStepsFailed")
    held()
    return await finish(run_id)


def counted(run):
    """Return how many steps were found and how many computed; the inputs are found too."""
    return run["progress"]["cached"], run["progress"]["completed"]


async def test_what_does_not_need_a_failed_step_is_finished_and_listed(start, steps, happens, held, events, finish):
    run = await half_failed(start, steps, happens, held, events, finish)
    assert (run["status"], run["on_failure"]) == ("failed", "continue")
    assert (run["error"]["node"], run["error"]["reason"], run["error"]["kind"]) == ("right", "no good", "bad-input")
    assert {node: each["status"] for node, each in (await steps(run["run_id"])).items()} == {
        "one": "cached",
        "two": "cached",
        "left": "completed",
        "right": "failed",
        "both": "skipped",
    }
    left = (await steps(run["run_id"]))["left"]
    assert [(each["node"], each["cid"], each["url"]) for each in run["artifacts"]] == [
        ("left", left["output_cid"], f"/cache/{left['output_cid']}/raw")
    ]
    assert [each["node"] for each in run["steps"]["failed"]] == ["right"]


async def test_a_retry_computes_only_what_failed(api, start, steps, happens, held, events, finish, problem):
    first = await half_failed(start, steps, happens, held, events, finish)
    answer = await api.post(first["error"]["links"]["retry"], json={"step_timeout": 90})
    assert answer.status_code == 201, answer.text
    said = answer.json()
    assert (said["rerun_of"], said["differs"]["rerun_of"]) == (first["run_id"], first["run_id"])
    assert said["differs"]["step_timeout"] == {"from": None, "to": 90.0}
    assert (said["differs"]["inputs"], said["differs"]["parameters"], said["differs"]["recipe_cid"]) == ({}, {}, None)
    second = await finish(said["run_id"])
    assert (second["status"], second["recipe_cid"]) == ("completed", first["recipe_cid"])
    assert counted(second) == (3, 2), "both inputs and the left side were there"
    refused = problem(await api.post(f"/runs/{second['run_id']}/retry"), 409, "nothing-to-retry")
    assert f"/runs/{second['run_id']}/rerun" in refused["detail"]
    assert (await api.get(f"/runs/{first['run_id']}")).json()["status"] == "failed", "a finished run stays finished"


async def test_a_cancelled_run_is_retried(api, start, happens, held, finish, problem):
    run_id = (await start(two_sided()))["run_id"]
    await happens(run_id, "RunStepsScheduled")
    refused = problem(await api.post(f"/runs/{run_id}/retry"), 409, "nothing-to-retry")
    assert f"/runs/{run_id}/cancel" in refused["detail"]
    cancelled = (await api.post(f"/runs/{run_id}/cancel", json={"reason": "wrong music"})).json()
    assert (cancelled["error"]["kind"], cancelled["error"]["step"]) == ("stopped", None)
    again = await api.post(f"/runs/{run_id}/retry")
    held()
    run = await finish(again.json()["run_id"])
    assert (run["status"], counted(run)) == ("completed", (2, 3))


async def test_a_paused_run_starts_nothing_until_it_is_resumed(
    api, make_recipe, asset, held, happens, steps, finish, problem
):
    recipe = await make_recipe(3)
    run_id = (await api.post("/runs", json={"recipe": recipe["recipe_id"], "inputs": [asset]})).json()["run_id"]
    problem(await api.post(f"/runs/{run_id}/resume"), 409, "run-not-paused")
    await happens(run_id, "RunStepsScheduled")
    paused = await api.post(f"/runs/{run_id}/pause")
    assert (paused.status_code, paused.json()["status"]) == (200, "paused")
    assert (await api.post(f"/runs/{run_id}/pause")).json()["status"] == "paused", "it stays as it is"
    refused = problem(await api.post(f"/runs/{run_id}/retry"), 409, "nothing-to-retry")
    assert f"/runs/{run_id}/resume" in refused["detail"]
    held()
    await happens(run_id, "RunStepsSatisfied")  # what the executor had goes on
    standing = {node: each["status"] for node, each in (await steps(run_id)).items()}
    assert standing == {"media": "cached", "s0": "completed", "s1": "pending", "s2": "pending"}
    assert (await api.post(f"/runs/{run_id}/resume")).json()["status"] in ("running", "completed")
    run = await finish(run_id)
    assert (run["status"], counted(run)) == ("completed", (1, 3))
    problem(await api.post(f"/runs/{run_id}/pause"), 409, "run-already-finished")
    problem(await api.post(f"/runs/{run_id}/resume"), 409, "run-already-finished")


@pytest.mark.parametrize(("on_failure", "left"), [("stop", "cancelled"), ("continue", "completed")])
async def test_a_run_does_without_a_step(api, start, steps, happens, held, finish, problem, on_failure, left):
    run_id = (await start(two_sided(on_failure=on_failure)))["run_id"]
    await happens(run_id, "RunStepsScheduled")
    right = (await steps(run_id))["right"]["index"]
    problem(await api.post(f"/runs/{run_id}/steps/99/cancel"), 404, "step-not-found")
    problem(await api.post(f"/runs/{run_id}/steps/0/cancel"), 409, "step-not-active")
    problem(await api.post(f"/runs/{run_id}/steps/-1/cancel"), 422, "invalid-request")
    answer = await api.post(f"/runs/{run_id}/steps/{right}/cancel", json={"reason": "too loud"})
    assert answer.status_code == 200, answer.text
    step = answer.json()["step"]
    assert (step["status"], step["error"], step["error_code"], step["kind"]) == (
        "failed",
        "too loud",
        "step-cancelled",
        "stopped",
    )
    held()
    run = await finish(run_id)
    assert (run["status"], run["error"]["code"], run["error"]["node"]) == ("failed", "step-cancelled", "right")
    assert {node: each["status"] for node, each in (await steps(run_id)).items() if node in ("left", "both")} == {
        "left": left,
        "both": "skipped",
    }


async def test_with_one_changed_input_only_the_changed_part_is_computed(api, start, contents, finish):
    first = await finish((await start(two_sided(), output_name="first"))["run_id"])
    answer = await api.post(
        f"/runs/{first['run_id']}/rerun", json={"inputs": {"two": contents[2]}, "priority": "batch"}
    )
    assert answer.status_code == 201, answer.text
    said = answer.json()
    assert said["differs"]["inputs"] == {"two": {"from": [contents[1]], "to": [contents[2]]}}
    assert said["differs"]["priority"] == {"from": "interactive", "to": "batch"}
    assert (said["priority"], said["output_name"], said["differs"]["output_name"]) == ("batch", "first", None)
    second = await finish(said["run_id"])
    assert (second["status"], counted(second)) == ("completed", (3, 2)), "the right side, and both"
    assert {each["name"]: each["cids"] for each in second["inputs"]} == {"one": [contents[0]], "two": [contents[2]]}


async def test_a_rerun_is_planned_first_and_goes_on_when_told_to(api, start, steps, contents, finish):
    first = await finish((await start(two_sided()))["run_id"])
    body = {"inputs": {"two": contents[2]}, "hold": True}
    said = (await api.post(f"/runs/{first['run_id']}/rerun", json=body)).json()
    assert (said["status"], said["rerun_of"]) == ("planned", first["run_id"])
    assert said["differs"]["inputs"] == {"two": {"from": [contents[1]], "to": [contents[2]]}}
    waiting = {node for node, each in (await steps(said["run_id"])).items() if each["status"] == "pending"}
    assert waiting == {"right", "both"}, "what is left to compute is known"
    await api.post("/api/execute", json={"run_id": said["run_id"]})
    second = await finish(said["run_id"])
    assert (second["status"], counted(second)) == ("completed", (3, 2))


async def test_with_a_changed_parameter_only_what_follows_is_computed(api, start, steps, finish, problem):
    first = await finish((await start(two_sided("sides")))["run_id"])
    url, salt = f"/runs/{first['run_id']}/rerun", uuid4().hex
    was = (await steps(first["run_id"]))["right"]["config"]["salt"]
    said = (await api.post(url, json={"parameters": {"right": {"salt": salt}}})).json()
    assert said["differs"]["parameters"] == {"right": {"salt": {"from": was, "to": salt}}}
    assert said["differs"]["recipe_cid"] == {"from": first["recipe_cid"], "to": said["recipe_cid"]}
    second = await finish(said["run_id"])
    assert (second["status"], counted(second)) == ("completed", (3, 2))
    assert second["recipe"] == "sides, changed"
    assert (await api.get("/recipes/sides")).json()["recipe_id"] == first["recipe_cid"], "the name stays the first's"
    same = (await api.post(url, json={"parameters": {"right": {"salt": was}}})).json()
    assert (same["recipe_cid"], same["differs"]["parameters"]) == (first["recipe_cid"], {})
    for body, field, near in (
        ({"parameters": {"rigth": {"salt": "x"}}}, "parameters.rigth", "did you mean 'right'?"),
        ({"parameters": {"right": {"sallt": "x"}}}, "parameters.right.sallt", "did you mean 'salt'?"),
        ({"parameters": {"one": {"salt": "x"}}}, "parameters.one", "which has no parameters"),
        ({"force": ["lef"]}, "force", "did you mean 'left'?"),
        ({"force": ["one"]}, "force", "is an input"),
    ):
        refused = problem(await api.post(url, json=body), 422, "invalid-request")
        assert near in refused["detail"]
        assert refused["problems"][0]["field"] == field
    refused = problem(await api.post(url, json={"inputs": {"tow": first["output_cid"]}}), 422, "invalid-inputs")
    assert "did you mean 'two'?" in refused["detail"]
    problem(await api.post(url, json={"colour": "red"}), 422, "invalid-request")


async def test_a_forced_step_and_what_follows_are_computed_again_and_nothing_else(api, start, steps, finish):
    text = two_sided()
    first = await finish((await start(text))["run_id"])
    assert counted(await finish((await start(text))["run_id"])) == (5, 0)
    said = (await api.post(f"/runs/{first['run_id']}/rerun", json={"force": ["right"]})).json()
    assert (said["forced"], said["differs"]["force"]) == (["right"], ["right"])
    second = await finish(said["run_id"])
    assert (second["status"], counted(second)) == ("completed", (3, 2))
    after = await steps(second["run_id"])
    assert {node: each["forced"] for node, each in after.items() if each["forced"]} == {"right": True, "both": True}
    assert (after["left"]["attempt"], after["right"]["attempt"], after["both"]["attempt"]) == (0, 2, 2)
    everything = await finish((await start(text, "/api/run-recipe", force=True))["run_id"])
    assert (everything["forced"], counted(everything)) == (["left", "right", "both"], (2, 3))
    planned = await start(text, "/api/plan", force=["both"])
    assert [each["status"] for each in planned["steps"]].count("pending") == 1


async def test_a_retry_computes_again_what_was_to_be_and_was_not(api, live, start, happens, finish):
    text = two_sided()
    await finish((await start(text))["run_id"])
    executor = live.supervisor.children["executor"].pid
    os.kill(executor, signal.SIGSTOP)
    try:
        run_id = (await start(text, force=["right"]))["run_id"]
        await happens(run_id, "RunStepsScheduled")
        await api.post(f"/runs/{run_id}/cancel")
        again = (await api.post(f"/runs/{run_id}/retry")).json()
        assert again["forced"] == ["both", "right"], "there is an output of each, of before"
    finally:
        os.kill(executor, signal.SIGCONT)
    run = await finish(again["run_id"])
    assert (run["status"], counted(run)) == ("completed", (3, 2))


async def test_time_ends_runs_and_steps(api, start, held, finish):
    """Nobody takes their steps, since executors do nothing."""
    late = (await start(two_sided(), timeout=4))["run_id"]
    waited = (await start(two_sided(), wait_timeout=1))["run_id"]
    run = await finish(late)
    assert (run["status"], run["error"]["code"], run["error"]["kind"]) == ("failed", "deadline-passed", "stopped")
    assert run["deadline"] is not None
    assert "deadline" in run["error"]["advice"]
    run = await finish(waited)
    assert (run["status"], run["error"]["code"], run["error"]["node"]) == ("failed", "wait-timeout", "left")
    assert run["wait_timeout"] == 1.0
    assert "wait_timeout" in run["error"]["advice"]
    held()
    again = (await api.post(f"/runs/{waited}/retry", json={"wait_timeout": None})).json()
    assert (again["wait_timeout"], again["differs"]["wait_timeout"]) == (None, {"from": 1.0, "to": None})
    assert (await finish(again["run_id"]))["status"] == "completed"


async def test_wishes_that_make_no_sense_are_refused(api, make_recipe, asset, problem):
    recipe = (await make_recipe(1))["recipe_id"]
    now = datetime.now(UTC)
    for wish, said in (
        ({"priority": "urgent"}, "'interactive' or 'batch'"),
        ({"deadline": (now - timedelta(seconds=5)).isoformat()}, "it has passed already"),
        ({"deadline": "2050-01-07T12:00:00"}, "timezone"),
        ({"deadline": 4102444800}, "RFC 3339"),
        ({"deadline": (now + timedelta(days=400)).isoformat()}, "more than 366 days"),
        ({"deadline": (now + timedelta(days=1)).isoformat(), "timeout": 60}, "not both"),
        ({"timeout": 0}, "greater than or equal to 1"),
        ({"wait_timeout": -1}, "greater than or equal to 1"),
        ({"step_timeout": 1e9}, "less than or equal to 2592000"),
        ({"force": ["s9"]}, "s0"),
        ({"force": ["media"]}, "is an input"),
    ):
        for path, body in (
            ("/runs", {"recipe": recipe}),
            ("/api/plan", {"recipe": recipe}),
            (f"/recipes/{recipe}/run", {}),
        ):
            answer = await api.post(path, json={**body, "inputs": {"media": asset}, **wish})
            refused = problem(answer, 422, "invalid-request")
            assert said in refused["detail"], wish


async def test_the_same_key_gives_the_same_repetition(api, start, finish):
    first = await finish((await start(two_sided()))["run_id"])
    key = {"Idempotency-Key": uuid4().hex}
    url = f"/runs/{first['run_id']}/rerun"
    one, two = [(await api.post(url, json={"force": True}, headers=key)).json() for _ in range(2)]
    assert one["run_id"] == two["run_id"]
    other = (await api.post(url, json={"force": True})).json()
    assert other["run_id"] != one["run_id"]
    for each in (one, other):
        await finish(each["run_id"])


async def test_a_run_is_steered_by_its_owner_alone(url, bus, api, start, happens, held, problem):
    run_id = (await start(two_sided()))["run_id"]
    await happens(run_id, "RunStepsScheduled")
    async with signing_in(url, bus) as sign_in:
        other = (await sign_in()).client
        for what in ("cancel", "pause", "resume", "steps/1/cancel", "retry", "rerun"):
            problem(await other.post(f"/runs/{run_id}/{what}"), 404, "run-not-found")
    assert (await api.get(f"/runs/{run_id}")).json()["status"] == "running"
    await api.post(f"/runs/{run_id}/cancel")


async def test_what_one_may_not_see_is_not_used_by_running_again(url, bus, contents, problem):
    """To run again is to read: what was seen once, or is another's, has to be there for oneself now."""
    async with signing_in(url, bus) as sign_in:
        other = (await sign_in()).client
        mine = [(await other.post("/cache/upload", files={"file": uuid4().bytes})).json()["cid"] for _ in range(2)]
        started = await other.post("/runs", json={"recipe": two_sided(), "inputs": mine})
        assert started.status_code == 201, started.text
        again = await other.post(f"/runs/{started.json()['run_id']}/rerun", json={"inputs": {"one": contents[2]}})
        refused = problem(again, 422, "invalid-inputs")
        assert contents[2] in refused["detail"]


async def test_the_live_stream_tells_of_pauses_and_failures(start, steps, happens, held, events, api, follow):
    run_id = (await start(two_sided(on_failure="continue")))["run_id"]
    await happens(run_id, "RunStepsScheduled")
    for what in ("pause", "resume"):
        await api.post(f"/runs/{run_id}/{what}")
    found = await steps(run_id)
    tried = Step.begin(found["left"]["cache_id"], "test", "NOOP", "left", events.clock())
    tried.fail_attempt("provider-busy", "come again", events.clock(), 30.0)
    await events.save(tried, f"test/{uuid4().hex}")
    await happens(run_id, "StepAttemptFailed", lambda data: data["kind"] == "busy" and data["retry_ms"] >= 30_000)
    left = (await steps(run_id))["left"]
    assert (left["status"], left["error_code"], left["kind"]) == ("waiting", "provider-busy", "busy")
    assert left["retry_at"] is not None
    detail = (await api.get(f"/runs/{run_id}")).json()
    assert [(each["node"], each["reason"]) for each in detail["steps"]["waiting"]] == [("left", "come again")]
    await fail(events, found["right"])
    await happens(run_id, "RunStepsFailed", lambda data: data["steps"][0]["reason"] == "no good")
    await api.post(f"/runs/{run_id}/cancel")
    kinds = [event["event"] async for event in follow(run_id)]
    assert [kind for kind in kinds if kind in ("RunPaused", "RunResumed", "RunStepsFailed", "RunCancelled")] == [
        "RunPaused",
        "RunResumed",
        "RunStepsFailed",
        "RunCancelled",
    ]
    assert (await events.find(Run, run_id)).status == "cancelled"
