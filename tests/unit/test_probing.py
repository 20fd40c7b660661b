"""Probes of a process that is told to begin, to lack something, to hang and to stop, over HTTP."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import httpx
import pytest

from artdag_cli.backing import free_port
from artdag_cli.system import ROOT
from artdag_common import metrics, process
from artdag_common.config import Settings
from artdag_common.errors import ConfigurationError
from artdag_common.probing import Parts, Probe, probing


class Service:
    """Begins and ends when it is told to, and has one part."""

    def __init__(self) -> None:
        self.begun = asyncio.Event()
        self.leaving = asyncio.Event()
        self.ended = asyncio.Event()
        self.able = True
        self.turning = True
        self.sampled = 0

    @asynccontextmanager
    async def __call__(self, settings: Settings) -> AsyncIterator[Parts]:
        await self.begun.wait()

        async def able() -> bool:
            return self.able

        async def sample() -> None:
            self.sampled += 1
            raise OSError("away")

        yield Parts(ready={"part": able}, live={"loop": lambda: self.turning}, samples=(sample,))
        self.leaving.set()
        await self.ended.wait()


@pytest.fixture
def settings() -> Settings:
    """With a free port for probes."""
    return Settings.model_validate({"ARTDAG_PROBE_PORT": free_port()})


@pytest.fixture
def service() -> Service:
    """The service that is probed."""
    return Service()


@pytest.fixture
async def client(settings: Settings) -> AsyncIterator[httpx.AsyncClient]:
    """Asks the probes."""
    address = f"http://127.0.0.1:{settings.probe_port}"
    async with httpx.AsyncClient(base_url=address, timeout=60) as client:
        yield client
    metrics.end()


async def until(client: httpx.AsyncClient, path: str, status: int) -> httpx.Response:
    """Ask until somebody answers, and answers so."""
    async with asyncio.timeout(60):
        while True:
            with contextlib.suppress(httpx.ConnectError):
                answer = await client.get(path)
                if answer.status_code == status:
                    return answer
            await asyncio.sleep(0.01)


async def test_ready_says_the_truth_from_the_first_moment_to_the_last(
    client: httpx.AsyncClient, service: Service, settings: Settings
) -> None:
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    living = asyncio.create_task(process._live("planner", service, settings))
    try:
        answer = await until(client, "/ready", 503)
        assert answer.json()["parts"] == {"started": False, "going_on": True}
        assert (await client.get("/health")).status_code == 200
        service.begun.set()
        answer = await until(client, "/ready", 200)
        assert answer.json() == {"ready": True, "parts": {"started": True, "going_on": True, "part": True}}
        service.able = False
        answer = await client.get("/ready")
        assert (answer.status_code, answer.json()["parts"]["part"]) == (503, False)
        assert (await client.get("/health")).status_code == 200, "no new start mends what others lack"
        service.able = True
        assert (await client.get("/ready")).status_code == 200
        signal.raise_signal(signal.SIGTERM)
        await service.leaving.wait()
        answer = await client.get("/ready")
        assert (answer.status_code, answer.json()["parts"]) == (503, {"started": True, "going_on": False})
        service.turning = False
        assert (await client.get("/health")).status_code == 200, "who stops is not to be killed for it"
        service.ended.set()
        await living
        with pytest.raises(httpx.ConnectError):
            await client.get("/ready")
    finally:
        living.cancel()
        for number, handler in before.items():
            asyncio.get_running_loop().remove_signal_handler(number)
            signal.signal(number, handler)


async def test_a_loop_that_hangs_is_told_of(client: httpx.AsyncClient, settings: Settings) -> None:
    turning = True
    async with probing("planner", settings, asyncio.Event()) as probe:
        probe.watch(Parts(ready={}, live={"events": lambda: turning, "commands": lambda: True}))
        assert (await client.get("/health")).json() == {"status": "ok"}
        turning = False
        answer = await client.get("/health")
        assert (answer.status_code, answer.json()) == (503, {"status": "stuck", "loops": ["events"]})
        assert "artdag_loops_stuck 1.0" in (await client.get("/metrics")).text


async def test_metrics_are_given_also_where_one_cannot_be_read(
    client: httpx.AsyncClient, service: Service, settings: Settings
) -> None:
    service.begun.set()
    async with probing("planner", settings, asyncio.Event()) as probe, service(settings) as parts:
        probe.watch(parts)
        answer = await client.get("/metrics")
        service.ended.set()
    assert answer.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
    assert "artdag_build_info{python=" in answer.text
    assert service.sampled == 1


PATIENTLY = (
    "import runpy, sys; it = runpy.run_path(sys.argv[1]);"
    "it['PATIENCE_SECONDS'].update(dict.fromkeys(it['PATIENCE_SECONDS'], 60.0)); sys.exit(it['main']())"
)
"""The check, but for how long it waits."""


async def healthy(port: int) -> bool:
    """Return what a container's health check says of the process on a port."""
    command = (sys.executable, "-S", "-c", PATIENTLY, str(ROOT / "services" / "healthcheck.py"))
    check = await asyncio.create_subprocess_exec(
        *command, env={"ARTDAG_PROBE_PORT": str(port)}, stdout=asyncio.subprocess.DEVNULL
    )
    return not await check.wait()


async def test_a_container_stays_while_others_are_away_and_goes_when_it_hangs(settings: Settings) -> None:
    there, turning = False, True
    port = settings.probe_port
    assert not await healthy(port), "nobody answers"
    async with probing("planner", settings, asyncio.Event()) as probe:
        assert not await healthy(port), "it has not begun"
        probe.watch(Parts(ready={"postgres": lambda: there}, live={"events": lambda: turning}))
        assert await healthy(port), "it has begun; that Postgres is away is no reason to end what it does"
        there = True
        assert await healthy(port)
        there = turning = False
        assert not await healthy(port), "it hangs"
    metrics.end()


async def test_other_addresses_and_methods_are_refused(client: httpx.AsyncClient, settings: Settings) -> None:
    async with probing("planner", settings, asyncio.Event()):
        assert (await client.get("/")).status_code == 404
        refused = await client.post("/ready")
        assert (refused.status_code, refused.headers["allow"]) == (405, "GET, HEAD")
        head = await client.head("/health")
        assert (head.status_code, head.content) == (200, b"")


async def test_a_port_that_is_taken_is_named(settings: Settings) -> None:
    async with probing("planner", settings, asyncio.Event()):
        metrics.end()
        with pytest.raises(ConfigurationError, match="ARTDAG_PROBE_PORT"):
            async with probing("planner", settings, asyncio.Event()):
                pass
    metrics.end()


async def test_a_part_that_hangs_is_not_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("artdag_common.probing.ANSWER_SECONDS", 0.01)

    async def hang() -> bool:
        await asyncio.Event().wait()
        return True

    def check() -> Callable[[], bool]:
        return lambda: True

    probe = Probe(asyncio.Event())
    probe.watch(Parts(ready={"slow": hang, "here": check()}))
    status, told = await probe.ready()
    assert (status, told["parts"]["slow"], told["parts"]["here"]) == (503, False, True)


async def test_without_a_port_nothing_is_served_or_counted() -> None:
    async with probing("planner", Settings.model_validate({}), asyncio.Event()) as probe:
        assert not metrics.counting()
        assert await probe.metrics() == b""


def test_a_planner_that_is_not_probed_loads_nothing_for_it() -> None:
    program = (
        "import sys; from artdag_common.process import _imported; _imported('services.planner.wiring', 'planner');"
        "sys.exit(', '.join({'uvicorn', 'prometheus_client', 'starlette'} & set(sys.modules)) or None)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
