"""Doctor on the running system: what was lost is found and put back, and doctor says so."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import asyncpg
import httpx
import pytest
import redis.asyncio

from artdag_cli.backing import redis_server
from artdag_cli.system import System
from artdag_common import caching
from artdag_common.messaging import subjects
from artdag_common.messaging.bus import Bus
from services.gateway.standing import Standing, read_postgres, try_redis
from tests.integration.events.appends import eventually
from tests.integration.events.servers import serving
from tests.integration.gateway.test_ops import paused


async def test_a_step_that_the_queue_loses_is_sent_again_and_doctor_says_so(
    api: httpx.AsyncClient,
    bus: Bus,
    held: Callable[[], None],
    asset: str,
    make_recipe: Callable[..., Awaitable[Any]],
) -> None:
    recipe = (await make_recipe(1))["recipe_id"]
    started = await api.post("/runs", json={"recipe": recipe, "inputs": [asset]})
    run_id = started.json()["run_id"]
    steps = (await eventually(lambda: scheduled(api, run_id), "a scheduled step"))["steps"]
    cache_ids = {step["cache_id"] for step in steps}
    await bus.js.purge_stream(subjects.WORK)

    async def repaired() -> dict[str, Any]:
        report: dict[str, Any] = (await api.get("/api/doctor")).json()
        mine = [each for each in report["repairs"]["last"] if each["cache_id"] in cache_ids]
        return report | {"mine": mine} if mine else {}

    report = await eventually(repaired, "a repair")
    (repair,) = report["mine"]
    assert (repair["what"], repair["run_id"]) == ("step-sent-again", run_id)
    assert sum(each["count"] for each in report["repairs"]["counts"] if each["what"] == "step-sent-again") >= 1
    assert "artdag_repairs_total{" in (await api.get("/metrics")).text
    held()

    async def completed() -> bool:
        return bool((await api.get(f"/runs/{run_id}")).json()["status"] == "completed")

    await eventually(completed, "the end of the run")


async def scheduled(api: httpx.AsyncClient, run_id: str) -> dict[str, Any]:
    """Return the plan of a run once one of its steps is with executors; until then nothing."""
    answer = await api.get(f"/api/run/{run_id}/plan")
    plan: dict[str, Any] = answer.json() if answer.status_code == 200 else {"steps": []}
    return plan if any(step["status"] == "scheduled" for step in plan["steps"]) else {}


async def test_doctor_looks_at_everything_and_finds_every_service_well(api: httpx.AsyncClient) -> None:
    async def answered() -> dict[str, Any]:
        report: dict[str, Any] = (await api.get("/api/doctor")).json()
        kinds = {"postgres", "nats", "redis", "read_models", "services", "streams", "lag"}
        silent = [each for each in report["findings"] if each["check"] in kinds]
        return {} if silent else report

    report = await eventually(answered, "every service")
    assert report["checked"] == [
        *("postgres", "nats", "redis", "read_models"),
        *("services", "streams", "lag", "dead_letters", "classes", "runs", "versions", "clocks", "disks"),
    ]
    assert report["well"] == (not any(each["wrong"] for each in report["findings"]))


@pytest.mark.parametrize("server", ["postgres", "nats", "redis"])
async def test_a_server_that_stops_is_found_until_it_is_there_again(
    api: httpx.AsyncClient, live: System, server: str
) -> None:
    async def findings() -> list[dict[str, Any]]:
        report = (await api.get("/api/doctor")).json()
        assert report["well"] == (not any(each["wrong"] for each in report["findings"]))
        return [each for each in report["findings"] if each["check"] == server]

    async def none() -> bool:
        return not await findings()

    await eventually(none, f"that {server} answers")
    async with paused(live, server):
        (finding,) = await eventually(findings, f"that {server} does not answer")
    assert finding["wrong"]
    assert "does not answer" in finding["what"]
    assert "look at its log" in finding["how"]
    place = live.environment[f"{'DATABASE' if server == 'postgres' else server.upper()}_URL"].rpartition("@")[2]
    assert finding["what"].partition(" at ")[2] == (place if server == "postgres" else place.partition("/")[0])
    await eventually(none, f"that {server} answers again")


async def test_a_postgres_that_takes_no_writes_and_events_that_the_stream_lacks_are_found(
    live: System, asset: str
) -> None:
    url = live.environment_of("gateway")["DATABASE_URL"]
    guarded = {"default_transaction_read_only": "on"}
    async with (
        asyncpg.create_pool(url, min_size=1, max_size=1) as pool,
        asyncpg.create_pool(url, min_size=1, max_size=1, server_settings=guarded) as refusing,
    ):

        async def newest() -> int:
            return int(await pool.fetchval("SELECT coalesce(max(position), 0) FROM es_log"))

        last = await eventually(newest, f"a place for the event of {asset}")
        ages = []
        for held in (0, last - 1):
            found = Standing(bus={"streams": {"EVENTS": {"last": held}}})
            await read_postgres(pool, found, closely=False)
            assert (found.postgres, found.refuses) == (True, {})
            assert found.relaying
            assert found.relaying.unpublished
            assert found.relaying.unpublished >= last - held
            ages.append(found.relaying.unpublished_seconds)
        assert ages[0] >= ages[1] > 0
        found = Standing()
        await read_postgres(refusing, found, closely=False)
        assert (found.postgres, found.refuses) == (True, {"postgres": "default_transaction_read_only is on"})


async def test_a_redis_that_takes_no_writes_is_found_and_one_that_is_gone(tmp_path: Path) -> None:
    async with serving(redis_server, tmp_path) as server:
        cache = caching.open_cache(server.url)

        async def found() -> Standing:
            standing = Standing()
            await try_redis(cache, standing)
            return standing

        async def answered() -> Standing | None:
            standing = await found()
            return standing if standing.redis else None

        well = await eventually(answered, "that Redis answers")
        assert (well.redis, well.refuses) == (True, {})
        async with redis.asyncio.Redis.from_url(server.url) as operator:
            await operator.config_set("min-replicas-to-write", 1)
        refused = await eventually(answered, "that Redis answers")
        assert "replicas" in refused.refuses["redis"]
        await server.supervisor.remove(server.child.name)
        assert await found() == Standing()
        await cache.aclose()
