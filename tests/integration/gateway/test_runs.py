"""Runs: start, look, stop, delete; the three phases; repeats."""

from __future__ import annotations

import asyncio
import os
import signal
from uuid import uuid4

import pytest

from artdag_common.cid import cid_of
from artdag_common.domain.failure import ADVICE
from artdag_common.domain.run import Run
from artdag_common.domain.step import Step


async def start(api, recipe, asset, path="/runs", **more):
    """Start a run of one input."""
    return await api.post(path, json={"recipe": recipe["recipe_id"], "inputs": [asset]}, **more)


async def test_a_run_is_found_at_once_and_completes(api, make_recipe, asset, finish):
    recipe = await make_recipe(3)
    answer = await start(api, recipe, asset)
    assert answer.status_code == 201
    run_id = answer.json()["run_id"]
    assert answer.headers["location"] == f"/runs/{run_id}"
    run = await finish(run_id)
    assert run == (await api.get(f"/api/run/{run_id}")).json()
    assert (run["status"], run["output_cid"], run["error"]) == ("completed", asset, None)
    assert run["progress"] == {"total": 4, "cached": 1, "completed": 3, "done": 4, "fraction": 1.0}
    assert run["steps"] == {"by_status": {"cached": 1, "completed": 3}, "running": [], "waiting": [], "failed": []}
    assert (run["priority"], run["on_failure"], run["forced"]) == ("interactive", "stop", [])
    assert (run["rerun_of"], run["deadline"], run["wait_timeout"], run["step_timeout"]) == (None, None, None, None)
    listed = (await api.get("/runs?status=completed")).json()
    assert listed["runs"][0]["run_id"] == run_id
    plan = (await api.get(f"/api/run/{run_id}/plan")).json()
    assert plan["levels"] == [[0], [1], [2], [3]]
    assert [each["status"] for each in plan["steps"]] == ["cached", "completed", "completed", "completed"]
    assert plan["steps"][2]["inputs"] == [1]
    assert plan["output"] == 3
    stored = (await api.get(plan["plan_url"])).json()
    assert [each["cache_id"] for each in stored["steps"]] == [each["cache_id"] for each in plan["steps"]]
    analysis = (await api.get(f"/api/run/{run_id}/analysis")).json()
    assert analysis == {"run_id": run_id, "status": "completed", "analyses": []}


async def test_a_second_run_is_cached(api, make_recipe, asset, finish):
    recipe = await make_recipe(3)
    await finish((await start(api, recipe, asset)).json()["run_id"])
    again = await finish((await start(api, recipe, asset)).json()["run_id"])
    assert again["progress"] == {"total": 4, "cached": 4, "completed": 0, "done": 4, "fraction": 1.0}


@pytest.mark.parametrize("path", ["/runs", "/api/run-recipe"])
async def test_a_recipe_may_come_with_the_request(api, chain_text, asset, finish, path):
    text = chain_text(f"inline-{uuid4().hex[:8]}", 1)
    answer = await api.post(path, json={"recipe": text, "inputs": {"media": asset}, "output_name": "x"})
    assert answer.status_code == 201, answer.text
    assert (await finish(answer.json()["run_id"]))["status"] == "completed"


async def test_requests_that_fit_no_recipe_are_refused(api, stranger, make_recipe, asset, problem):
    recipe = await make_recipe(1)
    rid = recipe["recipe_id"]
    problem(await stranger.post("/runs", json={"recipe": rid, "inputs": [asset]}), 401, "unauthenticated")
    problem(await api.post("/runs", json={"recipe": "no-such-thing"}), 404, "recipe-not-found")
    problem(await api.post("/runs", json={"recipe": cid_of(b"none")}), 404, "recipe-not-found")
    problem(await api.post("/runs", json={"recipe": rid, "inputs": [asset, asset]}), 422, "invalid-inputs")
    problem(await api.post("/runs", json={"recipe": rid}), 422, "invalid-inputs")
    problem(await api.post("/runs", json={"recipe": rid, "inputs": {"wrong": asset}}), 422, "invalid-inputs")
    problem(await api.post("/runs", json={"recipe": rid, "inputs": ["no such name"]}), 404, "content-not-found")
    absent = await api.post("/runs", json={"recipe": rid, "inputs": [cid_of(uuid4().bytes)]})
    problem(absent, 422, "invalid-inputs")
    problem(await api.post("/runs", json={"recipe": "name: x\nsteps: 3\n"}), 422, "invalid-recipe")
    unknown = problem(await api.post("/runs", json={"recipe": rid, "colour": "red"}), 422, "invalid-request")
    assert unknown["problems"][0]["field"] == "colour"
    problem(await api.post("/runs", content=b"{", headers={"Content-Type": "application/json"}), 422, "invalid-request")


async def test_an_unknown_run_is_not_found(api, problem):
    for path in ("/runs/nope", "/api/run/nope", "/api/run/nope/plan", "/api/run/nope/analysis", "/runs/nope/events"):
        problem(await api.get(path), 404, "run-not-found")
    problem(await api.delete("/runs/nope"), 404, "run-not-found")
    problem(await api.post("/runs/nope/cancel"), 404, "run-not-found")
    problem(await api.post("/api/execute", json={"run_id": "nope"}), 404, "run-not-found")


async def test_repeating_a_key_gives_the_same_run(api, make_recipe, asset, problem):
    recipe, key = await make_recipe(1), {"Idempotency-Key": uuid4().hex}
    first, second = await asyncio.gather(*(start(api, recipe, asset, headers=key) for _ in range(2)))
    third = await start(api, recipe, asset, headers=key)
    assert first.json()["run_id"] == second.json()["run_id"] == third.json()["run_id"]
    without = await start(api, recipe, asset)
    assert without.json()["run_id"] != first.json()["run_id"]
    other = await api.post("/runs", json={"recipe": recipe["recipe_id"], "inputs": []}, headers=key)
    problem(other, 422, "idempotency-conflict")
    elsewhere = await start(api, recipe, asset, "/api/run-recipe", headers=key)
    assert elsewhere.json()["run_id"] != first.json()["run_id"]
    empty = await start(api, recipe, asset, headers={"Idempotency-Key": "k" * 256})
    problem(empty, 422, "invalid-request")


async def test_a_run_that_goes_on_is_cancelled_before_it_is_deleted(api, make_recipe, asset, held, scheduled, problem):
    recipe = await make_recipe(2)
    run_id = (await start(api, recipe, asset)).json()["run_id"]
    await scheduled(run_id)
    problem(await api.delete(f"/runs/{run_id}"), 409, "run-active")
    cancelled = await api.post(f"/runs/{run_id}/cancel", json={"reason": "wrong music"})
    assert cancelled.status_code == 200
    body = cancelled.json()
    assert (body["status"], body["error"]["reason"]) == ("cancelled", "wrong music")
    statuses = [each["status"] for each in (await api.get(f"/api/run/{run_id}/plan")).json()["steps"]]
    assert statuses == ["cached", "cancelled", "skipped"]
    problem(await api.post(f"/runs/{run_id}/cancel"), 409, "run-already-finished")
    assert (await api.delete(f"/runs/{run_id}")).json() == {"run_id": run_id, "deleted": True}
    problem(await api.get(f"/runs/{run_id}"), 404, "run-not-found")
    problem(await api.delete(f"/runs/{run_id}"), 404, "run-not-found")
    assert run_id not in [each["run_id"] for each in (await api.get("/runs")).json()["runs"]]


async def test_a_failed_run_says_which_step_and_why(api, make_recipe, asset, held, events, scheduled, finish):
    recipe = await make_recipe(2)
    run_id = (await start(api, recipe, asset)).json()["run_id"]
    cache_id = await scheduled(run_id)
    step = Step.begin(cache_id, "test", "NOOP", "s0", events.clock())
    step.fail("step-input", "the picture is a sound", events.clock())
    await events.save(step, f"test/{cache_id}")
    run = await finish(run_id)
    assert run["status"] == "failed"
    error = run["error"]
    assert {key: error[key] for key in ("code", "kind", "reason", "step", "node", "type")} == {
        "code": "step-input",
        "kind": "bad-input",
        "reason": "the picture is a sound",
        "step": 1,
        "node": "s0",
        "type": "NOOP",
    }
    assert error["label"].endswith(".s0.noop")
    assert error["advice"] == ADVICE["bad-input"]
    assert error["links"] == {
        "log": f"/api/run/{run_id}/steps/1/log",
        "retry": f"/runs/{run_id}/retry",
        "rerun": f"/runs/{run_id}/rerun",
    }
    assert [(each["attempt"], each["kind"], each["retry_at"]) for each in error["attempts"]] == [(1, "bad-input", None)]
    assert [each["node"] for each in run["steps"]["failed"]] == ["s0"]
    assert run["steps"]["failed"][0]["reason"] == "the picture is a sound"
    assert run["artifacts"] == []
    listed = (await api.get("/runs?status=failed&owner=me")).json()["runs"]
    assert next(each for each in listed if each["run_id"] == run_id)["error"]["advice"] == error["advice"]
    plan = (await api.get(f"/api/run/{run_id}/plan")).json()
    assert [each["status"] for each in plan["steps"]] == ["cached", "failed", "skipped"]
    assert plan["steps"][1]["error"] == "the picture is a sound"
    assert (await api.delete(f"/runs/{run_id}")).status_code == 200


async def test_plan_first_execute_later(api, make_recipe, asset, finish, problem):
    recipe = await make_recipe(2)
    planned = await start(api, recipe, asset, "/api/plan")
    assert planned.status_code == 201
    plan = planned.json()
    assert (plan["status"], len(plan["steps"]), plan["error"]) == ("planned", 3, None)
    assert [each["status"] for each in plan["steps"]] == ["cached", "pending", "pending"]
    executed = await api.post("/api/execute", json={"plan_id": plan["plan_id"]})
    assert executed.json()["run_id"] == plan["run_id"]
    assert (await finish(plan["run_id"]))["status"] == "completed"
    problem(await api.post("/api/execute", json={"run_id": plan["run_id"]}), 409, "run-not-planned")
    problem(await api.post("/api/execute", json={"plan_cid": plan["plan_cid"]}), 409, "run-not-planned")
    problem(await api.post("/api/execute", json={"plan_cid": "unheard of"}), 404, "run-not-found")
    problem(await api.post("/api/execute", json={}), 422, "invalid-request")
    problem(await api.post("/api/execute", json={"run_id": "a", "plan_id": "b"}), 422, "invalid-request")


async def test_a_command_that_is_not_handled_in_time_is_answered_with_202(api, live, make_recipe, asset, finish):
    recipe = await make_recipe(1)
    planner = live.supervisor.children["planner"].pid
    os.kill(planner, signal.SIGSTOP)
    try:
        answer = await start(api, recipe, asset, headers={"Prefer": "wait=0", "Idempotency-Key": uuid4().hex})
        assert answer.status_code == 202
        links = answer.json()["links"]
        assert answer.headers["location"] == links["resource"]
        assert (await api.get(links["command"])).json()["status"] == "pending"
        assert (await api.get(links["resource"])).status_code == 404
    finally:
        os.kill(planner, signal.SIGCONT)
    for _ in range(5000):  # nobody waits for this command any more; its owner answers in the inbox
        became = (await api.get(links["command"])).json()
        if became["status"] != "pending":
            break
        await asyncio.sleep(0.02)
    assert became["status"] == "accepted"
    assert links["resource"].endswith(became["values"]["run_id"])


async def test_runs_come_in_pages(api, make_recipe, asset, problem):
    recipe = await make_recipe(1)
    mine = [(await start(api, recipe, asset)).json()["run_id"] for _ in range(3)]
    first = (await api.get("/runs?limit=2")).json()
    second = (await api.get("/runs", params={"limit": 2, "cursor": first["next"]})).json()
    newest = [each["run_id"] for each in (*first["runs"], *second["runs"])]
    assert newest[:3] == mine[::-1]
    assert first["total"] == second["total"] >= 3
    problem(await api.get("/runs?cursor=abc"), 422, "invalid-request")
    problem(await api.get("/runs?limit=0"), 422, "invalid-request")


async def test_an_effect_is_applied_by_its_name(api, asset, finish):
    answer = await api.post("/runs", json={"recipe": "identity", "inputs": [asset], "output_name": "same"})
    assert answer.status_code == 201, answer.text
    run = await finish(answer.json()["run_id"])
    assert (run["status"], run["recipe"], run["output_cid"]) == ("completed", "identity", asset)


async def test_a_run_is_known_as_soon_as_its_events_are_stored(api, events):
    """What is shown follows the events; a client that asks in between is not told that there is none."""
    run_id = str(uuid4())
    facts = {"recipe_cid": cid_of(b"early"), "recipe_name": "early", "owner": "owner", "inputs": (), "output_name": ""}
    run = Run.create(Run.Requested, run_id, events.clock(), **facts, hold=True)
    run.fail(-1, "step-failed", "it was only a test", events.clock())
    assert await events.append(run, f"test/{run_id}") == "appended"
    found = await api.get(f"/runs/{run_id}")
    assert (found.status_code, found.json()["status"]) == (200, "failed")
