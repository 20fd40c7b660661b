"""IPFS_PRIMARY: all content is on IPFS, and pinned, before anything names it; a node is no more than a cache."""

from __future__ import annotations

import asyncio
import contextlib
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from hashlib import sha256
from pathlib import Path

import httpx
import pytest

from artdag_cli.backing import free_port
from artdag_cli.demo_media import make_cat
from artdag_cli.system import System
from artdag_common.blobs import layered
from artdag_common.blobs.ipfs import IpfsStore
from artdag_common.cid import cid_of
from artdag_common.domain.graph import Graph, Variable
from artdag_common.domain.graph import Node as Step
from artdag_common.domain.run import Run
from artdag_common.errors import ServiceUnavailableError
from services.auth.wiring import auth
from services.cache.wiring import cache
from services.executor.wiring import executor
from services.gateway.wiring import gateway
from services.planner.wiring import planner
from tests.integration.events.appends import eventually
from tests.integration.events.servers import Server
from tests.integration.executor.trial import NAME
from tests.integration.nodes.conftest import OWNER, Cluster, Node


class Wire:
    """What leads to the IPFS node, to be cut and mended."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._whole = True
        self._writers: set[asyncio.StreamWriter] = set()

    def cut(self) -> None:
        """Nobody gets through, and who was through hears nothing more."""
        self._whole = False
        for writer in self._writers:
            writer.transport.abort()

    def mend(self) -> None:
        self._whole = True

    async def lead(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection."""
        if not self._whole:
            writer.transport.abort()
            return
        there, on = await asyncio.open_connection("127.0.0.1", self._port)
        self._writers |= {writer, on}
        with contextlib.suppress(OSError):
            await asyncio.gather(self._pass(reader, on), self._pass(there, writer))
        self._writers -= {writer, on}

    async def _pass(self, source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
        try:
            while data := await source.read(1 << 16):
                sink.write(data)
                await sink.drain()
        finally:
            sink.close()


@asynccontextmanager
async def wire_to(ipfs: Server) -> AsyncIterator[tuple[Wire, str]]:
    """A wire, and the address at its near end."""
    wire = Wire(int(ipfs.url.rpartition("/")[2]))
    server = await asyncio.start_server(wire.lead, "127.0.0.1", 0)
    try:
        yield wire, f"/ip4/127.0.0.1/tcp/{server.sockets[0].getsockname()[1]}"
    finally:
        server.close()
        wire.cut()


def graph(folder: Path) -> Graph:
    """A cut, and a step that waits until the test lets it go."""
    return Graph(
        "over",
        "1",
        "",
        OWNER,
        (
            Step("cat", "SOURCE", {"input": True}),
            Step("cut", "SEGMENT", {"duration": 0.2}, ("cat",)),
            Step("last", NAME, {"what": "wait", "folder": str(folder)}, ("cut",)),
        ),
        (Variable("cat", "cat"),),
        "last",
    )


async def begun(cluster: Cluster, node: Node) -> tuple[str, str]:
    """Begin a run, and wait until its last step is under way; return the input and the run."""
    make_cat(cluster.folder / "cat.mp4", 12)
    cat = await cluster.upload(node, (cluster.folder / "cat.mp4").read_bytes())
    run_id = await cluster.start(node, graph(cluster.folder), cat=cat)
    await cluster.attempts(1)
    return cat, run_id


async def assert_pinned(ipfs: Server, cat: str, run: Run) -> None:
    """All that a run needed and made is on IPFS."""
    assert run.status == "completed", run.error
    everything = {cat, run.recipe_cid, run.plan_cid, run.provenance_cid, run.output_cid, *run.outputs}
    assert len(everything) == 6
    place = IpfsStore(ipfs.url)
    assert await place.present(everything) == everything
    await place.close()


async def test_another_node_finishes_a_run_from_ipfs_alone(cluster: Cluster, own_ipfs: Server) -> None:
    a, b = (cluster.node(name, IPFS_PRIMARY=True, IPFS_API=own_ipfs.url) for name in "ab")
    async with a.services(cache, planner, executor):
        cat, run_id = await begun(cluster, a)
    shutil.rmtree(a.settings.cache_dir)
    assert list(b.settings.cache_dir.glob("??/*")) == []
    async with b.services(cache, planner, executor):
        await cluster.attempts(2)
        cluster.let_go()
        run = await cluster.finished(run_id)
    await assert_pinned(own_ipfs, cat, run)


async def test_while_ipfs_is_away_nothing_is_taken_and_nothing_is_lost(
    cluster: Cluster, own_ipfs: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(layered, "AWAY_SECONDS", 0.05)
    async with wire_to(own_ipfs) as (wire, api):
        a = cluster.node("a", IPFS_PRIMARY=True, IPFS_API=api)
        async with a.services(cache, planner, executor):
            cat, run_id = await begun(cluster, a)
            wire.cut()
            data = b"an upload meanwhile"
            with pytest.raises(ServiceUnavailableError):
                await cluster.upload(a, data)
            assert await a.blobs.present([cid_of(data)]) == set()
            cluster.let_go()
            await cluster.attempts(2)  # the first one's output was not taken
            assert (await cluster.run(run_id)).executing
            wire.mend()
            cluster.let_go()
            run = await cluster.finished(run_id)
    await assert_pinned(own_ipfs, cat, run)


async def test_uploads_are_refused_while_ipfs_is_away(cluster: Cluster, own_ipfs: Server, backing: System) -> None:
    port = free_port()
    async with wire_to(own_ipfs) as (wire, api):
        a = cluster.node(
            "a",
            IPFS_PRIMARY=True,
            IPFS_API=api,
            REDIS_URL=backing.environment["REDIS_URL"],
            PORT=port,
            L1_PUBLIC_URL=f"http://localhost:{port}",
            ARTDAG_OWNER_TOKEN_HASH=sha256(b"token-of-the-owner").hexdigest(),
        )
        async with (
            a.services(cache, auth, gateway),
            httpx.AsyncClient(
                base_url=f"http://127.0.0.1:{port}", headers={"Authorization": "Bearer token-of-the-owner"}, timeout=60
            ) as client,
        ):
            data = b"a small film"

            async def upload() -> httpx.Response:
                return await client.post("/cache/upload", files={"file": ("a.bin", data)})

            wire.cut()

            async def known() -> httpx.Response | None:
                answer = await upload()
                return None if answer.status_code == 401 else answer

            refused: httpx.Response = await eventually(known, "the owner is known")
            assert (refused.status_code, refused.json()["code"]) == (503, "service-unavailable")
            assert await a.blobs.present([cid_of(data)]) == set()
            wire.mend()
            taken = await upload()
            assert (taken.status_code, taken.json()["cid"]) == (201, cid_of(data))
    place = IpfsStore(own_ipfs.url)
    assert await place.present([cid_of(data)]) == {cid_of(data)}
    await place.close()
