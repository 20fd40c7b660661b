"""The main job, as a newcomer runs it."""

from __future__ import annotations

import asyncio
from pathlib import Path

from artdag_cli.client import Client
from artdag_cli.demo import run_demo
from artdag_cli.system import System
from artdag_common.cid import cid_of_file


async def test_the_demo_renders_two_recipes_and_finds_them_cached_the_second_time(live: System, tmp_path: Path) -> None:
    with Client(f"http://127.0.0.1:{live.port}", live.token) as client:
        await _demo(client, tmp_path)


async def _demo(client: Client, folder: Path) -> None:
    summary = await asyncio.to_thread(run_demo, client, folder, True)
    assert [r["recipe"] for r in summary["first"]] == ["beat-sync", "dog"]
    assert all(r["steps_run"] == 0 for r in summary["second"])
    for first, second in zip(summary["first"], summary["second"], strict=True):
        assert first["output_cid"] == second["output_cid"] == cid_of_file(Path(first["file"]))
        record = client.call("GET", f"/cache/{first['provenance_cid']}/raw")
        assert record["output"]["cid"] == first["output_cid"]
        assert record["task_id"] == first["run_id"]
        assert {"rendered_at", "rendered_by", "inputs", "effects", "infrastructure"} <= record.keys()
