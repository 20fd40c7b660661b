"""What the operator sees of the running system: every process, what each works on, queues, letters."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any
from uuid import uuid4

import asyncpg
import httpx
import pytest

from artdag_cli.system import System
from artdag_common.codec import encode_command
from artdag_common.commands import CancelRun
from artdag_common.messaging import subjects
from artdag_common.messaging.bus import Bus
from artdag_common.messaging.dead_letters import COMMAND_ID, FROM
from artdag_common.messaging.permissions import SERVICES
from artdag_common.pb.commands_pb2 import ClassHands, ExecutorPresence, HeldWork, InstancePresence
from artdag_common.version import VERSION
from tests.integration.events.appends import eventually
from tests.integration.gateway.test_replicas import Replica, replica

__all__ = ["replica"]

NOWHERE = 2**40
"""A place in the work queue at which there is nothing, so that planners take nothing from who claims to have it."""


async def seen(api: httpx.AsyncClient) -> dict[str, Any]:
    answer = await api.get("/api/ops")
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


def processes(found: dict[str, Any], service: str) -> dict[int, dict[str, Any]]:
    """Return a service's processes on this machine that are ready, by their ids; others may have been killed before."""
    (its,) = (each["instances"] for each in found["services"] if each["service"] == service)
    return {each["pid"]: each for each in its if each["state"] == "ready" and each["host"] == socket.gethostname()}


async def test_every_process_tells_who_it_is(api: httpx.AsyncClient, live: System) -> None:
    pids = {service: live.supervisor.children[service].pid for service in SERVICES}

    async def told() -> dict[str, Any]:
        found = await seen(api)
        there = all(pid in processes(found, service) for service, pid in pids.items())
        return found if there and all(found["backing"].values()) and found["queues"]["consumers"] else {}

    found = await eventually(told, "all five services")
    for service, pid in pids.items():
        process = processes(found, service)[pid]
        assert process["version"] == VERSION, service
        assert process["since"] < found["at"]
        assert abs(process["ahead_seconds"]) < 60
        assert bool(process["node"]) == (service != "auth")
    assert found["gateway"] == processes(found, "gateway")[pids["gateway"]]["name"]
    assert processes(found, "auth")[pids["auth"]]["duties"] == ["relay"]
    assert all(found["backing"].values())
    node = processes(found, "cache")[pids["cache"]]["node"]
    (disk,) = [each for each in found["disks"] if each["node"] == node]
    assert 0 < disk["free_bytes"] < disk["total_bytes"]
    (executor,) = [each for each in found["executors"]["items"] if each["pid"] == pids["executor"]]
    assert [(each["class"], each["hands"]) for each in executor["classes"]] == [("cpu", os.cpu_count())]
    assert {each["class"] for each in found["queues"]["classes"]} >= {"cpu", "inline"}
    assert {each["name"] for each in found["queues"]["consumers"]} >= {"planner", "cache", "auth", "executor-cpu"}


async def test_a_second_gateway_is_seen_by_both_and_gone_when_it_ends(
    api: httpx.AsyncClient,
    live: System,
    replica: Replica,
) -> None:
    first, second = live.supervisor.children["gateway"].pid, replica.process.pid

    async def both() -> dict[str, Any]:
        found = await seen(api)
        return found if {first, second} <= processes(found, "gateway").keys() else {}

    here = await eventually(both, "two gateways")
    headers = {"Authorization": f"Bearer {live.token}"}
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{replica.port}", headers=headers, timeout=60) as other:

        async def all_told() -> dict[str, Any]:
            found = await seen(other)
            both = {first, second} <= processes(found, "gateway").keys()
            return found if both and all(processes(found, service) for service in SERVICES) else {}

        there = await eventually(all_told, "what the second gateway hears")
    assert here["gateway"] == processes(here, "gateway")[first]["name"]
    assert there["gateway"] == processes(here, "gateway")[second]["name"]
    replica.process.terminate()
    assert await replica.process.wait() == 0

    async def alone() -> bool:
        return second not in processes(await seen(api), "gateway")

    await eventually(alone, "the good-bye of the second gateway")


async def test_an_executor_elsewhere_is_shown_with_what_it_works_on(
    api: httpx.AsyncClient,
    bus: Bus,
    make_recipe: Callable[..., Awaitable[Any]],
    asset: str,
    held: Callable[[], None],
    scheduled: Callable[[str], Awaitable[str]],
) -> None:
    """As one of another version tells it, whose clock is wrong."""
    recipe = (await make_recipe(1))["recipe_id"]
    body = {"recipe": recipe, "inputs": [asset], "output_name": "looked-at"}
    run_id = (await api.post("/runs", json=body)).json()["run_id"]
    cache_id = await scheduled(run_id)
    name = f"elsewhere-{uuid4().hex[:6]}"
    alive = InstancePresence(host="elsewhere", pid=7, version="0.0.9", since_us=1, told_us=2)
    alive.hands.append(ClassHands(work_class="gpu", hands=3))
    works = ExecutorPresence(executor=name, held=[HeldWork(subject=subjects.work("gpu", cache_id), sequence=NOWHERE)])

    async def shown() -> dict[str, Any]:
        await bus.nc.publish(subjects.alive("executor", name), alive.SerializeToString())
        await bus.nc.publish(subjects.here(name), works.SerializeToString())
        await bus.tick(cache_id, 30, 120)
        found = await seen(api)
        mine = [each for each in found["running"]["items"] if each["executor"] == name]
        known = mine and mine[0]["done"] and mine[0]["run_id"] and found["runs"]["count"]
        return found | {"mine": mine[0]} if known else {}

    found = await eventually(shown, "the step")
    step = found["mine"]
    assert (step["run_id"], step["step"], step["node"], step["type"]) == (run_id, 1, "s0", "NOOP")
    assert (step["class"], step["done"], step["total"], step["runs"]) == ("gpu", 30, 120, 1)
    assert step["links"]["step"] == f"/run/{run_id}/steps/1"
    (executor,) = [each for each in found["executors"]["items"] if each["name"] == name]
    assert executor["classes"] == [{"class": "gpu", "hands": 3, "busy": 1}]
    assert [each["cache_id"] for each in executor["steps"]] == [cache_id]
    (gpu,) = [each for each in found["queues"]["classes"] if each["class"] == "gpu"]
    assert (gpu["hands"], gpu["busy"]) == (3, 1)
    (instance,) = [
        each
        for service in found["services"]
        if service["service"] == "executor"
        for each in service["instances"]
        if each["name"] == name
    ]
    assert (instance["version"], instance["host"]) == ("0.0.9", "elsewhere")
    assert instance["ahead_seconds"] < -1e9
    (run,) = [each for each in found["runs"]["items"] if each["run_id"] == run_id]
    assert (run["name"], run["links"]["run"], run["done"]) == ("looked-at", f"/run/{run_id}", 1)
    (user,) = [each for each in found["runs"]["users"]["items"] if each["owner"] == "owner"]
    assert user["handle"].startswith("@owner@")
    assert found["runs"]["steps_left"] >= 1

    alive.leaving = works.leaving = True
    await bus.nc.publish(subjects.alive("executor", name), alive.SerializeToString())
    await bus.nc.publish(subjects.here(name), works.SerializeToString())
    held()

    async def over() -> dict[str, Any]:
        found = await seen(api)
        there = [each["name"] for each in found["executors"]["items"]] + [r["run_id"] for r in found["runs"]["items"]]
        return found if name not in there and run_id not in there else {}

    found = await eventually(over, "the end of the run, and the executor's good-bye")
    assert sum(found["throughput"]["completed"]) >= 1


async def test_a_dead_letter_is_counted_and_gone_once_it_is_dropped(api: httpx.AsyncClient, bus: Bus) -> None:
    key = uuid4().hex
    told = {FROM: f"cmd.planner.CancelRun.{key}", COMMAND_ID: uuid4().hex}
    await bus.dead_letter("planner", "CancelRun", encode_command(CancelRun(key)), "disk on fire", told)

    async def listed() -> dict[str, Any]:
        letters = (await seen(api))["dead_letters"]
        mine = [each for each in letters["items"] if each["key"] == key]
        # Only the oldest are listed: what other tests left may stand before it.
        return letters if mine or letters["count"] > len(letters["items"]) else {}

    letters = await eventually(listed, "the letter")
    assert letters["by_service"]["planner"] >= 1
    asked: dict[str, Any] = {"service": "planner", "name": "CancelRun", "limit": 100}
    (letter,) = [e for e in (await api.get("/api/dlq", params=asked)).json()["letters"] if e["key"] == key]
    assert (await api.delete(letter["links"]["self"], params={"reason": "a test's"})).status_code == 204

    async def gone() -> bool:
        return all(each["key"] != key for each in (await seen(api))["dead_letters"]["items"])

    await eventually(gone, "that it is dropped")


@pytest.mark.parametrize("path", ["/api/ops", "/ops"])
async def test_it_is_the_operator_s_alone(path: str, stranger: httpx.AsyncClient, api: httpx.AsyncClient) -> None:
    for accept in ("application/json", "text/html"):
        assert (await stranger.get(path, headers={"Accept": accept})).status_code == 401
    assert (await api.get(path, headers={"Accept": "application/json"})).json()["services"]


@asynccontextmanager
async def paused(live: System, server: str) -> AsyncIterator[None]:
    """Let a backing server stand still, as one does whose machine is overloaded: its connections stay."""
    if server == "postgres":  # its processes are many: what they are asked for is held up instead
        connection = await asyncpg.connect(live.environment["DATABASE_URL"])
        try:
            async with connection.transaction():
                table = await connection.fetchval("SELECT oid::regclass FROM pg_class WHERE relname = 'rm_runs'")
                await connection.execute(f"LOCK TABLE {table} IN ACCESS EXCLUSIVE MODE")
                yield
        finally:
            await connection.close()
        return
    pid = live.supervisor.children[server].pid
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(pid, signal.SIGCONT)


@pytest.mark.parametrize(
    ("server", "unknown"),
    [
        ("redis", ()),
        ("nats", ("services.0.answers", "dead_letters.count")),
        ("postgres", ("runs.count", "runs.steps_left", "failures.count")),
    ],
)
async def test_a_backing_server_that_stands_still_is_named_and_what_it_knows_is_unknown(
    api: httpx.AsyncClient, live: System, server: str, unknown: tuple[str, ...]
) -> None:
    async def well() -> bool:
        return all((await seen(api))["backing"].values())

    await eventually(well, "that all answers")
    async with paused(live, server):

        async def told() -> dict[str, Any]:
            found = await seen(api)
            return {} if found["backing"][server] else found

        found = await eventually(told, f"that {server} does not answer")
        page = await api.get("/ops", headers={"Accept": "text/html"})
    assert not found["well"]
    (finding,) = [each for each in found["doctor"]["findings"] if each["check"] == server]
    assert finding["wrong"]
    assert f"{server} does not answer" in finding["what"].lower()
    for path in unknown:
        value: Any = found
        for part in path.split("."):
            value = value[int(part)] if part.isdigit() else value[part]
        assert value is None, path
    assert page.status_code == 200
    assert f"{server} does not answer" in page.text.lower()
    if server == "postgres":
        assert "No run has failed." not in page.text
    if server == "nats":
        assert not [each for each in found["queues"]["classes"] if each["waiting"] is not None]
        assert "Start it:" not in page.text
    await eventually(well, "that all answers again")


async def test_many_who_look_at_once_get_the_same(api: httpx.AsyncClient) -> None:
    found = await asyncio.gather(*(seen(api) for _ in range(12)))
    assert len({each["at"] for each in found}) < 12
