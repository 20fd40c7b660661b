"""GET /api/run/{run_id}/export: a run as a CAR file."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import httpx
import pytest

from artdag_cli.system import System
from artdag_common.cid import cid_text
from artdag_common.ipld.car import CarFile
from artdag_common.ipld.folders import entries

Problem = Callable[..., dict[str, Any]]


@pytest.fixture
def start(api: httpx.AsyncClient, make_recipe: Callable[..., Awaitable[dict[str, Any]]], asset: str) -> Any:
    """Start a run of two steps, and return its id."""

    async def go() -> str:
        recipe = await make_recipe()
        answer = await api.post("/runs", json={"recipe": recipe["recipe_id"], "inputs": [asset]})
        return str(answer.json()["run_id"])

    return go


async def test_a_finished_run_is_sent_as_a_car(
    api: httpx.AsyncClient, start: Any, finish: Any, asset: str, tmp_path: Path
) -> None:
    run_id = await start()
    run = await finish(run_id)
    answer = await api.get(f"/api/run/{run_id}/export")
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "application/vnd.ipld.car; version=1"
    assert answer.headers["content-disposition"] == f'attachment; filename="run-{run_id}.car"'
    assert int(answer.headers["content-length"]) == len(answer.content)
    file = tmp_path / "run.car"
    file.write_bytes(answer.content)
    with CarFile(file) as car:
        assert answer.headers["etag"] == f'"{cid_text(car.roots[0])}"'
        paths = {each.path.rpartition("/")[2] for each in entries(car.get, car.roots[0]) if each.kind == "file"}
    assert {"run.json", "events.jsonl", asset, run["output_cid"], run["plan_cid"], run["provenance_cid"]} <= paths
    unchanged = await api.get(f"/api/run/{run_id}/export", headers={"If-None-Match": answer.headers["etag"]})
    assert (unchanged.status_code, unchanged.content) == (304, b"")


async def test_a_run_that_goes_on_is_not_exported(
    api: httpx.AsyncClient, start: Any, finish: Any, held: Callable[[], None], problem: Problem
) -> None:
    run_id = await start()
    problem(await api.get(f"/api/run/{run_id}/export"), 409, "run-active")
    held()
    await finish(run_id)
    assert (await api.get(f"/api/run/{run_id}/export")).status_code == 200


async def test_a_cancelled_run_is_exported_with_what_there_is(
    api: httpx.AsyncClient, start: Any, held: Callable[[], None], scheduled: Any
) -> None:
    run_id = await start()
    await scheduled(run_id)
    await api.post(f"/runs/{run_id}/cancel")
    assert (await api.get(f"/api/run/{run_id}/export")).status_code == 200
    held()


async def test_content_that_changed_on_disk_never_makes_a_whole_file(
    live: System, api: httpx.AsyncClient, start: Any, finish: Any, asset: str
) -> None:
    run_id = await start()
    await finish(run_id)
    place = next(Path(live.environment["CACHE_DIR"]).glob(f"??/{asset}"))
    good = place.read_bytes()
    place.chmod(0o600)
    place.write_bytes(bytes(len(good)))
    with pytest.raises(httpx.RemoteProtocolError):
        await api.get(f"/api/run/{run_id}/export")
    place.write_bytes(good)
    place.chmod(0o444)
    assert (await api.get(f"/api/run/{run_id}/export")).status_code == 200


async def test_nobody_exports_without_a_token(
    api: httpx.AsyncClient, stranger: httpx.AsyncClient, start: Any, finish: Any, problem: Problem
) -> None:
    run_id = await start()
    await finish(run_id)
    problem(await stranger.get(f"/api/run/{run_id}/export"), 401, "unauthenticated")
    problem(await api.get("/api/run/nothing/export"), 404, "run-not-found")
