"""The server itself: info, health, readiness, documentation, problems in general."""

from __future__ import annotations

import asyncio
import os
import signal

import httpx

from artdag_common import errors
from artdag_common.errors import ArtdagError
from services.gateway.app import STATUS, status_of
from tests.integration.events.appends import eventually


async def test_info_health_and_readiness(stranger):
    assert (await stranger.get("/health")).json() == {"status": "ok"}
    info = (await stranger.get("/")).json()
    assert info["name"] == "Art DAG L1"
    assert "/ready" in info["links"].values()
    for link in set(info["links"].values()) - {"/ready"}:
        assert (await stranger.get(link)).status_code == 200, link

    async def able() -> httpx.Response | None:
        answer = await stranger.get("/ready")
        return answer if answer.status_code == 200 else None  # who takes more than a second is not

    ready = await eventually(able, "every part is ready")
    assert set(ready.json()["parts"]) >= {"postgres", "nats", "redis", "planner", "executor", "cache", "auth"}


async def test_readiness_names_the_part_that_does_not_answer(stranger, live):
    async def named() -> httpx.Response | None:
        answer = await stranger.get("/ready")
        return answer if [name for name, able in answer.json()["parts"].items() if not able] == ["auth"] else None

    pid = live.supervisor.children["auth"].pid
    os.kill(pid, signal.SIGSTOP)
    try:
        answer = await eventually(named, "auth alone is named")
    finally:
        os.kill(pid, signal.SIGCONT)
    assert answer.status_code == 503
    while (await stranger.get("/ready")).status_code != 200:
        await asyncio.sleep(0.01)


async def test_without_redis_everything_still_works(api, live, asset):
    pid = live.supervisor.children["redis"].pid
    os.kill(pid, signal.SIGSTOP)
    try:
        answer = await api.post("/cache/upload", files={"file": b"without redis"})
        assert answer.status_code == 201
    finally:
        os.kill(pid, signal.SIGCONT)


async def test_what_is_not_there_and_what_is_not_taken(stranger, problem):
    problem(await stranger.get("/nothing/here"), 404, "not-found")
    refused = await stranger.put("/runs")
    problem(refused, 405, "method-not-allowed")
    assert refused.headers["allow"] == "GET, HEAD, OPTIONS, POST"
    problem(await stranger.get("/api/execute"), 405, "method-not-allowed")


SIGNING_IN = {"post /auth", "post /auth/device", "post /auth/device/token", "post /logout"} | {
    "post /auth/revoke",
    "post /auth/revoke-user",
    "post /actor/inbox",
}
"""Writes of those who are not signed in, or not by a token of theirs alone."""


OTHER_SHAPES = {("post /auth/device/token", "400")} | {  # RFC 8628; Tombstones
    (f"get {path}", "410") for path in ("/cache/{cid}", "/activities/{activity_id}", "/objects/{object_id}")
}


async def test_every_route_is_documented_with_example_and_problems(stranger):
    schema = (await stranger.get("/openapi.json")).json()
    assert "Problem" in schema["components"]["schemas"]
    assert "HTTPValidationError" not in str(schema)
    ids = []
    for path, operations in schema["paths"].items():
        for method, operation in operations.items():
            where = f"{method} {path}"
            ids.append(operation["operationId"])
            assert operation.get("summary"), where
            assert operation.get("description"), where
            good = [a for status, a in operation["responses"].items() if status.startswith(("2", "3"))]
            bodies = [c for a in good for c in a.get("content", {}).values()]
            assert all("example" in c for c in bodies), where
            assert bodies or method in ("head", "options") or {"204", "303", "307"} & set(operation["responses"]), where
            bad = {s: a for s, a in operation["responses"].items() if s.startswith(("4", "5"))}
            assert {"403", "503"} <= set(bad), where
            for status, answer in bad.items():
                if path != "/ready" and (where, status) not in OTHER_SHAPES:
                    content = answer["content"]["application/problem+json"]
                    assert content["example"]["status"] == int(status), where
            if method in ("post", "delete", "patch", "put") and where not in SIGNING_IN:
                assert "401" in bad, where
                assert operation["security"], where
            if body := operation.get("requestBody"):
                assert any("example" in str(c) or "$ref" in str(c) for c in body["content"].values()), where
    assert len(ids) == len(set(ids))
    for model in ("NewRun", "RecipeRun", "Execution", "Cancellation"):
        assert "example" in schema["components"]["schemas"][model]


async def test_the_seeds_routes_are_there(stranger):
    paths = (await stranger.get("/openapi.json")).json()["paths"]
    for route in (
        "post /cache/upload",
        "get /cache/{cid}/raw",
        "get /cache/{cid}/meta",
        "post /recipes/upload",
        "get /recipes",
        "post /recipes/{recipe}/run",
        "post /runs",
        "get /runs",
        "get /runs/{run_id}",
        "delete /runs/{run_id}",
        "get /runs/{run_id}/events",
        "get /api/run/{run_id}",
        "get /api/run/{run_id}/plan",
        "get /api/run/{run_id}/analysis",
        "post /api/plan",
        "post /api/execute",
        "post /api/run-recipe",
        "post /configs/upload",
        "get /assets",
    ):
        method, path = route.split()
        assert method in paths[path], route


def test_every_kind_of_error_has_a_status():
    kinds = [c for c in vars(errors).values() if isinstance(c, type) and issubclass(c, ArtdagError)]
    for kind in kinds:
        error = kind.__new__(kind)
        assert 400 <= status_of(error) <= 599
        assert kind in STATUS or issubclass(kind, errors.StepError), f"{kind.__name__} is not in the table"
