"""How many runs may go on at once, over HTTP: strictly so many, whoever asks at the same time, and room comes back."""

from __future__ import annotations

import asyncio
import os
import signal
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import replace
from typing import Any
from uuid import uuid4

import asyncpg
import httpx
import nats
import pytest

from artdag_cli.system import System
from artdag_common.domain.webhook import secret_key
from artdag_common.messaging import subjects
from artdag_common.messaging.bus import STREAMS
from tests.e2e.test_cli import Cli, cli  # noqa: F401  (the fixture)
from tests.integration.events.appends import eventually
from tests.integration.gateway.people import Person, SignIn
from tests.integration.planner.conftest import WEBHOOK_HOST
from tests.integration.receiving import receiver

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

    async def decided(key: str) -> httpx.Response:
        while (answer := await ask(ada, body, key)).status_code == 202 and answer.json()["status"] == "pending":
            pass  # the same key: the same request
        return answer

    answers = await asyncio.gather(*map(decided, keys))
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


@pytest.fixture
def stopped(limited: System) -> Callable[[], AbstractContextManager[None]]:
    """While the block runs, the planner does nothing."""

    @contextmanager
    def stop() -> Iterator[None]:
        pid = limited.supervisor.children["planner"].pid
        os.kill(pid, signal.SIGSTOP)
        try:
            yield
        finally:
            os.kill(pid, signal.SIGCONT)

    return stop


def impatient(key: str) -> dict[str, str]:
    """Return the headers of a request that is answered before the planner is heard."""
    return {"Idempotency-Key": key, "Prefer": "wait=0"}


async def failed(person: Person, pending: httpx.Response) -> dict[str, Any]:
    """Return the run whose request was answered that it is kept, once it failed."""
    assert pending.status_code == 202, pending.text
    assert pending.json()["status"] == "pending"

    async def seen() -> dict[str, Any] | None:
        answer = await person.client.get(pending.json()["links"]["resource"])
        return answer.json() if answer.status_code == 200 and answer.json()["status"] == "failed" else None

    return dict(await eventually(seen, "a run that failed"))


async def test_what_is_refused_after_it_was_said_to_be_kept_ends_wherever_somebody_looks(
    limited: System,
    books: asyncpg.Pool,
    stopped: Callable[[], AbstractContextManager[None]],
    cli: Cli,  # noqa: F811
    quiet: None,
) -> None:
    headers = {"Authorization": f"Bearer {limited.token}"}
    url = f"http://127.0.0.1:{limited.port}"
    async with (
        httpx.AsyncClient(base_url=url, headers=headers, timeout=60) as client,
        receiver(WEBHOOK_HOST) as there,
    ):
        me = Person("owner", limited.token, client)
        body = await recipe_of(me)
        await eventually(lambda: books.fetchval("SELECT count(*) = 0 FROM planner_active"), "content is described")
        begun = [(await ask(me, body)).json()["run_id"] for _ in range(MOST_OF_USER)]
        hook = (await client.post("/webhooks", json={"url": there.url})).json()
        there.key = secret_key(hook["secret"])
        key, wished = uuid4().hex, body | {"force": ["small"]}
        with stopped():
            pending = await client.post("/runs", json=wished, headers=impatient(key))
        run = await failed(me, pending)
        run_id, error = run["run_id"], run["error"]
        assert pending.json()["links"]["resource"] == f"/runs/{run_id}"
        assert (error["code"], error["kind"], error["step"]) == ("queue-full", "stopped", None)
        assert f"{MOST_OF_USER} runs going on" in error["reason"]
        assert "cancel one" in error["advice"]
        assert error["links"]["retry"] == f"/runs/{run_id}/retry"

        listed = (await client.get("/runs", params={"status": "failed"})).json()["runs"]
        assert run_id in [each["run_id"] for each in listed]
        page = await client.get(f"/runs/{run_id}", headers={"Accept": "text/html"})
        assert error["reason"] in page.text
        assert error["advice"] in page.text
        stream = await client.get(f"/runs/{run_id}/events")
        assert [line for line in stream.text.splitlines() if line.startswith("event:")] == [
            "event: RunRequested",
            "event: RunFailed",
        ]

        async def told() -> list[dict[str, Any]]:
            return [each.said for each in there.came if each.said["data"]["run_id"] == run_id]

        (message,) = await eventually(told, "the webhook is told")
        assert (message["type"], message["data"]["error"]["code"]) == ("run.failed", "queue-full")
        outcome = (await client.get(pending.json()["links"]["command"])).json()
        assert (outcome["status"], outcome["values"]["run_id"]) == ("accepted", run_id)
        watched = await cli("watch", run_id, "--state", limited.state)
        assert watched.code == 1
        assert error["reason"] in " ".join((watched.out + watched.err).split())

        # The key names that run, for ever; another request, or a retry, is let in when there is room.
        repeated = await ask(me, wished, key)
        assert (repeated.status_code, repeated.json()["run_id"]) == (201, run_id)
        assert repeated.json()["error"].items() <= error.items()
        assert (await client.post(f"/runs/{run_id}/retry")).status_code == 429
        await cancel(me, begun[:1])
        again = await client.post(f"/runs/{run_id}/retry")
        assert again.status_code in (201, 202), again.text
        assert again.json()["run_id"] != run_id
        assert again.json()["differs"]["force"] == ["small"], "what was to be computed again, and was not, still is"
        await cancel(me, [*begun[1:], again.json()["run_id"]])
        assert (await client.delete(f"/runs/{run_id}")).status_code == 200
        assert (await client.delete(f"/webhooks/{hook['webhook_id']}")).status_code == 200


async def test_whoever_waits_for_no_answer_finds_an_end_of_each_run_that_is_not_let_in(
    books: asyncpg.Pool, sign_in: SignIn, quiet: None
) -> None:
    """However gateway and planner miss each other: none is let in beyond the limit, none is never heard of, and of one
    whose refusal was heard in time there is nothing."""
    ada = await sign_in()
    body = await recipe_of(ada)
    await eventually(lambda: books.fetchval("SELECT count(*) = 0 FROM planner_active"), "content is described")
    answers = await asyncio.gather(
        *(ada.client.post("/runs", json=body, headers=impatient(uuid4().hex)) for _ in range(30))
    )
    assert {answer.status_code for answer in answers} <= {201, 202, 429}
    places = [answer.headers["Location"] for answer in answers if answer.status_code != 429]

    async def decided() -> Counter[str]:
        found = [await ada.client.get(place) for place in places]
        shown = [each.json()["status"] if each.status_code == 200 else "requested" for each in found]
        # One that is refused is shown as requested for a moment, too.
        standing = Counter({"failed": "failed", "requested": "unknown"}.get(each, "begun") for each in shown)
        return Counter() if standing["unknown"] else standing

    standing = await eventually(decided, "all are decided")
    assert (standing["begun"], standing.total()) == (MOST_OF_USER, len(places))
    runs = [(await ada.client.get(place)).json() for place in places]
    listed = (await ada.client.get("/runs", params={"limit": 200, "owner": "me"})).json()["runs"]
    assert {run["run_id"] for run in listed} == {run["run_id"] for run in runs}
    assert {run["error"]["code"] for run in runs if run["status"] == "failed"} <= {"queue-full"}
    await cancel(ada, [run["run_id"] for run in runs if run["status"] != "failed"])


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
