"""Several nodes, no shared disk: content of one is content of all."""

from __future__ import annotations

import asyncio
import shutil
from contextlib import AsyncExitStack
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from artdag_cli.demo_media import make_cat
from artdag_cli.effect_template import template
from artdag_common.blobs import layered, peer
from artdag_common.blobs.absence import absent
from artdag_common.blobs.layered import LayeredBlobStore
from artdag_common.blobs.node import Membership, node_id
from artdag_common.blobs.peer import Peers
from artdag_common.blobs.s3 import S3Settings, S3Store
from artdag_common.cid import cid_of
from artdag_common.codec import encode_command
from artdag_common.commands import ExecuteStep, ExecuteSteps, RegisterEffect
from artdag_common.domain import failure
from artdag_common.domain.graph import Graph, Variable
from artdag_common.domain.graph import Node as Step
from artdag_common.errors import CidMismatchError, ContentNotFoundError, ServiceUnavailableError
from artdag_common.messaging import subjects
from artdag_common.pb.commands_pb2 import ContentAnswer
from services.auth.wiring import auth
from services.cache.wiring import cache
from services.executor.wiring import executor
from services.planner.wiring import planner
from tests.integration.events.appends import eventually
from tests.integration.events.servers import Server
from tests.integration.nodes.conftest import KEY, OWNER, Cluster, Node

DATA = bytes(range(256)) * 3000
CID = cid_of(DATA)


# --- runs -----------------------------------------------------------------------------------------------------------


async def test_a_run_is_executed_where_its_input_and_its_effect_are_not(cluster: Cluster, tmp_path: Path) -> None:
    make_cat(tmp_path / "cat.mp4", 12)
    a, b = cluster.node("a"), cluster.node("b")
    async with a.services(cache, planner), b.services(cache), b.process("executor", cluster.bus):
        cat = await cluster.upload(a, (tmp_path / "cat.mp4").read_bytes())
        effect = await cluster.upload(a, template("ours", "frame", "me").encode(), "text/x-python")
        await cluster.request(RegisterEffect(effect, OWNER))
        graph = Graph(
            "across",
            "1",
            "",
            OWNER,
            (
                Step("cat", "SOURCE", {"input": True}),
                Step("cut", "SEGMENT", {"duration": 0.2}, ("cat",)),
                Step("ours", "EFFECT", {"effect": effect, "params": {}}, ("cut",)),
            ),
            (Variable("cat", "cat"),),
            "ours",
        )
        run = await cluster.finished(await cluster.start(a, graph, cat=cat))
        assert run.status == "completed", run.error
        assert await b.blobs.present([cat, effect, run.output_cid]) == {cat, effect, run.output_cid}
        async with cluster.store_of(a, b) as there:
            assert await there.read(run.output_cid) == await b.blobs.read(run.output_cid)


@pytest.mark.parametrize("step_type", ["NOOP", "SEGMENT"])
async def test_a_step_waits_for_an_input_that_is_out_of_reach(
    cluster: Cluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step_type: str
) -> None:
    """It does not fail as long as a node that is silent may have it."""
    monkeypatch.setattr(peer, "SURE_SECONDS", 0.05)
    monkeypatch.setattr(layered, "AWAY_SECONDS", 0.05)
    # However long the other node takes to start here.
    monkeypatch.setattr(peer, "FORGET_SECONDS", 600.0)
    often = replace(failure.POLICIES[failure.AWAY], attempts=100_000)
    monkeypatch.setattr(failure, "POLICIES", {**failure.POLICIES, failure.AWAY: often})
    make_cat(tmp_path / "cat.mp4", 12)
    data = (tmp_path / "cat.mp4").read_bytes()
    a, b = cluster.node("a"), cluster.node("b")
    cache_id = "ab" * 32
    step = ExecuteStep(cache_id, step_type, "{}", "t.it.it", (cid_of(data),))

    async def happens(type_name: str) -> None:
        async def happened() -> bool:
            return type_name in [event.type for event in await cluster.store.load(f"step-{cache_id}")]

        await eventually(happened, f"{type_name} of the step")

    async with b.services(executor):
        dead = ContentAnswer(node="dead", url="http://127.0.0.1:9")
        await cluster.bus.nc.publish(subjects.nodes(Membership(KEY).cluster), dead.SerializeToString())
        await cluster.bus.js.publish(subjects.work("cpu", cache_id), encode_command(ExecuteSteps((step,))))
        await happens("StepAttemptFailed")
        await a.blobs.put(data)
        async with a.services(cache):
            await happens("StepCompleted")
    types = [event.type for event in await cluster.store.load(f"step-{cache_id}")]
    assert "StepFailed" not in types


async def test_a_cache_service_for_its_node_alone_serves_it_and_takes_no_commands(cluster: Cluster) -> None:
    """It speaks to nobody outside either: with a registry it needs no key to sign with."""
    own = {"ARTDAG_CACHE_DUTIES": "node", "L2_SERVER": "https://l2.example", "ARTDAG_ACTOR_KEY": ""}
    a, b = cluster.node("a", **own), cluster.node("b")
    await a.blobs.put(DATA)
    async with a.services(cache), cluster.store_of(b, a) as there:
        assert await there.read(CID) == DATA
        assert not await cluster.bus.ping("cache", 0.2)
        async with b.services(cache):  # of two that pull, either could get it
            for number in range(4):
                await cluster.upload(b, b"%d" % number)
            assert await cluster.bus.ping("cache", 60)


async def test_a_node_that_ends_leaves_what_it_has_in_the_bucket(cluster: Cluster, own_s3: Server) -> None:
    a = cluster.node("a", ARTDAG_S3_URL=own_s3.url, ARTDAG_CACHE_DUTIES="node", ARTDAG_DRAIN_SECONDS=60)
    async with a.services(cache):
        blob = await a.blobs.put(b"made in the last moment")
    bucket = S3Store(S3Settings.from_url(own_s3.url))
    try:
        assert await bucket.present([blob.cid]) == {blob.cid}
    finally:
        await bucket.close()


async def test_what_a_lost_node_had_is_in_the_bucket(cluster: Cluster, own_s3: Server) -> None:
    a, b = (cluster.node(name, ARTDAG_S3_URL=own_s3.url) for name in "ab")
    async with a.services(auth, cache):  # auth runs the relay, which orders the events that the copies follow
        cid = await cluster.upload(a, DATA)
        bucket = S3Store(S3Settings.from_url(own_s3.url))

        async def copied() -> bool:
            return await bucket.present([cid]) == {cid}

        await eventually(copied, "a copy in the bucket")
        await bucket.close()
    shutil.rmtree(a.settings.cache_dir)
    async with cluster.store_of(b) as store:
        assert await store.present([cid]) == {cid}
        assert await store.read(cid) == DATA


# --- peers ----------------------------------------------------------------------------------------------------------


async def test_a_node_reads_from_the_others(cluster: Cluster, monkeypatch: pytest.MonkeyPatch) -> None:
    a, b, c = map(cluster.node, "abc")
    absent = cid_of(b"absent")
    async with AsyncExitStack() as stack, a.services(cache), c.services(cache):
        await c.blobs.put(DATA)
        store = await stack.enter_async_context(cluster.store_of(b, a, c))
        monkeypatch.setattr(peer, "GATHER_SECONDS", 60.0)  # it is over once all have answered
        assert await store.present([CID, absent]) == {CID}
        assert await store.stamps([CID]) == await c.blobs.stamps([CID])
        assert await store.read(CID) == DATA
        assert await b.blobs.stamps([CID]) == await c.blobs.stamps([CID])
        with pytest.raises(ContentNotFoundError):
            await store.path(absent)
        with capture_logs() as logs:
            await store.path(CID)
        assert logs == [], "it is here now"


async def test_wrong_bytes_of_a_node_are_not_served(cluster: Cluster) -> None:
    a, b, c = map(cluster.node, "abc")
    broken = await a.blobs.path((await a.blobs.put(DATA)).cid)
    broken.chmod(0o600)
    broken.write_bytes(DATA[:-1] + b"x")
    async with AsyncExitStack() as stack, a.services(cache):
        store = await stack.enter_async_context(cluster.store_of(b, a))
        with capture_logs() as logs, pytest.raises(CidMismatchError, match=node_id(a.blobs.folder)):
            await store.path(CID)
        (error,) = [entry for entry in logs if entry["log_level"] == "error"]
        assert node_id(a.blobs.folder) in error["source"]
        assert await b.blobs.present([CID]) == set()
        async with c.services(cache):
            await c.blobs.put(DATA)

            async def right() -> bool:
                try:
                    return await store.read(CID) == DATA
                except CidMismatchError:  # the new node was not heard of yet
                    return False

            await eventually(right, "the right bytes")


async def test_nodes_of_another_cluster_are_strangers(cluster: Cluster) -> None:
    a, b = cluster.node("a"), cluster.node("b", ARTDAG_CLUSTER_KEY="another key")
    async with AsyncExitStack() as stack, a.services(cache):
        await a.blobs.put(DATA)
        store = await stack.enter_async_context(cluster.store_of(b))
        assert await store.present([CID]) == set()
        with pytest.raises(ContentNotFoundError):
            await store.path(CID)


async def test_without_a_cluster_key_nobody_is_asked(cluster: Cluster) -> None:
    a = cluster.node("a", ARTDAG_CLUSTER_KEY="")
    async with a.services(cache), cluster.store_of(a) as store:
        assert store.layers == ()


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


async def peers_of(cluster: Cluster, node: Node, stack: AsyncExitStack, clock: Clock) -> Peers:
    found = Peers(cluster.bus, node_id(node.blobs.folder), Membership(KEY), clock)
    stack.push_async_callback(found.close)
    await found.start()
    return found


async def heard_of(peers: Peers, count: int) -> None:
    async def so_many() -> bool:
        return len(peers.known()) == count

    await eventually(so_many, f"{count} nodes")


async def test_nodes_that_come_and_go_are_heard_of(cluster: Cluster) -> None:
    a, b = cluster.node("a"), cluster.node("b")
    async with AsyncExitStack() as stack:
        peers = await peers_of(cluster, b, stack, Clock())
        assert peers.known() == {}
        async with a.services(cache):
            await heard_of(peers, 1)
        await heard_of(peers, 0)


async def test_nothing_is_refused_for_good_while_a_node_is_being_replaced(cluster: Cluster) -> None:
    a, b, clock = cluster.node("a"), cluster.node("b"), Clock()
    await a.blobs.put(DATA)
    nobodys = cid_of(b"what nobody has")
    async with AsyncExitStack() as stack:
        peers = await peers_of(cluster, b, stack, clock)
        store = LayeredBlobStore(b.blobs, [peers], clock=clock)
        async with a.services(cache):
            await heard_of(peers, 1)
            assert await absent(store, [nobodys]) == {nobodys}
        await heard_of(peers, 0)
        with pytest.raises(ServiceUnavailableError, match="cannot be asked now"):
            await absent(store, [CID])
        async with a.services(cache):
            await heard_of(peers, 1)
            assert await absent(store, [CID, nobodys]) == {nobodys}
        await heard_of(peers, 0)
        clock.now += peer.FORGET_SECONDS + 1
        with pytest.raises(ServiceUnavailableError):
            await store.path(nobodys)
        assert await absent(store, [nobodys]) == {nobodys}


async def test_who_begins_while_a_node_is_being_replaced_takes_nothing_of_it_for_missing(cluster: Cluster) -> None:
    """It never heard of that node; those that did tell it."""
    a, b, c = cluster.node("a"), cluster.node("b"), cluster.node("c")
    await a.blobs.put(DATA)

    async def waits(node: Node) -> bool:
        async with AsyncExitStack() as stack:
            store = LayeredBlobStore(node.blobs, [await peers_of(cluster, node, stack, Clock())])
            try:
                return await absent(store, [CID]) != {CID}
            except ServiceUnavailableError:
                return True

    async with b.services(cache), AsyncExitStack() as stack:
        witness = await peers_of(cluster, c, stack, Clock())
        for begins in (b, c):
            assert not await waits(begins), "no such node was ever there"
        async with a.services(cache):
            await heard_of(witness, 2)
        for begins in (b, c):
            await eventually(partial(waits, begins), "the other node is known to be away")


async def test_who_has_just_begun_waits_for_a_first_answer(cluster: Cluster, monkeypatch: pytest.MonkeyPatch) -> None:
    """That nobody was heard of yet does not mean that nobody is there."""
    monkeypatch.setattr(peer, "GATHER_SECONDS", 0.0)
    monkeypatch.setattr(peer, "SURE_SECONDS", 60.0)
    a, b = cluster.node("a"), cluster.node("b")
    await a.blobs.put(DATA)
    async with a.services(cache), cluster.store_of(b) as store:
        assert await absent(store, [CID]) == set()


async def test_who_begins_hears_of_a_node_that_was_killed_and_for_how_long_it_is_away(cluster: Cluster) -> None:
    """Nobody said good-bye; that it is gone is known after some time, and then to whoever begins too."""
    b, c, clock = cluster.node("b"), cluster.node("c"), Clock()
    killed = ContentAnswer(node="killed", url="http://127.0.0.1:9")
    async with b.services(cache), AsyncExitStack() as stack:
        await cluster.bus.nc.publish(subjects.nodes(Membership(KEY).cluster), killed.SerializeToString())

        async def knows() -> Peers | None:
            peers = await peers_of(cluster, c, stack, clock)
            return peers if "killed" in peers.unheard() else None

        peers: Peers = await eventually(knows, "who begins is told of it")
        assert peers.known().keys() == {node_id(b.blobs.folder)}, "it cannot be asked"
        clock.now += peer.FORGET_SECONDS - peers.unheard()["killed"] - 0.001
        assert "killed" in peers.unheard()
        clock.now += 0.002
        assert "killed" not in peers.unheard()


async def test_a_node_that_is_silent_may_have_it_until_it_is_forgotten(
    cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(peer, "GATHER_SECONDS", 0.05)
    monkeypatch.setattr(peer, "SURE_SECONDS", 0.05)
    b, clock = cluster.node("b"), Clock()
    async with AsyncExitStack() as stack:
        peers = await peers_of(cluster, b, stack, clock)
        dead = ContentAnswer(node="dead", url="http://127.0.0.1:9")
        await cluster.bus.nc.publish(subjects.nodes(Membership(KEY).cluster), dead.SerializeToString())
        await heard_of(peers, 1)
        store = LayeredBlobStore(b.blobs, [peers], clock=clock)
        with pytest.raises(ServiceUnavailableError, match="node dead"):
            await store.path(CID)
        clock.now += peer.FORGET_SECONDS + 1
        with pytest.raises(ServiceUnavailableError):
            await store.path(CID)
        assert peers.known() == {}
        with pytest.raises(ContentNotFoundError):
            await store.path(CID)


async def test_a_node_that_dies_in_the_middle(cluster: Cluster, monkeypatch: pytest.MonkeyPatch) -> None:
    """It promises more bytes than come; the next node is asked."""
    b, c = cluster.node("b"), cluster.node("c")

    async def break_off(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(DATA) + DATA[: len(DATA) // 2])
        await writer.drain()
        writer.close()

    async with (
        AsyncExitStack() as stack,
        c.services(cache),
        await asyncio.start_server(break_off, "127.0.0.1", 0) as server,
    ):
        await c.blobs.put(DATA)
        url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"

        async def answer(message: Any) -> None:
            said = ContentAnswer(node="0dying", url=url, cids=[CID], stamps=[1])
            await message.respond(said.SerializeToString())

        await cluster.bus.nc.subscribe(subjects.content(Membership(KEY).cluster), cb=answer)
        store = await stack.enter_async_context(cluster.store_of(b, c))
        monkeypatch.setattr(peer, "GATHER_SECONDS", 60.0)  # it is over once both have answered
        with capture_logs() as logs:
            assert await store.read(CID) == DATA
        events = [(entry["event"], entry["source"].split()[1]) for entry in logs]
        assert events[-1] == ("content was fetched", node_id(c.blobs.folder))
        assert set(events[:-1]) <= {("source did not give content", "0dying")}
