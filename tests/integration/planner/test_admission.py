"""How many runs may go on at once, over HTTP: strictly so many, whoever asks at the same time, and room comes back."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any
from uuid import uuid4

import asyncpg
import httpx
import nats
import pytest

from artdag_cli.system import System
from artdag_common.messaging import subjects
from artdag_common.messaging.bus import STREAMS
from tests.integration.events.appends import eventually
from tests.integration.gateway.people import Person, SignIn

MOST_OF_USER, MOST = 10, 14


async def recipe_of(person: Person) -> dict[str, Any]:
    """Return the body that starts a run which waits for an executor of a class that nobody serves."""
    answer = await person.client.post("/cache/upload", files={"file": ("a.bin", b"\0" + uuid4().bytes)})
    text = (
        f"{{name: waits-{uuid4().hex[:8]}, inputs: {{media: {{type: any, description: anything}}}},"
        " steps: [{id: small, type: RESIZE, inputs: [media], config: {width: 16, height: 16}}], output: small}"
    )
    recipe = await person.client.post("/recipes/upload", content=text, headers={"Content-Type": "application/yaml"})
    assert recipe.status_code == 201, recipe.text
    return {"recipe": recipe.json()["recipe_id"], "inputs": [answer.json()["cid"]]}


async def active(books: asyncpg.Pool, user: str) -> int:
    found = await books.fetchval("SELECT count(*) FROM planner_active WHERE owner = $1", user)
    return int(found)


async def ask(person: Person, body: dict[str, Any], key: str = "") -> httpx.Response:
    headers = {"Idempotency-Key": key} if key else {}
    return await person.client.post("/runs", json=body, headers=headers)


@pytest.fixture
async def quiet(books: asyncpg.Pool) -> AsyncIterator[None]:
    """Nothing goes on before."""

    async def nothing() -> bool:
        return bool(await books.fetchval("SELECT count(*) = 0 FROM planner_active"))

    await eventually(nothing, "nothing goes on")
    yield
    await eventually(nothing, "the test left nothing behind")


async def cancel(person: Person, runs: list[str]) -> None:
    for run_id in runs:
        answer = await person.client.post(f"/runs/{run_id}/cancel", json={"reason": "enough"})
        assert answer.status_code < 300, answer.text


async def test_of_thirty_at_once_ten_are_let_in_and_others_have_room(
    limited: System, second: asyncio.subprocess.Process, books: asyncpg.Pool, sign_in: SignIn, quiet: None
) -> None:
    ada, bob = await sign_in(), await sign_in()
    body, theirs = await recipe_of(ada), await recipe_of(bob)
    await eventually(lambda: books.fetchval("SELECT count(*) = 0 FROM planner_active"), "content is described")
    keys = [uuid4().hex for _ in range(30)]
    answers = await asyncio.gather(*(ask(ada, body, key) for key in keys))
    statuses = Counter(201 if a.status_code in (201, 202) else a.status_code for a in answers)
    assert statuses == {201: MOST_OF_USER, 429: 30 - MOST_OF_USER}
    assert await active(books, ada.user) == MOST_OF_USER
    refused = {key: a for key, a in zip(keys, answers, strict=True) if a.status_code == 429}
    for answer in refused.values():
        assert int(answer.headers["Retry-After"]) > 0
        problem = answer.json()
        assert problem["code"] == "queue-full"
        assert f"{MOST_OF_USER} runs going on" in problem["detail"]
        assert "cancel one" in problem["detail"]
    runs = [a.json()["run_id"] for a in answers if a.status_code != 429]

    # Others are let in, until the system is full.
    others = [await ask(bob, theirs) for _ in range(MOST - MOST_OF_USER)]
    assert {a.status_code for a in others} <= {201, 202}
    full = await ask(bob, theirs)
    assert full.status_code == 503, full.text
    assert full.json()["code"] == "system-busy"
    assert int(full.headers["Retry-After"]) > 0
    assert await active(books, bob.user) == MOST - MOST_OF_USER

    # When one ends there is room for one: under a new key, or under one that was refused before.
    await cancel(ada, runs[:1])
    key = next(iter(refused))
    again = await ask(ada, body, key)
    assert again.status_code in (201, 202), again.text
    assert (await ask(ada, body, key)).json()["run_id"] == again.json()["run_id"], "the key names one run"
    assert (await ask(ada, body, uuid4().hex)).status_code == 429
    await cancel(ada, runs[1:2])
    new = await ask(ada, body, uuid4().hex)
    assert new.status_code in (201, 202)
    assert await active(books, ada.user) == MOST_OF_USER
    await cancel(ada, [*runs[2:], again.json()["run_id"], new.json()["run_id"]])
    await cancel(bob, [a.json()["run_id"] for a in others])


async def test_where_the_bus_takes_no_more_nothing_is_accepted_and_the_client_is_told_when_to_come_again(
    limited: System, books: asyncpg.Pool, sign_in: SignIn, quiet: None
) -> None:
    ada = await sign_in()
    body = await recipe_of(ada)
    await eventually(lambda: books.fetchval("SELECT count(*) = 0 FROM planner_active"), "content is described")
    usual = next(config for config in STREAMS if config.name == subjects.COMMANDS)
    key = uuid4().hex
    async with await nats.connect(limited.environment["NATS_URL"]) as operator:
        js = operator.jetstream()
        await js.publish("cmd.nobody.Wait.here", b"")
        await js.update_stream(replace(usual, max_msgs=1))
        try:
            refused = await ask(ada, body, key)
        finally:
            await js.update_stream(usual)
            await js.purge_stream(subjects.COMMANDS, subject="cmd.nobody.>")
    assert refused.status_code == 503, refused.text
    assert int(refused.headers["Retry-After"]) > 0
    assert refused.json()["code"] == "service-unavailable"
    assert await active(books, ada.user) == 0
    accepted = await ask(ada, body, key)
    assert accepted.status_code in (201, 202), accepted.text
    await cancel(ada, [accepted.json()["run_id"]])
