"""Each service and each server is killed in the middle of a run: the run ends as if nothing had happened."""

from __future__ import annotations

import asyncio
import json
import os
import signal
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from artdag_cli.client import Client, ServerEvent
from artdag_cli.demo_media import make_cat
from artdag_cli.system import System, system
from artdag_common.application import decode
from artdag_common.domain.run import Run
from artdag_common.eventstore.postgres import PostgresEventStore

STEPS = 5
"""Steps of the recipe besides its source; ``small`` and ``inverted`` are one, run in one pass."""
VICTIMS = ["executor", "planner", "gateway", "cache", "auth", "nats", "postgres", "redis"]


def recipe(salt: str) -> str:
    """A chain of media steps; the salt makes every step of it new without changing any bytes."""
    nodes: list[dict[str, Any]] = [
        {"id": "cat", "type": "SOURCE", "config": {"input": True, "name": "cat"}},
        {"id": "new", "type": "NOOP", "config": {"salt": salt}, "inputs": ["cat"]},
        {"id": "cut", "type": "SEGMENT", "config": {"offset": 0.5, "duration": 2.0}, "inputs": ["new"]},
        {"id": "dog", "type": "EFFECT", "config": {"effect": "dog"}, "inputs": ["cut"]},
        {"id": "small", "type": "RESIZE", "config": {"width": 160, "height": 90}, "inputs": ["new"]},
        {"id": "inverted", "type": "EFFECT", "config": {"effect": "invert"}, "inputs": ["small"]},
        {"id": "both", "type": "SEQUENCE", "inputs": ["dog", "inverted"]},
    ]
    return json.dumps({"name": f"chain-{salt}", "version": "1", "dag": {"nodes": nodes, "output": "both"}})


@pytest.fixture(scope="module")
async def crashing(state: Path) -> AsyncIterator[System]:
    """A system of its own, since it is going to be hurt."""
    async with system(state / "crashing", 0, logs_to_files=True) as it:
        yield it


@pytest.fixture(scope="module")
def client(crashing: System) -> Iterator[Client]:
    """Its owner."""
    with Client(f"http://127.0.0.1:{crashing.port}", crashing.token) as client:
        yield client


@pytest.fixture(scope="module")
def cat(client: Client, state: Path) -> str:
    """The uploaded cat."""
    path = state / "cat.mp4"
    make_cat(path)
    return client.upload(path, "cat")


class Killing:
    """Renders, and kills once the first media step runs."""

    def __init__(self, it: System, client: Client, cat: str, state: Path) -> None:
        self._it = it
        self._client = client
        self._cat = cat
        self._state = state

    def render(self, salt: str, victim: str | None) -> tuple[str, dict[str, Any]]:
        """Return the id of the run and its last event; ``victim`` is killed on the way."""
        path = self._state / f"{salt}.yaml"
        path.write_text(recipe(salt))
        recipe_id = self._client.upload_recipe(path)
        run_id = self._client.call("POST", f"/recipes/{recipe_id}/run", json={"inputs": {"cat": self._cat}})["run_id"]
        killed = victim is None
        last: ServerEvent | None = None
        for event in self._client.events(run_id):
            last = event
            media = event.type == "StepStarted" and event.data["data"]["step_type"] != "NOOP"
            if media and not killed and victim:
                os.kill(self._pid(victim), signal.SIGKILL)
                killed = True
        assert last is not None
        assert killed
        return run_id, {"event": last.type, **last.data["data"]}

    def _pid(self, victim: str) -> int:
        pid = self._it.supervisor.children[victim].pid
        assert pid
        return pid


async def test_a_run_survives_the_death_of_every_part(
    crashing: System, client: Client, cat: str, tmp_path: Path
) -> None:
    killing = Killing(crashing, client, cat, tmp_path)
    _, undisturbed = await asyncio.to_thread(killing.render, "undisturbed", None)
    assert undisturbed["event"] == "RunCompleted", undisturbed
    for victim in VICTIMS:
        restarts = crashing.supervisor.children[victim].restarts
        run_id, outcome = await asyncio.to_thread(killing.render, f"without-{victim}", victim)
        assert outcome["event"] == "RunCompleted", (victim, outcome)
        assert outcome["output_cid"] == undisturbed["output_cid"], victim
        assert crashing.supervisor.children[victim].restarts > restarts
        await _each_result_is_recorded_once(crashing, run_id)


async def _each_result_is_recorded_once(it: System, run_id: str) -> None:
    pool = await asyncpg.create_pool(it.environment["DATABASE_URL"], min_size=1, max_size=1)
    try:
        rows = await pool.fetch(
            """SELECT stream, count(*) AS results FROM es_events
            WHERE type = 'StepCompleted' AND stream IN
                (SELECT 'step-' || cache_id FROM rm_run_steps WHERE run_id = $1 AND type NOT LIKE 'SOURCE%')
            GROUP BY stream""",
            run_id,
        )
        run = await PostgresEventStore(pool).load(f"run-{run_id}")
    finally:
        await pool.close()
    assert len(rows) == STEPS
    assert {row["results"] for row in rows} == {1}
    satisfied = [s.step for e in map(decode, run) if isinstance(e, Run.StepsSatisfied) for s in e.steps]
    assert sorted(satisfied) == sorted(set(satisfied))
    assert len(satisfied) == STEPS
