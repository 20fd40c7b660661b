"""Nodes of one cluster in this process: one bus, one database, a content folder each."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any
from uuid import uuid4

import asyncpg
import pytest

from artdag_cli.backing import ipfs_server, s3_server
from artdag_common.application import Application
from artdag_common.blobs.layered import LayeredBlobStore
from artdag_common.blobs.local import LocalBlobStore
from artdag_common.blobs.node import node_id
from artdag_common.blobs.peer import Peers
from artdag_common.blobs.wiring import layered_blobs
from artdag_common.commands import Command, ImportObject, RegisterRecipe, StartRun
from artdag_common.config import Settings
from artdag_common.domain.graph import Graph
from artdag_common.domain.run import InputBinding, Run
from artdag_common.eventstore.postgres import PostgresEventStore
from artdag_common.messaging.bus import Bus, Outcome
from tests.integration.events.appends import eventually
from tests.integration.events.servers import Server, serving
from tests.integration.executor.conftest import forks, known  # noqa: F401  (fixtures)

KEY = "key of the tests' cluster"
OWNER = "o"


class Node:
    """One node: its settings, its disk, and services that run on it."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.blobs = LocalBlobStore(settings.cache_dir)

    @asynccontextmanager
    async def services(self, *those: Callable[[Settings], AbstractAsyncContextManager[object]]) -> AsyncIterator[None]:
        """Run services in this process."""
        async with AsyncExitStack() as stack:
            for service in those:
                await stack.enter_async_context(service(self.settings))
            yield

    @asynccontextmanager
    async def process(self, service: str, bus: Bus) -> AsyncIterator[None]:
        """Run a service in a process of its own, as it is: where uploaded effects are is one thing for a process."""
        given = {field.alias: getattr(self.settings, name) for name, field in Settings.model_fields.items()}
        wanted = ("NATS_URL", "DATABASE_URL", "CACHE_DIR", "ARTDAG_CLUSTER_KEY", "ARTDAG_SLOTS")
        environment = os.environ | {name: str(given[name]) for name in wanted}
        process = await asyncio.create_subprocess_exec(sys.executable, "-m", f"services.{service}", env=environment)
        try:
            await eventually(lambda: bus.ping(service, 0.2), f"{service} is ready")
            yield
        finally:
            process.terminate()
            await process.wait()


class Cluster:
    """What all nodes share."""

    def __init__(self, bus: Bus, pool: asyncpg.Pool, environment: dict[str, Any], folder: Path) -> None:
        self.bus = bus
        self.pool = pool
        self.store = PostgresEventStore(pool)
        self.app = Application(self.store)
        self.folder = folder
        self._environment = environment
        os.mkfifo(folder / "go")
        self._go = os.open(folder / "go", os.O_RDWR)  # held open, so that writing never waits for a reader

    def node(self, name: str, **more: Any) -> Node:
        """A node with a folder of its own."""
        return Node(Settings.model_validate(self._environment | {"CACHE_DIR": self.folder / name} | more))

    async def request(self, command: Command) -> Outcome:
        """Have a command carried out."""
        outcome = await self.bus.request(command, str(uuid4()), timeout=60)
        assert outcome, "no answer"
        assert outcome.accepted, outcome
        return outcome

    @asynccontextmanager
    async def store_of(self, node: Node, *others: Node) -> AsyncIterator[LayeredBlobStore]:
        """The content store of a service on a node, once it has heard of others."""
        wanted = {node_id(other.blobs.folder) for other in others}
        async with AsyncExitStack() as stack:
            store = await layered_blobs(node.settings, self.bus, stack.push_async_callback)

            async def heard() -> bool:
                return all(wanted <= layer.known().keys() for layer in store.layers if isinstance(layer, Peers))

            await eventually(heard, "it has heard of the others")
            yield store

    async def upload(self, node: Node, data: bytes, media_type: str = "video/mp4") -> str:
        """Store content on a node, as its gateway would."""
        async with self.store_of(node) as blobs:
            blob = await blobs.put(data)
        await self.request(ImportObject(blob.cid, blob.size_bytes, media_type, "upload", OWNER))
        return blob.cid

    async def start(self, node: Node, graph: Graph, **inputs: str) -> str:
        """Store and register a recipe on a node, and begin a run of it."""
        async with self.store_of(node) as blobs:
            recipe = await blobs.put(graph.canonical())
        await self.request(RegisterRecipe(recipe.cid, recipe.cid, graph.name, "1", "", OWNER))
        run_id = uuid4().hex
        bindings = tuple(InputBinding(name, (cid,)) for name, cid in inputs.items())
        await self.request(StartRun(run_id, recipe.cid, OWNER, bindings))
        return run_id

    async def run(self, run_id: str) -> Run:
        """Return a run as it is now."""
        run = await self.app.find(Run, run_id)
        assert run
        return run

    async def finished(self, run_id: str) -> Run:
        """Wait until a run has ended; return it."""

        async def over() -> Run | None:
            run = await self.run(run_id)
            return run if run.finished else None

        run: Run = await eventually(over, "the run ended")
        return run

    def let_go(self) -> None:
        """Let one waiting attempt of the trial step go on."""
        os.write(self._go, b".")

    async def attempts(self, count: int) -> None:
        """Wait until the trial step was begun so often."""

        async def begun() -> bool:
            return len(list(self.folder.glob("*.attempt"))) >= count

        await eventually(begun, f"{count} attempts")

    def close(self) -> None:
        os.close(self._go)


@pytest.fixture(scope="session")
async def own_ipfs(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Server]:
    """An IPFS node to be stopped; ``url`` is its API's."""
    async with serving(ipfs_server, tmp_path_factory.mktemp("ipfs")) as server:
        yield server


@pytest.fixture(scope="session")
async def own_s3(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Server]:
    """An S3 store; ``url`` names its bucket."""
    async with serving(s3_server, tmp_path_factory.mktemp("s3")) as server:
        yield server


@pytest.fixture
async def cluster(
    bus: Bus, pool: asyncpg.Pool, own_nats: Server, database: str, tmp_path: Path
) -> AsyncIterator[Cluster]:
    """A bus and a database; the nodes are the test's to make."""
    environment = {
        "NATS_URL": own_nats.url,
        "DATABASE_URL": database,
        "ARTDAG_CLUSTER_KEY": KEY,
        "ARTDAG_SLOTS": 1,
    }
    it = Cluster(bus, pool, environment, tmp_path)
    try:
        yield it
    finally:
        it.close()
        await it.store.close()
