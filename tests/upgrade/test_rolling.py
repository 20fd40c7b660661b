"""Services of a released version and of this one, side by side on one bus and one database, replaced one by one."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from uuid import uuid4

import asyncpg
import httpx
import pytest

from artdag_cli.backing import free_port, guarded
from artdag_cli.replay import compare, rebuild
from artdag_cli.system import ROOT, SERVICES, System, system
from artdag_common.eventstore import roles
from artdag_common.eventstore.chain import verify_chain
from artdag_common.eventstore.postgres import PostgresEventStore
from services.gateway.projections import projector
from tests.conftest import refusals
from tests.upgrade.releases import RELEASES, environment, run, unpack

PREPARE = "import asyncio, sys; from artdag_common.eventstore import roles; asyncio.run(roles.prepare(sys.argv[1]))"
PATIENCE = 120.0
"""Seconds after which the test gives up: a limit, not an expectation."""


@dataclass(slots=True)
class Process:
    """A running service, and what it says."""

    version: str
    process: asyncio.subprocess.Process
    ready: asyncio.Event = field(default_factory=asyncio.Event)
    said: list[dict[str, Any]] = field(default_factory=list)
    listening: asyncio.Task[None] | None = None

    async def listen(self) -> None:
        """Take in what it says, to its end."""
        assert self.process.stderr
        async for line in self.process.stderr:
            try:
                self.said.append(json.loads(line))
            except ValueError:
                self.said.append({"level": "error", "event": line.decode(errors="replace")})
            if self.said[-1].get("event") == "ready":
                self.ready.set()
        self.ready.set()

    async def stop(self) -> None:
        """Have it end in order."""
        with contextlib.suppress(ProcessLookupError):
            self.process.terminate()
        async with asyncio.timeout(PATIENCE):
            assert await self.process.wait() == 0, self.said[-3:]
            assert self.listening
            await self.listening


@dataclass(slots=True)
class Installation:
    """A system whose services are of two versions."""

    backing: System
    sources: dict[str, Path]
    accounts: dict[str, dict[str, str]]
    running: dict[str, Process] = field(default_factory=dict)
    gone: list[Process] = field(default_factory=list)
    client: httpx.AsyncClient | None = None
    tasks: list[asyncio.Task[None]] = field(default_factory=list)

    async def start(self, service: str, version: str) -> None:
        """Start a service beside the one that runs; when it is ready, stop that one."""
        port = free_port()
        given = self.backing.environment_of(service) | self.accounts[service] | {"PORT": str(port)}
        place = self.sources[version]
        process = await asyncio.create_subprocess_exec(
            *guarded(),
            sys.executable,
            "-m",
            f"services.{service}",
            env={**os.environ, **given, "ARTDAG_LOG_FORMAT": "json", **environment(place)},
            cwd=place,
            stdin=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.PIPE,
        )
        new = Process(version, process)
        new.listening = asyncio.create_task(new.listen(), name=f"{service} of {version}")
        async with asyncio.timeout(PATIENCE):
            await new.ready.wait()
        assert any(each.get("event") == "ready" for each in new.said), new.said[-3:]
        old, self.running[service] = self.running.get(service), new
        before = self.client
        if service == "gateway":
            headers = {"Authorization": f"Bearer {self.backing.token}"}
            self.client = httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", headers=headers, timeout=60)
        if old:
            self.gone.append(old)
            await old.stop()
        if before and before is not self.client:
            await before.aclose()

    async def ask(self, method: str, path: str, **body: Any) -> Any:
        """Return what a gateway answers, which has to be yes."""
        assert self.client
        answer = await self.client.request(method, path, **body)
        assert answer.is_success, f"{method} {path}: {answer.status_code} {answer.text}"
        return answer.json()

    async def render(self) -> str:
        """Start a run of four steps, of which others do not have the result, and wait for its end; return its id."""
        salt = uuid4().hex
        steps = [
            f"  - {{id: s{n}, type: NOOP, inputs: [{f's{n - 1}' if n else 'media'}], config: {{salt: {salt}-{n}}}}}"
            for n in range(4)
        ]
        text = "\n".join([f"name: rolling-{salt[:8]}", "inputs: {media: any}", "steps:", *steps, "output: s3", ""])
        recipe = await self.ask("POST", "/recipes/upload", content=text, headers={"Content-Type": "application/yaml"})
        stored = await self.ask("POST", "/cache/upload", files={"file": ("a.bin", b"\0" + uuid4().bytes)})
        began = await self.ask("POST", "/runs", json={"recipe": recipe["recipe_id"], "inputs": [stored["cid"]]})
        async with asyncio.timeout(PATIENCE):
            while True:
                run_ = await self.ask("GET", f"/runs/{began['run_id']}")
                if run_["status"] in ("completed", "failed", "cancelled"):
                    break
                await asyncio.sleep(0.2)
        assert run_["status"] == "completed", run_
        return str(began["run_id"])

    async def rendering(self, stop: asyncio.Event) -> list[str]:
        """Render again and again until told to stop; return the runs."""
        runs = []
        while not stop.is_set():
            runs.append(await self.render())
        return runs


@pytest.fixture(params=RELEASES)
async def installation(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, state: Path) -> Any:
    """A system of a released version, on a database that this version made."""
    sources = {"old": unpack(request.param, tmp_path_factory.mktemp("released")), "new": ROOT}
    async with system(state / f"rolling-{request.param}", 0, services=False) as backing:
        server = backing.environment["DATABASE_URL"]
        connection = await asyncpg.connect(server)
        await connection.execute("CREATE DATABASE rolling")
        await connection.close()
        url = f"{server.rpartition('/')[0]}/rolling"
        await asyncio.to_thread(run, sources["old"], PREPARE, url)
        urls = roles.urls(url)
        accounts = {service: own | {"DATABASE_URL": urls[service]} for service, own in backing.accounts.items()}
        accounts["auth"]["ARTDAG_RELAY_DATABASE_URL"] = urls["relay"]
        backing.environment["DATABASE_URL"] = url
        it = Installation(backing, sources, accounts)
        try:
            await asyncio.gather(*(it.start(service, "old") for service in SERVICES))
            yield it
        finally:
            await asyncio.gather(*(each.stop() for each in it.running.values()), return_exceptions=True)
            if it.client:
                await it.client.aclose()


async def test_no_run_fails_while_each_service_is_replaced_and_put_back(installation: Installation) -> None:
    it, url = installation, installation.backing.environment["DATABASE_URL"]
    first = await it.render()
    shown = await it.ask("GET", f"/runs/{first}")
    stop = asyncio.Event()
    rendering = asyncio.create_task(it.rendering(stop), name="runs")
    try:
        await roles.prepare(url)  # while services of before use the database
        runs = [first]
        for version in ("new", "old"):  # in the same order, so that each is older, and newer, than those after it
            for service in SERVICES:
                await it.start(service, version)
                runs.append(await it.render())
            now = await it.ask("GET", f"/runs/{first}")
            assert {name: now[name] for name in shown} == shown, "what was is shown as it was"
    finally:
        stop.set()
        runs += await rendering
    errors = [
        each
        for process in (*it.gone, *it.running.values())
        for each in process.said
        if each.get("level") in ("error", "critical")
    ]
    assert not errors
    assert not refusals(it.backing), "accounts of this version have to be enough for services of the other"
    assert not (await it.ask("GET", "/api/dlq"))["letters"]
    await check_history(url, runs)


async def check_history(url: str, runs: list[str]) -> None:
    """See that the events are unbroken, and that the read models are what they tell."""
    async with asyncpg.create_pool(url, min_size=1, max_size=2) as pool:
        assert (await verify_chain(pool)).intact
        store = PostgresEventStore(pool)
        for run_id in runs:
            assert await compare(pool, run_id, await rebuild(store, run_id, None)) == []
        await store.close()
        tables = "SELECT * FROM {0} t ORDER BY t::text"
        before = {table: await pool.fetch(tables.format(table)) for table in projector.tables()}
        await projector.rebuild(pool)
        assert {table: await pool.fetch(tables.format(table)) for table in projector.tables()} == before
