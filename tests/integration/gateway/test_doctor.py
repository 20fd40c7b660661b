"""Doctor on the running system: what was lost is found and put back, and doctor says so."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import httpx

from artdag_common.messaging import subjects
from artdag_common.messaging.bus import Bus
from tests.integration.events.appends import eventually


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
        silent = [each for each in report["findings"] if each["check"] in ("services", "streams", "lag")]
        return {} if silent else report

    report = await eventually(answered, "every service")
    assert report["checked"] == [
        *("services", "streams", "lag", "dead_letters", "classes", "runs", "versions", "clocks", "disks")
    ]
    assert report["well"] == (not any(each["wrong"] for each in report["findings"]))
