"""More than one gateway, and gateways that stop."""

from __future__ import annotations

import asyncio
import signal
import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass

import httpx
import pytest

from artdag_cli.backing import free_port, guarded
from artdag_cli.system import ROOT, System


@dataclass
class Replica:
    """Another gateway process of the running system."""

    process: asyncio.subprocess.Process
    port: int


@pytest.fixture
async def replica(live: System) -> AsyncIterator[Replica]:
    """A second gateway."""
    port = free_port()
    process = await asyncio.create_subprocess_exec(
        *guarded(),
        sys.executable,
        "-m",
        "services.gateway",
        env=live.environment | {"PORT": str(port), "PATH": "/usr/bin:/bin"},
        cwd=ROOT,
        stderr=asyncio.subprocess.DEVNULL,
    )
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", timeout=60) as client:
        while True:
            try:
                if (await client.get("/ready")).status_code == 200:
                    break
            except httpx.TransportError:
                assert process.returncode is None
            await asyncio.sleep(0.02)
    yield Replica(process, port)
    if process.returncode is None:
        process.kill()
    await process.wait()


async def test_a_client_goes_on_at_another_gateway_when_its_own_stops(api, replica, make_recipe, asset, held, follow):
    recipe = await make_recipe(2)
    started = await api.post("/runs", json={"recipe": recipe["recipe_id"], "inputs": [asset]})
    run_id = started.json()["run_id"]
    seen: list[int] = []
    url = f"http://127.0.0.1:{replica.port}/runs/{run_id}/events"
    async with httpx.AsyncClient(timeout=60) as client, client.stream("GET", url) as stream:
        async for line in stream.aiter_lines():
            if line.startswith("id: "):
                seen.append(int(line[4:]))
            if line == "event: RunStepsScheduled":
                replica.process.send_signal(signal.SIGTERM)
    assert await replica.process.wait() == 0  # the stream was ended in order, not cut
    held()
    seen += [event["id"] async for event in follow(run_id, headers={"Last-Event-ID": str(seen[-1])})]
    assert seen == [event["id"] async for event in follow(run_id)]


async def test_what_one_gateway_takes_the_other_shows(api, replica, make_recipe, asset, finish):
    recipe = await make_recipe(3)
    started = await api.post("/runs", json={"recipe": recipe["recipe_id"], "inputs": [asset]})
    run_id = started.json()["run_id"]
    here = await finish(run_id)
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{replica.port}", timeout=60) as client:
        assert (await client.get(f"/runs/{run_id}")).json() == here
    assert here["progress"]["completed"] == 3  # counted once, whoever wrote the rows


async def test_a_taken_port_is_named(live):
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "services.gateway",
        env=live.environment | {"PATH": "/usr/bin:/bin"},
        cwd=ROOT,
        stderr=asyncio.subprocess.PIPE,
    )
    _, said = await process.communicate()
    assert process.returncode == 1
    assert f"PORT={live.port}" in said.decode()
