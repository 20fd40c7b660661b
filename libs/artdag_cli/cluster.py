"""A cluster on one machine: nodes with an address and a content folder each, several of each service, NATS servers that
stand in for each other. For the benchmark and the tests; on machines of their own services are started by themselves
(docs/operations.md, *Several machines*).
"""

from __future__ import annotations

import asyncio
import hashlib
import os
import secrets
import signal
import sys
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from artdag_cli import backing
from artdag_cli.accounts import accounts, withheld
from artdag_cli.backing import Launch
from artdag_cli.supervisor import Child, Supervisor
from artdag_cli.system import READY_SECONDS, ROOT, owner_token, prepare, temporary_files
from artdag_common.errors import BackingServerError

LOOPBACK = "127.0.0.1"
READY = b'"ready"'
"""What a service writes into its log, as JSON, each time that it can do work."""


@dataclass(frozen=True, slots=True)
class Node:
    """A machine, as far as one machine can be several.

    Attributes:
        address: what its processes listen on.
        enter: beginning of a command line whose process is to run there; none: here.
    """

    name: str
    address: str = LOOPBACK
    enter: tuple[str, ...] = ()


HOME = Node("home")


class Cluster:
    """Services on nodes, each a process that is started again when it dies."""

    def __init__(self, state: Path, home: Node, settings: Mapping[str, str]) -> None:
        """``settings``: of every service."""
        self.state = state
        self.token = owner_token(state)
        self.supervisor = Supervisor()
        self.environment: dict[str, str] = {}
        self.gateways: dict[str, str] = {}
        self._home = home
        self._settings = settings
        self._accounts: dict[str, dict[str, str]] = {}
        self._launches: dict[str, Launch] = {}

    async def begin(self, nodes: Sequence[Node]) -> None:
        """Start the backing servers: Postgres and Redis at home, a NATS server on each of these nodes."""
        url, launches = await asyncio.to_thread(backing.nats_cluster, self.state, [node.address for node in nodes])
        starts = [
            replace(launch, command=(*node.enter, *launch.command))
            for node, launch in zip(nodes, launches, strict=True)
        ]
        database, postgres = await asyncio.to_thread(backing.postgres_server, self.state)
        redis_url, redis = await asyncio.to_thread(backing.redis_server, self.state)
        starts += [self._opened_postgres(postgres), self._opened_redis(redis)]
        for launch in starts:
            self._launches[launch.name] = launch
            await self.supervisor.start(Child(launch.name, launch.command, launch.log, launch.stop_signal))
        await asyncio.gather(*(self._answers(launch.name) for launch in starts))
        self.environment = {
            "NATS_URL": url,
            "DATABASE_URL": database.replace(LOOPBACK, self._home.address),
            "REDIS_URL": redis_url.replace(LOOPBACK, self._home.address),
            "ARTDAG_SECRET_KEY": backing.kept(self.state / "secret.key", lambda: secrets.token_hex(32)),
            "ARTDAG_CLUSTER_KEY": backing.kept(self.state / "cluster.key", lambda: secrets.token_hex(32)),
            "ARTDAG_OWNER_TOKEN_HASH": hashlib.sha256(self.token.encode()).hexdigest(),
            "ARTDAG_LOG_FORMAT": "json",
            "PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "libs")]),
            **temporary_files(self.state),
            **self._settings,
        }
        self._accounts = await accounts(self.state, self.environment, ("NATS_URL", "DATABASE_URL"))

    def _opened_postgres(self, launch: Launch) -> Launch:
        """Return a launch of Postgres that listens on the nodes' network too."""
        if self._home.address == LOOPBACK:
            return launch
        rule = f"host all all {self._home.address}/24 scram-sha-256\n"
        known = self.state / "postgres" / "pg_hba.conf"
        if rule not in known.read_text():
            with known.open("a") as file:
                file.write(rule)
        listen = f"listen_addresses={LOOPBACK},{self._home.address}"
        return replace(launch, command=(*launch.command, "-c", listen))

    def _opened_redis(self, launch: Launch) -> Launch:
        """Return a launch of Redis that listens on the nodes' network too."""
        if self._home.address == LOOPBACK:
            return launch
        return replace(launch, command=(*launch.command, "--bind", LOOPBACK, self._home.address))

    async def _answers(self, server: str) -> None:
        process = self.supervisor.children[server].process
        assert process
        await backing.wait_until_ready(self._launches[server], process)

    async def start(self, service: str, node: Node, **settings: str) -> str:
        """Start a service on a node, wait until it can do work, and return what its process is called here."""
        name = f"{service}-{node.name}"
        command = (*node.enter, *backing.guarded(), sys.executable, "-m", f"services.{service}")
        environment = {
            **self.environment,
            **withheld(service),
            **self._accounts[service],
            "CACHE_DIR": str(self.state / node.name / "cache"),
            **self._own(service, node, name),
            **settings,
        }
        before = self._times_ready(name)
        await self.supervisor.start(Child(name, command, self._log(name), environment=environment))
        await self._until_ready(name, before)
        return name

    def _own(self, service: str, node: Node, name: str) -> dict[str, str]:
        if service == "gateway":
            port = backing.free_port()
            self.gateways[name] = f"http://{node.address}:{port}"
            return {"HOST": node.address, "PORT": str(port), "L1_PUBLIC_URL": self.gateways[name]}
        if service == "cache":
            port = backing.free_port()
            url = f"http://{node.address}:{port}"
            return {
                "ARTDAG_CONTENT_HOST": node.address,
                "ARTDAG_CONTENT_PORT": str(port),
                "ARTDAG_CONTENT_URL": url,
            }
        return {}

    def _log(self, name: str) -> Path:
        return self.state / "logs" / f"{name}.log"

    def _times_ready(self, name: str) -> int:
        log = self._log(name)
        return log.read_bytes().count(READY) if log.exists() else 0

    async def _until_ready(self, name: str, before: int) -> None:
        deadline = asyncio.get_running_loop().time() + READY_SECONDS
        while self._times_ready(name) <= before:
            if asyncio.get_running_loop().time() > deadline:
                tail = self._log(name).read_text(errors="replace")[-1500:]
                raise BackingServerError(f"{name} is not ready after {READY_SECONDS:g} s; the end of its log:\n{tail}")
            await asyncio.sleep(0.02)

    async def restart(self, name: str, number: signal.Signals = signal.SIGTERM) -> None:
        """Send a service a signal that ends it, and wait until the process that follows it can do work."""
        before, child = self._times_ready(name), self.supervisor.children[name]
        while not child.pid:  # it is just being started again; to 0 a signal would be for all of us
            await asyncio.sleep(0.02)
        os.kill(child.pid, number)
        await self._until_ready(name, before)

    async def stop(self, name: str) -> None:
        """Stop a service for good, as whoever scales down does."""
        await self.supervisor.remove(name)
        self.gateways.pop(name, None)

    async def kill_server(self, server: str) -> Child:
        """Kill a backing server; it stays away until :meth:`bring_back`."""
        return await self.supervisor.remove(server, signal.SIGKILL)

    async def bring_back(self, child: Child) -> None:
        """Start a server that was killed, and wait until it answers."""
        await self.supervisor.start(child)
        await self._answers(child.name)


@asynccontextmanager
async def cluster(
    state: Path, nodes: Sequence[Node], home: Node = HOME, settings: Mapping[str, str] | None = None
) -> AsyncIterator[Cluster]:
    """Run the backing servers of a cluster until the block is left, and the services that are started in it.

    Args:
        nodes: those that a NATS server runs on.
        home: where Postgres and Redis run, and whoever calls this.
        settings: of every service.
    """
    prepare(state)
    (state / "logs").mkdir(exist_ok=True, mode=0o700)
    it = Cluster(state, home, {"ARTDAG_NATS_REPLICAS": str(len(nodes)), **(settings or {})})
    try:
        await it.begin(nodes)
        yield it
    finally:
        await it.supervisor.stop()
