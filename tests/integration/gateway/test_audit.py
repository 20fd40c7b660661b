"""The audit trail over the running system: who did what, who was refused, and who may read of it."""

from __future__ import annotations

import asyncio
import json
import signal
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import asyncpg
import httpx
import pytest
from typer.testing import CliRunner

from artdag_cli import audit as command
from artdag_cli.__main__ import app as cli
from artdag_cli.backing import free_port, guarded
from artdag_cli.client import Client
from artdag_cli.system import ROOT, System
from artdag_common.commands import NoteRefusals, RevokeToken, RevokeUser
from artdag_common.domain.audit import Refusal, hour_of
from tests.integration.gateway.people import SignIn, signing_in

Entry = dict[str, Any]
Trail = Callable[..., Awaitable[list[Entry]]]
SECONDS = 90


@pytest.fixture
async def person(url, bus) -> AsyncIterator[SignIn]:
    """Signs people in."""
    async with signing_in(url, bus) as sign_in:
        yield sign_in


@pytest.fixture
def trail(api) -> Trail:
    """Wait until the trail, as somebody sees it, has so many entries of a kind that concern a user."""

    async def look(user: str, kind: str, count: int = 1, client: httpx.AsyncClient = api) -> list[Entry]:
        found: list[Entry] = []
        last = "0"
        async with asyncio.timeout(SECONDS):
            while sum(each["count"] for each in found) < count:
                asked = {"user": user, "kind": kind, "after": last, "limit": 200}
                answer = await client.get("/api/audit", params=asked, headers={"Prefer": "wait=8"})
                assert answer.status_code == 200, answer.text
                found += answer.json()["entries"]
                last = str(found[-1]["id"]) if found else "0"
        return found

    return look


@pytest.fixture
async def database(live: System) -> AsyncIterator[asyncpg.Connection]:
    """The running system's database, as its operator."""
    connection = await asyncpg.connect(live.environment["DATABASE_URL"])
    yield connection
    await connection.close()


def told(entries: list[Entry]) -> dict[tuple[str | None, str], int]:
    """Return how many refusals there are for each code and place."""
    found: dict[tuple[str | None, str], int] = {}
    for each in entries:
        key = (each["code"], each["what"])
        found[key] = found.get(key, 0) + each["count"]
    return found


# --- what is in it ---


async def test_a_sign_in_and_its_revocation_say_whose_and_by_whom(person, trail, bus):
    ada = await person()
    (signed_in,) = await trail(ada.user, "sign-in")
    assert signed_in["event"] == "TokenAttached"
    assert signed_in["by"]["id"] == signed_in["user"]["id"] == ada.user
    assert signed_in["what"] == f"token-{ada.token_hash}"
    await bus.request(RevokeToken(ada.token_hash, "owner", "lost"), uuid4().hex, 60)
    await bus.request(RevokeUser(ada.user, "l2", "signed out at L2"), uuid4().hex, 60)
    one, all_of_them = await trail(ada.user, "revocation", 2)
    assert (one["event"], one["by"]["id"], one["user"]["id"], one["code"]) == (
        "TokenRevoked",
        "owner",
        ada.user,
        "lost",
    )
    assert (all_of_them["event"], all_of_them["by"]["id"], all_of_them["user"]["id"]) == (
        "UserTokensRevoked",
        "l2",
        ada.user,
    )
    assert one["by"]["handle"].startswith("@owner@")
    assert all_of_them["by"]["handle"] is None


async def test_a_revoked_token_is_told_by_its_holder_and_by_no_more_than_that(person, trail, bus, database):
    ada = await person()
    assert (await ada.client.get("/api/usage")).status_code == 200
    await bus.request(RevokeToken(ada.token_hash, "owner", ""), uuid4().hex, 60)
    while (await ada.client.get("/api/usage", params={"q": "s3cret-query"})).status_code != 401:
        await asyncio.sleep(0.01)
    assert (await ada.client.delete("/runs/s3cret-path")).status_code == 401
    counted = told(await trail(ada.user, "refusal", 2))
    assert counted[("token-revoked", "DELETE /runs/{run_id}")] == 1
    assert counted[("token-revoked", "GET /api/usage")] >= 1
    (stored,) = await database.fetch("SELECT string_agg(data, '') AS data FROM es_events WHERE stream LIKE 'audit-%'")
    for secret in (ada.token, ada.token_hash, "s3cret", "127.0.0.1"):
        assert secret.encode() not in stored["data"]


async def test_what_is_anothers_is_not_there_and_asking_for_it_is_told(person, trail, make_recipe, asset, api):
    recipe = await make_recipe(1)
    run = (await api.post("/runs", json={"recipe": recipe["recipe_id"], "inputs": [asset]})).json()
    eve = await person()
    places = {
        f"/runs/{run['run_id']}": "GET /runs/{run_id}",
        f"/cache/{asset}": "GET /cache/{cid}",
        f"/recipes/{recipe['recipe_id']}": "GET /recipes/{recipe}",
    }
    for path in places:
        for _ in range(2):
            assert (await eve.client.get(path)).status_code == 404, path
    assert (await eve.client.get(f"/runs/{uuid4()}")).status_code == 404
    counted = told(await trail(eve.user, "refusal", 6))
    assert counted == {("hidden", place): 2 for place in places.values()}


async def test_a_foreign_origin_is_told_by_its_address(stranger, trail, database):
    before = datetime.now(UTC) - timedelta(seconds=1)
    for _ in range(3):
        answer = await stranger.get("/runs", headers={"Origin": "https://evil.example", "Host": "localhost"})
        assert answer.status_code == 403
    async with asyncio.timeout(SECONDS):
        while True:
            rows = await database.fetch(
                """SELECT sum(count) AS count, address, what FROM rm_audit
                WHERE code = 'foreign-origin' AND at > $1 GROUP BY address, what""",
                before,
            )
            if rows and sum(row["count"] for row in rows) >= 3:
                break
            await asyncio.sleep(0.05)
    assert {len(row["address"]) for row in rows} == {16}
    assert {row["what"] for row in rows} == {""}


async def test_deletions_say_whose_it_was_and_who_did_it(person, trail, chain_text):
    ada = await person()
    content = (await ada.client.post("/cache/upload", files={"file": ("a.bin", uuid4().bytes)})).json()["cid"]
    recipe = (await ada.client.post("/recipes/upload", content=chain_text("gone", 1))).json()["recipe_id"]
    started = await ada.client.post("/runs", json={"recipe": recipe, "inputs": [content]})
    run = started.json()["run_id"]
    async with asyncio.timeout(SECONDS):
        while (await ada.client.delete(f"/runs/{run}")).status_code == 409:
            await asyncio.sleep(0.02)
    for path in (f"/recipes/{recipe}", f"/cache/{content}"):
        assert (await ada.client.delete(path)).status_code == 200, path
    entries = await trail(ada.user, "deletion", 3)
    assert {each["event"] for each in entries} == {"RunDeleted", "RecipeDeleted", "ObjectEvicted"}
    assert {each["what"] for each in entries} == {f"run-{run}", f"recipe-{recipe}", f"object-{content}"}
    assert all(each["by"]["id"] == each["user"]["id"] == ada.user for each in entries)


# --- who may read it ---


async def test_people_see_what_concerns_them_and_the_operator_sees_all(person, trail, stranger, api, problem):
    ada, eve = await person(), await person()
    await trail(ada.user, "sign-in")
    await trail(eve.user, "sign-in")
    (mine,) = await trail(ada.user, "sign-in", client=ada.client)
    assert mine["user"]["id"] == ada.user
    seen = (await ada.client.get("/api/audit", params={"limit": 200})).json()["entries"]
    assert {each["user"]["id"] for each in seen} == {ada.user}
    problem(await ada.client.get("/api/audit", params={"user": eve.user}), 403, "not-yours")
    problem(await ada.client.get("/api/audit", params={"user": "owner"}), 403, "not-yours")
    problem(await stranger.get("/api/audit"), 401, "unauthenticated")
    problem(await api.get("/api/audit", params={"user": "@nobody@example.org"}), 404, "user-not-found")
    for path in ("/api/users", f"/api/users/{eve.user}"):
        problem(await ada.client.get(path), 403, "not-yours")
        problem(await stranger.get(path), 401, "unauthenticated")
    problem(await ada.client.delete(f"/api/users/{eve.user}"), 403, "not-yours")
    problem(await stranger.delete(f"/api/users/{eve.user}"), 401, "unauthenticated")


async def test_pages_follow_one_another_and_filters_hold(person, trail, api, problem):
    ada = await person()
    for _ in range(4):
        await person(ada.user)
    entries = await trail(ada.user, "sign-in", 5)
    newest = [each["id"] for each in reversed(entries)]
    seen: list[int] = []
    cursor: dict[str, str] = {}
    while True:
        answer = await api.get("/api/audit", params={"user": ada.user, "kind": "sign-in", "limit": 2} | cursor)
        page = answer.json()
        assert len(page["entries"]) <= 2
        seen += [each["id"] for each in page["entries"]]
        if page["next"] is None:
            break
        cursor = {"cursor": page["next"]}
    assert seen == newest
    asked = {"user": ada.user, "since": entries[1]["at"], "until": entries[3]["at"]}
    between = (await api.get("/api/audit", params=asked)).json()["entries"]
    assert [each["id"] for each in between] == [entries[2]["id"], entries[1]["id"]]
    assert (await api.get("/api/audit", params={"user": ada.user, "kind": "erasure"})).json()["entries"] == []
    problem(await api.get("/api/audit", params={"kind": "gossip"}), 422, "invalid-request")
    problem(await api.get("/api/audit", params={"cursor": "x"}), 422, "invalid-request")


# --- more than one gateway ---


async def test_two_gateways_hand_over_to_one_trail_and_one_that_stops_hands_over_first(
    live: System, person, trail, bus, api
):
    ada = await person()
    port = free_port()
    process = await asyncio.create_subprocess_exec(
        *guarded(),
        sys.executable,
        "-m",
        "services.gateway",
        env=live.environment | {"PORT": str(port), "PATH": "/usr/bin:/bin"},
        cwd=ROOT,
        stderr=asyncio.subprocess.DEVNULL,
    )
    bearer = {"Authorization": f"Bearer {ada.token}"}
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", headers=bearer, timeout=60) as other:
        async with asyncio.timeout(60):
            while True:
                try:
                    if (await other.get("/ready")).status_code == 200:
                        break
                except httpx.TransportError:
                    assert process.returncode is None
                await asyncio.sleep(0.02)
        for client, count in ((ada.client, 3), (other, 4)):
            for _ in range(count):
                assert (await client.get("/api/users")).status_code == 403
        process.send_signal(signal.SIGTERM)
        await asyncio.wait_for(process.wait(), 30)
    entries = await trail(ada.user, "refusal", 7)
    assert told(entries) == {("not-yours", "GET /api/users"): 7}
    assert len({each["address"] for each in entries}) == 1, "both know the address by the same key"
    assert max(each["count"] for each in entries) < 7, "each handed over its own"


async def test_a_hand_over_that_comes_twice_counts_once(bus, trail):
    user = f"u-{uuid4().hex[:26]}"
    hour = hour_of(datetime.now(UTC))
    handed = NoteRefusals(hour, (Refusal("not-yours", "GET /x", user, "0" * 16, 2, 1, 1),))
    repeated = uuid4().hex
    first, again = [await bus.request(handed, repeated, 60) for _ in range(2)]
    assert first.accepted
    assert first == again
    await bus.request(NoteRefusals(hour, (Refusal("hidden", "GET /x", user, "0" * 16, 1, 1, 1),)), uuid4().hex, 60)
    assert told(await trail(user, "refusal", 3)) == {("not-yours", "GET /x"): 2, ("hidden", "GET /x"): 1}


async def test_what_no_gateway_hands_over_is_refused(bus, database):
    for hour, refusal in (
        ("2199-01-01T00", Refusal("not-yours", "GET /x", "u", "0", 1, 1, 1)),
        (hour_of(datetime.now(UTC)), Refusal("not-yours", "x" * 5000, "u", "0", 1, 1, 1)),
    ):
        outcome = await bus.request(NoteRefusals(hour, (refusal,)), uuid4().hex, 60)
        assert (outcome.accepted, outcome.code) == (False, "invalid-request")
    assert not await database.fetchval("SELECT count(*) FROM es_events WHERE stream = 'audit-2199-01-01T00'")


# --- the command ---


async def test_the_command_shows_what_happened_and_follows_what_happens(live: System, person, trail):
    ada = await person()
    await trail(ada.user, "sign-in")

    def run(*arguments: str) -> str:
        result = CliRunner().invoke(cli, [*arguments, "--state", str(live.state)])
        assert result.exit_code == 0, result.output
        return result.stdout

    (line,) = (await asyncio.to_thread(run, "audit", "--user", ada.user, "--since", "10m")).splitlines()
    assert f"sign-in {ada.user} TokenAttached token-{ada.token_hash}" in line
    (shown,) = (await asyncio.to_thread(run, "audit", "--user", ada.user, "--json")).splitlines()
    entry = json.loads(shown)
    assert (entry["kind"], entry["user"]["id"]) == ("sign-in", ada.user)

    def next_one() -> Entry:
        with Client.of_state(live.state) as client:
            return next(command._following(client, {"user": ada.user}, entry["id"]))

    following = asyncio.create_task(asyncio.to_thread(next_one))
    assert (await ada.client.get("/api/users")).status_code == 403
    refused = await asyncio.wait_for(following, SECONDS)
    assert (refused["kind"], refused["code"], refused["what"]) == ("refusal", "not-yours", "GET /api/users")
