"""Deletion over HTTP: who may, what keeps content, what goes with a run, what nobody needs."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from uuid import uuid4

import asyncpg
import httpx

from artdag_cli.system import System
from artdag_common.cid import cid_of
from artdag_common.commands import AttachToken
from artdag_common.eventstore.holds import Holds
from artdag_common.messaging.bus import Bus
from services.gateway.access import hash_token
from tests.integration.events.appends import eventually

Make = Callable[..., Awaitable[dict[str, Any]]]
Finish = Callable[[str], Awaitable[Any]]
Problem = Callable[..., dict[str, Any]]


async def upload(client: httpx.AsyncClient, data: bytes, name: str = "") -> str:
    answer = await client.post("/cache/upload", files={"file": ("a.bin", data)}, data={"name": name} if name else {})
    assert answer.status_code == 201, answer.text
    return str(answer.json()["cid"])


async def rendered(api: httpx.AsyncClient, finish: Finish, recipe: str, cid: str) -> dict[str, Any]:
    answer = await api.post("/runs", json={"recipe": recipe, "inputs": [cid]})
    assert answer.status_code == 201, answer.text
    run = await finish(answer.json()["run_id"])
    assert run["status"] == "completed", run
    return dict(run)


@asynccontextmanager
async def signed_in(bus: Bus, url: str, name: str) -> AsyncIterator[httpx.AsyncClient]:
    """Give a client of another user."""
    secret = uuid4().hex
    outcome = await bus.request(AttachToken(hash_token(secret), name), uuid4().hex, 60)
    assert outcome
    assert outcome.accepted
    async with httpx.AsyncClient(base_url=url, headers={"Authorization": f"Bearer {secret}"}, timeout=60) as client:

        async def known() -> bool:
            return (await client.get("/api/usage")).status_code == 200

        await eventually(known, "a user who is signed in")
        yield client


def file_of(live: System, cid: str) -> Path:
    return Path(live.environment["CACHE_DIR"]) / cid[-2:] / cid


async def test_what_is_deleted_is_gone_and_can_come_back(
    api: httpx.AsyncClient, live: System, problem: Problem
) -> None:
    data = uuid4().bytes
    name = f"thing-{uuid4().hex[:8]}"
    cid = await upload(api, data, name)
    answer = await api.delete(f"/cache/{cid}")
    assert answer.json() == {"cid": cid, "deleted": True, "freed_bytes": len(data)}
    assert not file_of(live, cid).exists()
    for path in ("", "/raw", "/meta"):
        problem(await api.get(f"/cache/{cid}{path}"), 404, "content-not-found")
    problem(await api.delete(f"/cache/{cid}"), 404, "content-not-found")
    answer = await api.post("/runs", json={"recipe": "identity", "inputs": [name]})
    problem(answer, 404, "content-not-found")
    answer = await api.post("/runs", json={"recipe": "identity", "inputs": [cid]})
    problem(answer, 422, "invalid-inputs")
    assert await upload(api, data) == cid
    assert (await api.get(f"/cache/{cid}/raw")).content == data
    assert (await api.get(f"/cache/{cid}/meta")).json()["names"] == [], "it comes back without the words of then"


async def test_a_refusal_names_the_rule_and_the_run(
    api: httpx.AsyncClient, asset: str, make_recipe: Make, finish: Finish, problem: Problem
) -> None:
    recipe = await make_recipe()
    run = await rendered(api, finish, recipe["recipe_id"], asset)
    body = problem(await api.delete(f"/cache/{asset}"), 409, "content-in-use")
    assert body["rule"] == "input"
    assert body["holders"] == [
        {"kind": "input", "holder": "run", "id": run["run_id"], "link": f"/runs/{run['run_id']}"}
    ]
    assert run["run_id"] in body["detail"]
    body = problem(await api.delete(f"/cache/{recipe['recipe_id']}"), 409, "content-in-use")
    assert body["rule"] == "recipe"
    assert {each["link"] for each in body["holders"]} == {
        f"/recipes/{recipe['recipe_id']}",
        f"/runs/{run['run_id']}",
    }
    assert (await api.delete(f"/runs/{run['run_id']}")).status_code == 200
    assert (await api.delete(f"/cache/{asset}")).json()["deleted"] is True


async def test_a_run_whose_output_is_published_stays(
    api: httpx.AsyncClient, asset: str, make_recipe: Make, finish: Finish, problem: Problem
) -> None:
    recipe = await make_recipe()
    run = await rendered(api, finish, recipe["recipe_id"], asset)
    answer = await api.post(f"/cache/{run['output_cid']}/publish", json={"name": "Cat"})
    assert answer.status_code == 200, answer.text
    body = problem(await api.delete(f"/runs/{run['run_id']}"), 409, "output-published")
    assert body["output_cid"] == run["output_cid"]
    assert body["published_by"] == ["owner"]
    assert problem(await api.delete(f"/cache/{run['output_cid']}"), 409, "content-in-use")["rule"] == "published"


async def test_a_failed_run_can_always_be_deleted(api: httpx.AsyncClient, asset: str, finish: Finish, url: str) -> None:
    await api.post(f"/cache/{asset}/publish", json={"name": "not a film"})
    answer = await api.post("/runs", json={"recipe": "invert", "inputs": [asset]})
    run = await finish(answer.json()["run_id"])
    assert run["status"] == "failed"
    assert (await api.delete(f"/runs/{run['run_id']}")).json()["deleted"] is True


async def test_content_of_two_users_is_kept_for_the_other(
    api: httpx.AsyncClient, bus: Bus, url: str, problem: Problem
) -> None:
    async with signed_in(bus, url, f"ann-{uuid4().hex[:6]}") as ann:
        data = uuid4().bytes
        cid = await upload(api, data, f"ours-{uuid4().hex[:6]}")
        problem(await ann.delete(f"/cache/{cid}"), 404, "content-not-found")
        assert await upload(ann, data) == cid
        gone = {"cid": cid, "deleted": True, "freed_bytes": len(data)}
        assert (await api.delete(f"/cache/{cid}")).json() == gone, "nobody is told of the other"
        assert (await ann.get(f"/cache/{cid}/raw")).content == data
        problem(await api.delete(f"/cache/{cid}"), 404, "content-not-found")
        assert (await ann.delete(f"/cache/{cid}")).json() == gone
        problem(await ann.get(f"/cache/{cid}/raw"), 404, "content-not-found")


async def test_a_step_whose_output_went_is_computed_again(
    api: httpx.AsyncClient, make_recipe: Make, finish: Finish, live: System
) -> None:
    """The outputs of no-op steps are their input; what goes with the run comes back with the next."""
    data = uuid4().bytes
    cid = await upload(api, data)
    recipe = await make_recipe(3)
    run = await rendered(api, finish, recipe["recipe_id"], cid)
    await api.delete(f"/runs/{run['run_id']}")
    assert (await api.delete(f"/cache/{cid}")).json()["deleted"] is True
    await upload(api, data)
    again = await rendered(api, finish, recipe["recipe_id"], cid)
    assert again["output_cid"] == cid
    assert (await api.get(again["output_url"])).content == data


async def test_garbage_is_seen_before_it_goes(
    api: httpx.AsyncClient, make_recipe: Make, finish: Finish, live: System, problem: Problem
) -> None:
    cid = await upload(api, uuid4().bytes)
    recipe = await make_recipe()
    run = await rendered(api, finish, recipe["recipe_id"], cid)
    await api.delete(f"/runs/{run['run_id']}")
    plan = file_of(live, run["plan_cid"])
    seen = (await api.get("/cache/gc", params={"older_than_days": 0})).json()
    assert seen["dry_run"] is True
    unused = {item["cid"] for item in seen["items"] if item["why"] == "unused"}
    assert {run["plan_cid"], run["provenance_cid"]} <= unused
    assert cid not in unused, "a user uploaded it"
    assert plan.exists()
    key = {"Idempotency-Key": uuid4().hex}

    async def collected() -> dict[str, Any]:
        answer = await api.post("/cache/gc", json={"older_than_days": 0}, headers=key)
        return dict(answer.json()) if answer.status_code == 200 else {}  # 202: it is still at it

    done = await eventually(collected, "the end of the collection")
    assert done["bytes"] == sum(facts["bytes"] for facts in done["why"].values())
    assert not plan.exists()
    assert file_of(live, cid).exists()
    assert file_of(live, recipe["recipe_id"]).exists()
    later = (await api.get("/cache/gc", params={"older_than_days": 0})).json()
    assert not {run["plan_cid"], run["provenance_cid"]} & {item["cid"] for item in later["items"]}


async def test_garbage_is_the_operator_s(bus: Bus, url: str, problem: Problem, stranger: httpx.AsyncClient) -> None:
    problem(await stranger.get("/cache/gc"), 401, "unauthenticated")
    async with signed_in(bus, url, "ann") as ann:
        problem(await ann.get("/cache/gc"), 403, "not-yours")
        problem(await ann.post("/cache/gc"), 403, "not-yours")


async def test_usage_counts_content_once(
    bus: Bus, url: str, chain_text: Callable[[str, int], str], follow: Any, stranger: Any, problem: Problem
) -> None:
    problem(await stranger.get("/api/usage"), 401, "unauthenticated")
    async with signed_in(bus, url, f"ann-{uuid4().hex[:6]}") as ann:
        data = uuid4().bytes
        cid = await upload(ann, data)
        await upload(ann, data, "again")
        usage = (await ann.get("/api/usage")).json()
        assert (usage["used_bytes"], usage["objects"], usage["quota_bytes"]) == (len(data), 1, None)
        answer = await ann.post("/runs", json={"recipe": chain_text("twice", 2), "inputs": [cid]})
        assert answer.status_code == 201, answer.text
        ends = [event["event"] async for event in follow(answer.json()["run_id"], headers=dict(ann.headers))]
        assert ends[-1] == "RunCompleted"
        usage = (await ann.get("/api/usage")).json()
        assert usage["uploads"] == usage["outputs"] == {"objects": 1, "bytes": len(data)}
        assert usage["used_bytes"] == len(data), "the output is the upload"


async def test_fifty_clients_upload_while_deletions_run(
    api: httpx.AsyncClient, url: str, live: System, make_recipe: Make, finish: Finish
) -> None:
    """Each step of a client is refused or done; at the end all that is needed is there, whole, and nothing else."""
    recipe = (await make_recipe(1))["recipe_id"]
    shared = [uuid4().bytes * 4000 for _ in range(5)]
    runs: list[str] = []

    async def work(number: int) -> None:
        chance = random.Random(number)
        limits = httpx.Limits(max_connections=1)
        async with httpx.AsyncClient(base_url=url, headers=api.headers, timeout=90, limits=limits) as client:
            for _ in range(2):
                data = chance.choice(shared) if chance.random() < 0.7 else uuid4().bytes * 1000
                cid = cid_of(data)
                answer = await client.post("/cache/upload", files={"file": ("a.bin", data)})
                assert answer.status_code in (201, 202), answer.text  # 202: kept, and done when there is time
                if chance.random() < 0.3:
                    answer = await client.post("/runs", json={"recipe": recipe, "inputs": [cid]})
                    assert answer.status_code in (201, 202, 422), answer.text
                    if run_id := answer.json().get("run_id"):
                        runs.append(run_id)
                answer = await client.delete(f"/cache/{cid}")
                assert answer.status_code in (200, 202, 403, 404, 409), answer.text
                answer = await client.get(f"/cache/{cid}/raw")
                assert answer.status_code in (200, 404), answer.text
                assert answer.status_code == 404 or answer.content == data, "half a file was served"

    await asyncio.gather(*map(work, range(50)))
    for run_id in runs:
        run = await finish(run_id)
        assert run["status"] == "completed", run["error"]
        assert (await api.get(run["output_url"])).status_code == 200
    pool = await asyncpg.create_pool(live.environment["DATABASE_URL"], min_size=1, max_size=2)
    try:
        held = [row["cid"] for row in await pool.fetch("SELECT DISTINCT cid FROM content_holds WHERE kind <> 'effect'")]
        missing = [cid for cid in held if not file_of(live, cid).exists()]
        assert missing == []
        books = await Holds(pool).books([cid_of(data) for data in shared])
    finally:
        await pool.close()
    for data in shared:
        cid = cid_of(data)
        if file_of(live, cid).exists():
            assert file_of(live, cid).read_bytes() == data
            assert cid in held or books[cid].gone is None
