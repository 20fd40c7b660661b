"""Erasing a person over the running system: nobody knows them any more, and history stays whole."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any
from uuid import uuid4

import asyncpg
import httpx
import pytest
from typer.testing import CliRunner

from artdag_cli.__main__ import app as cli
from artdag_cli.system import System
from artdag_common.commands import AttachToken
from artdag_common.domain.access import hash_token
from artdag_common.eventstore import postgres
from artdag_common.eventstore.chain import verify_chain
from tests.integration.gateway.people import Person, SignIn, signing_in
from tests.integration.gateway.test_effects import PYTHON
from tests.integration.gateway.test_effects import source as effect_source

SECONDS = 90
YAML = {"Content-Type": "application/yaml"}


@pytest.fixture
async def person(url, bus) -> AsyncIterator[SignIn]:
    """Signs people in."""
    async with signing_in(url, bus) as sign_in:
        yield sign_in


@pytest.fixture
async def database(live: System) -> AsyncIterator[asyncpg.Pool]:
    """The running system's database, as its operator."""
    pool = await postgres.connect(live.environment["DATABASE_URL"], 2)
    yield pool
    await pool.close()


async def upload(client: httpx.AsyncClient, data: bytes = b"") -> str:
    answer = await client.post("/cache/upload", files={"file": ("a.bin", data or uuid4().bytes)})
    assert answer.status_code == 201, answer.text
    return str(answer.json()["cid"])


async def render(client: httpx.AsyncClient, recipe: str, content: str) -> dict[str, Any]:
    """Return a run that is over."""
    answer = await client.post("/runs", json={"recipe": recipe, "inputs": [content]})
    assert answer.status_code == 201, answer.text
    url = answer.json()["links"]["self"]
    async with asyncio.timeout(SECONDS):
        while True:
            run = dict((await client.get(url)).json())
            if run["status"] in ("completed", "failed"):
                assert run["status"] == "completed", run
                return run
            await asyncio.sleep(0.02)


async def erase(api: httpx.AsyncClient, user: str, **asked: str) -> dict[str, Any]:
    """Ask until all is done, and return the answers as one."""
    total: dict[str, Any] = {"removed": {}, "kept": []}
    while True:
        answer = await api.delete(f"/api/users/{user}", params=asked)
        assert answer.status_code == 200, answer.text
        body = answer.json()
        assert body["erased"] is True
        for part, count in body["removed"].items():
            total["removed"][part] = total["removed"].get(part, 0) + count
        total["kept"] += body["kept"]
        total["public"] = body["public"]
        if body["next"] is None:
            return total
        asked["cursor"] = body["next"]


async def known_as(database: asyncpg.Pool, person: Person, name: str) -> str:
    """Let somebody have come from a registry, and return the handle."""
    await database.execute(
        "INSERT INTO auth_people (user_id, actor, name, domain) VALUES ($1, $2, $3, 'artdag.org')",
        person.user,
        f"https://artdag.org/users/{name}",
        name,
    )
    return f"@{name}@artdag.org"


async def test_nobody_knows_an_erased_person_and_history_stays_whole(
    live: System, api, person, database, chain_text, imports, problem, bus
):
    ada, eve = await person(), await person()
    name = f"ada-{uuid4().hex[:8]}"
    handle = await known_as(database, ada, name)
    both = uuid4().bytes
    alone, shared, shown = await upload(ada.client), await upload(ada.client, both), await upload(ada.client)
    assert await upload(eve.client, both) == shared
    recipe, kept_recipe = [
        (await ada.client.post("/recipes/upload", content=chain_text(f"r{i}", 1), headers=YAML)).json()["recipe_id"]
        for i in range(2)
    ]
    effect = (await ada.client.post("/effects/upload", content=effect_source(), headers=PYTHON)).json()["cid"]
    gone = await render(ada.client, recipe, alone)
    public = await render(ada.client, kept_recipe, shown)
    published = await ada.client.post(f"/cache/{public['output_cid']}/publish", json={"name": "my film"})
    assert published.status_code == 200, published.text
    place = await ada.client.post(
        "/storage/add", json={"type": "local", "name": "disk", "settings": {"path": str(imports)}}
    )
    assert place.status_code == 201, place.text
    storage = place.json()["storage_id"]
    await database.execute("INSERT INTO storage_secrets VALUES ($1, 'token', 'sealed')", storage)

    seen = (await api.get(f"/api/users/{handle}")).json()
    assert (seen["user_id"], seen["handle"]) == (ada.user, handle)
    assert (seen["theirs"]["runs"], seen["theirs"]["recipes"], seen["theirs"]["storage"]) == (2, 2, 1)
    done = await erase(api, handle, content="true")

    # Nobody is signed in as them, and nobody is told who they were.
    problem(await ada.client.get("/api/usage"), 401, "token-revoked")
    problem(await api.get(f"/api/users/{handle}"), 404, "user-not-found")
    seen = (await api.get(f"/api/users/{ada.user}")).json()
    assert seen["handle"] == "@deleted"
    assert seen["erased_at"]
    again = await bus.request(AttachToken(hash_token(uuid4().hex), ada.user), uuid4().hex, 60)
    assert (again.accepted, again.code) == (False, "token-revoked")
    for table in ("auth_people", "auth_grants", "auth_guesses"):
        assert not await database.fetchval(f"SELECT count(*) FROM {table} WHERE user_id = $1", ada.user)
    assert not await database.fetchval("SELECT count(*) FROM storage_secrets WHERE storage_id = $1", storage)

    # What could go is gone; what others have is theirs; what is public is listed.
    assert done["removed"] == {"storage": 1, "runs": 1, "recipes": 2, "effects": 1, "content": 2}
    assert {(each["part"], each["id"], each["rule"]) for each in done["kept"]} == {
        ("runs", public["run_id"], "published"),
        ("content", shown, "published"),  # a NOOP gives what it got
    }
    assert [(each["cid"], each["name"]) for each in done["public"]] == [(public["output_cid"], "my film")]
    for path in (f"/cache/{alone}", f"/runs/{gone['run_id']}", f"/effects/{effect}"):
        assert (await api.get(path)).status_code == 404, path
    assert (await eve.client.get(f"/cache/{shared}")).status_code == 200
    assert (await eve.client.get(f"/cache/{public['output_cid']}/raw")).status_code == 200

    # The trail says who did it to whom, and the chain of events is whole; the run that stayed can be replayed.
    wanted = {
        "UserTokensRevoked",
        "UserErased",
        "StorageRemoved",
        "RunDeleted",
        "RecipeDeleted",
        "EffectDisowned",
        "ObjectEvicted",
        "ObjectDisowned",
    }
    by_operator: dict[str, Any] = {}
    async with asyncio.timeout(SECONDS):
        while by_operator.keys() != wanted:
            entries = (await api.get("/api/audit", params={"user": ada.user, "limit": 200})).json()["entries"]
            by_operator = {each["event"]: each for each in entries if each["by"] and each["by"]["id"] == "owner"}
    assert {each["user"]["id"] for each in by_operator.values()} == {ada.user}
    assert {each["user"]["handle"] for each in entries} == {"@deleted"}
    assert (await verify_chain(database)).intact
    replayed = await asyncio.to_thread(
        CliRunner().invoke, cli, ["replay", public["run_id"], "--json", "--state", str(live.state)]
    )
    assert replayed.exit_code == 0, replayed.output
    (stored,) = await database.fetch(
        "SELECT count(*) FROM es_events WHERE position($1::bytea IN data) > 0", name.encode()
    )
    assert stored["count"] == 0, "the name was never in an event"

    # Once more changes nothing.
    before = await database.fetchval("SELECT count(*) FROM es_events WHERE stream = $1", f"user-{ada.user}")
    again = await erase(api, ada.user, content="true")
    assert again["removed"] == {}
    assert {each["id"] for each in again["kept"]} == {public["run_id"], shown}
    assert await database.fetchval("SELECT count(*) FROM es_events WHERE stream = $1", f"user-{ada.user}") == before


async def test_without_content_what_is_theirs_stays(api, person, database, problem):
    ada = await person()
    content = await upload(ada.client)
    assert (await erase(api, ada.user))["removed"] == {}
    problem(await ada.client.get("/api/usage"), 401, "token-revoked")
    assert await database.fetchval("SELECT count(*) FROM content_holds WHERE cid = $1", content) == 1


async def test_what_was_published_can_be_taken_back_and_then_goes_too(api, person, chain_text):
    ada, eve = await person(), await person()
    content = await upload(ada.client)
    recipe = await ada.client.post("/recipes/upload", content=chain_text("r", 1), headers=YAML)
    run = await render(ada.client, recipe.json()["recipe_id"], content)
    published = await ada.client.post(f"/cache/{run['output_cid']}/publish", json={"name": "my film"})
    assert published.status_code == 200, published.text
    done = await erase(api, ada.user, content="true", unpublish="true")
    assert done["removed"] == {"publications": 1, "runs": 1, "recipes": 1, "content": 1}
    assert (done["kept"], done["public"]) == ([], [])
    assert (await eve.client.get(f"/cache/{run['output_cid']}")).status_code == 404


async def test_neither_the_operator_nor_nobody_is_erased(api, problem):
    problem(await api.delete("/api/users/owner"), 422, "invalid-request")
    problem(await api.delete(f"/api/users/u-{uuid4().hex}"), 404, "user-not-found")
    problem(await api.delete("/api/users/@nobody@example.org"), 404, "user-not-found")


async def test_a_place_to_go_on_at_is_one_that_an_answer_named(api, person, problem, database):
    ada = await person()
    await known_as(database, ada, f"ada-{uuid4().hex[:6]}")
    problem(await api.delete(f"/api/users/{ada.user}", params={"cursor": "kitchen:x"}), 422, "invalid-request")
    assert (await ada.client.get("/api/usage")).status_code == 200, "nothing happened"


async def test_the_commands_list_show_and_erase(live: System, person, database):
    ada = await person()
    handle = await known_as(database, ada, f"ada-{uuid4().hex[:6]}\x1b[31m")

    def run(*arguments: str, **more: Any) -> str:
        result = CliRunner().invoke(cli, ["user", *arguments, "--state", str(live.state)], **more)
        assert result.exit_code == 0, result.output
        assert "\x1b" not in result.stdout + result.stderr
        return result.output

    await upload(ada.client)
    assert ada.user in await asyncio.to_thread(run, "list")
    assert "1 content" in await asyncio.to_thread(run, "show", handle)
    refused = await asyncio.to_thread(
        CliRunner().invoke, cli, ["user", "erase", ada.user, "--state", str(live.state)], "n\n"
    )
    assert refused.exit_code == 1
    assert (await ada.client.get("/api/usage")).status_code == 200
    done = json.loads(await asyncio.to_thread(run, "erase", handle, "--content", "--yes", "--json"))
    assert done["removed"] == {"content": 1}
    said = await asyncio.to_thread(run, "erase", ada.user, "--yes")
    assert "means nobody any more" in said
    assert "provenance records" in said
    assert "@deleted" in await asyncio.to_thread(run, "show", ada.user)
