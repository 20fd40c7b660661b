"""How many steps are with executors at once, and whose is next, over the whole system."""

from __future__ import annotations

import asyncio
import os
import signal
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from functools import partial
from pathlib import Path
from typing import Any
from uuid import uuid4

import asyncpg
import pytest

from artdag_cli.demo_media import make_cat
from artdag_cli.system import System
from tests.integration.events.appends import eventually
from tests.integration.gateway.people import Person, SignIn

FRAMES = 12
STEPS = 4
OVER = ("StepCompleted", "StepFailed", "StepCancelled")


@pytest.fixture(scope="module")
def film(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A film that a step takes a moment for."""
    path = tmp_path_factory.mktemp("film") / "cat.mp4"
    make_cat(path, FRAMES)
    return path


@pytest.fixture
async def idle(books: asyncpg.Pool) -> AsyncIterator[None]:
    """No slot is taken when a test is over."""
    yield
    await eventually(lambda: books.fetchval("SELECT count(*) = 0 FROM planner_slots"), "every slot is given back")


@pytest.fixture
def held(limited: System) -> Iterator[Any]:
    """Executors do nothing until this is called."""
    pid = limited.supervisor.children["executor"].pid
    os.kill(pid, signal.SIGSTOP)

    def release() -> None:
        os.kill(pid, signal.SIGCONT)

    yield release
    release()


async def upload(person: Person, film: Path, books: asyncpg.Pool) -> str:
    """Store the film, and wait until it is described."""
    answer = await person.client.post("/cache/upload", files={"file": ("cat.mp4", film.read_bytes())})
    assert answer.status_code in (200, 201), answer.text
    cid = str(answer.json()["cid"])

    async def described() -> bool:
        return bool((await person.client.get(f"/cache/{cid}")).json()["facts"]["status"] == "known")

    await eventually(described, "the film is described")
    await eventually(lambda: books.fetchval("SELECT count(*) = 0 FROM planner_active"), "that run is over")
    return cid


def cuts(lengths: list[float]) -> str:
    """Return a recipe of cuts that do not depend on each other."""
    steps = [
        f"  - {{id: c{n}, type: SEGMENT, inputs: [film], config: {{duration: {d!r}}}}}" for n, d in enumerate(lengths)
    ]
    head = [f"name: cuts-{uuid4().hex[:8]}", "inputs:", "  film: {type: video, description: a film}", "steps:"]
    return "\n".join([*head, *steps, f"output: c{len(lengths) - 1}", ""])


def some_lengths(count: int) -> list[float]:
    """Return lengths, in seconds, that no other step has: the same frames, but other steps."""
    return [0.2 + int(uuid4().hex[:7], 16) / 1e13 for _ in range(count)]


async def start(person: Person, text: str, cid: str, **wishes: Any) -> str:
    answer = await person.client.post("/runs", json={"recipe": text, "inputs": [cid], **wishes})
    assert answer.status_code in (201, 202), answer.text
    return str(answer.json()["run_id"])


async def status(person: Person, run_id: str) -> dict[str, Any]:
    found: dict[str, Any] = (await person.client.get(f"/runs/{run_id}")).json()
    return found


async def finished(person: Person, run_id: str) -> dict[str, Any]:
    async def over() -> dict[str, Any] | None:
        run = await status(person, run_id)
        return run if run["status"] in ("completed", "failed", "cancelled") else None

    found: dict[str, Any] = await eventually(over, f"{run_id} is over")
    return found


async def cache_ids(person: Person, run_id: str) -> list[str]:
    """Return the cache ids of a run's cuts, in order."""
    plan = (await person.client.get(f"/api/run/{run_id}/plan")).json()
    return [step["cache_id"] for step in plan["steps"] if step["type"] == "SEGMENT"]


async def scheduled(books: asyncpg.Pool, run_id: str, count: int) -> None:
    """Wait until a run waits for so many steps."""

    async def waits() -> bool:
        return bool(await books.fetchval("SELECT count(*) = $2 FROM planner_waits WHERE run_id = $1", run_id, count))

    await eventually(waits, f"{run_id} waits for {count} steps")


async def begun(books: asyncpg.Pool, wanted: list[str]) -> list[tuple[str, str]]:
    """Return what happened to steps, in order: cache id, type of event."""
    rows = await books.fetch(
        """SELECT stream, type FROM es_log JOIN es_events USING (stream, version)
        WHERE stream = ANY ($1::text[]) ORDER BY position""",
        [f"step-{cache_id}" for cache_id in wanted],
    )
    return [(row["stream"].removeprefix("step-"), row["type"]) for row in rows]


async def test_never_more_than_the_limits_though_planners_are_killed(
    limited: System,
    second: asyncio.subprocess.Process,
    books: asyncpg.Pool,
    sign_in: SignIn,
    film: Path,
    idle: None,
) -> None:
    people = [await sign_in() for _ in range(3)]
    cid = {await upload(person, film, books) for person in people}.pop()
    runs = [await start(person, cuts(some_lengths(STEPS)), cid) for person in people]
    for pid in (limited.supervisor.children["planner"].pid, second.pid):
        before = await books.fetchval("SELECT count(*) FROM es_events WHERE type = 'StepCompleted'")

        async def more(before: int = before) -> bool:
            return bool(
                await books.fetchval("SELECT count(*) > $1 FROM es_events WHERE type = 'StepCompleted'", before)
            )

        await eventually(more, "steps end")
        os.kill(pid, signal.SIGKILL)
    ends = await asyncio.gather(*(finished(person, run_id) for person, run_id in zip(people, runs, strict=True)))
    assert {end["status"] for end in ends} == {"completed"}

    of_user = {c: p.user for p, run_id in zip(people, runs, strict=True) for c in await cache_ids(p, run_id)}
    assert len(of_user) == 3 * STEPS
    at_it: set[str] = set()
    most, most_of_user, ended = 0, 0, Counter[str]()
    for cache_id, kind in await begun(books, list(of_user)):
        if kind == "StepStarted":
            at_it.add(cache_id)
        elif kind in OVER:
            at_it.discard(cache_id)
            ended[cache_id] += kind == "StepCompleted"
        most = max(most, len(at_it))
        most_of_user = max([most_of_user, *Counter(of_user[c] for c in at_it).values()])
    assert (most, most_of_user) == (2, 1), "as many as there may be, and no more"
    assert set(ended.values()) == {1}
    assert len(ended) == 3 * STEPS


async def test_a_cancelled_run_gives_its_slot_to_the_next_though_executors_do_nothing(
    limited: System, books: asyncpg.Pool, sign_in: SignIn, film: Path, held: Any, idle: None
) -> None:
    held()
    ada = await sign_in()
    cid = await upload(ada, film, books)
    os.kill(limited.supervisor.children["executor"].pid, signal.SIGSTOP)
    first, second = [await start(ada, cuts(some_lengths(1)), cid) for _ in range(2)]
    for run_id in (first, second):
        await scheduled(books, run_id, 1)
    ours = [(await eventually(partial(cache_ids, ada, each), "the plan is shown"))[0] for each in (first, second)]
    taken = "SELECT count(*) = 1 AND min(cache_id) = $1 FROM planner_slots"
    await eventually(lambda: books.fetchval(taken, ours[0]), "the first has the slot")
    answer = await ada.client.post(f"/runs/{first}/cancel", json={"reason": "enough"})
    assert answer.status_code < 300, answer.text
    await eventually(lambda: books.fetchval(taken, ours[1]), "the second has it")
    held()
    assert (await finished(ada, second))["status"] == "completed"
    assert (await status(ada, first))["status"] == "cancelled"


async def test_what_an_interactive_run_waits_for_goes_before_the_rest_of_a_batch(
    limited: System, books: asyncpg.Pool, sign_in: SignIn, film: Path, held: Any, idle: None
) -> None:
    held()
    ada = await sign_in()
    cid = await upload(ada, film, books)
    os.kill(limited.supervisor.children["executor"].pid, signal.SIGSTOP)
    lengths = some_lengths(4)
    patient = await start(ada, cuts(lengths), cid, priority="batch")
    await scheduled(books, patient, 4)
    await eventually(lambda: books.fetchval("SELECT count(*) = 1 FROM planner_slots"), "one has the slot")
    urgent = await start(ada, cuts(lengths[3:]), cid)
    await scheduled(books, urgent, 1)
    held()
    assert (await finished(ada, patient))["status"] == "completed"
    assert (await finished(ada, urgent))["status"] == "completed"
    ours = await cache_ids(ada, patient)
    order = [ours.index(cache_id) for cache_id, kind in await begun(books, ours) if kind == "StepStarted"]
    assert order[1] == 3, "the shared step goes second, after the one that had the slot"
    assert sorted(order) == [0, 1, 2, 3]


async def test_a_step_of_a_class_that_nobody_serves_fails_when_it_has_waited_long_enough(
    books: asyncpg.Pool, sign_in: SignIn, film: Path, idle: None
) -> None:
    ada = await sign_in()
    cid = await upload(ada, film, books)
    text = (
        f"{{name: small-{uuid4().hex[:8]}, inputs: {{film: {{type: video, description: a film}}}}, steps:"
        " [{id: small, type: RESIZE, inputs: [film], config: {width: 16, height: 16}}], output: small}"
    )
    run = await finished(ada, await start(ada, text, cid, wait_timeout=1))
    assert run["status"] == "failed"
    assert run["error"]["code"] == "wait-timeout"
