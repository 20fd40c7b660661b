"""A system for several people, with a registry of its own, and something in between that can be told to fail."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import sqlite3
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from artdag_cli.backing import free_port, guarded
from artdag_cli.supervisor import Child
from artdag_cli.system import READY_SECONDS, ROOT, System, system
from tests.e2e.people import Person, person
from tests.e2e.standin import StandIn
from tests.l2.signatures import sign

SECOND = "gateway-2"


@dataclass(slots=True)
class Registry:
    """The registry's process, behind the stand-in."""

    url: str
    port: int
    data: Path
    renderer: str
    process: asyncio.subprocess.Process | None = None

    async def start(self, ahead_seconds: float = 0.0) -> None:
        """Start it, with a clock that is so much ahead."""
        self.process = await asyncio.create_subprocess_exec(
            *guarded(),
            "/usr/bin/env",
            f"PYTHONPATH={ROOT}",
            sys.executable,
            "-P",
            "-m",
            "tests.l2",
            f"--port={self.port}",
            f"--data={self.data}",
            f"--public-url={self.url}",
            f"--renderer={self.renderer}",
            f"--clock-offset={ahead_seconds}",
        )
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{self.port}", timeout=60) as client:
            while True:
                try:
                    if (await client.get("/health")).status_code == 200:
                        return
                except httpx.TransportError:
                    assert self.process.returncode is None
                await asyncio.sleep(0.02)

    async def stop(self) -> None:
        """Stop it."""
        assert self.process
        self.process.terminate()
        await self.process.wait()

    def signed(self, url: str, body: dict[str, Any], at: float = 0.0, key_id: str = "") -> httpx.Request:
        """Return a request to L1 as the registry's actor signs it. ``at``: unix seconds; 0: now."""
        (row,) = self.rows("SELECT value FROM secrets WHERE name = 'actor'")
        key = serialization.load_pem_private_key(row["value"].encode(), None)
        assert isinstance(key, rsa.RSAPrivateKey)
        data = json.dumps(body).encode()
        headers = sign(key, key_id or f"{self.url}/actor#main-key", "POST", url, data, at or time.time())
        return httpx.Request("POST", url, headers=headers | {"content-type": "application/json"}, content=data)

    def rows(self, question: str, *values: object) -> list[sqlite3.Row]:
        """Look into its books."""
        books = sqlite3.connect(f"file:{self.data}?mode=ro", uri=True)
        books.row_factory = sqlite3.Row
        try:
            return books.execute(question, values).fetchall()
        finally:
            books.close()


@dataclass(slots=True)
class Federation:
    """L1, its registry, what stands between them, and a second gateway."""

    l1: System
    registry: Registry
    standin: StandIn
    gateways: list[str]

    @property
    def url(self) -> str:
        """L1's public address."""
        return self.gateways[0]

    async def restart(self, *names: str) -> None:
        """Kill services of L1 and wait until those that are started instead are ready."""
        killed = [(child, child.pid) for child in (self.l1.supervisor.children[name] for name in names)]
        for _, before in killed:
            os.kill(before, signal.SIGKILL)
        for child, before in killed:
            while child.pid in (0, before):
                await asyncio.sleep(0.01)
        for gateway in self.gateways:
            await _ready(gateway)


async def _second_gateway(it: System) -> str:
    """Start another gateway of a system; return its address."""
    port = free_port()
    command = (*guarded(), sys.executable, "-m", "services.gateway")
    environment = it.environment | {"PORT": str(port)}
    await it.supervisor.start(Child(SECOND, command, it.state / "logs" / f"{SECOND}.log", environment=environment))
    url = f"http://127.0.0.1:{port}"
    await _ready(url)
    return url


async def _ready(url: str) -> None:
    """Wait until something answers that it is ready."""
    async with asyncio.timeout(READY_SECONDS), httpx.AsyncClient(base_url=url) as client:
        while True:
            with contextlib.suppress(httpx.TransportError):
                if (await client.get("/ready")).status_code == 200:
                    return
            await asyncio.sleep(0.02)


@pytest.fixture(scope="session")
async def federation(state: Path) -> AsyncIterator[Federation]:
    """The system with everything; its parts are stopped, restarted and lied to."""
    url, l2_port = f"http://127.0.0.1:{free_port()}", free_port()
    standin = StandIn(free_port(), l2_port)
    l2_url = f"http://127.0.0.1:{standin.port}"
    registry = Registry(l2_url, l2_port, state / "registry.db", url)
    async with AsyncExitStack() as stack:
        await registry.start()
        stack.push_async_callback(registry.stop)
        await standin.start()
        stack.push_async_callback(standin.stop)
        with pytest.MonkeyPatch.context() as patch:  # for as long as it starts: other tests start systems too
            patch.setenv("L1_PUBLIC_URL", url)
            patch.setenv("L2_SERVER", l2_url)
            port = int(url.rpartition(":")[2])
            it = await stack.enter_async_context(
                system(state / "federation", port, logs_to_files=True, extras=("l2",))  # which is there already
            )
        second = await _second_gateway(it)
        yield Federation(it, registry, standin, [url, second])


@pytest.fixture
async def people(federation: Federation) -> AsyncIterator[Callable[[], Awaitable[Person]]]:
    """Make somebody new, who has an account at the registry and has not been here yet."""
    async with AsyncExitStack() as stack:

        async def make() -> Person:
            # Their browsers reach the registry itself, also while the stand-in plays L1 a trick.
            behind = f"http://127.0.0.1:{federation.registry.port}"
            return await stack.enter_async_context(person(federation.url, federation.registry.url, behind))

        yield make


@pytest.fixture
async def ada(people: Callable[[], Awaitable[Person]]) -> Person:
    """Somebody who has attached L1."""
    it = await people()
    answer = await it.attach()
    assert answer.status_code == 303, answer.text
    return it


@pytest.fixture
def problem() -> Callable[..., dict[str, Any]]:
    """Check that an answer is a refusal of this status and code, and return it."""

    def check(answer: httpx.Response, status: int, code: str) -> dict[str, Any]:
        assert answer.status_code == status, answer.text
        body = dict(answer.json())
        assert body["code"] == code, body
        return body

    return check
