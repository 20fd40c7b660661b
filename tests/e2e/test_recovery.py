"""What a run of a thousand steps takes in its stride: the work queue is deleted, the planner dies, and both at once."""

from __future__ import annotations

import asyncio
import json
import os
import signal
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from uuid import uuid4

import asyncpg
import nats
import pytest
from nats.js.errors import NotFoundError

from artdag_cli.client import Client
from artdag_cli.system import System
from artdag_common.application import decode
from artdag_common.domain.run import Run
from artdag_common.eventstore.postgres import PostgresEventStore
from artdag_common.messaging import subjects
from tests.integration.events.appends import eventually

STEPS, WIDTH = 1000, 50
BEGUN = 3
"""How often the run has taken in results when it happens: layers follow each other, so many are still to come."""

Happening = Callable[[System], Awaitable[None]]


def layered(salt: str) -> str:
    """Layers of steps, each of which reads two of the layer before; each ends with what no step reads."""
    nodes: list[dict[str, Any]] = [{"id": "src", "type": "SOURCE", "config": {"input": True, "name": "src"}}]
    for place in range(STEPS):
        layer, column = divmod(place, WIDTH)
        above = [f"s{(layer - 1) * WIDTH + (column + i) % WIDTH}" for i in (0, 1)] if layer else ["src"]
        nodes.append({"id": f"s{place}", "type": "NOOP", "config": {"salt": f"{salt}{place}"}, "inputs": above})
    return json.dumps({"name": f"long-{salt}", "version": "1", "dag": {"nodes": nodes, "output": f"s{STEPS - 1}"}})


@pytest.fixture(scope="module")
def client(live: System) -> Iterator[Client]:
    with Client(f"http://127.0.0.1:{live.port}", live.token) as client:
        yield client


@pytest.fixture
async def pool(live: System) -> AsyncIterator[asyncpg.Pool]:
    async with asyncpg.create_pool(live.environment["DATABASE_URL"], min_size=1, max_size=2) as pool:
        yield pool


@asynccontextmanager
async def streams(it: System) -> AsyncIterator[Any]:
    """The streams, as the operator may change them."""
    async with await nats.connect(it.environment["NATS_URL"]) as connection:
        yield connection.jetstream()


async def delete_the_work(it: System) -> None:
    """Delete the stream with all that is in it, and all who take from it. Nothing reconnects."""
    async with streams(it) as those:
        await those.delete_stream(subjects.WORK)


async def lose_the_work(it: System) -> None:
    """Take everything out of the stream, time and again, while nobody loses the stream itself."""
    async with streams(it) as those:
        for _ in range(20):
            await those.purge_stream(subjects.WORK)


async def kill_the_planner(it: System) -> None:
    os.kill(it.supervisor.children["planner"].pid, signal.SIGKILL)


async def both(it: System) -> None:
    await kill_the_planner(it)
    await delete_the_work(it)


@pytest.mark.parametrize("happening", [delete_the_work, lose_the_work, kill_the_planner, both])
async def test_a_run_ends_by_itself_and_each_result_is_recorded_once(
    live: System, client: Client, pool: asyncpg.Pool, tmp_path: Path, happening: Happening
) -> None:
    source = tmp_path / "source"
    source.write_bytes(b"nothing to see")
    path = tmp_path / "recipe.yaml"
    path.write_text(layered(uuid4().hex[:8]))
    cid = await asyncio.to_thread(client.upload, source, "source")
    recipe = await asyncio.to_thread(client.upload_recipe, path)
    run_id = client.call("POST", f"/recipes/{recipe}/run", json={"inputs": {"src": cid}})["run_id"]

    async def begun() -> bool:
        count = "SELECT count(*) FROM es_events WHERE stream = $1 AND type = 'RunStepsSatisfied'"
        return bool(await pool.fetchval(count, f"run-{run_id}") >= BEGUN)

    await eventually(begun, "a part of the steps is completed")
    await happening(live)
    before = len(await satisfied(pool, run_id))
    assert before < STEPS, "it happened when all was over"
    last = (await asyncio.to_thread(lambda: list(client.events(run_id))))[-1]
    assert last.type == "RunCompleted", last
    assert last.data["data"]["computed"] == STEPS
    assert Counter(await satisfied(pool, run_id)) == Counter(range(1, STEPS + 1)), "each step's result is taken once"
    rows = await pool.fetch(
        """SELECT count(*) AS results FROM es_events WHERE type = 'StepCompleted' AND stream IN
            (SELECT 'step-' || cache_id FROM rm_run_steps WHERE run_id = $1 AND type = 'NOOP') GROUP BY stream""",
        run_id,
    )
    assert [row["results"] for row in rows] == [1] * STEPS


async def satisfied(pool: asyncpg.Pool, run_id: str) -> list[int]:
    """Return the steps whose outputs the run took, in the order in which it did."""
    history = await PostgresEventStore(pool).load(f"run-{run_id}")
    return [s.step for e in map(decode, history) if isinstance(e, Run.StepsSatisfied) for s in e.steps]


async def test_the_work_queue_and_who_takes_from_it_come_back_though_nothing_reconnects(live: System) -> None:
    """Also while there is nothing to do: whoever begins a run then finds it there."""
    async with streams(live) as those:
        takers = {info.name for info in await those.consumers_info(subjects.WORK)}
        assert takers
        await those.delete_stream(subjects.WORK)

        async def back() -> bool:
            try:
                return takers <= {info.name for info in await those.consumers_info(subjects.WORK)}
            except NotFoundError:
                return False

        await eventually(back, "executors take from the new stream")
