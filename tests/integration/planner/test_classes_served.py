"""Work classes over the whole system: a step waits for an executor of its class, and no other takes it."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from functools import partial
from pathlib import Path
from typing import Any
from uuid import uuid4

import asyncpg
import httpx
import pytest

from artdag_cli.backing import guarded
from artdag_cli.system import ROOT, System
from artdag_common.application import decode
from artdag_common.domain.step import Step
from artdag_common.eventstore.port import Recorded
from tests.integration.events.appends import eventually
from tests.integration.gateway.people import SignIn
from tests.integration.planner.conftest import LIMITS
from tests.integration.planner.test_limits_of_work import (
    OVER,
    cuts,
    film,  # noqa: F401  (the fixture)
    finished,
    idle,  # noqa: F401  (the fixture)
    scheduled,
    some_lengths,
    start,
    status,
    upload,
)

Process = asyncio.subprocess.Process
StartExecutor = Callable[[str], Awaitable[Process]]
EFFECTS = 3
HANDS = 2
"""Hands of an executor of ``gpu``, where one step of that class may run at once."""


@pytest.fixture
async def executor(limited: System) -> AsyncIterator[StartExecutor]:
    """Start a further executor, of these classes only."""
    begun: list[Process] = []

    async def begin(classes: str) -> Process:
        command = (*guarded(), sys.executable, "-m", "services.executor")
        own = {**os.environ, **LIMITS, **limited.environment_of("executor"), "ARTDAG_WORK_CLASSES": classes}
        begun.append(
            await asyncio.create_subprocess_exec(*command, env=own, cwd=ROOT, stderr=asyncio.subprocess.DEVNULL)
        )
        return begun[-1]

    yield begin
    for process in begun:
        if process.returncode is None:
            process.terminate()
        await process.wait()


@pytest.fixture
async def operator(limited: System) -> AsyncIterator[httpx.AsyncClient]:
    headers = {"Authorization": f"Bearer {limited.token}"}
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{limited.port}", headers=headers, timeout=60) as client:
        yield client


def some_seed() -> int:
    """Return a seed that no other step has."""
    return int(uuid4().hex[:7], 16)


def glitches(count: int) -> str:
    """Return a recipe of effects that do not depend on each other, and that nobody computed before."""
    steps = [
        f"  - {{id: g{n}, type: EFFECT, inputs: [film], config: {{effect: glitch, params: {{seed: {some_seed()}}}}}}}"
        for n in range(count)
    ]
    head = [f"name: glitches-{uuid4().hex[:8]}", "inputs:", "  film: {type: video, description: a film}", "steps:"]
    return "\n".join([*head, *steps, f"output: g{count - 1}", ""])


async def told_of(operator: httpx.AsyncClient, work_class: str) -> list[dict[str, Any]]:
    """Return what doctor finds of a work class."""
    report = (await operator.get("/api/doctor")).json()
    about = f"nobody serves the class {work_class}:"
    return [each for each in report["findings"] if each["check"] == "classes" and each["what"].startswith(about)]


async def of_type(client: httpx.AsyncClient, run_id: str, kind: str) -> list[str]:
    """Return the cache ids of a run's steps of a type, in order."""
    plan = (await client.get(f"/api/run/{run_id}/plan")).json()
    return [step["cache_id"] for step in plan["steps"] if step["type"] == kind]


async def happened(books: asyncpg.Pool, cache_ids: list[str]) -> list[Step.Event]:
    """Return the events of steps, in the order in which they happened."""
    rows = await books.fetch(
        """SELECT e.stream, e.version, e.event_id, e.type, e.data, position, e.recorded_at
        FROM es_log JOIN es_events e USING (stream, version) WHERE stream = ANY ($1::text[]) ORDER BY position""",
        [f"step-{cache_id}" for cache_id in cache_ids],
    )
    events = [decode(Recorded(*row)) for row in rows]
    assert all(isinstance(event, Step.Event) for event in events)
    return [event for event in events if isinstance(event, Step.Event)]


def workers(events: list[Step.Event]) -> set[str]:
    """Return the process ids of the executors that began these steps."""
    return {event.executor.rpartition("-")[2] for event in events if isinstance(event, Step.Started)}


async def test_effects_of_a_class_of_their_own_wait_for_it_and_keep_its_limit(
    limited: System,
    books: asyncpg.Pool,
    operator: httpx.AsyncClient,
    sign_in: SignIn,
    executor: StartExecutor,
    film: Path,  # noqa: F811
    idle: None,  # noqa: F811
) -> None:
    """The operator maps the effect to ``gpu`` (ARTDAG_STEP_CLASSES); the executor that is there serves ``cpu`` only."""
    ada = await sign_in()
    cid = await upload(ada, film, books)
    assert not await told_of(operator, "gpu")
    waiting = await start(ada, glitches(EFFECTS), cid)
    await scheduled(books, waiting, EFFECTS)
    beside = await start(ada, cuts(some_lengths(2)), cid)
    assert (await finished(ada, beside))["status"] == "completed", "what is of another class does not wait"
    (finding,) = await eventually(partial(told_of, operator, "gpu"), "doctor tells of the class")
    assert "ARTDAG_WORK_CLASSES" in finding["how"]

    async def on_the_page() -> bool:
        return finding["what"] in (await operator.get("/ops", headers={"Accept": "text/html"})).text

    await eventually(on_the_page, "the page tells of it, too")
    ours = await of_type(ada.client, waiting, "EFFECT")
    assert len(ours) == EFFECTS
    assert (await status(ada, waiting))["status"] == "running"
    assert await happened(books, ours) == [], "nobody takes them"

    served = await executor(f"gpu:{HANDS}")
    assert (await finished(ada, waiting))["status"] == "completed"
    events = await happened(books, ours)
    assert workers(events) == {str(served.pid)}
    at_it, most, ended = 0, 0, Counter[str]()
    for event in events:
        at_it += isinstance(event, Step.Started)
        at_it -= event.type_name in OVER
        most = max(most, at_it)
        ended[event.originator_id] += isinstance(event, Step.Completed)
    assert most == 1, "as the limit of the class says, though it has more hands"
    assert set(ended.values()) == {1}

    async def well() -> bool:
        return not await told_of(operator, "gpu")

    await eventually(well, "there is nothing to tell of the class any more")


async def test_an_executor_of_another_class_takes_no_step_of_the_cpu(
    limited: System,
    books: asyncpg.Pool,
    sign_in: SignIn,
    executor: StartExecutor,
    film: Path,  # noqa: F811
    idle: None,  # noqa: F811
) -> None:
    """Though it is all that there is for a while: that of ``cpu`` stands still, and gets them when it goes on."""
    ada = await sign_in()
    cid = await upload(ada, film, books)
    served = await executor("gpu")
    cpu = limited.supervisor.children["executor"].pid
    warm = await start(ada, glitches(1), cid)
    assert (await finished(ada, warm))["status"] == "completed", "it is there"
    os.kill(cpu, signal.SIGSTOP)
    try:
        cut = await start(ada, cuts(some_lengths(1)), cid)
        await scheduled(books, cut, 1)
        glitched = await start(ada, glitches(1), cid)
        assert (await finished(ada, glitched))["status"] == "completed"
        (step,) = await of_type(ada.client, cut, "SEGMENT")
        assert await happened(books, [step]) == []
    finally:
        os.kill(cpu, signal.SIGCONT)
    assert (await finished(ada, cut))["status"] == "completed"
    assert workers(await happened(books, [step])) == {str(cpu)}
    assert workers(await happened(books, await of_type(ada.client, glitched, "EFFECT"))) == {str(served.pid)}


async def test_a_class_of_the_operator_s_own_is_served_by_those_who_name_it(
    books: asyncpg.Pool,
    operator: httpx.AsyncClient,
    sign_in: SignIn,
    executor: StartExecutor,
    film: Path,  # noqa: F811
    idle: None,  # noqa: F811
) -> None:
    """Together with another class, by one executor. The name is not one of those that every system knows, and the step
    type that it is for (RESIZE) is a part of a chain with an effect that could run anywhere."""
    ada = await sign_in()
    cid = await upload(ada, film, books)
    text = (
        f"{{name: small-{uuid4().hex[:8]}, inputs: {{film: {{type: video, description: a film}}}}, steps:"
        " [{id: turned, type: EFFECT, inputs: [film], config: {effect: invert}},"
        " {id: small, type: RESIZE, inputs: [turned], config: {width: 16, height: 16}}], output: small}"
    )
    run_id = await start(ada, text, cid)
    await eventually(partial(told_of, operator, "nobody"), "it waits for its class")
    (step,) = await eventually(partial(of_type, ada.client, run_id, "CHAIN"), "the plan is shown")
    assert await happened(books, [step]) == []
    both = await executor("nobody:1,highmem:1")
    assert (await finished(ada, run_id))["status"] == "completed"
    assert workers(await happened(books, [step])) == {str(both.pid)}
