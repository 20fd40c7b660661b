"""Probes of a service whose servers fall silent and come back."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from urllib.parse import urlsplit

import httpx
import pytest

from artdag_cli.backing import free_port, guarded
from artdag_cli.system import SERVICES, System
from tests.integration.events.appends import eventually


class Wire:
    """Leads to a server, and can fall silent: connections stay, and nothing comes through."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._through = asyncio.Event()
        self._through.set()
        self._tasks: set[asyncio.Task[None]] = set()

    def silence(self) -> None:
        """Let nothing through."""
        self._through.clear()

    def mend(self) -> None:
        """Let through what waits, and what comes."""
        self._through.set()

    @asynccontextmanager
    async def laid(self) -> AsyncIterator[int]:
        """Have it, and give the port at its near end."""
        server = await asyncio.start_server(self._lead, "127.0.0.1", 0)
        try:
            yield server.sockets[0].getsockname()[1]
        finally:
            server.close()
            for task in self._tasks:
                task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _lead(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there, on = await asyncio.open_connection("127.0.0.1", self._port)
        for source, sink in ((reader, on), (there, writer)):
            task = asyncio.create_task(self._pass(source, sink))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _pass(self, source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            try:
                while data := await source.read(1 << 16):
                    await self._through.wait()
                    sink.write(data)
                    await sink.drain()
            finally:
                sink.close()


@dataclass
class Probed:
    """An executor behind two wires."""

    wires: dict[str, Wire]
    client: httpx.AsyncClient
    process: asyncio.subprocess.Process

    async def parts(self) -> dict[str, bool]:
        """Return what it says of its parts; nothing while it does not answer at all."""
        try:
            return dict((await self.client.get("/ready")).json()["parts"])
        except httpx.TransportError:
            return {}

    async def has(self, **states: bool) -> None:
        """Wait until parts are so."""

        async def so() -> bool:
            return states.items() <= (await self.parts()).items()

        await eventually(so, str(states))


@pytest.fixture
async def probed(live: System) -> AsyncIterator[Probed]:
    """One more executor of the running system, which reaches its servers by wires."""
    own = live.environment_of("executor")
    async with contextlib.AsyncExitStack() as stack:
        wires: dict[str, Wire] = {}
        for name, setting in (("nats", "NATS_URL"), ("postgres", "DATABASE_URL")):
            address = urlsplit(own[setting])
            assert address.port
            wires[name] = Wire(address.port)
            near = await stack.enter_async_context(wires[name].laid())
            account = address.netloc.rpartition("@")[0]
            own[setting] = address._replace(netloc=f"{account}@127.0.0.1:{near}".lstrip("@")).geturl()
        port = free_port()
        log = stack.enter_context((live.state / "logs" / "executor-probed.log").open("ab"))
        process = await asyncio.create_subprocess_exec(
            *guarded(),
            sys.executable,
            "-m",
            "services.executor",
            env={**os.environ, **own, "ARTDAG_PROBE_PORT": str(port)},
            stdin=asyncio.subprocess.DEVNULL,
            stdout=log,
            stderr=log,
        )
        client = await stack.enter_async_context(httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", timeout=30))
        yield Probed(wires, client, process)
        for wire in wires.values():
            wire.mend()
        with contextlib.suppress(ProcessLookupError):
            process.send_signal(signal.SIGCONT)
            process.terminate()
        await process.wait()


WELL = {"started": True, "going_on": True, "nats": True, "postgres": True, "work": True}


async def test_ready_tells_which_server_is_silent_and_that_it_is_back_and_that_it_stops(probed: Probed) -> None:
    await probed.has(**WELL)
    for server, wire in probed.wires.items():
        wire.silence()
        await probed.has(**{**WELL, server: False})
        assert (await probed.client.get("/ready")).status_code == 503
        assert (await probed.client.get("/health")).status_code == 200
        wire.mend()
        await probed.has(**WELL)

    async def well() -> bool:
        return bool((await probed.client.get("/ready")).json() == {"ready": True, "parts": WELL})

    await eventually(well, "all of it is well, and nothing else is told")
    probed.wires["nats"].silence()  # it cannot say good-bye, so that it takes a moment to end
    probed.process.terminate()
    await probed.has(going_on=False)
    assert probed.process.returncode is None
    await probed.process.wait()
    assert probed.process.returncode == 0


async def test_each_service_of_a_running_system_is_ready(live: System) -> None:
    async with httpx.AsyncClient(timeout=30) as client:
        for service in SERVICES:
            address = f"http://127.0.0.1:{live.probes[service]}"

            async def able(address: str = address) -> httpx.Response | None:
                answer = await client.get(f"{address}/ready")
                return answer if answer.status_code == 200 else None  # who takes more than a second is not

            ready = await eventually(able, f"{service} is ready")
            assert set(ready.json()["parts"].values()) == {True}, (service, ready.text)
            assert {"nats", "postgres"} < set(ready.json()["parts"])
            assert (await client.get(f"{address}/health")).json() == {"status": "ok"}
