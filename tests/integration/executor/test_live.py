"""Steps in the whole running system: stopped at once, shared, given to another executor, and what they say."""

from __future__ import annotations

import asyncio
import contextlib
import os
import select
import signal
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any
from uuid import uuid4

import httpx
import orjson
import pytest
from nats.aio.msg import Msg
from typer.testing import CliRunner, Result

from artdag_cli.__main__ import app
from artdag_cli.backing import guarded
from artdag_cli.system import System
from artdag_common.application import Application, decode
from artdag_common.domain.step import Step
from artdag_common.eventstore.port import Recorded
from artdag_common.eventstore.postgres import PostgresEventStore, connect
from artdag_common.messaging import subjects
from artdag_common.messaging.bus import Bus
from tests.integration.events.appends import PATIENCE, eventually
from tests.processes import below

EFFECT = """# /// script
# requires-python = ">=3.10"
# [tool.artdag]
# name = "patient"
# version = "1"
# author = "t"
# description = "Goes on until it is stopped. {salt}"
# kind = "media"
# ///
import time

def process(inputs, output, params, ctx):
    print("it has begun", flush=True)
    while True:
        ctx.progress(1, 0)
        time.sleep(0.02)
"""
RECIPE = """name: patient-{salt}
inputs:
  media: {{type: any, description: anything}}
steps:
  - {{id: first, type: NOOP, inputs: [media], config: {{salt: "{salt}"}}}}
  - {{id: long, type: EFFECT, inputs: [first], config: {{effect: {effect}, params: {{}}}}}}
output: long
"""


class Place:
    """The running system, as these tests use it."""

    def __init__(self, live: System, api: httpx.AsyncClient, bus: Bus, app: Application) -> None:
        self.live = live
        self.api = api
        self.bus = bus
        self.app = app

    async def long_step(self) -> Callable[[], Awaitable[str]]:
        """Make a recipe whose second step takes for ever; return what begins a run of it and returns its id."""
        salt = uuid4().hex
        effect = await self.good("POST", "/effects/upload", content=EFFECT.format(salt=salt))
        cid = (await self.good("POST", "/cache/upload", files={"file": ("a.json", b'{"a":1}')}))["cid"]
        recipe = RECIPE.format(salt=salt, effect=effect["cid"])

        async def begin() -> str:
            return str((await self.good("POST", "/runs", json={"recipe": recipe, "inputs": [cid]}))["run_id"])

        return begin

    async def good(self, method: str, path: str, **more: Any) -> Any:
        answer = await self.api.request(method, path, **more)
        assert answer.is_success, answer.text
        return answer.json()

    async def step(self, run_id: str) -> dict[str, Any]:
        """The long step of a run, as its plan shows it; empty while there is no plan."""
        steps = (await self.good("GET", f"/api/run/{run_id}/plan"))["steps"]
        return dict(next((each for each in steps if each["node"] == "long"), {}))

    async def running(self, run_id: str) -> str:
        """Wait until a run waits for the long step, and an executor works on it; return its cache id."""

        async def begun() -> str:
            step = await self.step(run_id)
            waits = step.get("status") in ("scheduled", "running")
            return str(step["cache_id"]) if waits and await self.history(step["cache_id"]) else ""

        return str(await eventually(begun, "the long step runs"))

    async def said(self, run_id: str, words: str) -> str:
        """Wait until the long step has said something, and return its log."""
        number = (await self.step(run_id))["index"]

        async def there() -> str:
            text = (await self.api.get(f"/api/run/{run_id}/steps/{number}/log")).text
            return text if words in text else ""

        return str(await eventually(there, words))

    async def history(self, cache_id: str) -> list[Recorded]:
        return await self.app.store.load(Step.stream(cache_id))

    async def reaches(self, cache_id: str, *types: str) -> list[Any]:
        """Wait until a step's history is this; return its events."""

        async def reached() -> bool:
            found = [each.type for each in await self.history(cache_id)]
            assert found[: len(types)] == list(types)[: len(found)], found
            return len(found) >= len(types)

        await eventually(reached, ", ".join(types))
        return [decode(each) for each in await self.history(cache_id)]


@pytest.fixture(scope="module")
async def place(live: System) -> AsyncIterator[Place]:
    """The running system."""
    bus = await Bus.connect(live.environment["NATS_URL"], "test")
    pool = await connect(live.environment["DATABASE_URL"], 2)
    store = PostgresEventStore(pool)
    headers = {"Authorization": f"Bearer {live.token}"}
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{live.port}", headers=headers, timeout=90) as api:
        yield Place(live, api, bus, Application(store))
    await store.close()
    await pool.close()
    await bus.close()


@pytest.fixture
async def second(place: Place) -> AsyncIterator[None]:
    """Another executor beside the system's own, which is there."""
    told: asyncio.Queue[str] = asyncio.Queue()

    async def hear(message: Msg) -> None:
        told.put_nowait(message.subject)

    hearing = await place.bus.nc.subscribe(subjects.here("*"), cb=hear)
    with (place.live.state / "logs" / "executor-2.log").open("ab") as log:
        process = await asyncio.create_subprocess_exec(
            *guarded(),
            sys.executable,
            "-m",
            "services.executor",
            env={**os.environ, **place.live.environment_of("executor")},
            stdin=asyncio.subprocess.DEVNULL,
            stdout=log,
            stderr=log,
        )
    async with asyncio.timeout(PATIENCE):
        while not (await told.get()).endswith(f"-{process.pid}"):
            pass
    await hearing.unsubscribe()
    yield
    with contextlib.suppress(ProcessLookupError):  # it was the one that a test killed
        process.terminate()
    await process.wait()


async def test_steps_of_an_executor_that_is_killed_go_to_another(place: Place, second: None) -> None:
    run_id = await (await place.long_step())()
    cache_id = await place.running(run_id)
    (started,) = await place.reaches(cache_id, "StepStarted")
    await place.said(run_id, "it has begun")
    killed = int(started.executor.rpartition("-")[2])
    media = [os.pidfd_open(pid) for pid in below(killed)]
    os.kill(killed, signal.SIGKILL)
    _, again = await place.reaches(cache_id, "StepStarted", "StepStarted")
    assert (again.attempt, again.executor != started.executor) == (2, True)
    # Not because the queue found out that nobody gives signs of life: then it would be the same message.
    consumer = await place.bus.js.consumer_info(subjects.WORK, subjects.workers("cpu"))
    assert consumer.num_redelivered == 0
    assert len(media) > 1
    for process in media:  # that of the step, and the effect's below it, do not outlive it
        assert await asyncio.to_thread(select.select, [process], [], [], PATIENCE) == ([process], [], [])
        os.close(process)
    await place.good("POST", f"/runs/{run_id}/cancel")
    await place.reaches(cache_id, "StepStarted", "StepStarted", "StepCancelled")


async def test_a_cancelled_run_stops_what_nobody_else_needs(place: Place) -> None:
    begin = await place.long_step()
    one = await begin()
    cache_id = await place.running(one)
    two = await begin()
    assert await place.running(two) == cache_id
    log = await place.said(one, "it has begun")
    await place.good("POST", f"/runs/{one}/cancel")

    async def shown() -> bool:
        return bool((await place.step(one))["status"] == "cancelled")

    await eventually(shown, "the run's step is cancelled")
    assert [each.type for each in await place.history(cache_id)] == ["StepStarted"], "the other run needs it"
    assert (await place.step(two))["status"] in ("scheduled", "running")
    assert (await place.said(two, log)).startswith(log)
    await place.good("POST", f"/runs/{two}/cancel")
    await place.reaches(cache_id, "StepStarted", "StepCancelled")
    assert "broken off: nobody waits for it any more" in await place.said(two, "broken off")


async def test_a_step_is_followed_from_what_it_said_to_its_end(place: Place) -> None:
    run_id = await (await place.long_step())()
    cache_id = await place.running(run_id)
    before = await place.said(run_id, "it has begun")
    number = (await place.step(run_id))["index"]
    path = f"/api/run/{run_id}/steps/{number}/log"
    seen: list[tuple[str, dict[str, Any]]] = []
    async with place.api.stream("GET", path, headers={"Accept": "text/event-stream"}) as answer:
        assert answer.headers["content-type"].startswith("text/event-stream")
        event = ""
        async for line in answer.aiter_lines():
            name, _, value = line.partition(": ")
            if name == "event":
                event = value
            elif name == "data":
                seen.append((event, orjson.loads(value)))
                if len(seen) == 1:
                    await place.good("POST", f"/runs/{run_id}/cancel")
    assert (seen[0][0], seen[0][1]["attempt"]) == ("log", 1)
    assert seen[0][1]["text"].startswith(before)
    assert seen[-1] == ("end", {"status": "cancelled", "note": ""})
    await place.reaches(cache_id, "StepStarted", "StepCancelled")


async def test_a_log_is_served_as_text_as_json_and_in_words_where_there_is_none(place: Place) -> None:
    run_id = await (await place.long_step())()
    cache_id = await place.running(run_id)
    await place.said(run_id, "it has begun")
    await place.good("POST", f"/runs/{run_id}/cancel")
    await place.said(run_id, "broken off")
    await place.reaches(cache_id, "StepStarted", "StepCancelled")
    path = f"/api/run/{run_id}/steps/{(await place.step(run_id))['index']}/log"
    text = await place.api.get(path, params={"attempt": 1})
    assert (text.headers["content-type"], text.headers["artdag-attempts"]) == ("text/plain; charset=utf-8", "1")
    whole = await place.good("GET", path, headers={"Accept": "application/json"})
    assert whole["text"] == text.text
    assert (whole["node"], whole["attempt"], whole["truncated"], whole["note"]) == ("long", 1, False, "")
    assert [(each["attempt"], each["ended_at"] is None) for each in whole["attempts"]] == [(1, False)]
    assert whole["attempts"][0]["executor"] in text.text
    assert "patient" not in text.text, "neither the recipe's name nor the effect's: others may have called it otherwise"
    other = await place.api.get(path, params={"attempt": 2})
    assert (other.status_code, other.json()["code"]) == (404, "step-log-not-found")
    absent = await place.api.get(f"/api/run/{run_id}/steps/99/log")
    assert (absent.status_code, absent.json()["code"]) == (404, "step-not-found")
    noop = await place.api.get(f"/api/run/{run_id}/steps/1/log")
    assert noop.text.startswith("step 1 (NOOP) takes no time")
    given = await place.good("GET", f"/api/run/{run_id}/steps/0/log", headers={"Accept": "application/json"})
    assert (given["attempt"], given["attempts"], given["text"]) == (None, [], "")
    assert given["note"].startswith("step 0 (SOURCE) takes no time")


async def test_the_command_line_shows_a_log(place: Place) -> None:
    run_id = await (await place.long_step())()
    await place.running(run_id)
    await place.said(run_id, "it has begun")

    async def artdag(*arguments: str) -> Result:
        state = str(place.live.state)
        command = ["log", run_id, *arguments, "--state", state]
        return await asyncio.to_thread(lambda: CliRunner().invoke(app, command))

    shown = await artdag("long")
    assert (shown.exit_code, "it has begun" in shown.stdout) == (0, True)
    following = asyncio.create_task(artdag("long", "--follow"))
    await place.good("POST", f"/runs/{run_id}/cancel")
    followed = await following
    assert followed.exit_code == 0
    assert "it has begun" in followed.stdout
    # For this run it ended when the run was cancelled, a moment before that was told in the step's log.
    assert (await place.said(run_id, "broken off")).startswith(followed.stdout)
    unknown = await artdag("lang")
    assert "has no node 'lang'; it has: first, long, media" in str(unknown.exception)
    in_words = await artdag("first", "--follow")
    assert in_words.stdout.startswith("step 1 (NOOP) takes no time")
