"""Two of each service, content folders of their own, three NATS servers: one dies, a planner goes, and no run fails."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import asyncpg
import pytest
from nats.errors import Error as NatsError
from nats.js.api import AckPolicy, ConsumerConfig, StreamConfig
from nats.js.errors import APIError

from artdag_cli.client import Client, RequestFailedError
from artdag_cli.cluster import Cluster, Node, cluster
from artdag_cli.demo_media import make_cat
from artdag_common.commands import CancelRun
from artdag_common.errors import ServiceUnavailableError
from artdag_common.messaging import subjects
from artdag_common.messaging.bus import STREAMS, Bus
from tests.integration.events.appends import eventually

A, B = Node("a"), Node("b")
SERVICES = {"auth": (A,), "cache": (A, B), "planner": (A, B), "executor": (A, B), "gateway": (A, B)}
REPLICAS = 3
LEADERS = 4
ALONE_SECONDS = 15.0
IN_PROCESS = 10_158
"""What JetStream says of a message whose first copy is not on most of the servers yet."""


def still(salt: str) -> str:
    """Layers of steps that compute nothing."""
    nodes: list[dict[str, Any]] = []
    before = ["cat"]
    for layer in range(4):
        here = [f"s{layer}_{place}" for place in range(15)]
        nodes += [{"id": n, "type": "NOOP", "config": {"salt": f"{salt}{n}"}, "inputs": before[:2]} for n in here]
        before = here
    return _recipe(salt, nodes, before[-1])


def moving(salt: str) -> str:
    """A chain of media steps; the salt makes each of them new without changing any bytes."""
    nodes: list[dict[str, Any]] = [
        {"id": "new", "type": "NOOP", "config": {"salt": salt}, "inputs": ["cat"]},
        {"id": "cut", "type": "SEGMENT", "config": {"offset": 0.2, "duration": 0.5}, "inputs": ["new"]},
        {"id": "dog", "type": "EFFECT", "config": {"effect": "dog"}, "inputs": ["cut"]},
        {"id": "small", "type": "RESIZE", "config": {"width": 160, "height": 90}, "inputs": ["new"]},
        {"id": "both", "type": "SEQUENCE", "inputs": ["dog", "small"]},
    ]
    return _recipe(salt, nodes, "both")


def _recipe(salt: str, nodes: list[dict[str, Any]], output: str) -> str:
    source = {"id": "cat", "type": "SOURCE", "config": {"input": True, "name": "cat"}}
    return json.dumps({"name": f"c-{salt}", "version": "1", "dag": {"nodes": [source, *nodes], "output": output}})


@pytest.fixture(scope="module")
async def servers(state: Path) -> AsyncIterator[Cluster]:
    """The backing servers."""
    async with cluster(state / "cluster", [Node(f"n{number}") for number in range(REPLICAS)]) as it:
        yield it


@pytest.fixture(scope="module")
async def changed(servers: Cluster) -> str:
    """Name of a stream with a consumer, which was on one server until just now."""
    url, name = servers.environment["NATS_URL"], "CHANGED"
    before = await Bus.connect(url, "before")
    assert (await before.ensure_stream(StreamConfig(name=name, subjects=["changed"]))).config.num_replicas == 1

    async def taken() -> bool:
        try:
            await before.js.publish("changed", b"before")
        except (NatsError, TimeoutError):  # our server has not heard yet that another one has the stream
            return False
        return True

    await eventually(taken, "the stream takes a message")
    await before.js.add_consumer(name, ConsumerConfig(durable_name=name, ack_policy=AckPolicy.EXPLICIT))
    after = await Bus.connect(url, "after", replicas=REPLICAS)

    async def kept() -> bool:
        try:
            return (await after.replicate(await after.js.stream_info(name))).config.num_replicas == REPLICAS
        except (NatsError, TimeoutError):
            return False

    await eventually(kept, "the stream is on all servers")
    for bus in (before, after):
        await bus.close()
    return name


@pytest.fixture(scope="module")
async def system(servers: Cluster, changed: str) -> Cluster:
    """The services."""
    await asyncio.gather(*(servers.start(name, node) for name, nodes in SERVICES.items() for node in nodes))
    return servers


@pytest.fixture(scope="module")
async def bus(system: Cluster) -> AsyncIterator[Bus]:
    """A tool of the operator's, which was told of no number of servers."""
    it = await Bus.connect(system.environment["NATS_URL"], "test")
    yield it
    await it.close()


@pytest.fixture
def clients(system: Cluster) -> Iterator[list[Client]]:
    """The owner at each gateway."""
    those = [Client(url, system.token) for url in system.gateways.values()]
    yield those
    for client in those:
        client.close()


async def whole(bus: Bus) -> bool:
    """Return whether all streams are on as many servers as they are to be, and each of those has all of it."""
    for config in STREAMS:
        try:
            info = await bus.js.stream_info(str(config.name))
        except (NatsError, TimeoutError):  # it is not there yet, or nobody leads for a moment
            return False
        others = (info.cluster.replicas if info.cluster else None) or []
        if len(others) != REPLICAS - 1 or not all(each.current for each in others):
            return False
    return True


def begin(client: Client, recipe: str, cat: str) -> str:
    """Start a run and return its id."""
    key = {"Idempotency-Key": uuid4().hex}
    body = {"recipe": recipe, "inputs": {"cat": cat}}
    until = time.monotonic() + 150
    while True:
        try:
            answer = client.call("POST", "/runs", json=body, headers=key)
        except RequestFailedError as error:
            if error.values.get("status") != 503 or time.monotonic() > until:
                raise
            continue  # nobody leads yet
        if "run_id" in answer:  # else kept, and not answered in time: the same request again waits for it
            return str(answer["run_id"])


def outcome(client: Client, run_id: str) -> tuple[str, str]:
    """Wait for the end of a run; return what ended it, and its output."""
    last = list(client.events(run_id))[-1]
    return last.type, last.data["data"].get("output_cid", "")


async def test_runs_end_as_if_nothing_had_happened(
    system: Cluster, bus: Bus, clients: list[Client], tmp_path: Path
) -> None:
    await eventually(lambda: whole(bus), "every stream is on all servers")
    film = tmp_path / "cat.mp4"
    make_cat(film, 30)
    cat = await asyncio.to_thread(clients[0].upload, film, "cat")

    async def run(client: Client, recipe: str) -> str:
        return await asyncio.to_thread(begin, client, recipe, cat)

    async def ends(runs: list[tuple[Client, str]]) -> list[tuple[str, str]]:
        return list(await asyncio.gather(*(asyncio.to_thread(outcome, *each) for each in runs)))

    usual = [("RunCompleted", cat), *await ends([(clients[0], await run(clients[0], moving("usual")))])]
    assert usual[1][0] == "RunCompleted", usual

    async def both(client: Client) -> list[tuple[Client, str]]:
        return [(client, await run(client, recipe(uuid4().hex[:8]))) for recipe in (still, moving)]

    going = [*await both(clients[0]), *await both(clients[1])]
    info = await bus.js.stream_info(subjects.EVENTS)
    assert info.cluster
    assert info.cluster.leader
    server = await system.kill_server(info.cluster.leader)
    going += [*await both(clients[1]), *await both(clients[0])]
    await system.restart("planner-a")
    found = await ends(going)
    assert found == usual * 4
    await system.bring_back(server)
    await eventually(lambda: whole(bus), "the server that was away has all that it missed")
    assert await ends(await both(clients[0])) == usual
    await all_there_once(system, bus)


async def test_a_stream_that_was_there_is_kept_on_more_servers(bus: Bus, changed: str) -> None:
    assert (await bus.js.get_msg(changed, seq=1)).data == b"before"

    async def followed() -> bool:
        try:
            info = await bus.js.consumer_info(changed, changed)
        except (NatsError, TimeoutError):
            return False
        assert info.cluster
        return len(info.cluster.replicas or []) == REPLICAS - 1

    await eventually(followed, "its consumer is there too")
    for config in STREAMS:
        assert (await bus.js.stream_info(str(config.name))).config.num_replicas == REPLICAS, config.name
        for consumer in await bus.js.consumers_info(str(config.name)):
            assert consumer.cluster
            assert len(consumer.cluster.replicas or []) == REPLICAS - 1, consumer.name


async def test_a_command_that_is_sent_again_while_its_first_copy_waits_for_the_other_servers_is_taken(
    system: Cluster, bus: Bus, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The server that leads has it, and is alone for a moment: it says that it is in process, which is no refusal."""
    for _ in range(LEADERS):
        if await sent_to_a_leader_alone(system, bus, monkeypatch):
            return
    raise AssertionError(f"{LEADERS} times a server that was alone gave up the lead before it was asked again")


async def sent_to_a_leader_alone(system: Cluster, bus: Bus, monkeypatch: pytest.MonkeyPatch) -> bool:
    """Send a command; False: the server that led did not say that it is in process, but led no more."""
    info = await bus.js.stream_info(subjects.COMMANDS)
    assert info.cluster
    servers = [f"nats-{number}" for number in range(1, REPLICAS + 1)]
    url = system.environment["NATS_URL"].split(",")[servers.index(str(info.cluster.leader))]
    sender = await Bus.connect(url, "sender")
    publish, in_process = sender.js.publish, asyncio.Event()

    async def watched(*args: Any, **more: Any) -> Any:
        try:
            return await publish(*args, **more)
        except APIError as error:
            if error.err_code == IN_PROCESS:
                in_process.set()
            raise

    monkeypatch.setattr(sender.js, "publish", watched)
    others = [system.supervisor.children[name].pid for name in servers if name != info.cluster.leader]
    for pid in others:
        os.kill(pid, signal.SIGSTOP)
    try:
        sending = asyncio.create_task(sender.send(CancelRun("nobodys"), uuid4().hex))
        try:
            async with asyncio.timeout(ALONE_SECONDS):
                await in_process.wait()
        except TimeoutError:
            pass
        finally:
            for pid in others:
                os.kill(pid, signal.SIGCONT)
        try:
            await sending
        except ServiceUnavailableError:  # it gave up while nobody led
            if in_process.is_set():
                raise
    finally:
        await sender.close()
    return in_process.is_set()


async def all_there_once(system: Cluster, bus: Bus) -> None:
    """Every event is in the stream at its position, no step ended twice, and nothing gave up."""
    connection = await asyncpg.connect(system.environment["DATABASE_URL"])
    try:

        async def published() -> int:
            last = await connection.fetchval("SELECT max(position) FROM es_log")
            left = await connection.fetchval("SELECT count(*) FROM es_outbox")
            try:
                info = await bus.js.stream_info(subjects.EVENTS)
            except (NatsError, TimeoutError):
                return 0
            return int(last) if not left and last == info.state.last_seq == info.state.messages else 0

        last = await eventually(published, "every event is in the stream")
        for position in range(1, last + 1, 7):
            message = await bus.js.get_msg(subjects.EVENTS, seq=position)
            assert message.headers
            assert message.headers["Es-Position"] == str(position)
        twice = await connection.fetch(
            "SELECT stream FROM es_events WHERE type = 'StepCompleted' GROUP BY stream HAVING count(*) > 1"
        )
        assert not twice
    finally:
        await connection.close()
    assert (await bus.js.stream_info(subjects.DEAD_LETTERS)).state.messages == 0
    logs = [*(system.state / "logs").glob("nats-*.log"), system.state / "logs" / "postgres.log"]
    assert not [log.name for log in logs if any(w in log.read_text() for w in ("Violation", "permission denied"))]
