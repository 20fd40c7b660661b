"""Webhooks end to end: a real receiver is told how runs end, as the one whose runs they are set it up."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any
from uuid import uuid4

import asyncpg
import httpx
import pytest
from typer.testing import CliRunner

from artdag_cli.__main__ import app
from artdag_cli.system import System
from artdag_common.domain.webhook import secret_key
from artdag_common.messaging.bus import Bus
from tests.integration.federation.registry import answer
from tests.integration.gateway.conftest import WEBHOOK_HOST
from tests.integration.gateway.people import SignIn, signing_in
from tests.integration.receiving import TEXT, Message, Receiver, receiver

SECONDS = 150.0
Problem = Callable[..., dict[str, Any]]
Run = Callable[..., Awaitable[dict[str, Any]]]


@pytest.fixture
async def there() -> AsyncIterator[Receiver]:
    async with receiver(WEBHOOK_HOST) as it:
        yield it


@pytest.fixture(scope="module")
async def sign_in(url: str, bus: Bus) -> AsyncIterator[SignIn]:
    async with signing_in(url, bus) as it:
        yield it


@pytest.fixture
async def person(sign_in: SignIn) -> httpx.AsyncClient:
    """Somebody who has nothing yet."""
    return (await sign_in()).client


@pytest.fixture
def render(chain_text: Callable[[str, int], str]) -> Run:
    """Have somebody render something that nobody has rendered before; ``hold``: only plan it."""

    async def start(client: httpx.AsyncClient, *, hold: bool = False) -> dict[str, Any]:
        cid = (await client.post("/cache/upload", files={"file": uuid4().bytes})).json()["cid"]
        body = {"recipe": chain_text(f"told-{uuid4().hex[:8]}", 1), "inputs": {"media": cid}}
        made = await client.post("/api/plan" if hold else "/runs", json=body)
        assert made.status_code == 201, made.text
        return dict(made.json())

    return start


async def until(check: Callable[[], Awaitable[Any]]) -> Any:
    """Wait for something that follows by itself, and return it."""
    async with asyncio.timeout(SECONDS):
        while not (found := await check()):
            await asyncio.sleep(0.05)
    return found


async def add(client: httpx.AsyncClient, there: Receiver, **more: Any) -> dict[str, Any]:
    made = await client.post("/webhooks", json={"url": there.url, **more})
    assert made.status_code == 201, made.text
    return dict(made.json())


async def first(there: Receiver) -> Message:
    async def came() -> bool:
        return bool(there.came)

    await until(came)
    return there.came[0]


async def settled(client: httpx.AsyncClient, webhook: str, state: str) -> dict[str, Any]:
    """Wait until the last thing that a webhook was told is in a state, and return it."""

    async def check() -> dict[str, Any] | None:
        told = (await client.get(f"/webhooks/{webhook}")).json()["deliveries"]
        return told[0] if told and told[0]["state"] == state else None

    return dict(await until(check))


async def test_a_completed_run_is_told_as_it_is(person: httpx.AsyncClient, there: Receiver, render: Run) -> None:
    made = await add(person, there)
    there.key = secret_key(made["secret"])
    run_id = (await render(person))["run_id"]
    message = await first(there)
    shown = (await person.get(f"/runs/{run_id}")).json()
    told = message.said["data"]
    assert message.said["type"] == "run.completed"
    same = ("run_id", "status", "recipe", "recipe_cid", "output_name", "output_cid", "provenance_cid", "error")
    assert {name: told[name] for name in same} == {name: shown[name] for name in same}
    for name in ("output_url", "provenance_url"):
        assert told[name].endswith(shown[name])
        assert (await person.get(shown[name])).status_code == 200
    delivered = await settled(person, made["webhook_id"], "delivered")
    assert (delivered["delivery_id"], delivered["run_id"]) == (message.id, run_id)
    assert (delivered["attempts"], delivered["status"], delivered["reason"]) == (1, 204, None)
    assert len(there.came) == 1


async def test_a_cancelled_run_is_told_only_to_whose_it_is(
    person: httpx.AsyncClient, sign_in: SignIn, there: Receiver, render: Run
) -> None:
    other = (await sign_in()).client
    await add(person, there, events=["run.cancelled"], secret=TEXT)
    async with receiver(WEBHOOK_HOST) as elsewhere:
        await add(other, elsewhere, secret=TEXT)
        for client in (other, person):
            run = await render(client, hold=True)
            await client.post(f"/runs/{run['run_id']}/cancel", json={"reason": f"of {run['run_id']}"})
        for receives in (there, elsewhere):
            message = await first(receives)
            data = message.said["data"]
            assert (data["status"], data["error"]["reason"]) == ("cancelled", f"of {data['run_id']}")
            assert len(receives.came) == 1
        assert there.came[0].said["data"]["run_id"] == run["run_id"] != elsewhere.came[0].said["data"]["run_id"]


async def test_a_secret_is_shown_once(person: httpx.AsyncClient, there: Receiver) -> None:
    key = {"Idempotency-Key": uuid4().hex}
    made = await person.post("/webhooks", json={"url": there.url}, headers=key)
    again = await person.post("/webhooks", json={"url": there.url}, headers=key)
    assert again.status_code == made.status_code == 201
    assert again.json() == made.json()
    body = made.json()
    assert secret_key(body["secret"])
    assert made.headers["location"] == body["links"]["self"]
    other = await add(person, there)
    assert other["secret"] != body["secret"]
    seen = [await person.get("/webhooks"), await person.get(body["links"]["self"])]
    seen.append(await person.patch(body["links"]["self"], json={"secret": TEXT}))
    for answered in seen:
        assert answered.status_code == 200
        assert "whsec_" not in answered.text
    assert [each["webhook_id"] for each in seen[0].json()["webhooks"]] == [other["webhook_id"], body["webhook_id"]]
    assert seen[2].json()["secret_set_at"] > seen[1].json()["secret_set_at"]


async def test_what_breaks_a_rule_is_named_and_no_secret_shown(
    person: httpx.AsyncClient, there: Receiver, problem: Problem
) -> None:
    for body, code, field in (
        ({"url": there.url, "secret": "hunter2hunter2"}, "invalid-request", "secret"),
        ({"url": there.url, "secret": {"hunter2hunter2": 1}}, "invalid-request", "secret"),
        ({"url": there.url, "events": ["run.paused"]}, "invalid-request", "events"),
        ({"url": there.url, "secrets": "hunter2hunter2"}, "invalid-request", "secrets"),
        ({"url": "http://127.0.0.1:1/"}, "webhook-refused", "url"),
        ({"url": "https://127.0.0.1:1/"}, "webhook-refused", "url"),
    ):
        told = problem(await person.post("/webhooks", json=body), 422, code)
        assert field in told["detail"]
        assert "hunter2" not in json.dumps(told)
    assert (await person.get("/webhooks")).json() == {"webhooks": [], "total": 0}


async def test_anothers_webhook_is_none(
    person: httpx.AsyncClient, sign_in: SignIn, there: Receiver, problem: Problem
) -> None:
    other = (await sign_in()).client
    url = (await add(person, there))["links"]["self"]
    for answered in (
        await other.get(url),
        await other.patch(url, json={"enabled": False}),
        await other.post(f"{url}/test"),
        await other.delete(url),
        await other.post(f"{url}/deliveries/{uuid4()}/retry"),
    ):
        problem(answered, 404, "webhook-not-found")
    problem(await person.post(f"{url}/deliveries/{uuid4()}/retry"), 404, "delivery-not-found")
    assert not there.came


async def test_a_ping_tells_what_came_back(person: httpx.AsyncClient, there: Receiver) -> None:
    url = (await add(person, there, secret=TEXT))["links"]["self"]
    there.answers = [answer(503, "not yet")]
    came = (await person.post(f"{url}/test")).json()
    assert (came["ok"], came["status"], came["reason"]) == (False, 503, "it answers 503: not yet")
    came = (await person.post(f"{url}/test")).json()
    assert (came["ok"], came["status"], came["reason"]) == (True, 204, None)
    assert [each.said["type"] for each in there.came] == ["ping", "ping"]


async def test_what_waits_and_what_gave_up_can_be_seen_and_sent_again(
    person: httpx.AsyncClient, there: Receiver, render: Run, problem: Problem
) -> None:
    webhook = await add(person, there, secret=TEXT)
    url = webhook["links"]["self"]
    there.answers = [answer(503, "busy", {"Retry-After": "3000"})]
    await render(person)

    async def refused() -> dict[str, Any] | None:
        told = (await person.get(url)).json()["deliveries"]
        return told[0] if told and told[0]["attempts"] else None

    waits = await until(refused)
    assert (waits["state"], waits["status"], waits["reason"]) == ("waiting", 503, "it answers 503: busy")
    assert waits["next_attempt_at"] > waits["requested_at"]
    there.answers = [answer(410)]
    assert (await person.post(waits["links"]["retry"])).status_code == 200
    gone = await settled(person, webhook["webhook_id"], "gave-up")
    assert (gone["delivery_id"], gone["status"], gone["next_attempt_at"]) == (waits["delivery_id"], 410, None)

    async def disabled() -> bool:
        return not (await person.get(url)).json()["enabled"]

    await until(disabled)
    assert (await person.get(url)).json()["reason"] == "it answers 410: it is gone"
    problem(await person.post(gone["links"]["retry"]), 409, "webhook-disabled")
    back = (await person.patch(url, json={"enabled": True})).json()
    assert (back["enabled"], back["reason"]) == (True, None)
    assert (await person.post(gone["links"]["retry"])).json()["state"] in ("waiting", "delivered")
    again = await settled(person, webhook["webhook_id"], "delivered")
    assert again["delivery_id"] == waits["delivery_id"]
    assert {each.id for each in there.came} == {waits["delivery_id"]}


async def test_what_a_webhook_was_told_comes_in_pages(person: httpx.AsyncClient, there: Receiver, render: Run) -> None:
    webhook = await add(person, there, secret=TEXT)
    runs = []
    for _ in range(3):
        runs.append((await render(person))["run_id"])

    async def all_told() -> bool:
        return (await person.get(webhook["links"]["self"])).json()["total"] == 3

    await until(all_told)
    seen: list[str] = []
    more: dict[str, Any] = {"limit": 2}
    while True:
        page = (await person.get(webhook["links"]["self"], params=more)).json()
        seen += [each["run_id"] for each in page["deliveries"]]
        if page["next"] is None:
            break
        more["cursor"] = page["next"]
    assert sorted(seen) == sorted(runs)


async def test_a_webhook_that_is_deleted_is_gone_and_that_is_on_record(
    person: httpx.AsyncClient, there: Receiver, render: Run, problem: Problem
) -> None:
    made = await add(person, there, secret=TEXT)
    url, key = made["links"]["self"], {"Idempotency-Key": uuid4().hex}
    for _ in range(2):
        answered = await person.delete(url, headers=key)
        assert answered.json() == {"webhook_id": made["webhook_id"], "deleted": True}
    problem(await person.get(url), 404, "webhook-not-found")
    entries = (await person.get("/api/audit", params={"kind": "deletion"})).json()["entries"]
    assert [(each["event"], each["what"]) for each in entries] == [("WebhookRemoved", f"webhook-{made['webhook_id']}")]


async def test_a_person_who_is_erased_leaves_no_webhook(
    live: System, api: httpx.AsyncClient, sign_in: SignIn, there: Receiver
) -> None:
    who = await sign_in()
    made = await add(who.client, there)
    done = await api.delete(f"/api/users/{who.user}")
    assert done.status_code == 200, done.text
    assert done.json()["removed"] == {"webhooks": 1}
    connection = await asyncpg.connect(live.environment["DATABASE_URL"])
    try:
        for table in ("webhooks", "webhook_notices", "rm_webhooks", "rm_notices"):
            query = f"SELECT count(*) FROM {table} WHERE webhook_id = $1"

            async def gone(query: str = query) -> bool:
                return await connection.fetchval(query, made["webhook_id"]) == 0

            await until(gone)
    finally:
        await connection.close()


async def test_the_command_line(live: System, there: Receiver, make_recipe: Any, asset: str, finish: Any) -> None:
    async def cli(*arguments: str) -> Any:
        options = ["--state", str(live.state)]
        return await asyncio.to_thread(CliRunner().invoke, app, ["webhook", *arguments, *options])

    made = json.loads((await cli("add", there.url, "--event", "run.completed", "--json")).stdout)
    there.key = secret_key(made["secret"])
    key = made["webhook_id"]
    shown = (await cli("list")).stdout
    assert f"{key}  {there.url}  run.completed" in shown
    there.answers = [answer(500, "broken")]
    failed, worked = await cli("test", key[:13]), await cli("test", key)
    assert (failed.exit_code, worked.exit_code) == (1, 0)
    assert "it answers 500: broken" in failed.output
    assert worked.stdout.startswith("it answers 204 after")
    async with httpx.AsyncClient(
        base_url=f"http://127.0.0.1:{live.port}", headers={"Authorization": f"Bearer {live.token}"}, timeout=60
    ) as owner:
        recipe = await make_recipe(1)
        run = await owner.post(f"/recipes/{recipe['recipe_id']}/run", json={"inputs": {"media": asset}})
        told = await settled(owner, key, "delivered")
    assert told["run_id"] == run.json()["run_id"]
    listed = (await cli("deliveries", key)).stdout
    assert f"{told['delivery_id']}" in listed
    assert f"{told['run_id']}  delivered after 1" in listed
    assert (await cli("retry", key, told["delivery_id"])).exit_code == 0
    assert (await cli("remove", key)).exit_code == 0
    assert key not in (await cli("list")).stdout
